use proptest::prelude::*;

use super::*;
use crate::edit::apply;

const ENTRY: &str = "# buckets: photos\n[new-one]\nkey = value\n";

fn name() -> SectionName {
    "new-one".parse().unwrap()
}

fn added(target: Target, text: &str, entry: &str) -> String {
    let edit = insert(target, Some(text), &name(), entry).unwrap();
    apply(text, &[edit]).unwrap().to_string()
}

#[test]
fn a_section_goes_to_the_end_after_a_blank_line() {
    for (text, before) in [
        ("", ""),
        ("[a]\nk = v\n", "[a]\nk = v\n\n"),
        ("[a]\nk = v", "[a]\nk = v\n\n"),
        ("[a]\nk = v\n\n", "[a]\nk = v\n\n"),
        ("[a]\nk = v\n  \n", "[a]\nk = v\n  \n"),
        ("\u{feff}", "\u{feff}"),
        ("\u{feff}# c\n", "\u{feff}# c\n\n"),
    ] {
        let expected = format!("{before}{ENTRY}");
        assert_eq!(added(Target::Rclone, text, ENTRY), expected, "{text:?}");
    }
}

#[test]
fn a_file_with_crlf_keeps_it_in_what_is_added() {
    assert_eq!(
        added(Target::AwsConfig, "[a]\r\nk = v", "[new-one]\nx = y\n"),
        "[a]\r\nk = v\r\n\r\n[new-one]\r\nx = y\r\n"
    );
}

#[test]
fn a_name_that_is_taken_is_refused() {
    for (target, text) in [
        (Target::Rclone, "[a]\n[ new-one ]\nk = v\n"),
        (Target::AwsCredentials, "[new-one]\n"),
        (Target::AwsConfig, "[profile new-one]\n"),
        (Target::AwsConfig, "[profile  \"new-one\"]\n"),
        (
            Target::McConfig,
            r#"{"version":"10","aliases":{"new\u002done":{}}}"#,
        ),
        (Target::WholeFile, ""),
    ] {
        let refused = insert(target, Some(text), &name(), "").unwrap_err();
        assert!(matches!(refused, NoRoom::Exists(_)), "{text}: {refused}");
    }
    for (target, text) in [
        (Target::Rclone, "[New-One]\n"),
        (Target::AwsConfig, "[new-one]\n"),
        (Target::AwsCredentials, "[profile new-one]\n"),
    ] {
        assert!(insert(target, Some(text), &name(), "").is_ok(), "{text}");
    }
}

#[test]
fn a_file_that_the_tool_could_not_read_is_refused_without_its_content() {
    for (target, text, line) in [
        (Target::Rclone, "[a]\nhunter2\n", "line 2"),
        (Target::AwsCredentials, "[a]\n[a]\nhunter2 = x\n", "line 2"),
        (Target::McConfig, "{\n\"hunter2\": \n", "line 3"),
        (
            Target::McConfig,
            "{\n\"version\":\"10\",\n\"aliases\":\n[\"hunter2\"]}",
            "line 3",
        ),
        (Target::McConfig, "\u{feff}{}", "line 1"),
    ] {
        let refused = insert(target, Some(text), &name(), "").unwrap_err();
        let told = match &refused {
            NoRoom::Ini(source) => source.to_string(),
            other => other.to_string(),
        };
        assert!(told.contains(line), "{told}");
        assert!(
            !format!("{refused:?} {told}").contains("hunter2"),
            "{refused:?}"
        );
    }
    let other = insert(
        Target::McConfig,
        Some(r#"{"version":"9","hosts":{}}"#),
        &name(),
        "{}",
    );
    assert_eq!(other, Err(NoRoom::McVersion));
}

#[test]
fn an_encrypted_rclone_file_and_heirs_of_the_new_name_are_refused() {
    for text in [
        "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nAAAA\n",
        "RCLONE_ENCRYPT_V0:\nAAAA\n",
    ] {
        let refused = insert(Target::Rclone, Some(text), &name(), ENTRY);
        assert_eq!(refused, Err(NoRoom::Encrypted));
    }
    let refused = insert(
        Target::Rclone,
        Some("[new-one.sub]\ntype = s3\n"),
        &name(),
        ENTRY,
    );
    assert!(matches!(refused, Err(NoRoom::Heir(_))));
}

const ALIAS: &str = "{\n  \"url\": \"u\",\n  \"path\": \"on\"\n}\n";

#[test]
fn an_alias_is_laid_out_as_the_file_is() {
    for (text, expected) in [
        (
            "{\n\t\"version\": \"10\",\n\t\"aliases\": {\n\t\t\"a\": {\n\t\t\t\"url\": \"x\"\n\t\t}\n\t}\n}\n",
            "{\n\t\"version\": \"10\",\n\t\"aliases\": {\n\t\t\"a\": {\n\t\t\t\"url\": \"x\"\n\t\t},\n\t\t\"new-one\": {\n\t\t\t\"url\": \"u\",\n\t\t\t\"path\": \"on\"\n\t\t}\n\t}\n}\n",
        ),
        (
            "{\r\n  \"version\": \"10\",\r\n  \"aliases\": {}\r\n}",
            "{\r\n  \"version\": \"10\",\r\n  \"aliases\": {\r\n    \"new-one\": {\r\n      \"url\": \"u\",\r\n      \"path\": \"on\"\r\n    }\r\n  }\r\n}",
        ),
        (
            r#"{"version":"10","aliases":{"a":{}}}"#,
            r#"{"version":"10","aliases":{"a":{},"new-one": {"url": "u","path": "on"}}}"#,
        ),
        (
            "{\"aliases\":{\"a\":1 } , \"version\":\"10\"}",
            "{\"aliases\":{\"a\":1,\"new-one\": {\"url\": \"u\",\"path\": \"on\"} } , \"version\":\"10\"}",
        ),
        (
            "{\n \"version\": \"10\"\n}\n",
            "{\n \"version\": \"10\",\n \"aliases\": {\n  \"new-one\": {\n   \"url\": \"u\",\n   \"path\": \"on\"\n  }\n }\n}\n",
        ),
        (
            " \n",
            "{\n\t\"version\": \"10\",\n\t\"aliases\": {\n\t\t\"new-one\": {\n\t\t\t\"url\": \"u\",\n\t\t\t\"path\": \"on\"\n\t\t}\n\t}\n}\n",
        ),
    ] {
        let changed = added(Target::McConfig, text, ALIAS);
        assert_eq!(changed, expected);
        let value: serde_json::Value = serde_json::from_str(&changed).unwrap();
        assert_eq!(value["aliases"]["new-one"]["path"], "on");
    }
}

/// INI files of both dialects, with the things that people leave in them.
fn ini() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("# a comment".to_owned()),
        Just("; [commented]".to_owned()),
        Just(String::new()),
        Just("   ".to_owned()),
        "[a-z]{1,6} ?= ?[ -~&&[^`\"%]]{0,12}",
        "[a-z]{1,6} = ünï \u{1F600}",
    ];
    let section = ("[a-d]", prop::collection::vec(line, 0..6))
        .prop_map(|(name, lines)| format!("[{name}]\n{}", lines.join("\n")));
    (
        any::<bool>(),
        prop::collection::vec(section, 0..5),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(mark, sections, crlf, end)| {
            let mut text = if mark { "\u{feff}" } else { "" }.to_owned();
            text.push_str(&sections.join("\n"));
            if end {
                text.push('\n');
            }
            if crlf {
                text.replace('\n', "\r\n")
            } else {
                text
            }
        })
}

fn json() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        Just("{ }".to_owned()),
        Just("[1, {\"}\": \"]\\\"\"}]".to_owned()),
        "[ -~&&[^\\\\\"]]{0,8}".prop_map(|text| format!("\"{text}\"")),
        Just("1e400000".to_owned()),
    ];
    let blank = "[ \t\r\n]{0,4}";
    let members = prop::collection::vec(("[a-e]", value.clone(), blank), 0..4);
    (members, blank, blank, value, any::<bool>()).prop_map(|(members, b1, b2, other, first)| {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value, blank)| format!("{blank}\"{name}\"{blank}:{value}{blank}"))
            .collect();
        let aliases = format!("\"aliases\"{b1}:{b2}{{{}{b1}}}", members.join(","));
        let version = format!("\"version\":\"10\",{b1}\"other\":{other}");
        if first {
            format!("{b1}{{{b2}{aliases}{b1},{version}}}{b2}")
        } else {
            format!("{{{version},{b2}{aliases}{b1}}}")
        }
    })
}

proptest! {
    #[test]
    fn every_byte_of_an_ini_file_stays_and_the_section_reads_back(text in ini(), aws in any::<bool>()) {
        let (target, dialect) = if aws {
            (Target::AwsCredentials, Dialect::Aws)
        } else {
            (Target::Rclone, Dialect::Rclone)
        };
        let Ok(before) = Document::parse(&text, dialect) else { return Ok(()) };
        let edit = insert(target, Some(&text), &name(), ENTRY).unwrap();
        prop_assert!(edit.span.is_empty());
        let changed = apply(&text, &[edit]).unwrap();
        prop_assert!(changed.starts_with(&text));
        let after = Document::parse(&changed, dialect).unwrap();
        prop_assert_eq!(&after.sections()[..before.sections().len()], before.sections());
        prop_assert_eq!(after.sections().len(), before.sections().len() + 1);
        prop_assert_eq!(after.entry("new-one", "key").unwrap().value, "value");
        prop_assert!(insert(target, Some(&changed), &name(), ENTRY).is_err());
        let crlf = text.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n"));
        let new = &changed[text.len()..];
        prop_assert_eq!(new.matches("\r\n").count(), if crlf { new.matches('\n').count() } else { 0 });
    }

    #[test]
    fn every_byte_of_mcs_file_stays_and_the_alias_reads_back(text in json()) {
        let edit = insert(Target::McConfig, Some(&text), &name(), ALIAS).unwrap();
        prop_assert!(edit.span.is_empty());
        let changed = apply(&text, std::slice::from_ref(&edit)).unwrap();
        prop_assert_eq!(&changed[..edit.span.start], &text[..edit.span.start]);
        prop_assert!(changed.ends_with(&text[edit.span.start..]));
        let members = |text: &str| -> Vec<(String, String)> {
            #[derive(serde::Deserialize)]
            struct Config<'a> {
                #[serde(borrow)]
                aliases: std::collections::BTreeMap<String, &'a serde_json::value::RawValue>,
            }
            let config: Config<'_> = serde_json::from_str(text).unwrap();
            config.aliases.iter().map(|(name, value)| (name.clone(), value.get().to_owned())).collect()
        };
        let (before, mut after) = (members(&text), members(&changed));
        let new = after.iter().position(|(name, _)| name == "new-one").unwrap();
        prop_assert!(after.remove(new).1.contains("\"on\""));
        prop_assert_eq!(after, before);
    }
}
