use proptest::prelude::*;

use super::{Dialect, parse};

fn found(text: &str, dialect: Dialect) -> Vec<(String, String, u32)> {
    parse(text, dialect, |name| {
        (name == "HOME").then_some("/home/ann")
    })
    .into_iter()
    .map(|found| (found.name, found.value.to_string(), found.line))
    .collect()
}

fn own(expected: &[(&str, &str, u32)]) -> Vec<(String, String, u32)> {
    let own = |&(name, value, line): &(&str, &str, u32)| (name.into(), value.into(), line);
    expected.iter().map(own).collect()
}

#[test]
fn systemd_takes_quotes_and_backslashes_but_no_dollar_and_no_export() {
    let text = "# c\n;d\nA=1\n B = two words  \nexport C=3\nD='x $A\ny' \nE=\"q\\\"\\$\\n\\\nz\"tail\nF=a\\\n  b\\ c\n\
                G=$A # no comment\nnothing\nH=\nI=a'b'\nJ=\"open";
    assert_eq!(
        found(text, Dialect::Systemd),
        own(&[
            ("A", "1", 3),
            ("B", "two words", 4),
            ("D", "x $A\ny", 6),
            ("E", "q\"$\\nztail", 8),
            ("F", "a  b c", 10),
            ("G", "$A # no comment", 12),
            ("H", "", 14),
            ("I", "a'b'", 15),
            ("J", "open", 16),
        ])
    );
}

#[test]
fn docker_takes_everything_behind_the_sign() {
    let text = "\u{feff}A=\"1\" # x\n #B=2\n  C= $A \r\nD\nbad name=1\n";
    assert_eq!(
        found(text, Dialect::Docker),
        own(&[("A", "\"1\" # x", 1), ("C", " $A ", 3)])
    );
}

#[test]
fn compose_takes_quotes_variables_export_and_comments() {
    let text = "A=1 # c\nexport B='$A # x'\nC=\"$A-${HOME}-\\$A\\n\"\nD=${NO:-d$A}\nE: yaml\nF=a#b\n\
                G=\"two\nlines\"\nH=$$x\nI=\n#J=1\nK=${open\nL=last";
    assert_eq!(
        found(text, Dialect::Compose),
        own(&[
            ("A", "1", 1),
            ("B", "$A # x", 2),
            ("C", "1-/home/ann-$A\n", 3),
            ("D", "d1", 4),
            ("E", "yaml", 5),
            ("F", "a#b", 6),
            ("G", "two\nlines", 7),
            ("H", "$x", 9),
            ("I", "", 10),
            ("K", "${open", 12),
            ("L", "last", 13),
        ])
    );
}

#[test]
fn values_are_never_shown() {
    let shown = format!("{:?}", parse("A=hunter2", Dialect::Systemd, |_| None));
    assert!(shown.contains('A') && !shown.contains("hunter2"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_makes_a_reader_panic_and_every_name_stands_where_it_is_said(
        text in "([A-Z]{1,2}|[=:'\"\\\\$#{}; \t\r-]|\n|ä|export |\u{feff}){0,40}"
    ) {
        for dialect in [Dialect::Systemd, Dialect::Docker, Dialect::Compose] {
            for assignment in parse(&text, dialect, |_| Some("$A")) {
                prop_assert!(text[assignment.offset..].starts_with(&assignment.name));
                let before = text[..assignment.offset].matches('\n').count();
                prop_assert_eq!(assignment.line as usize, before + 1);
            }
        }
    }
}
