//! boto3, and s3fs with a real mount.

use bascule_tests::tools;

use crate::{
    AWS,
    ways::{Tool, none, way},
};

/// As any tool that is built on boto3 does it.
const BOTO3: &str = r#"
import sys, boto3
from botocore.config import Config
once = Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"})
client = boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1", config=once)
client.list_objects_v2(Bucket="bucket")
"#;

/// The file of [`AWS_FILE`] with values that botocore takes as they stand there.
const PLAIN_FILE: (&str, &str) = (
    ".aws/credentials",
    "[default]\naws_access_key_id = FILEID\naws_secret_access_key = s\n\
     [work]\nAWS_ACCESS_KEY_ID: WORKID\naws_secret_access_key: s\n",
);
const CONFIG: (&str, &str) = (
    ".aws/config",
    "[profile work]\naws_access_key_id = CONFID\naws_secret_access_key = s\n[default]\nregion = eu\n",
);
const BOTO: (&str, &str) = (
    ".boto",
    "[Credentials]\naws_access_key_id = BOTOID\naws_secret_access_key = s\n",
);

#[test]
fn a_tool_on_boto3_takes_the_key_that_is_called_effective() {
    let run = &["http://{at}"][..];
    let work = ("AWS_PROFILE", "work");
    let of_ec2 = ("old", "AWSAccessKeyId=OLDID\nAWSSecretKey=s\n");
    let other = (
        "other",
        "[Credentials]\naws_access_key_id = OTHERID\naws_secret_access_key = s\n",
    );
    Tool::new("barman-cloud-backup-list", &tools::get("python"))
        .with(&["-c", BOTO3])
        .check(&[
            way("FILEID", run, &[PLAIN_FILE, CONFIG, BOTO], &[]),
            way(
                "AWSVAR",
                run,
                &[PLAIN_FILE, CONFIG],
                &[AWS[0], AWS[1], work],
            ),
            way("WORKID", run, &[PLAIN_FILE, CONFIG], &[work]),
            way("CONFID", run, &[CONFIG, BOTO], &[work]),
            way(
                "WORKID",
                run,
                &[PLAIN_FILE],
                &[("AWS_DEFAULT_PROFILE", "work")],
            ),
            // Of the two variables botocore takes the older one first.
            way(
                "WORKID",
                run,
                &[PLAIN_FILE],
                &[("AWS_DEFAULT_PROFILE", "work"), ("AWS_PROFILE", "default")],
            ),
            way(
                "CONFID",
                run,
                &[PLAIN_FILE, CONFIG],
                &[work, ("AWS_SHARED_CREDENTIALS_FILE", "{home}/none")],
            ),
            // Names of restic's and s3cmd's mean nothing to it.
            way(
                "FILEID",
                run,
                &[PLAIN_FILE],
                &[("AWS_ACCESS_KEY", "X"), ("AWS_SECRET_KEY", "s")],
            ),
            // Half a pair in variables ends it; half a pair the other way round does not count.
            none(run, &[PLAIN_FILE], &[AWS[0]]),
            way("FILEID", run, &[PLAIN_FILE], &[AWS[1]]),
            way("BOTOID", run, &[BOTO], &[]),
            way("BOTOID", run, &[BOTO, CONFIG], &[]),
            way(
                "OTHERID",
                run,
                &[BOTO, other],
                &[("BOTO_CONFIG", "{home}/other")],
            ),
            way(
                "OLDID",
                run,
                &[BOTO, of_ec2],
                &[("AWS_CREDENTIAL_FILE", "{home}/old")],
            ),
            way(
                "FILEID",
                run,
                &[PLAIN_FILE, of_ec2],
                &[("AWS_CREDENTIAL_FILE", "{home}/old")],
            ),
        ]);
}

#[test]
fn s3fs_mounts_with_the_key_that_is_called_effective() {
    let (Some(s3fs), true) = (
        tools::installed_path("s3fs"),
        rustix::process::geteuid().is_root(),
    ) else {
        eprintln!("skipped: s3fs with /dev/fuse needs root; see tests/setup");
        return;
    };
    // It takes `~/.aws` from the list of users and the rest from HOME: in the mounts of its own they
    // are one. The mounts end with it.
    let same = "mount --bind \"$HOME\" ~root && exec \"$0\" \"$@\"";
    let own = "nonempty,passwd_file={home}/own,url=http://{at},use_path_request_style";
    let plain = "nonempty,url=http://{at},use_path_request_style";
    let profile = "nonempty,profile=work,url=http://{at},use_path_request_style";
    let nobody = "nonempty,profile=none,url=http://{at},use_path_request_style";
    let photos = |options: &'static str| ["photos", "mnt", "-f", "-o", options];
    let (own, plain, profile, nobody) =
        (photos(own), photos(plain), photos(profile), photos(nobody));
    let other = ["other", "mnt", "-f", "-o", plain[4]];
    let (here, file) = (("mnt/x", ""), ("own", "OWNID:s\n"));
    let passwords = (
        ".passwd-s3fs",
        "IDALL:s\n# photos:OLDID:s\nphotos:IDPHOTOS:s\n",
    );
    let named = ("AWS_CREDENTIAL_FILE", "{home}/own");
    let older = [("AWSACCESSKEYID", "OLDVAR"), ("AWSSECRETACCESSKEY", "s")];
    Tool::new("s3fs", "unshare".as_ref())
        .with(&["--mount", "--", "sh", "-c", same])
        .with(&[s3fs])
        .check(&[
            way("IDPHOTOS", &plain, &[here, passwords], &[]),
            way("IDALL", &other, &[here, passwords], &[]),
            way("FILEID", &plain, &[here, passwords, PLAIN_FILE], &[]),
            way("WORKID", &profile, &[here, passwords, AWS_PLAIN_WORK], &[]),
            // It knows no other way to name a profile, and ends when that one is not there.
            way(
                "FILEID",
                &plain,
                &[here, PLAIN_FILE],
                &[("AWS_PROFILE", "work")],
            ),
            none(&nobody, &[here, passwords, PLAIN_FILE], &[]),
            way(
                "FILEID",
                &plain,
                &[here, PLAIN_FILE],
                &[("AWS_SHARED_CREDENTIALS_FILE", "{home}/own")],
            ),
            way(
                "OWNID",
                &plain,
                &[here, passwords, PLAIN_FILE, file],
                &[named],
            ),
            way(
                "AWSVAR",
                &plain,
                &[here, passwords, file],
                &[named, AWS[0], AWS[1]],
            ),
            way("OLDVAR", &plain, &[here, passwords], &older),
            way(
                "AWSVAR",
                &plain,
                &[here],
                &[older[0], older[1], AWS[0], AWS[1]],
            ),
            none(&plain, &[here, passwords], &[AWS[0]]),
            way("OWNID", &own, &[here, passwords, file], &AWS),
            none(&own, &[here, passwords], &[]),
        ]);
}

/// A profile in the way that s3fs reads: nothing around the separator needs to go.
const AWS_PLAIN_WORK: (&str, &str) = (
    ".aws/credentials",
    "[default]\naws_access_key_id=FILEID\naws_secret_access_key=s\n\
     [work]\naws_access_key_id=WORKID\naws_secret_access_key=s\n",
);
