//! Backup tools, each with a configuration of its own.

use std::{fs, process::Command};

use bascule_domain::Timestamp;
use bascule_tests::{Minio, Recorder, tools};
use bascule_watch::{Catalogue, Environment, Machine, Picture};

use crate::{
    AWS, AWS_FILE,
    ways::{Tool, effective, none, way},
};

#[test]
fn litestream_takes_the_key_that_is_called_effective() {
    const REPLICA: &str = "dbs:\n  - path: /db\n    replica:\n      type: s3\n      bucket: b\n      path: db\n\
        \x20     region: us-east-1\n      endpoint: http://{at}\n      force-path-style: true\n";
    let run = &["ltx", "-config", "{home}/l.yml", "/db"][..];
    let of = |before: &str, after: &str| format!("{before}{REPLICA}{after}");
    let own = "      access-key-id: LSID\n      secret-access-key: s\n";
    let named = "      access-key-id: ${MY_ID}\n      secret-access-key: s\n";
    let (own, named) = (of("", own), of("", named));
    let all = of("access-key-id: ALLID\nsecret-access-key: s\n", "");
    let bare = of("", "");
    let [own, named, all, bare] = [&own, &named, &all, &bare].map(|text| ("l.yml", text.as_str()));
    let ls = [
        ("LITESTREAM_ACCESS_KEY_ID", "LSVAR"),
        ("LITESTREAM_SECRET_ACCESS_KEY", "s"),
    ];
    Tool::new("litestream", &tools::get("litestream")).check(&[
        way(
            "LSID",
            run,
            &[own, AWS_FILE],
            &[ls[0], ls[1], AWS[0], AWS[1]],
        ),
        way(
            "ALLID",
            run,
            &[all, AWS_FILE],
            &[ls[0], ls[1], AWS[0], AWS[1]],
        ),
        way("MYID", run, &[named], &[ls[0], ls[1], ("MY_ID", "MYID")]),
        way("LSVAR", run, &[bare, AWS_FILE], &ls),
        way(
            "AWSVAR",
            run,
            &[bare, AWS_FILE],
            &[ls[0], ls[1], AWS[0], AWS[1]],
        ),
        way("FILEID", run, &[bare, AWS_FILE], &[]),
        way("WORKID", run, &[bare, AWS_FILE], &[("AWS_PROFILE", "work")]),
    ]);
}

#[test]
fn crestic_gives_restic_the_key_that_is_called_effective() {
    if tools::find("restic").is_none() {
        return;
    }
    let base =
        "[global]\nno-cache:\npassword-command: echo x\n[away]\nrepo: s3:http://{at}/bucket/x\n";
    let with = |sections: &str| format!("{base}{sections}");
    let environ = |name: &str, id: &str| {
        format!("[{name}.environ]\nAWS_ACCESS_KEY_ID = {id}\nAWS_SECRET_ACCESS_KEY: s\n")
    };
    let all = with(&environ("global", "ALLID"));
    let own = with(&(environ("global", "ALLID") + &environ("away", "OWNID")));
    let verb = with(&(environ("away", "OWNID") + &environ("away.snapshots", "VERBID")));
    let other = with(&(environ("other", "OTHERID") + &environ("away.backup", "BACKUPID")));
    let reference = with(&environ("away", "$$MY_ID"));
    let within = with(&("[keys]\nmine = INID\n".to_owned() + &environ("away", "${keys:mine}")));
    let config = ".config/crestic/config.cfg";
    let later = environ("away", "LATERID");
    let later = (".config/crestic/conf.d/90.cfg", later.as_str());
    let run = &["away", "snapshots"][..];
    Tool::script("crestic").check(&[
        way("ALLID", run, &[(config, &all), AWS_FILE], &AWS),
        way("OWNID", run, &[(config, &own)], &[]),
        way("VERBID", run, &[(config, &verb)], &[]),
        way("FILEID", run, &[(config, &other), AWS_FILE], &[]),
        way("MYID", run, &[(config, &reference)], &[("MY_ID", "MYID")]),
        way("INID", run, &[(config, &within)], &[]),
        way("LATERID", run, &[(config, &own), later], &[]),
        way(
            "OWNID",
            run,
            &[("elsewhere", &own), later],
            &[("CRESTIC_CONFIG_FILE", "{home}/elsewhere")],
        ),
        none(run, &[("wrong/config.cfg", &own)], &[]),
    ]);
}

#[test]
fn duplicity_takes_the_key_that_is_called_effective() {
    let Some(duplicity) = tools::installed_path("duplicity") else {
        eprintln!("skipped: duplicity is taken from Debian's package; see tests/setup");
        return;
    };
    let root = duplicity.ancestors().nth(3).unwrap().to_owned();
    // boto3 is that of the tests' Python, whose modules are of no other version.
    let asked = Command::new(tools::get("python"))
        .args(["-c", "import boto3; print(boto3.__path__[0])"])
        .output()
        .unwrap();
    let boto3 = String::from_utf8(asked.stdout).unwrap();
    let modules = boto3.trim().trim_end_matches("boto3");
    let run = &[
        "--no-encryption",
        "--s3-endpoint-url",
        "http://{at}",
        "collection-status",
        "boto3+s3://bucket/x",
    ][..];
    let libraries = root
        .join("usr/lib")
        .join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let region = ("AWS_DEFAULT_REGION", "us-east-1");
    let plain = (
        ".aws/credentials",
        "[default]\naws_access_key_id = FILEID\naws_secret_access_key = s\n\
         [work]\naws_access_key_id = WORKID\naws_secret_access_key = s\n",
    );
    let of_rclone = (
        ".config/rclone/rclone.conf",
        "[r2]\ntype = s3\nprovider = Other\naccess_key_id = RCLONEID\nsecret_access_key = s\nendpoint = http://{at}\n",
    );
    let through = &[
        "--no-encryption",
        "collection-status",
        "rclone://r2:bucket/x",
    ][..];
    Tool::new("duplicity", "/usr/bin/python3".as_ref())
        .with(std::slice::from_ref(&duplicity))
        .within("LD_LIBRARY_PATH", libraries)
        .within(
            "PYTHONPATH",
            format!(
                "{}:{modules}",
                root.join("usr/lib/python3/dist-packages").display()
            ),
        )
        .check(&[
            way("AWSVAR", run, &[plain], &[AWS[0], AWS[1], region]),
            way("FILEID", run, &[plain], &[region]),
            way("WORKID", run, &[plain], &[("AWS_PROFILE", "work"), region]),
            way(
                "RCLONEID",
                through,
                &[of_rclone, plain],
                &[region, ("RCLONE_LOW_LEVEL_RETRIES", "1")],
            ),
        ]);
}

#[test]
fn kopia_keeps_the_key_where_it_is_found_and_takes_no_other() {
    let (Some(minio), Some(kopia)) = (Minio::shared(), tools::find("kopia")) else {
        return;
    };
    let Some((id, secret)) = minio.user() else {
        return;
    };
    let bucket = minio.bucket();
    let recorder = Recorder::start(&minio.address());
    let home = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = Command::new(&kopia)
            .args(arguments)
            .env_clear()
            .env("HOME", home.path())
            .env("KOPIA_PASSWORD", "x")
            .env("KOPIA_CHECK_FOR_UPDATES", "false")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let endpoint = recorder.endpoint();
    let at = endpoint.trim_start_matches("http://");
    let create = [
        "repository",
        "create",
        "s3",
        "--disable-tls",
        "--bucket",
        &bucket,
        "--endpoint",
        at,
    ];
    run(
        &create,
        &[
            ("AWS_ACCESS_KEY_ID", &id),
            ("AWS_SECRET_ACCESS_KEY", &secret),
        ],
    );
    recorder.forget();
    // Connected once, it goes by its file whatever the variables say.
    run(&["snapshot", "list", "--all"], &AWS);
    let seen = recorder.seen();
    assert!(
        !seen.is_empty() && seen.iter().all(|seen| seen.signed_by(&id)),
        "{seen:?}"
    );

    let mut environment = Environment::of(Some(home.path().into()), home.path().into());
    environment.root = home.path().to_owned();
    environment.set(AWS[0].0, AWS[0].1);
    environment.set(AWS[1].0, AWS[1].1);
    let machine = Machine::local(environment, 0, Timestamp::UNIX_EPOCH);
    let mut picture = Picture::default();
    Catalogue::builtin().configurations(&machine, &machine.user, &mut picture);
    assert_eq!(effective(&picture), [id.as_str()], "{picture:?}");
    let held = &picture.uses[0].key;
    assert_eq!(held.secret.as_ref().unwrap().expose(), secret);
    assert_eq!(held.endpoint.as_ref().unwrap().host(), "127.0.0.1");
    let config = home.path().join(".config/kopia/repository.config");
    assert!(fs::read_to_string(config).unwrap().contains(&id));
}
