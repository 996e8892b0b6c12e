use std::fs;

use bascule_domain::Timestamp;

use super::*;
use crate::{
    environment::Environment,
    picture::{Standing, Use},
    scan::{self, Scope},
};

/// A home with files, seen by its user.
struct Home {
    folder: tempfile::TempDir,
    machine: Machine,
}

fn home(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Home {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let path = folder.path().to_owned();
    let mut environment = Environment::of(Some(path.clone()), path.clone());
    environment.root = path;
    for (name, value) in variables {
        environment.set(*name, *value);
    }
    Home {
        machine: Machine::local(environment, 1000, Timestamp::UNIX_EPOCH),
        folder,
    }
}

impl Home {
    /// What a command line of the user's would use: a line for each key.
    fn run(&self, line: &str) -> Vec<String> {
        let command = Command {
            arguments: line.split_whitespace().map(str::to_owned).collect(),
            environment: self.machine.environment.clone(),
        };
        let mut picture = Picture::default();
        uses(
            &command,
            &self.machine,
            &Trail::configuration(),
            &mut picture,
        );
        self.lines(&picture)
    }

    fn lines(&self, picture: &Picture) -> Vec<String> {
        let mut lines: Vec<_> = picture.uses.iter().map(told).collect();
        lines.extend(picture.gaps.iter().map(|gap| format!("? {}", gap.why)));
        let home = format!("{}/", self.folder.path().display());
        lines.iter().map(|line| line.replace(&home, "")).collect()
    }
}

fn told(found: &Use) -> String {
    let mut line = String::new();
    for link in &found.chain {
        line.push_str(&format!("{} > ", link.name));
    }
    let standing = match &found.standing {
        Standing::Effective => String::new(),
        Standing::Shadowed { by } => format!(" shadowed by {by}"),
        other => format!(" {}", other.as_str()),
    };
    let bucket = found
        .bucket
        .as_deref()
        .map_or(String::new(), |bucket| format!(" ({bucket})"));
    format!(
        "{line}{} {}{bucket}{standing}",
        found.key.place,
        found.key.id.as_str()
    )
}

const CONF: &str = ".config/rclone/rclone.conf";
const REMOTES: &str = "[r2]\ntype = s3\naccess_key_id = R2ID\nsecret_access_key = s\n\
    [b2]\ntype = s3\naccess_key_id = B2ID\nsecret_access_key = s\n\
    [vault]\ntype = crypt\nremote = r2:photos/x\n\
    [both]\ntype = union\nupstreams = \"r2:a b\" b2:c:ro /local\n\
    [dirs]\ntype = combine\nupstreams = one=r2:a two=vault:\n\
    [envy]\ntype = s3\nenv_auth = true\nprofile = work\n\
    [open]\ntype = s3\n";
const WORK: &str = "[default]\naws_access_key_id = DEFID\naws_secret_access_key = s\n\
    [work]\naws_access_key_id = \"WORKID\" # mine\naws_secret_access_key = s\n";

#[test]
fn a_command_of_rclone_leads_through_every_wrapper_to_the_keys() {
    let home = home(&[(CONF, REMOTES), (".aws/credentials", WORK)], &[]);
    assert_eq!(
        home.run("/usr/bin/rclone sync /data vault:dir --log-file x"),
        ["vault: (crypt) > r2: (s3) > .config/rclone/rclone.conf:3 R2ID (photos)"]
    );
    assert_eq!(
        home.run("rclone copy both:d /data"),
        [
            "both: (union) > r2: (s3) > .config/rclone/rclone.conf:3 R2ID (a b)",
            "both: (union) > b2: (s3) > .config/rclone/rclone.conf:7 B2ID (c)"
        ]
    );
    let only =
        "dirs: (combine) > vault: (crypt) > r2: (s3) > .config/rclone/rclone.conf:3 R2ID (photos)";
    assert_eq!(home.run("rclone ls dirs:two/deep"), [only]);
    assert_eq!(home.run("rclone ls dirs:").len(), 2);
    assert_eq!(
        home.run("rclone ls envy:bucket"),
        ["envy: (s3) > profile work > .aws/credentials:5 WORKID (bucket)"]
    );
    assert_eq!(home.run("rclone ls open:bucket"), [""; 0]);
    assert_eq!(home.run("rclone copyurl https://x/y r2:a").len(), 1);
    assert_eq!(home.run("rclone rcd --rc-addr localhost:5572").len(), 8);
    let gap = home.run("rclone sync /data gone:x");
    assert!(
        gap[0].starts_with("? there is no remote \"gone\""),
        "{gap:?}"
    );
    let inline = home.run("rclone ls :s3,access_key_id=INLINE,secret_access_key=s:b/c");
    assert_eq!(
        inline,
        [":s3: (s3) > argument connection string INLINE (b)"]
    );
}

#[test]
fn what_stands_before_a_key_of_rclone_shadows_it() {
    let variables = [
        ("RCLONE_S3_ACCESS_KEY_ID", "BACKEND"),
        ("RCLONE_CONFIG_R2_ACCESS_KEY_ID", "REMOTE"),
    ];
    let home = home(&[(CONF, REMOTES)], &variables);
    assert_eq!(
        home.run("rclone ls r2:b --s3-access-key-id FLAG"),
        [
            "r2: (s3) > argument --s3-access-key-id FLAG (b)",
            "r2: (s3) > $RCLONE_S3_ACCESS_KEY_ID BACKEND (b) shadowed by argument --s3-access-key-id",
            "r2: (s3) > $RCLONE_CONFIG_R2_ACCESS_KEY_ID REMOTE (b) shadowed by argument --s3-access-key-id",
            "r2: (s3) > .config/rclone/rclone.conf:3 R2ID (b) shadowed by argument --s3-access-key-id"
        ]
    );
    let through = home.run("rclone ls vault:");
    assert!(
        through[0].ends_with("$RCLONE_S3_ACCESS_KEY_ID BACKEND (photos)"),
        "{through:?}"
    );
}

#[test]
fn a_mount_has_its_options_in_one_argument() {
    let home = home(&[("other.conf", REMOTES)], &[]);
    let line =
        "/sbin/mount.rclone r2:b /mnt -o rw,config=/other.conf,env.RCLONE_S3_ACCESS_KEY_ID=ENVID";
    let found = home.run(line);
    assert!(
        found[0].contains("$RCLONE_S3_ACCESS_KEY_ID ENVID"),
        "{found:?}"
    );
    assert!(found[1].contains("other.conf:3 R2ID"), "{found:?}");
}

#[test]
fn the_aws_tools_take_the_named_profile_then_variables_then_the_default() {
    let config = "[profile child]\nrole_arn = arn\nsource_profile = base\n\
        [profile base]\naws_access_key_id = BASEID\naws_secret_access_key = s\n\
        [profile printed]\ncredential_process = /opt/print-key x\n[work]\naws_access_key_id = NEVER\n";
    let files = [(".aws/credentials", WORK), (".aws/config", config)];
    let plain = home(&files, &[]);
    let default = "profile default > .aws/credentials:2 DEFID";
    assert_eq!(plain.run("aws s3 ls"), [default]);
    assert_eq!(
        plain.run("aws --profile child s3 cp x s3://b/k"),
        ["profile child > profile base > .aws/config:5 BASEID (b)"]
    );
    let printed = plain.run("aws s3 ls --profile=printed");
    assert!(printed[0].contains("printed by a program"), "{printed:?}");
    assert!(plain.run("aws s3 ls --profile none")[0].contains("no profile"));
    let variables = [
        ("AWS_ACCESS_KEY_ID", "VARID"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_PROFILE", "child"),
    ];
    let set = home(&files, &variables);
    assert_eq!(
        set.run("aws s3 ls"),
        [
            "$AWS_ACCESS_KEY_ID VARID",
            "profile child > profile base > .aws/config:5 BASEID shadowed by $AWS_ACCESS_KEY_ID"
        ]
    );
    assert_eq!(
        set.run("aws s3 ls --profile default")[0],
        "profile default > .aws/credentials:2 DEFID"
    );
}

#[test]
fn a_file_that_botocore_refuses_still_holds_its_keys() {
    let twice = format!("{WORK}[work]\nregion = auto\n");
    let home = home(&[(".aws/credentials", &twice), (CONF, REMOTES)], &[]);
    let refused = home.run("aws s3 ls");
    assert_eq!(
        refused,
        ["profile default > .aws/credentials:2 DEFID unused"]
    );
    let taken = home.run("rclone ls envy:b");
    assert_eq!(
        taken,
        ["envy: (s3) > profile work > .aws/credentials:5 WORKID (b)"]
    );
}

#[test]
fn a_look_at_the_known_places_tells_each_key_once_and_what_was_encrypted() {
    let home = home(&[(CONF, REMOTES), (".aws/credentials", WORK)], &[]);
    let lines = home.lines(&scan::known(&home.machine, Scope::OWN));
    assert_eq!(
        lines.iter().filter(|line| line.contains("DEFID")).count(),
        1
    );
    assert!(
        lines.contains(
            &"vault: (crypt) > r2: (s3) > .config/rclone/rclone.conf:3 R2ID (photos)".to_owned()
        ),
        "{lines:#?}"
    );
    fs::write(home.folder.path().join(CONF), "RCLONE_ENCRYPT_V0:\nabc\n").unwrap();
    let picture = scan::known(&home.machine, Scope::OWN);
    assert!(!picture.is_complete());
    assert!(
        picture.gaps[0].why.contains("encrypted"),
        "{:?}",
        picture.gaps
    );
}

#[test]
fn s3fs_takes_the_line_of_the_bucket_from_the_file_that_is_named() {
    let home = home(
        &[
            (".passwd-s3fs", "IDALL:s\nphotos:IDPHOTOS:s\n"),
            ("own", "OWNID:s\n"),
            (".aws/credentials", ""),
        ],
        &[],
    );
    for path in [".passwd-s3fs", "own"] {
        let path = home.folder.path().join(path);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, mode).unwrap();
    }
    let own = "s3fs photos:/x /mnt -o passwd_file=/own";
    assert_eq!(
        home.run("s3fs photos /mnt"),
        ["bucket photos > .passwd-s3fs:2 IDPHOTOS (photos)"]
    );
    assert_eq!(
        home.run("s3fs other /mnt -o ro"),
        [".passwd-s3fs > .passwd-s3fs:1 IDALL (other)"]
    );
    let own = home.run(own);
    assert!(
        own.len() == 1 && own[0].contains("OWNID (photos)"),
        "{own:?}"
    );
    assert_eq!(home.run("s3fs open /mnt -o public_bucket=1"), [""; 0]);
}

#[test]
fn a_profile_of_resticprofile_inherits_and_leads_on_to_rclone() {
    let profiles = "base:\n  env:\n    AWS_ACCESS_KEY_ID: BASEID\n    AWS_SECRET_ACCESS_KEY: s\n\
        home:\n  inherit: base\n  repository: s3:h/b\nother:\n  env-file: other.env\n\
        far:\n  repository: rclone:r2:photos\n";
    let home = home(
        &[
            (".config/resticprofile/profiles.yaml", profiles),
            (
                ".config/resticprofile/other.env",
                "AWS_ACCESS_KEY_ID=OTHERID\nAWS_SECRET_ACCESS_KEY=s\n",
            ),
            (CONF, REMOTES),
        ],
        &[],
    );
    let base = "profile base > .config/resticprofile/profiles.yaml:3 BASEID";
    assert!(
        home.run("resticprofile -n home backup")
            .contains(&base.to_owned())
    );
    assert!(
        home.run("resticprofile home.backup")
            .contains(&base.to_owned())
    );
    let other = home.run("resticprofile --name other backup");
    assert!(other[0].ends_with("other.env:1 OTHERID"), "{other:?}");
}

#[test]
fn tools_of_the_table_look_where_their_row_says_in_its_order() {
    let litestream = "dbs:\n  - path: /db\n    replicas:\n      - access-key-id: LSID\n        secret-access-key: s\n";
    let home = home(
        &[
            ("etc/litestream.yml", litestream),
            ("own.yml", litestream),
            (".aws/credentials", WORK),
        ],
        &[
            ("PGBACKREST_REPO1_S3_KEY", "PGVAR"),
            ("PGBACKREST_REPO1_S3_KEY_SECRET", "s"),
        ],
    );
    let own = "litestream replicate -config /own.yml";
    let lines = home.run(own);
    assert_eq!(lines[0], "database /db > own.yml:4 LSID");
    assert!(lines[1].contains("shadowed by"), "{lines:?}");
    assert_eq!(
        home.run("litestream replicate")[0],
        "database /db > etc/litestream.yml:4 LSID"
    );
    assert_eq!(
        home.run("pgbackrest backup"),
        ["$PGBACKREST_REPO1_S3_KEY PGVAR"]
    );
    assert_eq!(
        home.run("mount-s3 bucket /mnt --profile work"),
        ["profile work > .aws/credentials:5 WORKID"]
    );
    assert_eq!(home.run("duplicity /x boto3+s3://bucket/x").len(), 1,);
    let gone = home.run("litestream replicate -config /gone.yml");
    assert!(
        gone.iter().any(|line| line.contains("it is not there")),
        "{gone:?}"
    );
}

#[test]
fn an_encrypted_configuration_is_read_with_the_password_that_its_job_has() {
    let sealed = include_str!("../../tests/fixtures/rclone-encrypted.conf");
    let files = [(CONF, sealed)];
    let locked = home(&files, &[]).run("rclone ls r2:b");
    assert!(locked[0].contains("encrypted"), "{locked:?}");
    let wrong = home(&files, &[("RCLONE_CONFIG_PASS", "wrong")]).run("rclone ls r2:b");
    assert!(wrong[0].contains("does not open it"), "{wrong:?}");
    let opened = home(&files, &[("RCLONE_CONFIG_PASS", "pässwörd½")]).run("rclone ls r2:b");
    assert_eq!(
        opened,
        ["r2: (s3) > .config/rclone/rclone.conf AKIAENCRYPTED0000001 (b)"]
    );
}
