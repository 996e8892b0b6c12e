use proptest::prelude::*;

use super::*;

fn known(name: &str) -> Option<Zeroizing<String>> {
    let value = match name {
        "SET" => "value",
        "EMPTY" => "",
        _ => return None,
    };
    Some(Zeroizing::new(value.to_owned()))
}

fn read(text: &str) -> File {
    parse(text, &known).unwrap()
}

fn shown(text: &str) -> Result<String, NotUsable> {
    let file = parse(&format!("services: {{a: {{image: '{text}'}}}}"), &known)?;
    Ok(file.services["a"].image.clone().unwrap())
}

/// The table of <https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md>.
#[test]
fn variables_are_replaced_as_the_specification_says() {
    for (text, value) in [
        ("$SET-${SET}", "value-value"),
        ("$$SET $${SET}", "$SET ${SET}"),
        ("<$NONE$EMPTY>", "<>"),
        ("${NONE:-d} ${EMPTY:-d} ${SET:-d}", "d d value"),
        ("${NONE-d} ${EMPTY-d} ${SET-d}", "d  value"),
        ("${NONE:+o} ${EMPTY:+o} ${SET:+o}", "  o"),
        ("${NONE+o} ${EMPTY+o} ${SET+o}", " o o"),
        ("${NONE:-${EMPTY:-$SET}}", "value"),
        ("${NONE-{x}}", "{x}"),
        ("${SET:?needed}", "value"),
    ] {
        let expected = if text == "${NONE-{x}}" { "{x}" } else { value };
        assert_eq!(shown(text).as_deref(), Ok(expected), "{text}");
    }
    let needs = |name: &str| {
        Err(NotUsable::Needs {
            name: name.into(),
            line: 1,
        })
    };
    assert_eq!(shown("${NONE:?x}"), needs("NONE"));
    assert_eq!(shown("${NONE:-${EMPTY:?hunter2}}"), needs("EMPTY"));
    for text in ["${", "$", "${}", "a $ b", "${SET!x}", "${SET:}"] {
        assert_eq!(shown(text), Err(NotUsable::Template { line: 1 }), "{text}");
    }
}

#[test]
fn a_service_is_read_in_every_way_that_it_may_be_written() {
    let file = read(
        "x-common: &common\n  AWS_REGION: auto\nservices:\n  a:\n    image: rclone/rclone:1.70\n    command: sync /data \"r:a b\"\n\
         \x20   environment:\n      <<: *common\n      AWS_ACCESS_KEY_ID: ${SET}\n      FROM_SHELL:\n      EMPTY: \"\"\n\
         \x20   env_file: one.env\n    volumes: [./conf:/config:ro, named:/data, {type: bind, source: /srv, target: /srv}]\n\
         \x20   secrets: [key, {source: other, target: /run/o}]\n  b:\n    entrypoint: []\n    command: [sh, -c, \"x y\"]\n\
         \x20   environment: [A=1, B, C=]\n    env_file:\n      - two.env\n      - {path: three.env, required: false, format: raw}\n\
         \x20   extends: {file: base.yaml, service: base}\n    profiles: [manual]\nsecrets:\n  key: {file: ./key.txt}\n\
         include:\n  - more.yaml\n  - {path: [m1.yaml, m2.yaml], project_directory: sub, env_file: m.env}\n",
    );
    let a = &file.services["a"];
    assert_eq!(a.command.as_ref().unwrap(), &["sync", "/data", "r:a b"]);
    let variables: Vec<_> = a
        .variables
        .iter()
        .map(|one| (&*one.name, one.value.as_ref().map(|value| value.as_str())))
        .collect();
    assert_eq!(
        variables,
        [
            ("AWS_REGION", Some("auto")),
            ("AWS_ACCESS_KEY_ID", Some("value")),
            ("FROM_SHELL", None),
            ("EMPTY", Some("")),
        ]
    );
    assert_eq!(a.variables[1].line, 9);
    let bind = |source: &str, target: &str| Bind {
        source: source.into(),
        target: target.into(),
    };
    assert_eq!(a.binds, [bind("./conf", "/config"), bind("/srv", "/srv")]);
    assert_eq!(a.shared[1].target.as_deref(), Some("/run/o"));
    let b = &file.services["b"];
    assert_eq!(b.command.as_ref().unwrap(), &["sh", "-c", "x y"]);
    assert_eq!(b.variables.len(), 3);
    assert_eq!(b.variables[1].value, None);
    assert!(b.files[0].required && !b.files[1].required && b.files[1].raw);
    assert_eq!(
        b.extends.as_ref().unwrap().file.as_deref(),
        Some("base.yaml")
    );
    assert_eq!(b.profiles, ["manual"]);
    assert_eq!(file.shared[&(Kind::Secret, "key".into())], "./key.txt");
    assert_eq!(file.includes[1].files, ["m1.yaml", "m2.yaml"]);
    assert_eq!(file.includes[1].folder.as_deref(), Some("sub"));
}

#[test]
fn a_later_file_adds_variables_and_replaces_commands() {
    let base = read(
        "services: {a: {image: i, command: one, environment: {A: 1, B: 1}, env_file: a, volumes: ['/x:/c']}}",
    );
    let over =
        read("services: {a: {command: two, environment: [B=2], env_file: b, volumes: ['/y:/c']}}");
    let merged = base.services["a"].clone().changed_by(&over.services["a"]);
    let variables: Vec<_> = merged
        .variables
        .iter()
        .map(|one| format!("{}={}", one.name, one.value.as_ref().unwrap().as_str()))
        .collect();
    assert_eq!(variables, ["A=1", "B=2"]);
    assert_eq!(merged.command.unwrap(), ["two"]);
    assert_eq!((merged.files.len(), merged.binds.len()), (2, 1));
    assert_eq!(merged.binds[0].source, "/y");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic_or_shows_a_value(text in "[ -~\\n]{0,200}", from in 0..200_usize, to in 0..200_usize) {
        let _ = parse(&text, &known);
        let mut valid = "services:\n  a:\n    environment: {A: \"${SET:-x}\"}\n    env_file: [a, {path: b}]\n    volumes: [a:b]\n".to_owned();
        let (from, to) = (from.min(valid.len()), to.min(valid.len()));
        valid.replace_range(from.min(to)..from.max(to), &text);
        let _ = parse(&valid, &known);
    }
}
