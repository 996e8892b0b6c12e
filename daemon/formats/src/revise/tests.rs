use super::*;

pub(super) fn revised(
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
    text: &str,
    syntax: Syntax,
    scope: Scope<'_>,
    wanted: &[(&str, Option<&str>)],
    expected: &str,
) {
    assert_eq!(
        revised(text, syntax, &scope, wanted).as_deref(),
        Ok(expected)
    );
}

#[test]
fn of_an_ini_file_only_the_values_change_and_new_lines_look_like_the_others() {
    check(
        "\u{feff}# mine\r\n[r2]\r\n  access_key_id = OLD\r\nsecret:`s` \r\n[x]\r\naccess_key_id = OLD",
        Syntax::Rclone,
        Scope::Section("r2"),
        &[
            ("endpoint", Some("http://e")),
            ("access_key_id", Some("NEW")),
            ("secret", Some("t")),
        ],
        "\u{feff}# mine\r\n[r2]\r\n  endpoint = http://e\r\n  access_key_id = NEW\r\nsecret:`t` \r\n[x]\r\naccess_key_id = OLD",
    );
    check(
        "[profile a]\naws_access_key_id=OLD\n",
        Syntax::AwsConfig,
        Scope::Section("a"),
        &[
            ("s3.addressing_style", Some("path")),
            ("s3.max", Some("1")),
            ("AWS_ACCESS_KEY_ID", Some("NEW")),
        ],
        "[profile a]\ns3=\n  max=1\n  addressing_style=path\naws_access_key_id=NEW\n",
    );
}

#[test]
fn of_an_environment_file_only_the_values_change() {
    check(
        "export A=\"old\" # c\nexport B = x\n",
        Syntax::EnvironmentFile(Dialect::Compose),
        Scope::Whole,
        &[("C", Some("n")), ("A", Some("n\"e"))],
        "export C=\"n\"\nexport A=\"n\\\"e\" # c\nexport B = x\n",
    );
}
