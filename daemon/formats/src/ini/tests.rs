use proptest::prelude::*;

use super::*;
use crate::rclone;

fn rclone_document(text: &str) -> Document<'_> {
    Document::parse(text, Dialect::Rclone).unwrap()
}

fn check_value(text: &str, section: &str, key: &str, expected: Option<&str>) {
    assert_eq!(
        rclone::value(&rclone_document(text), section, key).as_deref(),
        expected,
        "{text}"
    );
}

#[test]
fn rclone_values_are_taken_as_rclone_takes_them() {
    for (line, expected) in [
        ("k = v", Some("v")),
        ("k=v", Some("v")),
        ("k : v = w", Some("v = w")),
        ("  k\t=  v # not a comment", Some("v # not a comment")),
        ("k = \"v\"", Some("\"v\"")),
        ("k = ` v `", Some(" v ")),
        ("k = \"\"\"v\"\"\"", Some("v")),
        ("\"k\" = v", Some("v")),
        ("k =", None),
        ("k = one\nk = two", Some("two")),
        ("k = one\nk =", None),
        ("K = v", None),
        ("k = v\r", Some("v")),
        ("k = %(other)s-x\nother = o", Some("o-x")),
        ("k = %(nothing)s-x", Some("-x")),
        ("k = 100%(", Some("100%(")),
        ("k = %(k)s", None),
        ("k = %(k)s%(k)s", None),
    ] {
        check_value(&format!("[r]\n{line}\n"), "r", "k", expected);
    }
}

#[test]
fn rclone_sections_merge_and_fall_back_to_their_parent() {
    let text = "\u{feff}g = 1\n; c\n[a]\nk = 1\n[a.b]\nx = 2\n[a]\nk = 3\n[c.d]\n";
    check_value(text, "a", "k", Some("3"));
    check_value(text, "a.b", "k", Some("3"));
    check_value(text, "c.d", "k", None);
    check_value(text, "DEFAULT", "g", Some("1"));
    check_value(
        "[DEFAULT]\nx = d\n[r]\nx = own\nk = %(x)s\n",
        "r",
        "k",
        Some("d"),
    );
}

#[test]
fn the_sdk_for_go_takes_quotes_and_comments_away_and_merges() {
    let text = "[a]\nID = \"X\" # note\n[b]\nid = Y ; c\n[a]\nid = 'Z'\nother = p#q\n";
    let document = Document::parse(text, Dialect::GoSdk).unwrap();
    let value = |section, key| document.entry(section, key).unwrap().value;
    assert_eq!(value("a", "id"), "Z");
    assert_eq!(value("b", "id"), "Y");
    assert_eq!(value("a", "other"), "p#q");
    let entry = &document.sections()[0].entries[0];
    assert_eq!(&text[entry.value_span.clone()], "X");
    let refused = Document::parse(text, Dialect::Aws).unwrap_err();
    assert_eq!((refused.line, refused.kind), (5, ParseErrorKind::Duplicate));
}

#[test]
fn spans_point_at_the_value_and_nothing_else() {
    let text = "\u{feff}# c\r\n[ r ]\r\n  access_key_id =  ID  \r\nsecret = `s s`\r\nblank =\r\n";
    let document = rclone_document(text);
    let at = |key| {
        document.sections()[0]
            .entries
            .iter()
            .find(|entry| entry.key == key)
            .unwrap()
    };
    assert_eq!(&text[document.sections()[0].name_span.clone()], "r");
    assert_eq!(&text[at("access_key_id").value_span.clone()], "ID");
    assert_eq!(&text[at("access_key_id").key_span.clone()], "access_key_id");
    assert_eq!(&text[at("secret").value_span.clone()], "s s");
    assert_eq!((at("secret").line, at("blank").value_span.len()), (4, 0));
    let mut changed = text.to_owned();
    changed.replace_range(at("access_key_id").value_span.clone(), "NEW");
    assert_eq!(changed, text.replace("ID  \r", "NEW  \r"));
}

#[test]
fn aws_files_are_read_as_botocore_reads_them() {
    let text = "[default]\nAWS_Access_Key_Id: ID # note\n[profile a b]  \nregion = auto\ns3 =\n  addressing_style = path\n  # c\n\n  x=y\nnext = 1\n two\n";
    let document = Document::parse(text, Dialect::Aws).unwrap();
    assert_eq!(
        document
            .entry("default", "aws_access_key_id")
            .unwrap()
            .value,
        "ID # note"
    );
    let s3 = document.entry("profile a b", "s3").unwrap();
    let nested: Vec<_> = s3
        .nested
        .iter()
        .map(|entry| (entry.key, entry.value, entry.line))
        .collect();
    assert_eq!(nested, [("addressing_style", "path", 6), ("x", "y", 9)]);
    assert_eq!(&text[s3.nested[0].value_span.clone()], "path");
    let inherited = Document::parse("[DEFAULT]\nregion = x\n[p]\na = b\n", Dialect::Aws).unwrap();
    assert_eq!(inherited.entry("p", "region").unwrap().value, "x");
    assert!(inherited.entry("q", "region").is_none());
    let next = document.entry("profile a b", "next").unwrap();
    assert!(next.folded && !s3.folded);
    assert_eq!(next.value, "1");
}

#[test]
fn broken_files_name_the_line_and_show_nothing_of_it() {
    use ParseErrorKind::{BlankSection, Duplicate, Line, NoSection, Quote};
    for (dialect, text, line, kind) in [
        (Dialect::Rclone, "[r]\n\nhunter2\n", 3, Line),
        (Dialect::Rclone, "[r]\n= hunter2\n", 2, Line),
        (Dialect::Rclone, "[]\nk = hunter2\n", 2, BlankSection),
        (Dialect::Rclone, "[r]\nk = `hunter2\n", 2, Quote),
        (Dialect::Rclone, "[r]\n`k = hunter2\n", 2, Quote),
        (Dialect::Aws, "hunter2 = x\n", 1, NoSection),
        (Dialect::Aws, "[r]\nhunter2\n", 2, Line),
        (Dialect::Aws, "[]\nx = hunter2\n", 1, NoSection),
        (Dialect::Aws, "[r]\na = 1\nA = hunter2\n", 3, Duplicate),
        (Dialect::Aws, "[r]\n[r]\n", 2, Duplicate),
        (
            Dialect::Aws,
            "[DEFAULT]\na=1\n[DEFAULT]\na=2\n",
            4,
            Duplicate,
        ),
    ] {
        let error = Document::parse(text, dialect).unwrap_err();
        assert_eq!(error, ParseError { line, kind }, "{text}");
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
    let document = rclone_document("[r]\nsecret = hunter2\n");
    assert!(!format!("{document:?}").contains("hunter2"));
}

#[test]
fn encrypted_files_are_recognised_behind_comments_only() {
    assert!(rclone::is_encrypted(
        "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc\n"
    ));
    assert!(!rclone::is_encrypted("[r]\nk = RCLONE_ENCRYPT_V0:\n"));
    assert!(!rclone::is_encrypted(""));
}

/// Lines that are near to what the parsers look for.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "[", "]", "=", ":", "\n", "\r\n", " ", "\t", "`", "\"", "\"\"\"", "#", ";", "%(", ")s",
            "[a]\n", "[a.b]\n", "k = ", "  ", "\u{feff}", "\u{85}", "\u{2028}", "é", "\0",
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,3}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_text_makes_a_parser_panic_and_every_span_holds_its_value(text in text()) {
        for dialect in [Dialect::Rclone, Dialect::Aws, Dialect::GoSdk] {
            let Ok(document) = Document::parse(&text, dialect) else { continue };
            for section in document.sections() {
                prop_assert!(section.line == 0 || text[section.name_span.clone()] == *section.name);
                for entry in section.entries.iter().flat_map(|entry| std::iter::once(entry).chain(&entry.nested)) {
                    prop_assert_eq!(&text[entry.value_span.clone()], entry.value);
                    prop_assert_eq!(&text[entry.key_span.clone()], entry.key);
                    let _ = rclone::value(&document, section.name, entry.key);
                }
            }
        }
        let _ = rclone::is_encrypted(&text);
    }
}
