//! Configurations by the thousand: what was wanted reads back, every other byte and setting stays, and
//! what was added goes again without a trace.

use proptest::prelude::*;

use super::*;

/// The last two are YAML, whose parser takes its time without optimisation.
const KINDS: usize = 13;
/// The settings that are wanted: any of them may be there.
const NAMES: [&str; 4] = ["KEY_ID", "SECRET", "ENDPOINT", "STYLE"];

#[derive(Debug, Clone)]
struct Line {
    /// A wanted setting, or another one.
    name: Option<usize>,
    value: String,
    style: usize,
}

#[derive(Debug, Clone)]
struct Configuration {
    kind: usize,
    sections: Vec<Vec<Line>>,
    crlf: bool,
    mark: bool,
    open_end: bool,
}

fn line() -> impl Strategy<Value = Line> {
    let name = proptest::option::weighted(0.6, 0..NAMES.len());
    // Strings made from a pattern take most of the time.
    (name, any::<u32>(), 0..12_usize).prop_map(|(name, value, style)| Line {
        name,
        value: format!("V/{value:x}+"),
        style,
    })
}

fn configuration() -> impl Strategy<Value = Configuration> {
    let sections = proptest::collection::vec(proptest::collection::vec(line(), 0..7), 3);
    (
        0..KINDS,
        sections,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(kind, mut sections, crlf, mark, open_end)| {
            for lines in &mut sections {
                // No name twice: that is another test's.
                let mut seen = Vec::new();
                lines.retain(|line| {
                    let new = line.name.is_none() || !seen.contains(&line.name);
                    seen.push(line.name);
                    new
                });
            }
            Configuration {
                kind,
                sections,
                crlf,
                mark,
                open_end,
            }
        })
}

/// The value that is to be: a plain one, or anything at all.
fn value() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        5 => "[A-Za-z0-9][A-Za-z0-9/+_.:-]{0,20}[A-Za-z0-9/]".prop_map(Some),
        2 => "[ -~é]{0,12}".prop_map(Some),
        1 => Just(None),
    ]
}

impl Configuration {
    fn syntax(&self) -> Syntax {
        [
            Syntax::Rclone,
            Syntax::AwsCredentials,
            Syntax::AwsConfig,
            Syntax::S3cfg,
            Syntax::Mc,
            SYSTEMD,
            DOCKER,
            ENV,
            Syntax::Shell,
            Syntax::Unit,
            Syntax::Crontab,
            Syntax::Compose,
            Syntax::Compose,
        ][self.kind]
    }

    fn has_sections(&self) -> bool {
        matches!(self.kind, 0..=2 | 4 | 11 | 12)
    }

    /// The lines by section; without sections they are one.
    fn parts(&self) -> Vec<(String, Vec<(String, &Line)>)> {
        let mut other = 0;
        let mut named = |line: &Line| match line.name {
            Some(name) => NAMES[name].to_owned(),
            None => {
                other += 1;
                format!("OTHER_{other}")
            }
        };
        let sections = self.sections.iter().zip(["first", "middle", "last"]);
        let used = if self.has_sections() { 3 } else { 1 };
        sections
            .take(used)
            .map(|(lines, section)| {
                let lines = lines.iter().map(|line| (named(line), line)).collect();
                (section.to_owned(), lines)
            })
            .collect()
    }

    fn scope(&self) -> Scope<'static> {
        if self.has_sections() {
            Scope::Section("middle")
        } else {
            Scope::Whole
        }
    }

    fn text(&self) -> String {
        let mut out: Vec<String> = Vec::new();
        let head: &[&str] = match self.kind {
            9 => &["[Unit]", "Description=KEY_ID=x", "[Service]"],
            3 => &["[default]"],
            4 => &["{", "\t\"version\": \"10\",", "\t\"aliases\": {"],
            11 | 12 => &["services:"],
            _ => &[],
        };
        out.extend(head.iter().map(|line| (*line).to_owned()));
        let parts = self.parts();
        for (number, (section, lines)) in parts.iter().enumerate() {
            match self.kind {
                0 | 1 => out.push(format!("[{section}]")),
                2 => out.push(format!("[profile {section}]")),
                4 => out.push(format!("\t\t\"{section}\": {{")),
                11 | 12 => {
                    out.push(format!("  {section}:"));
                    out.push("    image: x".into());
                    out.push("    environment:".into());
                }
                _ => {}
            }
            for (at, (name, line)) in lines.iter().enumerate() {
                let last = at + 1 == lines.len();
                out.extend(self.line(name, line, last));
            }
            if self.kind == 4 {
                let comma = if number + 1 < parts.len() { "," } else { "" };
                out.push(format!("\t\t}}{comma}"));
            }
        }
        match self.kind {
            4 => out.extend(["\t}".to_owned(), "}".to_owned()]),
            9 => out.push("ExecStart=/bin/x --KEY_ID=y".into()),
            10 => out.push("0 3 * * * job KEY_ID=x".into()),
            _ => {}
        }
        let newline = if self.crlf && self.kind != 5 && self.kind != 8 {
            "\r\n"
        } else {
            "\n"
        };
        let mut text = out.join(newline);
        if !self.open_end {
            text.push_str(newline);
        }
        if self.mark && self.kind != 10 && self.kind != 11 && self.kind != 12 {
            text.insert(0, '\u{feff}');
        }
        text
    }

    fn line(&self, name: &str, line: &Line, last: bool) -> Vec<String> {
        let v = &line.value;
        let comment = "# KEY_ID = commented".to_owned();
        let (quick, style) = (line.style % 4, line.style / 4);
        let set = match (self.kind, quick) {
            (0, 0) => format!("{name} = `{v}`"),
            (0, 1) => format!("  {name}: {v}  "),
            (0 | 3, 2) => format!("{name}={v}"),
            (1 | 2, 0 | 1) => format!("{name}={v}"),
            (1 | 2, 2) if line.name.is_none() => {
                return vec![format!("{name} ="), format!("  inner = {v}")];
            }
            (0..=2, _) => format!("{name} = {v}"),
            (3, 0) => format!("{name} = \"{v}\""),
            (3, _) => format!("{name} = {v}"),
            (4, _) => {
                let comma = if last { "" } else { "," };
                return vec![format!("\t\t\t\"{name}\": \"{v}\"{comma}")];
            }
            (5, 0) => format!("{name}=\"{v}\""),
            (5, 1) => format!(" {name} = '{v}' "),
            (7, 0) => format!("export {name}=\"{v}\" # KEY_ID=x"),
            (7, 1) => format!("{name}: '{v}'"),
            (8, 0) => format!("export {name}=\"{v}\""),
            (8, 1) => format!("export {name}='{v}' # KEY_ID=x"),
            (9, 0) => format!("Environment=\"{name}={v}\""),
            (9, 1) => format!("Environment=Z{name}=1 '{name}={v}'"),
            (9, 2) => format!("Environment={name}=\"{v}\" \\\n  Z{name}=2"),
            (9, _) => format!("Environment={name}={v}"),
            (10, 0) => format!("{name} = \"{v}\""),
            (11, 0) => format!("      {name}: \"{v}\""),
            (11, 1) => format!("      '{name}': '{v}' # c"),
            (11, _) => format!("      {name}: x{v}"),
            (12, 0) => format!("      - \"{name}={v}\""),
            (12, 1) => format!("      -  {name}={v} # c"),
            (12, _) => format!("      - {name}={v}"),
            _ => format!("{name}={v}"),
        };
        match style {
            0 => vec![comment, set],
            1 => vec![String::new(), set],
            _ => vec![set],
        }
    }
}

/// What lies outside of the edits, before and after.
fn outside(text: &str, edits: &[Edit]) -> String {
    let mut kept = String::new();
    let mut from = 0;
    for edit in edits {
        kept.push_str(&text[from..edit.span.start]);
        from = edit.span.end;
    }
    kept + &text[from..]
}

fn moved(edits: &[Edit]) -> Vec<Edit> {
    let (mut added, mut taken) = (0, 0);
    let moved = edits.iter().map(|edit| {
        let start = edit.span.start + added - taken;
        added += edit.text.len();
        taken += edit.span.len();
        Edit {
            span: start..start + edit.text.len(),
            text: edit.text.clone(),
        }
    });
    moved.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_wanted_reads_back_and_all_else_stays(
        configuration in configuration(),
        values in proptest::collection::vec(value(), NAMES.len()),
    ) {
        let (text, syntax, scope) = (configuration.text(), configuration.syntax(), configuration.scope());
        let of = |reading: &Reading, section: &str, name: &str| {
            let scope = match configuration.has_sections() {
                true => Scope::Section(section),
                false => Scope::Whole,
            };
            let found = reading.find(&scope, name)?.map(|at| reading.settings[at].literal());
            found.transpose().map(|value| value.map(|value| value.to_string()))
        };
        let before = Reading::of(&text, syntax).unwrap();
        // What the file was made from is what is read.
        for (section, lines) in configuration.parts() {
            for (name, line) in lines.iter().filter(|(_, line)| line.name.is_some()) {
                let found = of(&before, &section, name).unwrap().unwrap();
                prop_assert!(found.ends_with(&line.value), "{section} {name}\n{text}");
            }
        }
        let wanted: Vec<_> = NAMES
            .iter()
            .zip(&values)
            .map(|(name, value)| Wanted { name, value: value.as_deref() })
            .collect();
        let own = &configuration.parts()[usize::from(configuration.has_sections())].1;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/+_.:-".contains(c);
        let all_plain = values.iter().flatten().all(|value| !value.is_empty() && value.chars().all(plain));
        let edits = match revise(&text, syntax, &scope, &wanted) {
            Ok(edits) => edits,
            Err(error) => {
                let no_place = own.is_empty() && matches!(error, CannotRevise::NoPlace { .. });
                // A mapping that is left empty is none to YAML.
                let leaves_none = syntax == Syntax::Compose
                    && values.iter().all(Option::is_none)
                    && matches!(error, CannotRevise::Shared { .. });
                prop_assert!(no_place || leaves_none || !all_plain, "{error}\n{text}");
                return Ok(());
            }
        };
        let after = edit::apply(&text, &edits).unwrap();
        prop_assert_eq!(outside(&text, &edits), outside(&after, &moved(&edits)));
        let reading = Reading::of(&after, syntax).unwrap();
        for wanted in &wanted {
            let found = of(&reading, "middle", wanted.name).unwrap();
            prop_assert_eq!(found.as_deref(), wanted.value, "{}\n{}", text, &*after);
        }
        for (section, lines) in configuration.parts() {
            for (name, line) in lines {
                let changed = line.name.is_some() && (section == "middle" || !configuration.has_sections());
                if !changed {
                    prop_assert_eq!(of(&before, &section, &name), of(&reading, &section, &name), "{}", &*after);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_added_goes_again_without_a_trace(
        configuration in configuration(),
        value in "[A-Za-z][A-Za-z0-9/+_.-]{0,20}",
    ) {
        let (text, syntax, scope) = (configuration.text(), configuration.syntax(), configuration.scope());
        let mut names = vec!["NEW_1", "NEW_2"];
        if matches!(syntax, Syntax::AwsConfig | Syntax::AwsCredentials) {
            names.push("s3.addressing_style");
        }
        let own = &configuration.parts()[usize::from(configuration.has_sections())].1;
        let beside = own.iter().find(|(_, line)| line.name.is_some());
        let present = beside.map(|(name, line)| {
            let value = read(&text, syntax, &scope, name).unwrap().unwrap();
            prop_assert!(value.ends_with(&line.value));
            Ok((name.as_str(), value))
        }).transpose()?;
        let with = |value: Option<&'static str>| {
            names.iter().map(|name| Wanted { name, value }).collect::<Vec<_>>()
        };
        let value: &'static str = Box::leak(value.into_boxed_str());
        let mut wanted = with(Some(value));
        if let Some((name, value)) = &present {
            wanted.push(Wanted { name, value: Some(value) });
        }
        let edits = match revise(&text, syntax, &scope, &wanted) {
            Ok(edits) => edits,
            Err(error) => {
                prop_assert!(own.is_empty(), "{error}\n{text}");
                return Ok(());
            }
        };
        prop_assert!(edits.iter().all(|edit| edit.span.is_empty()), "only additions");
        let added = edit::apply(&text, &edits).unwrap();
        let edits = revise(&added, syntax, &scope, &with(None)).unwrap();
        let gone = edit::apply(&added, &edits).unwrap();
        prop_assert_eq!(gone.as_str(), text);
    }
}
