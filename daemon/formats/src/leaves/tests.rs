use std::fmt::Write;

use proptest::prelude::*;

use super::*;

const GO: IniRules = IniRules {
    no_sections: false,
    colon: true,
    quotes: "\"'",
    comments: "#;",
};

/// Every structure with a valid text of it.
const SAMPLES: &[(Structure, &str)] = &[
    (
        Structure::Json,
        "{\n // c\n \"a\": {\"b\": [\"x\", 1, true, null,],},\n c: 'd\\u0041'\n}",
    ),
    (
        Structure::Yaml,
        "a: &x\n  b: 'it''s'\n  c: [1, \"t\\tw\"]\nd:\n  <<: *x\n  b: ü\n---\n- *x\n- ? [k]\n  : v\n- |\n  long\n",
    ),
    (
        Structure::Toml,
        "a.b = \"x\\ty\"\n[t]\nk = 'lit' # c\nl = [1, {m = \"n\"}]\n[[arr]]\nz = \"\"\"\nlong\"\"\"\n[[arr]]\nz = 2\n",
    ),
    (
        Structure::Braces,
        "terraform {\n  backend \"s3\" {\n    access_key = \"AK\" # c\n    list = [\"a\", 2, {x = \"y\"}]\n  }\n}\nk: v\n",
    ),
    (
        Structure::Xml,
        "<?xml version=\"1.0\"?>\n<F><S p=\"7\"><U>a&amp;b</U></S><S><U><![CDATA[x]]></U></S><E/></F>",
    ),
    (
        Structure::Hadoop,
        "<configuration><property><name>a.b</name><value> v </value></property></configuration>",
    ),
    (
        Structure::Plist,
        "<plist><dict><key>A</key><array><string>x</string><dict><key>B</key><integer>1</integer></dict></array><key>C</key><true/><key>D</key><string>d</string></dict></plist>",
    ),
    (
        Structure::Properties,
        "a=b\nhttps\\://ID@host\\:443=secret\\\n  more\nk v\n",
    ),
    (
        Structure::Assignments,
        "export A=\"b c\" B='d'\nC=e # no\nrun D=f; E=g\nsetenv F h\nset -gx G i\nH = j\n",
    ),
    (
        Structure::Php,
        "<?php\n$CONFIG = array (\n 'o' => array('c' => '\\\\X', 'args' => ['key' => 'K', 'on' => true, 'x', \"y\"]),\n);",
    ),
    (
        Structure::S3fsPasswords,
        "# c\nID:SECRET\nbucket:ID2:SECRET2\n",
    ),
    (
        Structure::Ini(GO),
        "[a]\nk = \"v\" \nn = v # c\n['remote \"x\"']\nk: w\n",
    ),
];

fn shown(leaves: &[Leaf<'_>]) -> String {
    let mut text = String::new();
    for leaf in leaves {
        let steps: Vec<_> = leaf
            .path
            .iter()
            .map(|step| match step {
                Step::Name(name) => name.to_string(),
                Step::Index(index) => index.to_string(),
            })
            .collect();
        let _ = writeln!(text, "{} {}={:?}", leaf.line, steps.join("/"), &*leaf.value);
    }
    text
}

#[test]
fn each_structure_comes_to_leaves_with_paths_values_and_lines() {
    let expected = [
        "3 a/b/0=\"x\"\n3 a/b/1=\"1\"\n3 a/b/2=\"true\"\n4 c=\"dA\"\n",
        "2 d/b=\"it's\"\n3 d/c/0=\"1\"\n3 d/c/1=\"t\\tw\"\n2 a/b=\"it's\"\n3 a/c/0=\"1\"\n3 a/c/1=\"t\\tw\"\n6 d/b=\"ü\"\n2 0/b=\"it's\"\n3 0/c/0=\"1\"\n3 0/c/1=\"t\\tw\"\n10 1/?=\"v\"\n12 2=\"long\\n\"\n",
        "1 a/b=\"x\\ty\"\n3 t/k=\"lit\"\n4 t/l/0=\"1\"\n4 t/l/1/m=\"n\"\n7 arr/0/z=\"long\"\n9 arr/1/z=\"2\"\n",
        "3 terraform/backend/s3/access_key=\"AK\"\n4 terraform/backend/s3/list/0=\"a\"\n4 terraform/backend/s3/list/1=\"2\"\n4 terraform/backend/s3/list/2/x=\"y\"\n7 k=\"v\"\n",
        "2 F/0/S/0/@p=\"7\"\n2 F/0/S/0/U/0=\"a&b\"\n2 F/0/S/1/U/0=\"x\"\n",
        "1 a.b=\"v\"\n",
        "1 A/0=\"x\"\n1 A/1/B=\"1\"\n1 C=\"true\"\n1 D=\"d\"\n",
        "1 a=\"b\"\n2 https://ID@host:443=\"secretmore\"\n4 k=\"v\"\n",
        "1 A=\"b c\"\n1 B=\"d\"\n2 C=\"e\"\n3 E=\"g\"\n4 F=\"h\"\n5 G=\"i\"\n6 H=\"j\"\n",
        "3 o/c=\"\\\\X\"\n3 o/args/key=\"K\"\n3 o/args/on=\"true\"\n3 o/args/0=\"x\"\n3 o/args/1=\"y\"\n",
        "2 1/id=\"ID\"\n2 1/secret=\"SECRET\"\n3 2/bucket=\"bucket\"\n3 2/id=\"ID2\"\n3 2/secret=\"SECRET2\"\n",
        "2 a/k=\"v\"\n3 a/n=\"v\"\n5 remote \"x\"/k=\"w\"\n",
    ];
    assert_eq!(SAMPLES.len(), expected.len());
    for ((structure, text), expected) in SAMPLES.iter().zip(expected) {
        let found = leaves(text, *structure).unwrap();
        let found = shown(&found);
        assert_eq!(found, expected, "{structure:?}");
    }
}

#[test]
fn templates_hide_only_themselves() {
    let text = "{{ define \"x\" }}\nprofile:\n  env:\n    AWS_ACCESS_KEY_ID: \"AKTEMPLATE\"\n    OTHER: {{ .Env.X }}\n{{ end }}\n";
    let found = leaves(text, Structure::Yaml).unwrap();
    assert_eq!(
        shown(&found),
        "4 profile/env/AWS_ACCESS_KEY_ID=\"AKTEMPLATE\"\n"
    );
    let broken = "a:\n  b: \"x{{ y }}\n  id: AKIA1\n[s]\nk = v\n";
    let found = leaves(broken, Structure::Yaml).unwrap();
    assert_eq!(shown(&found), "3 a/id=\"AKIA1\"\n5 s/k=\"v\"\n");
}

#[test]
fn what_can_not_be_read_names_a_line_and_nothing_else() {
    for (structure, text) in [
        (Structure::Json, "{\n\"secret\": \"hunter2\n}"),
        (Structure::Yaml, "a: b\n  hunter2: [\n"),
        (Structure::Toml, "a = 1\nhunter2\n"),
        (Structure::Xml, "<a>\n<hunter2"),
        (Structure::Plist, "<plist>\n<hunter2"),
    ] {
        let error = leaves(text, structure).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(error.line >= 1 && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn depth_and_number_are_bounded() {
    let kinds = |text: &str, structure| leaves(text, structure).map(|found| found.len());
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    for (structure, text) in [
        (Structure::Json, deep("[", "]")),
        (Structure::Json, deep("{\"a\":", "}")),
        (Structure::Yaml, deep("[", "]")),
        (Structure::Yaml, deep("- ", "")),
        (Structure::Toml, format!("a = {}", deep("[", "]"))),
        (Structure::Toml, format!("a = {}", deep("{b=", "}"))),
        (Structure::Toml, format!("{}a = 1", "a.".repeat(100_000))),
        (Structure::Braces, deep("a {", "}")),
        (Structure::Braces, format!("a = {}", deep("[", "]"))),
        (Structure::Xml, deep("<a>", "</a>")),
        (Structure::Hadoop, deep("<a>", "</a>")),
        (Structure::Plist, deep("<array>", "</array>")),
        (Structure::Php, deep("array(", ")")),
        (Structure::Json, format!("[{}]", "1,".repeat(100_000))),
        (Structure::Properties, "a=b\n".repeat(100_000)),
    ] {
        let error = kinds(&text, structure).expect_err(&text[..20]);
        assert!(
            matches!(
                error.kind,
                ParseErrorKind::TooDeep | ParseErrorKind::TooMany | ParseErrorKind::Syntax
            ),
            "{structure:?} {error}"
        );
    }
    // Names of names are passed over, however many they are.
    assert_eq!(kinds(&deep("? ", ""), Structure::Yaml).unwrap(), 1);
    // Each anchor stands for nine of the one before.
    let mut laughs = "a0: &a0 [x]\n".to_owned();
    for level in 1..30 {
        let before = format!("*a{},", level - 1).repeat(9);
        let _ = writeln!(laughs, "a{level}: &a{level} [{before}]");
    }
    assert_eq!(
        kinds(&laughs, Structure::Yaml).unwrap_err().kind,
        ParseErrorKind::TooMany
    );
}

/// A binary property list of objects that are already written, the first one outermost.
fn binary(objects: &[&[u8]]) -> Vec<u8> {
    let mut bytes = plist::MAGIC.to_vec();
    let mut offsets = Vec::new();
    for object in objects {
        offsets.push(u8::try_from(bytes.len()).unwrap());
        bytes.extend(*object);
    }
    let table = bytes.len() as u64;
    bytes.extend(&offsets);
    bytes.extend([0, 0, 0, 0, 0, 0, 1, 1]);
    for number in [objects.len() as u64, 0, table] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

fn binary_sample() -> Vec<u8> {
    binary(&[
        b"\xd2\x01\x02\x03\x04",
        b"\x58Username",
        b"\x54List",
        b"\x56AKIA12",
        b"\xa2\x05\x06",
        b"\x62\x00a\x00b",
        b"\x10\x07",
    ])
}

#[test]
fn binary_property_lists_keep_their_places_and_are_bounded() {
    let bytes = binary_sample();
    assert!(is_binary_plist(&bytes));
    let found = binary_plist(&bytes).unwrap();
    assert_eq!(
        shown(&found),
        "1 Username=\"AKIA12\"\n1 List/0=\"ab\"\n1 List/1=\"7\"\n"
    );
    assert_eq!(&bytes[found[0].span.clone()], b"AKIA12");
    let circle = binary(&[b"\xa1\x00"]);
    assert_eq!(
        binary_plist(&circle).unwrap_err().kind,
        ParseErrorKind::TooDeep
    );
    let mut laughs: Vec<Vec<u8>> = (1..20_u8)
        .map(|next| [&[0xa9][..], &[next; 9]].concat())
        .collect();
    laughs.push(b"\x51x".to_vec());
    let laughs: Vec<_> = laughs.iter().map(Vec::as_slice).collect();
    assert!(binary_plist(&binary(&laughs)).is_err());
}

/// As DuckDB 1.5.5 writes it, shortened.
const DUCKDB: &[u8] = b"d\0\x02s3e\0\x06configf\0\x04mineg\0\x03\x05s3://\xc9\0e\0\0f\0\x06key_id\xff\xffd\0d\0\x19\xff\xffe\0\0f\0\x08DUCKKEY1\xff\xffd\0e\0\0f\0\x06region\xff\xffe\0\0f\0\x09us-east-1\xffe\0\0f\0\x06secret\xffe\0\0f\0\x07hunter2\xff\xffe\0\0f\0\x07use_ssl\xffe\0\0f\0\0\xffe\0\0f\0\x0dsession_token\xffe\0\0f\0\x06secret\xff";

#[test]
fn secrets_of_duckdb_keep_their_places() {
    let found = duckdb_secret(DUCKDB).unwrap();
    assert_eq!(
        shown(&found),
        "1 name=\"mine\"\n1 key_id=\"DUCKKEY1\"\n1 region=\"us-east-1\"\n1 secret=\"hunter2\"\n"
    );
    assert_eq!(&DUCKDB[found[1].span.clone()], b"DUCKKEY1");
}

#[test]
fn a_leaf_never_shows_its_value() {
    let found = leaves("key = hunter2", Structure::Ini(GO)).unwrap();
    assert!(!format!("{found:?}").contains("hunter2"));
}

fn check(text: &str, structure: Structure) -> Result<(), TestCaseError> {
    let Ok(found) = leaves(text, structure) else {
        return Ok(());
    };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    for leaf in &found {
        prop_assert!(leaf.span.start <= leaf.span.end && leaf.span.end <= text.len());
        prop_assert!((1..=lines).contains(&(leaf.line as usize)));
        prop_assert!(leaf.path.len() <= DEEPEST);
        if let Cow::Borrowed(value) = leaf.value
            && !value.is_empty()
            && !matches!(value, "true" | "false")
        {
            prop_assert_eq!(text.get(leaf.span.clone()), Some(value));
        }
    }
    Ok(())
}

fn structure() -> impl Strategy<Value = Structure> {
    (0..SAMPLES.len()).prop_map(|at| SAMPLES[at].0)
}

#[test]
fn a_brace_that_closes_an_expansion_belongs_to_the_value() {
    let text = "A=${B:-c} D=${E:-${F:-g}}; { H=i; }\n";
    let found = leaves(text, Structure::Assignments).unwrap();
    let values: Vec<_> = found.iter().map(|leaf| &*leaf.value).collect();
    assert_eq!(values, ["${B:-c}", "${E:-${F:-g}}", "i"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30000))]

    #[test]
    fn no_text_makes_a_reader_fall(structure in structure(), text in "\\PC{0,80}|[\\[\\]{}()<>=:,.;'\"\\\\/#&*!|>%?\\- \n\t\u{feff}a-c0-9ü]{0,80}") {
        check(&text, structure)?;
    }

    #[test]
    fn no_change_of_a_valid_text_makes_a_reader_fall(
        sample in 0..SAMPLES.len(),
        changes in prop::collection::vec((0_usize..300, 0_usize..6, "[\\[\\]{}()<>=:,.;'\"\\\\/#&*!|>%?\\- \n\tüa0]{0,4}"), 1..5),
    ) {
        let (structure, sample) = SAMPLES[sample];
        let mut text: Vec<char> = sample.chars().collect();
        for (at, length, new) in changes {
            let at = at % (text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, new.chars());
        }
        check(&text.into_iter().collect::<String>(), structure)?;
    }

    #[test]
    fn no_bytes_make_the_binary_reader_fall(
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        changes in prop::collection::vec((0_usize..100, any::<u8>()), 0..6),
    ) {
        let _ = binary_plist(&[plist::MAGIC, &bytes].concat());
        let _ = duckdb_secret(&bytes);
        let mut sample = binary_sample();
        for (at, byte) in changes {
            let at = at % sample.len();
            sample[at] = byte;
        }
        let _ = binary_plist(&sample);
    }
}

#[test]
fn a_quoted_value_of_yaml_ends_with_its_quote_whatever_follows() {
    let text = "a: 'x''y' # c'\nb: \"z\\\"é\"  \nc: ['', \"w\"]\n";
    let found = leaves(text, Structure::Yaml).unwrap();
    let places: Vec<_> = found.iter().map(|leaf| &text[leaf.span.clone()]).collect();
    assert_eq!(places, ["x''y", "z\\\"é", "", "w"]);
}
