use proptest::prelude::*;

use super::{
    UnitFile,
    exec::{commands, substituted, words},
    name::{UnitName, unescape},
    specifier::Specifiers,
};

fn texts(value: &str) -> Vec<String> {
    words(value)
        .unwrap()
        .into_iter()
        .map(|word| word.text)
        .collect()
}

#[test]
fn sections_continuations_and_comments_in_between_are_read_as_systemd_reads_them() {
    let text = "stray=1\n[Service]\n# c\nEnvironment=A=1 \\\n# in between\n  ; too\n  B=2\\\n C=3\nno value\n\
                ExecStart = /bin/a\nExecStart=\n[broken\nx=1\n[Timer]\r\nOnCalendar=daily \r\nA=b\\\\\nC=d";
    let unit = UnitFile::parse(text);
    let found: Vec<_> = unit
        .settings
        .iter()
        .map(|setting| {
            (
                setting.section,
                setting.key,
                &*setting.value,
                setting.line(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("Service", "Environment", "A=1    B=2  C=3", 4),
            ("Service", "ExecStart", "/bin/a", 10),
            ("Service", "ExecStart", "", 11),
            ("Timer", "OnCalendar", "daily", 15),
            ("Timer", "A", "b\\\\", 16),
            ("Timer", "C", "d", 17),
        ]
    );
    let environment = &unit.settings[0];
    let lines: Vec<_> = words(&environment.value)
        .unwrap()
        .iter()
        .map(|word| environment.line_of(word.offset))
        .collect();
    assert_eq!(lines, [4, 7, 8], "each assignment has its own line");
}

#[test]
fn quotes_and_escapes_are_systemds_and_no_shells() {
    assert_eq!(
        texts(r#"a "b c" 'd "e' f"g h"i"#),
        ["a", "b c", "d \"e", "fg hi"]
    );
}

#[test]
fn escapes_stand_for_characters_and_unknown_ones_for_themselves() {
    assert_eq!(
        texts(r"a\x20b \101\t\s# \u00e4 \q"),
        ["a b", "A\t #", "ä", "\\q"]
    );
    assert_eq!(texts(r#""" ''"#), ["", ""]);
    assert!(words("'a").is_err());
    assert!(words("a\\").is_err());
}

#[test]
fn prefixes_and_semicolons_make_commands() {
    let found = commands(r"-@/bin/sh sh -c 'a; b' ; +:/bin/b \; ;x ;").unwrap();
    let shown: Vec<Vec<_>> = found
        .iter()
        .map(|exec| exec.words.iter().map(|word| word.text.as_str()).collect())
        .collect();
    assert_eq!(
        shown,
        [vec!["/bin/sh", "-c", "a; b"], vec!["/bin/b", ";", ";x"]]
    );
    assert_eq!(found[0].argument_zero.as_deref(), Some("sh"));
    assert!(found[0].may_fail && !found[0].privileged);
    assert!(found[1].verbatim && found[1].privileged);
    assert!(commands("").unwrap().is_empty());
    assert!(!commands("!!/bin/x").unwrap()[0].privileged);
}

#[test]
fn variables_are_replaced_in_words_and_whole_words_are_split() {
    let variable = |name: &str| (name == "X").then_some("a 'b c'");
    assert_eq!(substituted("$X", variable), ["a", "b c"]);
    assert_eq!(substituted("${X}", variable), ["a 'b c'"]);
    assert_eq!(substituted("r:$X/$$/${X}", variable), ["r:$X/$/a 'b c'"]);
    assert_eq!(substituted("$NONE", variable), Vec::<String>::new());
    assert_eq!(substituted("-${NONE}-", variable), ["--"]);
}

#[test]
fn specifiers_are_those_of_the_unit_and_what_is_unknown_stays() {
    let of = |unit: &str| Specifiers {
        unit: unit.to_owned(),
        home: Some("/home/ann".to_owned()),
        user: Some("ann".to_owned()),
        uid: Some(7),
        runtime: Some("/run/user/7".to_owned()),
        ..Specifiers::default()
    };
    let instance = of("a-b@srv-in\\x2dx.service");
    assert_eq!(
        instance.expand("%n|%N|%p|%P|%i|%I|%f|%j|%h|%u|%U|%t|%%|%m|%"),
        "a-b@srv-in\\x2dx.service|a-b@srv-in\\x2dx|a-b|a/b|srv-in\\x2dx|srv/in-x|/srv/in-x|b|/home/ann|ann|7|/run/user/7|%|%m|%"
    );
    assert_eq!(of("x@.service").expand("%i %I"), "%i %I", "of a template");
    assert_eq!(of("srv-x.mount").expand("[%i] %f"), "[] /srv/x");
    assert_eq!(unescape("a-b\\x2dc\\q"), "a/b-c\\q");
}

#[test]
fn drop_ins_of_prefixes_templates_and_instances_count_the_least_specific_first() {
    let names = UnitName::parse("a-b@x.service").unwrap().drop_in_names();
    assert_eq!(
        names,
        ["service", "a-.service", "a-b@.service", "a-b@x.service"]
    );
    for no in [
        "service",
        ".service",
        "a b.service",
        "@x.service",
        "a/b.service",
    ] {
        assert_eq!(UnitName::parse(no), None, "{no}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_text_makes_the_reader_of_units_panic(
        text in "(\\[[A-Za-z]{0,3}\\]?|[a-zA-Z]{1,3}=|[\\\\\"'$%{};#a-z0-9 ä=@-]{0,6}|\\\\\n|\n|\\\\x[0-9a-f]{0,3}|\u{feff}|\r){0,30}"
    ) {
        let unit = UnitFile::parse(&text);
        for setting in &unit.settings {
            prop_assert!(text.get(setting.span.clone()).is_some());
            prop_assert!(setting.line() >= 1);
            let specifiers = Specifiers { unit: setting.value.to_string(), ..Specifiers::default() };
            let _ = specifiers.expand(&setting.value);
            for word in words(&setting.value).unwrap_or_default() {
                prop_assert!(setting.line_of(word.offset) >= setting.line());
                let _ = substituted(&word.text, |_| Some("\"a"));
            }
            for exec in commands(&setting.value).unwrap_or_default() {
                prop_assert!(!exec.words.is_empty());
            }
        }
        let _ = UnitName::parse(&text).map(|name| name.drop_in_names());
    }
}
