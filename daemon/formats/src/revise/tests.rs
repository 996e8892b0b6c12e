mod generated;

use super::*;
use crate::leaves::IniRules;

fn revised(
    text: &str,
    syntax: Syntax,
    scope: &Scope<'_>,
    wanted: &[(&str, Option<&str>)],
) -> Result<String, CannotRevise> {
    let wanted: Vec<_> = wanted
        .iter()
        .map(|&(name, value)| Wanted { name, value })
        .collect();
    let edits = revise(text, syntax, scope, &wanted)?;
    Ok(edit::apply(text, &edits).unwrap().to_string())
}

#[track_caller]
fn check(
    (text, syntax, scope): (&str, Syntax, Scope<'_>),
    wanted: &[(&str, Option<&str>)],
    expected: &str,
) {
    let revised = revised(text, syntax, &scope, wanted);
    assert_eq!(revised.as_deref(), Ok(expected));
}

#[track_caller]
fn refused(
    (text, syntax, scope): (&str, Syntax, Scope<'_>),
    wanted: &[(&str, Option<&str>)],
    expected: &str,
) {
    let error = revised(text, syntax, &scope, wanted).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

fn set(name: &'static str, value: &'static str) -> (&'static str, Option<&'static str>) {
    (name, Some(value))
}

const ENV: Syntax = Syntax::EnvironmentFile(Dialect::Compose);
const SYSTEMD: Syntax = Syntax::EnvironmentFile(Dialect::Systemd);
const DOCKER: Syntax = Syntax::EnvironmentFile(Dialect::Docker);

#[test]
fn of_rclones_file_only_the_values_change_and_new_lines_look_like_the_others() {
    let text = "\u{feff}# mine\r\n[r2]\r\n  access_key_id = OLD\r\nsecret:`s` \r\nx\t=\"q\"\r\n[x]\r\naccess_key_id = OLD";
    check(
        (text, Syntax::Rclone, Scope::Section("r2")),
        &[
            set("endpoint", "http://e"),
            set("access_key_id", "NEW"),
            set("secret", "t`"),
        ],
        "\u{feff}# mine\r\n[r2]\r\n  endpoint = http://e\r\n  access_key_id = NEW\r\nsecret:t` \r\nx\t=\"q\"\r\n[x]\r\naccess_key_id = OLD",
    );
    check(
        (
            "[r]\na = 1\n[r]\na = 2\nb =",
            Syntax::Rclone,
            Scope::Section("r"),
        ),
        &[set("a", "3"), set("b", "4")],
        "[r]\na = 1\n[r]\na = 3\nb =4",
    );
}

#[test]
fn what_rclone_would_read_otherwise_is_refused() {
    let scope = || Scope::Section("r");
    for (text, wanted, expected) in [
        ("RCLONE_ENCRYPT_V0:\nAAAA", set("a", "1"), "it is encrypted"),
        (
            "[r]\nnothing",
            set("a", "1"),
            "it can't be read as what it should be",
        ),
        (
            "[r]\n[x]\na = 1\n",
            set("a", "1"),
            "there is no place to add a",
        ),
        (
            "[r]\na = %(b)s\n",
            set("a", "1"),
            "line 2: a takes its value from elsewhere",
        ),
        (
            "[r]\na = 1\n",
            set("a", "%(b)s"),
            "there is no way to write the value of a here",
        ),
        (
            "[r]\na = 1\n",
            set("a", "1\n[x]"),
            "there is no way to write the value of a here",
        ),
        (
            "[r]\na = 1\n[r]\na = 2\n",
            ("a", None),
            "line 4: a stands here once more",
        ),
        (
            "[r]\na = 1\n[r.b]\nc = 1\n",
            set("a", "2"),
            "line 2: a counts in other places of the file too",
        ),
        (
            "[r]\na = 1\n[r.b]\nc = 1\n",
            set("d", "2"),
            "line 2: d counts in other places of the file too",
        ),
    ] {
        refused((text, Syntax::Rclone, scope()), &[wanted], expected);
    }
    // The heir first, then the other.
    let text = "[r]\na = 1\n[r.b]\nc = 1\n";
    let heir = revised(
        text,
        Syntax::Rclone,
        &Scope::Section("r.b"),
        &[set("a", "2"), set("c", "1")],
    );
    let heir = heir.unwrap();
    assert_eq!(heir, "[r]\na = 1\n[r.b]\na = 2\nc = 1\n");
    check(
        (&heir, Syntax::Rclone, scope()),
        &[set("a", "3")],
        "[r]\na = 3\n[r.b]\na = 2\nc = 1\n",
    );
    let read = |section, name| read(text, Syntax::Rclone, &Scope::Section(section), name);
    assert_eq!(read("r.b", "a").unwrap().unwrap().as_str(), "1");
    assert_eq!(read("r.b", "z"), Ok(None));
}

#[test]
fn the_aws_files_have_blocks_and_names_without_case() {
    let scope = || Scope::Section("a");
    let text = "[profile a]\naws_access_key_id=OLD\n[profile b]\ns3 =\n  max = 1\n";
    let made = "[profile a]\ns3=\n  max=1\n  addressing_style=path\naws_access_key_id=NEW\n[profile b]\ns3 =\n  max = 1\n";
    check(
        (text, Syntax::AwsConfig, scope()),
        &[
            set("s3.addressing_style", "path"),
            set("s3.max", "1"),
            set("AWS_ACCESS_KEY_ID", "NEW"),
        ],
        made,
    );
    check(
        (made, Syntax::AwsConfig, scope()),
        &[
            ("s3.addressing_style", None),
            ("s3.max", None),
            set("aws_access_key_id", "OLD"),
        ],
        text,
    );
    check(
        (text, Syntax::AwsConfig, Scope::Section("b")),
        &[
            set("s3.addressing_style", "path"),
            set("endpoint_url", "http://e"),
            set("s3.max", "1"),
        ],
        "[profile a]\naws_access_key_id=OLD\n[profile b]\nendpoint_url = http://e\ns3 =\n  addressing_style = path\n  max = 1\n",
    );
    for (text, wanted, expected) in [
        (
            "[a]\nk = 1\nK = 2\n",
            set("k", "1"),
            "it can't be read as what it should be",
        ),
        (
            "[a]\nk = 1\n  2\n",
            set("k", "1"),
            "line 2: k goes on over several lines",
        ),
        (
            "[a]\nk = 1\n",
            set("k", "1 # 2"),
            "there is no way to write the value of k here",
        ),
        (
            "[a]\nk = 1\n",
            set("k", "\"1\""),
            "there is no way to write the value of k here",
        ),
        (
            "[a]\nk = 1\ns3 =\n",
            set("s3.x", "1"),
            "there is no place to add s3.x",
        ),
    ] {
        refused((text, Syntax::AwsCredentials, scope()), &[wanted], expected);
    }
    let text = "[DEFAULT]\nregion = x\n[a]\nk = 1\n";
    let read = read(text, Syntax::AwsCredentials, &scope(), "region");
    assert_eq!(read.unwrap().unwrap().as_str(), "x");
}

#[test]
fn the_last_setting_of_s3cmd_counts_whatever_its_section() {
    check(
        (
            "[default]\naccess_key = 1\n[x]\naccess_key = \"2\"\n",
            Syntax::S3cfg,
            Scope::Whole,
        ),
        &[set("host_base", "h:1"), set("access_key", "N")],
        "[default]\naccess_key = 1\n[x]\nhost_base = \"h:1\"\naccess_key = \"N\"\n",
    );
}

#[test]
fn environment_files_keep_their_quotes_as_long_as_the_value_fits() {
    check(
        ("export A=\"old\" # c\nexport B = x\n", ENV, Scope::Whole),
        &[set("C", "n"), set("A", "n\"$e"), set("B", "a #b")],
        "export C=\"n\"\nexport A=\"n\\\"\\$e\" # c\nexport B = \"a #b\"\n",
    );
    check(
        ("\u{feff}A='x'\r\n#A=z\r\nB=y", SYSTEMD, Scope::Whole),
        &[set("A", "i'm"), set("B", "a\\b"), set("C", "c")],
        "\u{feff}C='c'\r\nA=i'm\r\n#A=z\r\nB=a\\\\b",
    );
    check(
        ("A=\"x\"\nA=2\n", DOCKER, Scope::Whole),
        &[set("A", "\"y\" # z")],
        "A=\"x\"\nA=\"y\" # z\n",
    );
    refused(
        ("A=${B}\n", ENV, Scope::Whole),
        &[set("A", "1")],
        "line 1: A takes its value from elsewhere",
    );
    // What refers to a setting follows it.
    check(
        ("B=1\nA=x${B}\n", ENV, Scope::Whole),
        &[set("B", "2")],
        "B=2\nA=x${B}\n",
    );
    refused(
        ("A=x\n", DOCKER, Scope::Whole),
        &[set("A", "a\rb")],
        "there is no way to write the value of A here",
    );
}

#[test]
fn scripts_are_changed_where_they_set_plain_words() {
    let text = "#!/bin/sh\nexport A='old' # A=x\nB=\"$A\"\ncat <<E\nA=1\nE\nC=1 rclone sync a b\n";
    check(
        (text, Syntax::Shell, Scope::Whole),
        &[set("N", "a b"), set("A", "it's"), set("C", "x y")],
        "#!/bin/sh\nexport N='a b'\nexport A=\"it's\" # A=x\nB=\"$A\"\ncat <<E\nA=1\nE\nC='x y' rclone sync a b\n",
    );
    for (text, wanted, expected) in [
        (
            text,
            set("B", "1"),
            "line 3: B takes its value from elsewhere",
        ),
        (
            "A=1\nif x; then A=2; fi\n",
            set("A", "3"),
            "line 2: A stands here once more",
        ),
        (
            "A=1\nf() { A=2; }\n",
            set("A", "3"),
            "line 2: A stands here once more",
        ),
        (
            "A=1\nexport A\n",
            set("B", "3"),
            "there is no place to add B",
        ),
        ("A=1 rclone\n", set("B", "3"), "there is no place to add B"),
        (
            "A=1; export A\n",
            ("A", None),
            "line 1: A can't be taken away alone",
        ),
        (
            "A=$(cat x)\n",
            set("A", "3"),
            "line 1: A takes its value from elsewhere",
        ),
        (
            "A='1\n2'\n",
            set("A", "3"),
            "line 1: A goes on over several lines",
        ),
        ("set -x A 1\n", set("A", "3"), "there is no place to add A"),
    ] {
        refused((text, Syntax::Shell, Scope::Whole), &[wanted], expected);
    }
}

#[test]
fn units_set_several_variables_on_a_line() {
    let text = "[Unit]\nEnvironment=A=0\n[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=X=1 \"A=2%%\" \\\n# c\n  'B=b c' C=\"d\"\nExecStart=/bin/x\n";
    check(
        (text, Syntax::Unit, Scope::Whole),
        &[
            set("N", "n"),
            set("A", "3%"),
            set("B", "q\"'"),
            set("C", "e f"),
        ],
        "[Unit]\nEnvironment=A=0\n[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=\"N=n\"\nEnvironment=X=1 \"A=3%%\" \\\n# c\n  'B=q\\\"\\'' C=\"e f\"\nExecStart=/bin/x\n",
    );
    check(
        (text, Syntax::Unit, Scope::Whole),
        &[("A", None), ("C", None)],
        "[Unit]\nEnvironment=A=0\n[Service]\nEnvironment=A=1\nEnvironment=\nEnvironment=X=1 \\\n# c\n  'B=b c'\nExecStart=/bin/x\n",
    );
    refused(
        (
            "[Service]\nEnvironment=A=%h/x\n",
            Syntax::Unit,
            Scope::Whole,
        ),
        &[set("A", "1")],
        "line 2: A takes its value from elsewhere",
    );
}

#[test]
fn crontabs_set_variables_for_the_jobs_that_follow() {
    check(
        (
            "A = \"x\"\nB=y\n0 3 * * * job A=1\n",
            Syntax::Crontab,
            Scope::Whole,
        ),
        &[set("N", "a b"), set("A", "z"), set("B", " w")],
        "N = \"a b\"\nA = \"z\"\nB=\" w\"\n0 3 * * * job A=1\n",
    );
    refused(
        ("A=1\n0 3 * * * job\nA=2\n", Syntax::Crontab, Scope::Whole),
        &[set("A", "3")],
        "line 3: A stands here once more",
    );
}

#[test]
fn services_of_compose_have_mappings_and_lists() {
    let scope = || Scope::Section("web");
    let mapping = "services:\n  web:\n    environment:\n      A: old # c\n      \"B\": 'x'\n      C: yes\n  db:\n    environment: {A: old}\n";
    check(
        (mapping, Syntax::Compose, scope()),
        &[set("N", "true"), set("A", "1e5"), set("B", "it's $5")],
        "services:\n  web:\n    environment:\n      N: \"true\"\n      A: \"1e5\" # c\n      \"B\": 'it''s $$5'\n      C: yes\n  db:\n    environment: {A: old}\n",
    );
    check(
        (mapping, Syntax::Compose, Scope::Section("db")),
        &[set("A", "new")],
        &mapping.replace("{A: old}", "{A: new}"),
    );
    let list = "services:\r\n  web:\r\n    environment:\r\n    - A=old\r\n    - \"B=x\"\r\n";
    check(
        (list, Syntax::Compose, scope()),
        &[set("N", "n"), set("A", "a # b"), set("B", "\"")],
        "services:\r\n  web:\r\n    environment:\r\n    - N=n\r\n    - \"A=a # b\"\r\n    - \"B=\\\"\"\r\n",
    );
    let shared = "x: &env\n  A: old\nservices:\n  web:\n    environment: *env\n";
    for (text, wanted, expected) in [
        (
            shared,
            set("A", "1"),
            "line 2: A counts in other places of the file too",
        ),
        (
            "services:\n  web:\n    environment:\n      A: ${X}\n",
            set("A", "1"),
            "line 4: A takes its value from elsewhere",
        ),
        (
            "services:\n  web:\n    environment:\n      A:\n",
            set("A", "1"),
            "line 4: A takes its value from elsewhere",
        ),
        (
            "services:\n  web:\n    environment:\n    - A\n",
            set("A", "1"),
            "line 4: A takes its value from elsewhere",
        ),
        (
            "services:\n  web:\n    environment:\n      A: |\n        x\n",
            set("A", "1"),
            "line 5: A goes on over several lines",
        ),
        (
            "services:\n  web:\n    environment: [\"A=1\"]\n",
            set("B", "1"),
            "there is no place to add B",
        ),
    ] {
        refused((text, Syntax::Compose, scope()), &[wanted], expected);
    }
}

#[test]
fn an_alias_of_mc_gets_members() {
    let text = "{\n\t\"version\": \"10\",\n\t\"aliases\": {\n\t\t\"r\": {\n\t\t\t\"url\": \"http://a\",\n\t\t\t\"api\": \"S3v4\"\n\t\t}\n\t}\n}\n";
    let scope = || Scope::Section("r");
    let made = text.replace(
        "\t\t\t\"url\": \"http://a\"",
        "\t\t\t\"path\": \"on\",\n\t\t\t\"url\": \"http://\\\"\"",
    );
    let wanted = [set("path", "on"), set("url", "http://\"")];
    check((text, Syntax::Mc, scope()), &wanted, &made);
    check(
        (&made, Syntax::Mc, scope()),
        &[("path", None), ("api", None), set("url", "http://a")],
        &text.replace(",\n\t\t\t\"api\": \"S3v4\"", ""),
    );
    check(
        ("{\"aliases\":{\"r\":{\"url\":\"a\"}}}", Syntax::Mc, scope()),
        &[set("path", "on"), set("url", "b")],
        "{\"aliases\":{\"r\":{\"path\":\"on\", \"url\":\"b\"}}}",
    );
}

#[test]
fn values_of_structured_files_are_replaced_and_nothing_is_added() {
    let below = |steps: &[&'static str]| {
        Scope::Path(
            steps
                .iter()
                .map(|step| Step::Name((*step).into()))
                .collect(),
        )
    };
    let ini = Structure::Ini(IniRules::default());
    for (text, structure, scope, value, expected) in [
        (
            "{\"s\": {\"k\": \"a\"}}",
            Structure::Json,
            below(&["s"]),
            "b\"",
            "{\"s\": {\"k\": \"b\\\"\"}}",
        ),
        (
            "{\"s\": {\"k\": true}}",
            Structure::Json,
            below(&["s"]),
            "false",
            "{\"s\": {\"k\": false}}",
        ),
        (
            "s:\n  k: a\n",
            Structure::Yaml,
            below(&["s"]),
            "b: c",
            "s:\n  k: \"b: c\"\n",
        ),
        (
            "[s]\nk = 'a'\n",
            Structure::Toml,
            below(&["s"]),
            "b'",
            "[s]\nk = \"b'\"\n",
        ),
        ("[s]\nk = a\n", ini, below(&["s"]), "b", "[s]\nk = b\n"),
        ("k=a", Structure::Properties, Scope::Whole, "b\\", "k=b\\\\"),
        (
            "s {\n k = \"a\"\n}",
            Structure::Braces,
            below(&["s"]),
            "b",
            "s {\n k = \"b\"\n}",
        ),
    ] {
        check(
            (text, Syntax::Structured(structure), scope.clone()),
            &[set("k", value)],
            expected,
        );
        refused(
            (text, Syntax::Structured(structure), scope),
            &[set("k", value), set("n", "1")],
            "there is no place to add n",
        );
    }
    check(
        (
            "# c\nb:ID:SECRET\nID2:S2\n",
            Syntax::S3fsPasswords,
            Scope::Section("b"),
        ),
        &[set("id", "N"), set("secret", "T+/=")],
        "# c\nb:N:T+/=\nID2:S2\n",
    );
    refused(
        ("ID:S\n", Syntax::S3fsPasswords, Scope::Whole),
        &[set("secret", "a:b")],
        "there is no way to write the value of secret here",
    );
}

#[test]
fn a_text_is_replaced_once_and_as_a_word_of_its_own() {
    let text =
        "ExecStart=restic -r s3:http://a/b \\\n  backup\r\nother s3:http://a/b s3:http://a/b\n";
    let replaced = |line, old| {
        let edits = verbatim(text, line, old, "NEW")?;
        Ok(edit::apply(text, &edits).unwrap().to_string())
    };
    let expected = text.replacen("s3:http://a/b", "NEW", 1);
    for line in [1, 2] {
        assert_eq!(replaced(line, "s3:http://a/b"), Ok(expected.clone()));
    }
    // Behind a server a path may begin.
    let server = text.replacen("http://a", "NEW", 1);
    assert_eq!(replaced(1, "http://a"), Ok(server));
    for (line, old) in [(3, "s3:http://a/b"), (1, "ttp://a"), (1, "3:http://a/b")] {
        assert_eq!(replaced(line, old), Err(CannotRevise::Ambiguous { line }));
    }
    for (line, old) in [(3, "backup"), (1, ""), (9, "x"), (0, "x")] {
        assert_eq!(replaced(line, old), Err(CannotRevise::Absent { line }));
    }
}

#[test]
fn headers_of_generated_files_are_seen_and_those_of_tools_are_not() {
    for header in [
        "# Ansible managed",
        "#\n# {{ ansible_managed }}",
        "; This file is managed by Puppet. DO NOT EDIT",
        "# Automatically generated by systemd-fstab-generator",
        "<!-- Generated by home-manager -->",
        "// Code generated by x. DO NOT EDIT.",
        "# managed by chezmoi",
    ] {
        assert!(
            managed(&format!("\u{feff}{header}\n[a]\nb = c\n")).is_some(),
            "{header}"
        );
    }
    for text in [
        "# Encrypted rclone configuration File\n",
        "[default]\naccess_key = do not edit this file\n",
        "# keys managed by Anna\n# generated by aws configure\n",
        "# DO NOT EDIT THIS FILE - edit the master and reinstall.\n",
        &format!("{}# DO NOT EDIT\n", "a = 1\n".repeat(30)),
    ] {
        assert_eq!(managed(text), None, "{text}");
    }
}

#[test]
fn nothing_that_is_shown_holds_a_value() {
    let wanted = Wanted {
        name: "a",
        value: Some("hunter2"),
    };
    assert!(!format!("{wanted:?}").contains("hunter2"));
    let edits = revise(
        "[r]\na = 1\n",
        Syntax::Rclone,
        &Scope::Section("r"),
        &[wanted],
    );
    assert!(!format!("{edits:?}").contains("hunter2"));
    let error = revise(
        "[r]\na = `hunter2\n",
        Syntax::Rclone,
        &Scope::Section("r"),
        &[wanted],
    );
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn two_wishes_for_one_setting_that_differ_are_refused() {
    // To the AWS tools both are one; found by the fuzzer.
    let profile = || {
        let text = "[default]\naws_access_key_id = OLD";
        (text, Syntax::AwsCredentials, Scope::Section("default"))
    };
    let gone = ("aws_access_key_id", None);
    let refusal = |name| format!("there is no way to write the value of {name} here");
    for wanted in [
        [gone, set("AWS_ACCESS_KEY_ID", "NEW")],
        [set("AWS_ACCESS_KEY_ID", "NEW"), gone],
    ] {
        refused(profile(), &wanted, &refusal("AWS_ACCESS_KEY_ID"));
    }
    refused(
        profile(),
        &[set("aws_access_key_id", "A"), set("AWS_ACCESS_KEY_ID", "B")],
        &refusal("aws_access_key_id"),
    );
}

#[test]
fn the_only_variable_of_a_compose_service_does_not_go_and_leave_an_empty_place() {
    let text = "services:\n  web:\n    image: x\n    environment:\n      KEY_ID: abc\n";
    let service = (text, Syntax::Compose, Scope::Section("web"));
    refused(
        service,
        &[("KEY_ID", None)],
        "line 5: KEY_ID counts in other places of the file too",
    );
}
