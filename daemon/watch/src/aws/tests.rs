use std::fs;

use super::*;

const KEY: &str = "aws_access_key_id = CREDID\naws_secret_access_key = hunter2\n";

fn found(
    credentials: Option<&str>,
    config: Option<&str>,
    name: &str,
) -> Result<FoundKey, NotUsable> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(".aws")).unwrap();
    for (file, text) in [("credentials", credentials), ("config", config)] {
        if let Some(text) = text {
            fs::write(folder.path().join(".aws").join(file), text).unwrap();
        }
    }
    let env = Environment::of(Some(folder.path().to_owned()), "/".into());
    let result = profile(name, &env);
    if let Err(error) = &result {
        let source = std::error::Error::source(error)
            .map(ToString::to_string)
            .unwrap_or_default();
        let text = format!("{error} {error:?} {source}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    result
}

fn id(key: &FoundKey) -> &str {
    key.credentials.access_key_id.as_str()
}

#[test]
fn the_credentials_file_wins_and_the_config_file_adds() {
    let credentials = format!("[work]\n{KEY}");
    let config = "[profile work]\naws_access_key_id = CONFID\naws_secret_access_key = x\nregion = eu-west-1\n\
                  endpoint_url = http://127.0.0.1:9000\n[profile only]\naws_access_key_id=ONLYID\naws_secret_access_key=y\n\
                  [bare]\naws_access_key_id=BAREID\naws_secret_access_key=z\n";
    let key = found(Some(&credentials), Some(config), "work").unwrap();
    assert_eq!(
        (id(&key), key.credentials.secret.expose()),
        ("CREDID", "hunter2")
    );
    assert_eq!(key.region.as_ref().unwrap().as_str(), "eu-west-1");
    assert_eq!(
        key.endpoint.as_ref().unwrap().to_string(),
        "http://127.0.0.1:9000"
    );
    assert!(
        key.place.to_string().ends_with(".aws/credentials:2"),
        "{}",
        key.place
    );
    assert_eq!(
        id(&found(Some(&credentials), Some(config), "only").unwrap()),
        "ONLYID"
    );
    assert!(matches!(
        found(Some(&credentials), Some(config), "bare"),
        Err(NotUsable::NoSuchName { .. })
    ));
    assert!(matches!(
        found(None, None, "work"),
        Err(NotUsable::NoConfiguration { tool: "AWS" })
    ));
}

#[test]
fn profile_headers_are_read_as_the_tools_read_them() {
    for (header, name, visible) in [
        ("[default]", "default", true),
        ("[profile default]", "default", true),
        ("[profile  a]", "a", true),
        ("[profile \"a b\"]", "a b", true),
        ("[profile 'a b']", "a b", true),
        ("[profile a b]", "a b", false),
        ("[profilea]", "a", false),
        ("[a]", "a", false),
    ] {
        let config = format!("{header}\n{KEY}");
        assert_eq!(
            found(None, Some(&config), name).is_ok(),
            visible,
            "{header}"
        );
    }
    assert!(found(Some(&format!("[profile a]\n{KEY}")), None, "a").is_err());
}

#[test]
fn the_files_may_stand_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c"), format!("[p]\n{KEY}")).unwrap();
    fs::write(folder.path().join("f"), "[profile p]\nregion = auto\n").unwrap();
    let mut env = Environment::of(Some(folder.path().to_owned()), folder.path().to_owned());
    env.set("AWS_SHARED_CREDENTIALS_FILE", "~/c");
    env.set("AWS_CONFIG_FILE", "f");
    assert_eq!(profile("p", &env).unwrap().region.unwrap().as_str(), "auto");
}

#[test]
fn the_endpoint_of_a_services_section_comes_first() {
    let config = format!(
        "[profile p]\n{KEY}endpoint_url = https://own.example\nservices = lab\n\
         [services lab]\ns3 =\n  endpoint_url = https://s3.lab.example\n"
    );
    let key = found(None, Some(&config), "p").unwrap();
    assert_eq!(key.endpoint.unwrap().to_string(), "https://s3.lab.example");
}

#[test]
fn profiles_without_a_permanent_key_are_refused_with_the_reason() {
    let refused =
        |credentials: &str, config: &str| found(Some(credentials), Some(config), "p").unwrap_err();
    let with_key = format!("[p]\n{KEY}");
    let config = |line: &str| format!("[profile p]\n{line}\n");
    let both = |line: &str| refused(&with_key, &config(line));
    let alone = |line: &str| refused("", &config(line));
    assert!(matches!(
        both("role_arn = hunter2\nsource_profile = x"),
        NotUsable::Role(_)
    ));
    assert!(matches!(alone("sso_session = hunter2"), NotUsable::Sso(_)));
    assert!(matches!(
        alone("sso_start_url = hunter2"),
        NotUsable::Sso(_)
    ));
    assert!(matches!(
        alone("credential_process = hunter2"),
        NotUsable::Process(_)
    ));
    assert!(
        found(
            Some(&with_key),
            Some(&config("credential_process = x")),
            "p"
        )
        .is_ok()
    );
    let process_first = config(&format!("{KEY}credential_process = x"));
    assert!(matches!(refused("", &process_first), NotUsable::Process(_)));
    assert!(matches!(
        refused(&format!("{with_key}aws_session_token = hunter2\n"), ""),
        NotUsable::SessionToken(_)
    ));
    assert!(matches!(alone("region = auto"), NotUsable::NoKey(_)));
    assert!(matches!(alone("aws_access_key_id ="), NotUsable::NoKey(_)));
    assert!(matches!(
        alone("aws_access_key_id = a12"),
        NotUsable::NoSecret(_)
    ));
    // A secret in the other file is not used.
    let split = refused(
        "[p]\naws_access_key_id = a12\n",
        &config("aws_secret_access_key = hunter2"),
    );
    assert!(matches!(split, NotUsable::NoSecret(_)));
}

#[test]
fn broken_files_are_refused_by_line() {
    let twice = found(Some(&format!("[p]\n{KEY}[p]\n{KEY}")), None, "p").unwrap_err();
    assert!(matches!(twice, NotUsable::Parse { .. }));
    assert!(
        std::error::Error::source(&twice)
            .unwrap()
            .to_string()
            .starts_with("line 4")
    );
    let folded = found(
        Some("[p]\naws_access_key_id = AKID\naws_secret_access_key = hunter2\n  hunter2\n"),
        None,
        "p",
    );
    assert!(matches!(folded, Err(NotUsable::Folded { .. })));
    let noted = found(
        Some("[p]\naws_access_key_id = AKID # hunter2\naws_secret_access_key = x\n"),
        None,
        "p",
    );
    assert!(matches!(noted, Err(NotUsable::AccessKeyId { .. })));
}
