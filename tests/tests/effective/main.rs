//! What the watcher calls effective is what the real tool signs with: each tool runs once against a
//! server that writes down the key, and is asked about without being run (issue 6, W).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

mod backups;
mod libraries;
mod ways;

use std::process::Command;

use bascule_domain::Timestamp;
use bascule_tests::{Signers, tools};
use bascule_watch::{Catalogue, Environment, Machine, Picture, Standing};
use ways::{Tool, Way, way};

const AWS_FILE: (&str, &str) = (
    ".aws/credentials",
    "[default]\naws_access_key_id = FILEID\naws_secret_access_key = s\n\
     [work]\naws_access_key_id = \"WORKID\" # mine\naws_secret_access_key = s\n",
);
const MC_FILE: (&str, &str) = (
    ".mc/config.json",
    "{\"version\": \"10\", \"aliases\": {\n\
     \"s3\": {\"url\": \"http://{at}\", \"accessKey\": \"MCS3ID\", \"secretKey\": \"secretsecret\", \"api\": \"S3v4\", \"path\": \"on\"},\n\
     \"r2\": {\"url\": \"http://{at}\", \"accessKey\": \"MCR2ID\", \"secretKey\": \"secretsecret\", \"api\": \"S3v4\", \"path\": \"on\"}}}",
);
const AWS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AWSVAR"),
    ("AWS_SECRET_ACCESS_KEY", "s"),
];

#[test]
fn restic_takes_the_key_that_is_called_effective() {
    let Some(restic) = tools::find("restic") else {
        return;
    };
    let run = &[
        "-r",
        "s3:http://{at}/bucket/x",
        "--no-cache",
        "--password-command",
        "echo x",
        "snapshots",
    ][..];
    let minio = [("MINIO_ACCESS_KEY", "MINIOVAR"), ("MINIO_SECRET_KEY", "s")];
    let root = [("MINIO_ROOT_USER", "ROOTVAR"), ("MINIO_ROOT_PASSWORD", "s")];
    let of_rclone = (
        ".config/rclone/rclone.conf",
        "[r2]\ntype = s3\nprovider = Other\naccess_key_id = RCLONEID\nsecret_access_key = s\nendpoint = http://{at}\n",
    );
    Tool::new("restic", &restic).check(&[
        way(
            "AWSVAR",
            run,
            &[AWS_FILE, MC_FILE],
            &[AWS[0], AWS[1], minio[0], minio[1]],
        ),
        way(
            "AWSVAR",
            run,
            &[AWS_FILE],
            &[("AWS_ACCESS_KEY", "AWSVAR"), ("AWS_SECRET_KEY", "s")],
        ),
        way("MINIOVAR", run, &[AWS_FILE, MC_FILE], &minio),
        way(
            "ROOTVAR",
            run,
            &[AWS_FILE, MC_FILE],
            &[minio[0], minio[1], root[0], root[1]],
        ),
        // With half a pair it does not even start.
        Way {
            files: &[AWS_FILE, MC_FILE],
            variables: &[AWS[0]],
            arguments: run,
            takes: None,
        },
        way("FILEID", run, &[AWS_FILE, MC_FILE], &[]),
        way(
            "WORKID",
            run,
            &[AWS_FILE, MC_FILE],
            &[("AWS_PROFILE", "work")],
        ),
        way("MCS3ID", run, &[MC_FILE], &[]),
        way("MCR2ID", run, &[MC_FILE], &[("MINIO_ALIAS", "r2")]),
        way(
            "FILEID",
            &["--no-cache", "--password-command", "echo x", "snapshots"],
            &[AWS_FILE, ("repo", "s3:http://{at}/bucket\n")],
            &[("RESTIC_REPOSITORY_FILE", "{home}/repo")],
        ),
        way(
            "RCLONEID",
            &["--no-cache", "--password-command", "echo x", "snapshots"],
            &[of_rclone, AWS_FILE],
            &[
                ("RESTIC_REPOSITORY", "rclone:r2:bucket/x"),
                ("RCLONE_LOW_LEVEL_RETRIES", "1"),
            ],
        ),
    ]);
}

#[test]
fn s3cmd_takes_the_key_that_is_called_effective() {
    let run = &[
        "--no-ssl",
        "--host={at}",
        "--host-bucket={at}",
        "--max-retries=1",
        "ls",
        "s3://bucket",
    ][..];
    let flags = &[
        "--no-ssl",
        "--host={at}",
        "--host-bucket={at}",
        "--max-retries=1",
        "--access_key=FLAGID",
        "--secret_key=s",
        "ls",
        "s3://bucket",
    ][..];
    let half = &[
        "--no-ssl",
        "--host={at}",
        "--host-bucket={at}",
        "--max-retries=1",
        "--access_key=FLAGID",
        "ls",
        "s3://bucket",
    ][..];
    let file = (
        ".s3cfg",
        "[default]\naccess_key = FIRST\nsecret_key = s\n[other]\naccess_key = \"S3CFG\"\n",
    );
    let blank = (".s3cfg", "[default]\naccess_key =\nsecret_key =\n");
    let variable = (".s3cfg", "access_key = $MY_KEY\nsecret_key = s\n");
    Tool::script("s3cmd").check(&[
        way("S3CFG", run, &[file, AWS_FILE], &AWS),
        way("FLAGID", flags, &[file], &AWS),
        way("FLAGID", half, &[file], &[]),
        way("AWSVAR", run, &[blank], &AWS),
        way(
            "OTHERVAR",
            run,
            &[blank],
            &[AWS[0], AWS[1], ("AWS_ACCESS_KEY", "OTHERVAR")],
        ),
        way("MYKEY", run, &[variable], &[("MY_KEY", "MYKEY")]),
        way(
            "S3CFG",
            run,
            &[("elsewhere", file.1)],
            &[("S3CMD_CONFIG", "{home}/elsewhere")],
        ),
        way(
            "FILEID",
            run,
            &[AWS_FILE],
            &[("AWS_PROFILE", "default"), AWS[0], AWS[1]],
        ),
        way("AWSVAR", run, &[AWS_FILE], &AWS),
    ]);
}

#[test]
fn mc_takes_the_key_that_is_called_effective() {
    let Some(mc) = tools::find("mc") else { return };
    let run = &["ls", "r2/bucket"][..];
    let host = ("MC_HOST_r2", "http://HOSTID:secretsecret@{at}");
    let env_file = ("hosts", "MC_HOST_r2=http://ENVFILE:secretsecret@{at}\n");
    Tool::new("mc", &mc).check(&[
        way("MCR2ID", run, &[MC_FILE], &AWS),
        way(
            "HOSTID",
            run,
            &[MC_FILE, env_file],
            &[host, ("MC_CONFIG_ENV_FILE", "{home}/hosts")],
        ),
        way(
            "ENVFILE",
            run,
            &[MC_FILE, env_file],
            &[("MC_CONFIG_ENV_FILE", "{home}/hosts")],
        ),
        way(
            "MCR2ID",
            &["--config-dir", "{home}/own", "ls", "r2/bucket"],
            &[("own/config.json", MC_FILE.1)],
            &[],
        ),
        way(
            "MCR2ID",
            run,
            &[("own/config.json", MC_FILE.1)],
            &[("MC_CONFIG_DIR", "{home}/own")],
        ),
    ]);
}

#[test]
fn s5cmd_takes_the_key_that_is_called_effective() {
    let Some(s5cmd) = tools::find("s5cmd") else {
        return;
    };
    let run = &[
        "--endpoint-url",
        "http://{at}",
        "--retry-count",
        "0",
        "ls",
        "s3://bucket",
    ][..];
    let named = &[
        "--endpoint-url",
        "http://{at}",
        "--retry-count",
        "0",
        "--profile",
        "work",
        "ls",
        "s3://bucket",
    ][..];
    let file = &[
        "--endpoint-url",
        "http://{at}",
        "--retry-count",
        "0",
        "--credentials-file",
        "{home}/own",
        "ls",
        "s3://bucket",
    ][..];
    let own = (
        "own",
        "[default]\naws_access_key_id = OWNID\naws_secret_access_key = s\n",
    );
    let region = ("AWS_REGION", "us-east-1");
    Tool::new("s5cmd", &s5cmd).check(&[
        way("FILEID", run, &[AWS_FILE], &[region]),
        way("AWSVAR", run, &[AWS_FILE], &[AWS[0], AWS[1], region]),
        way("WORKID", named, &[AWS_FILE], &[AWS[0], AWS[1], region]),
        way("OWNID", file, &[AWS_FILE, own], &[AWS[0], AWS[1], region]),
        way(
            "WORKID",
            run,
            &[AWS_FILE],
            &[("AWS_PROFILE", "work"), region],
        ),
    ]);
}

const DUCKDB: &str = r#"
import os, sys, duckdb, duckdb_extension_httpfs
folder = os.path.join(list(duckdb_extension_httpfs.__path__)[0], "extensions")
extension = os.path.join(folder, os.listdir(folder)[0], "httpfs.duckdb_extension")
def connect():
    db = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    db.execute(f"LOAD '{extension}'")
    return db
connect().execute(
    "CREATE PERSISTENT SECRET mine (TYPE s3, KEY_ID 'DUCKID', SECRET 'duckdbsecret', "
    f"ENDPOINT '{sys.argv[1]}', URL_STYLE 'path', USE_SSL false)")
try:
    connect().execute("SELECT * FROM read_csv('s3://bucket/x.csv')").fetchall()
except duckdb.Error:
    pass
"#;

#[test]
fn duckdb_takes_the_stored_secret_that_is_found() {
    let signer = Signers::start();
    let home = tempfile::tempdir().unwrap();
    let run = Command::new(tools::get("python"))
        .args(["-c", DUCKDB, &signer.endpoint()[7..]])
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    assert_eq!(signer.take(), ["DUCKID"], "{told}");
    let mut environment = Environment::of(Some(home.path().into()), home.path().into());
    environment.root = home.path().to_owned();
    let machine = Machine::local(environment, 0, Timestamp::UNIX_EPOCH);
    let mut picture = Picture::default();
    Catalogue::builtin().configurations(&machine, &machine.user, &mut picture);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| {
            let secret = found
                .key
                .secret
                .as_ref()
                .map(|secret| secret.expose().to_owned());
            (found.key.id.as_str(), secret, found.standing.clone())
        })
        .collect();
    let secret = Some("duckdbsecret".to_owned());
    assert_eq!(
        found,
        [("DUCKID", secret, Standing::Effective)],
        "{picture:?}"
    );
}
