use proptest::prelude::*;

use super::{Dialect, Job, Line, When, parse};

fn jobs(text: &str, dialect: Dialect) -> Vec<Job<'_>> {
    let job = |line| match line {
        Line::Job(job) => Some(job),
        _ => None,
    };
    parse(text, dialect).into_iter().filter_map(job).collect()
}

#[test]
fn jobs_variables_and_broken_lines_are_told_apart() {
    let text = "# c\nSHELL=/bin/bash\n  'A B'=x\nKEY = \"a b\" \nURL=a=b # kept\n\n\
                17 3 * * * rclone sync /a r2:b --x=1\n* * * * * X=1 cmd\n@daily  backup\nnonsense\n61 * * * * x\n@soon x\n";
    let lines = parse(text, Dialect::User);
    let shown: Vec<_> = lines
        .iter()
        .map(|line| match line {
            Line::Variable(found) => format!("{}:{}={}", found.line, found.name, *found.value),
            Line::Job(job) => format!("{}:{}", job.line, job.command),
            Line::Broken { line } => format!("{line}!"),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2:SHELL=/bin/bash",
            "3!",
            "4:KEY=a b",
            "5:URL=a=b # kept",
            "7:rclone sync /a r2:b --x=1",
            "8:X=1 cmd",
            "9:backup",
            "10!",
            "11!",
            "12!",
        ]
    );
    assert!(
        !format!("{lines:?}").contains("a b"),
        "values are never shown"
    );
}

#[test]
fn a_bare_percent_ends_the_command_and_an_escaped_one_is_one() {
    let text = "0 0 * * * a $(date +\\%F\\%T) b%in%put\n0 0 * * * c\\%";
    let found = jobs(text, Dialect::User);
    assert_eq!(found[0].command, "a $(date +%F%T) b");
    assert_eq!(&text[found[0].span.clone()], "a $(date +\\%F\\%T) b");
    assert_eq!(found[1].command, "c%");
}

#[test]
fn system_tabs_have_users_and_anacrons_have_periods() {
    let found = jobs(
        "25 6 * * * root\tcd / && run-parts /etc/cron.daily\n@reboot ann x\n0~9 1 * * * ann -n y\n* * * * * ann\n",
        Dialect::System,
    );
    let shown: Vec<_> = found
        .iter()
        .map(|job| (job.user.unwrap(), &*job.command))
        .collect();
    assert_eq!(
        shown,
        [
            ("root", "cd / && run-parts /etc/cron.daily"),
            ("ann", "x"),
            ("ann", "y")
        ]
    );
    assert_eq!(
        (&found[1].when, &found[2].when),
        (&When::Boot, &When::Unknown)
    );
    let found = jobs(
        "1\t5\tcron.daily\trun-parts /etc/cron.daily\n@monthly 15 m  x %y\nSTART_HOURS_RANGE=3-22\n",
        Dialect::Anacron,
    );
    assert_eq!(
        (&found[0].when, &*found[0].command),
        (&When::Days(1), "run-parts /etc/cron.daily")
    );
    assert_eq!(
        (&found[1].when, &*found[1].command),
        (&When::Monthly, "x %y")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_makes_the_reader_of_crontabs_panic(
        text in "([0-9*]{1,2} |[a-zA-Z@]{1,6}|[-%\\\\='\"#,/~ \t\r]|\n|ä|@daily |\\* \\* \\* \\* \\* ){0,30}"
    ) {
        for dialect in [Dialect::User, Dialect::System, Dialect::Anacron] {
            for line in parse(&text, dialect) {
                if let Line::Job(job) = line {
                    prop_assert!(text.get(job.span.clone()).is_some());
                    let line = text[..job.span.start].matches('\n').count() + 1;
                    prop_assert_eq!(job.line as usize, line);
                }
            }
        }
    }
}
