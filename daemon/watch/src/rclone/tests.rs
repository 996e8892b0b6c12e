use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::found::Place;

/// A home folder with files, and variables.
struct Home {
    folder: tempfile::TempDir,
    env: Environment,
}

fn home(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Home {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut env = Environment::of(Some(folder.path().to_owned()), folder.path().to_owned());
    for &(name, value) in variables {
        env.set(name, value);
    }
    Home { folder, env }
}

const CONF: &str = ".config/rclone/rclone.conf";
const R2: &str = "[r2]\ntype = s3\nprovider = Cloudflare\naccess_key_id = FILEID\nsecret_access_key = hunter2\n\
                  endpoint = https://acc.r2.example\nregion = auto\n";

fn found(conf: &str, variables: &[(&str, &str)], name: &str) -> Result<FoundKey, NotUsable> {
    let home = home(&[(CONF, conf)], variables);
    let result = remote(name, &home.env);
    if let Err(error) = &result {
        let mut text = format!("{error} {error:?}");
        let mut source = std::error::Error::source(error);
        while let Some(error) = source {
            text = format!("{text} {error}");
            source = error.source();
        }
        assert!(!text.contains("hunter2"), "{text}");
    }
    result
}

#[test]
fn a_plain_remote_gives_key_server_and_place() {
    let home = home(&[(CONF, &format!("# mine\n{R2}"))], &[]);
    let key = remote("r2:", &home.env).unwrap();
    assert_eq!(key.credentials.access_key_id.as_str(), "FILEID");
    assert_eq!(key.credentials.secret.expose(), "hunter2");
    assert_eq!(key.endpoint.unwrap().to_string(), "https://acc.r2.example");
    assert_eq!(key.region.unwrap().as_str(), "auto");
    assert_eq!(key.provider.as_deref(), Some("Cloudflare"));
    assert_eq!(
        key.place,
        Place::File {
            path: home.folder.path().join(CONF),
            line: 5
        }
    );
    assert!(key.place.to_string().ends_with("rclone.conf:5"));
}

#[test]
fn the_first_existing_configuration_wins() {
    let all = [
        ("xdg/rclone/rclone.conf", ""),
        (CONF, ""),
        (".rclone.conf", ""),
        ("bin/real/rclone.conf", ""),
    ];
    let located = |home: &Home| {
        locate(&home.env).map(|path| path.strip_prefix(home.folder.path()).unwrap().to_owned())
    };
    let mut given = home(&all, &[("XDG_CONFIG_HOME", "xdg")]);
    assert_eq!(located(&given), Some("xdg/rclone/rclone.conf".into()));
    fs::remove_file(given.folder.path().join("xdg/rclone/rclone.conf")).unwrap();
    assert_eq!(located(&given), Some(CONF.into()));
    fs::remove_file(given.folder.path().join(CONF)).unwrap();
    assert_eq!(located(&given), Some(".rclone.conf".into()));

    fs::create_dir(given.folder.path().join("path")).unwrap();
    fs::write(given.folder.path().join("bin/real/rclone-1.75"), "").unwrap();
    symlink(
        "../bin/real/rclone-1.75",
        given.folder.path().join("path/rclone"),
    )
    .unwrap();
    given.env.set("PATH", "nowhere:path");
    let beside = locate(&given.env).unwrap();
    assert_eq!(
        beside,
        given
            .folder
            .path()
            .canonicalize()
            .unwrap()
            .join("bin/real/rclone.conf")
    );

    given.env.set("RCLONE_CONFIG", "~/x.conf");
    assert_eq!(
        located(&given),
        Some("~/x.conf".into()),
        "rclone replaces no ~ there"
    );
    for memory_only in ["", "/dev/null", "notfound"] {
        given.env.set("RCLONE_CONFIG", memory_only);
        assert_eq!(located(&given), None);
    }
    assert_eq!(located(&home(&[], &[])), None);
}

#[test]
fn variables_win_over_the_file_and_the_backends_over_the_remotes() {
    let id = |variables: &[(&str, &str)]| {
        let key = found(R2, variables, "r2").unwrap();
        (
            key.credentials.access_key_id.as_str().to_owned(),
            key.place.to_string(),
        )
    };
    let remote = ("RCLONE_CONFIG_R2_ACCESS_KEY_ID", "REMOTEID");
    let backend = ("RCLONE_S3_ACCESS_KEY_ID", "BACKENDID");
    assert_eq!(
        id(&[remote]),
        ("REMOTEID".into(), "$RCLONE_CONFIG_R2_ACCESS_KEY_ID".into())
    );
    assert_eq!(
        id(&[remote, backend]),
        ("BACKENDID".into(), "$RCLONE_S3_ACCESS_KEY_ID".into())
    );
    let dashed = R2.replace("[r2]", "[my-r2]");
    let key = found(
        &dashed,
        &[("RCLONE_CONFIG_MY_R2_ACCESS_KEY_ID", "WRONG")],
        "my-r2",
    )
    .unwrap();
    assert_eq!(key.credentials.access_key_id.as_str(), "FILEID");
}

#[test]
fn a_remote_may_exist_only_in_variables() {
    let home = home(
        &[],
        &[
            ("RCLONE_CONFIG_ENVY_TYPE", "s3"),
            ("RCLONE_CONFIG_ENVY_ACCESS_KEY_ID", "ENVID"),
            ("RCLONE_CONFIG_ENVY_SECRET_ACCESS_KEY", "s"),
            ("RCLONE_CONFIG_ENVY_ENDPOINT", "s3.example.com:9000"),
        ],
    );
    let key = remote("envy", &home.env).unwrap();
    assert_eq!(
        key.endpoint.unwrap().to_string(),
        "https://s3.example.com:9000"
    );
    assert!(matches!(
        remote("other", &home.env),
        Err(NotUsable::NoConfiguration { tool: "rclone" })
    ));
}

#[test]
fn wrappers_lead_to_the_s3_remote() {
    let conf = format!(
        "{R2}[al]\ntype = alias\nremote = r2:bucket\n[cr]\ntype = crypt\nremote = al:dir\npassword = hunter2\n"
    );
    assert_eq!(
        found(&conf, &[], "cr")
            .unwrap()
            .credentials
            .access_key_id
            .as_str(),
        "FILEID"
    );
}

#[test]
fn what_is_not_usable_says_why_and_shows_nothing() {
    let wrapper = |kind: &str, target: &str| {
        format!("{R2}[w]\ntype = {kind}\nremote = {target}\nupstreams = {target}\n")
    };
    assert!(matches!(
        found(&wrapper("alias", "w:"), &[], "w"),
        Err(NotUsable::Circle(_))
    ));
    assert!(matches!(
        found(&wrapper("union", "r2: r2:b"), &[], "w"),
        Err(NotUsable::SeveralTargets(_))
    ));
    assert!(found(&wrapper("union", "r2:"), &[], "w").is_ok());
    let inline = wrapper(
        "crypt",
        "r2,access_key_id=INLINE,secret_access_key=hunter2:b",
    );
    let inline = found(&inline, &[], "w").unwrap();
    assert_eq!(inline.credentials.access_key_id.as_str(), "INLINE");
    assert!(matches!(
        found(&wrapper("crypt", "/mnt/hunter2"), &[], "w"),
        Err(NotUsable::LocalTarget(_))
    ));
    assert!(matches!(
        found(&wrapper("drive", "r2:"), &[], "w"),
        Err(NotUsable::NotS3(_))
    ));
    assert!(matches!(
        found(&wrapper("alias", "gone:"), &[], "w"),
        Err(NotUsable::NoSuchName { .. })
    ));
    let mut chain = R2.to_owned();
    for at in 0..20 {
        let target = if at == 0 {
            "r2".into()
        } else {
            format!("w{}", at - 1)
        };
        chain.push_str(&format!("[w{at}]\ntype = alias\nremote = {target}:\n"));
    }
    assert!(found(&chain, &[], "w5").is_ok());
    assert!(matches!(
        found(&chain, &[], "w19"),
        Err(NotUsable::Circle(_))
    ));

    let without = |line: &str| R2.replace(line, "");
    assert!(matches!(
        found(&without("secret_access_key = hunter2\n"), &[], "r2"),
        Err(NotUsable::NoSecret(_))
    ));
    let idless = without("access_key_id = FILEID\n");
    assert!(matches!(
        found(&idless, &[], "r2"),
        Err(NotUsable::NoKey(_))
    ));
    let keyless = idless.replace("secret_access_key = hunter2\n", "");
    assert!(matches!(
        found(&keyless, &[], "r2"),
        Err(NotUsable::NoKey(_))
    ));
    assert!(matches!(
        found(&format!("{keyless}env_auth = true\n"), &[], "r2"),
        Err(NotUsable::EnvAuth(_))
    ));
    assert!(found(&format!("{R2}env_auth = true\n"), &[], "r2").is_ok());
    assert!(matches!(
        found(&format!("{R2}session_token = hunter2\n"), &[], "r2"),
        Err(NotUsable::SessionToken(_))
    ));
    assert!(matches!(
        found(&format!("{R2}role_arn = hunter2\n"), &[], "r2"),
        Err(NotUsable::Role(_))
    ));
    assert!(matches!(
        found(R2, &[], "R2"),
        Err(NotUsable::NoSuchName { .. })
    ));
    assert!(matches!(
        found("RCLONE_ENCRYPT_V0:\nhunter2\n", &[], "r2"),
        Err(NotUsable::Encrypted { .. })
    ));
    assert!(matches!(
        found(&format!("{R2}hunter2\n"), &[], "r2"),
        Err(NotUsable::Parse { .. })
    ));
    assert!(matches!(
        found(&R2.replace("FILEID", "hunter2 x"), &[], "r2"),
        Err(NotUsable::AccessKeyId { .. })
    ));
    assert!(matches!(
        found(&R2.replace("hunter2", "hunter2 x"), &[], "r2"),
        Err(NotUsable::Secret { .. })
    ));
    assert!(matches!(
        found(
            &R2.replace("https://acc", "https://u:hunter2@acc"),
            &[],
            "r2"
        ),
        Err(NotUsable::Endpoint { .. })
    ));
    assert!(matches!(
        found(&R2.replace("= auto", "= hunter2 x"), &[], "r2"),
        Err(NotUsable::Region { .. })
    ));
}

#[test]
fn folders_huge_files_and_binary_files_are_refused() {
    let home = home(&[("dir/x", ""), ("binary", "")], &[]);
    fs::write(home.folder.path().join("binary"), [0xff, 0xfe]).unwrap();
    fs::File::create(home.folder.path().join("huge"))
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    let with = |path: &str| {
        let mut env = home.env.clone();
        env.set("RCLONE_CONFIG", path);
        remote("r2", &env).unwrap_err()
    };
    assert!(matches!(with("dir"), NotUsable::Read(_)));
    assert!(matches!(with("huge"), NotUsable::Read(_)));
    assert!(matches!(with("binary"), NotUsable::NotText { .. }));
    assert!(matches!(with("absent"), NotUsable::NoConfiguration { .. }));
}

#[test]
fn debug_of_an_environment_shows_no_value() {
    let home = home(&[], &[("RCLONE_S3_SECRET_ACCESS_KEY", "hunter2")]);
    assert!(!format!("{:?}", home.env).contains("hunter2"));
}
