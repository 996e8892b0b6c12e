//! A consumer is moved to a key of the gateway's and back, as a look sees it, for every way in which a
//! tool is told its key; what real tools make of it is tested in `tests/tests/adopt`.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use bascule_domain::{Timestamp, access_key::AccessKeyId};
use zeroize::Zeroizing;

use super::*;
use crate::{
    environment::Environment,
    machine::Machine,
    scan::{self, Scope},
};

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const OWN_ID: &str = "BSC0123456789ABCDEFG";
const OWN_SECRET: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCD";
const GATEWAY: &str = "http://127.0.0.1:8642";

struct Home {
    folder: tempfile::TempDir,
    /// Files that are looked into besides.
    named: Vec<&'static str>,
}

impl Home {
    /// A machine's tree with the files of one user, `/home/ann`.
    fn with(files: &[(&str, &str)]) -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            named: Vec::new(),
        };
        home.write("/etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
        for (name, text) in files {
            home.write(name, &filled(text));
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(&name[1..])
    }

    fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn consumers(&self) -> Vec<Consumer> {
        let root = self.folder.path().to_owned();
        let mut environment = Environment::of(Some(self.path("/home/ann")), root.clone());
        environment.root = root;
        let machine = Machine::local(environment, 1000, Timestamp::UNIX_EPOCH);
        let scope = Scope {
            processes: false,
            ..Scope::OWN
        };
        let home = machine.user.home.clone();
        let mut picture = scan::known(&machine, scope);
        let named: Vec<_> = self.named.iter().map(|name| self.path(name)).collect();
        if !named.is_empty() {
            let named = scan::paths(&machine, &named, |_| ControlFlow::Continue(()));
            picture.uses.extend(named.uses);
            picture.settle();
        }
        consumers(&picture, home.as_deref())
    }

    fn with_key(&self, id: &str) -> Vec<Consumer> {
        let mut found = self.consumers();
        found.retain(|consumer| consumer.id().as_str() == id && consumer.movable().is_ok());
        found
    }

    fn texts(&self, plan: &Plan) -> BTreeMap<PathBuf, Zeroizing<String>> {
        let of = |file: &FilePlan| (file.path.clone(), file.before.clone());
        plan.files.iter().map(of).collect()
    }
}

fn filled(text: &str) -> String {
    text.replace("<ID>", ID).replace("<SECRET>", SECRET)
}

fn read(path: &Path) -> Result<Zeroizing<String>, String> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| error.to_string())
}

fn write(plan: &Plan) {
    for file in &plan.files {
        std::fs::write(&file.path, file.after.as_bytes()).unwrap();
    }
}

fn access(id: &str, secret: &str, endpoint: &str) -> Access {
    Access {
        id: id.to_owned(),
        secret: Zeroizing::new(secret.to_owned()),
        endpoint: endpoint.parse().unwrap(),
    }
}

/// Moves the one consumer of the key there and back: with the originals at hand, and without.
fn there_and_back(name: &str, files: &[(&str, &str)], server: &str) {
    there_and_back_of(&[], name, files, server);
}

fn there_and_back_of(named: &[&'static str], name: &str, files: &[(&str, &str)], server: &str) {
    for with_originals in [true, false] {
        let mut home = Home::with(files);
        home.named = named.to_vec();
        let found = home.with_key(ID);
        let told: Vec<_> = home
            .consumers()
            .iter()
            .map(|consumer| (consumer.name.clone(), format!("{:?}", consumer.movable())))
            .collect();
        let [consumer] = found.as_slice() else {
            panic!("{name}: {told:?}");
        };
        let own = access(OWN_ID, OWN_SECRET, GATEWAY);
        let adopted =
            plan(consumer, Goal::Gateway(&own), read).unwrap_or_else(|why| panic!("{name}: {why}"));
        let before = home.texts(&adopted);
        write(&adopted);
        for text in adopted.files.iter().map(|file| &file.after) {
            assert!(
                !text.contains(ID) && !text.contains(SECRET),
                "{name}:\n{}",
                **text
            );
            assert!(
                !text.contains(server.split("://").last().unwrap()),
                "{name}:\n{}",
                **text
            );
        }
        let moved = home.with_key(OWN_ID);
        let [consumer] = moved.as_slice() else {
            let texts: Vec<_> = adopted
                .files
                .iter()
                .map(|file| file.after.as_str())
                .collect();
            panic!("{name}: not found again\n{}", texts.join("\n---\n"));
        };
        for found in consumer.all_taken() {
            let endpoint = found.key.endpoint.as_ref().map(ToString::to_string);
            assert_eq!(endpoint.as_deref(), Some(GATEWAY), "{name}");
            assert_eq!(
                found.key.secret.as_ref().unwrap().expose(),
                OWN_SECRET,
                "{name}"
            );
        }
        // Nothing of the layout may tell where it went.
        let layout = serde_json::to_string(&adopted.layout).unwrap();
        for marker in [ID, SECRET, server.split("://").last().unwrap(), "photos"] {
            assert!(!layout.contains(marker), "{name}: {layout}");
        }
        let originals = if with_originals {
            before.clone()
        } else {
            BTreeMap::new()
        };
        let provider = access(ID, SECRET, server);
        let goal = Goal::Provider {
            access: &provider,
            settings: &ServerSettings::default(),
            layout: &adopted.layout,
            originals: &originals,
        };
        let ejected = plan(consumer, goal, read).unwrap_or_else(|why| panic!("{name}: {why}"));
        write(&ejected);
        for (path, text) in before {
            assert_eq!(
                *read(&path).unwrap(),
                *text,
                "{name}: {} (originals: {with_originals})",
                path.display()
            );
        }
    }
}

const REMOTE: &str = "# mine\r\n[r2]\r\ntype = s3\r\nprovider = Minio\r\naccess_key_id = <ID>\r\nsecret_access_key = <SECRET>\r\nendpoint = https://s3.example.com\r\n\r\n";
const CONF: &str = "/home/ann/.config/rclone/rclone.conf";
const UNIT: &str = "/home/ann/.config/systemd/user/backup.service";

#[test]
fn a_remote_is_moved_and_moved_back_to_the_same_bytes() {
    there_and_back("plain", &[(CONF, REMOTE)], "https://s3.example.com");
    let amazon = "[r2]\ntype = s3\nprovider = AWS\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nregion = eu-west-1\nforce_path_style = false";
    there_and_back(
        "amazon",
        &[(CONF, amazon)],
        "https://s3.eu-west-1.amazonaws.com",
    );
    let virtual_host = "[r2]\ntype=s3\nprovider=Alibaba\nendpoint=oss.example.com\nsecret_access_key=<SECRET>\naccess_key_id=<ID>\n";
    there_and_back(
        "virtual hosts",
        &[(CONF, virtual_host)],
        "https://oss.example.com",
    );
}

#[test]
fn a_remote_that_was_made_for_the_gateway_is_set_for_its_provider() {
    let id = AccessKeyId::issue([7; 15]);
    let handed_out = format!(
        "[r2]\ntype = s3\nprovider = Other\naccess_key_id = {id}\nsecret_access_key = {OWN_SECRET}\nendpoint = {GATEWAY}\nregion = auto\nforce_path_style = true\n"
    );
    let home = Home::with(&[(CONF, &handed_out)]);
    let own = access(AccessKeyId::issue([8; 15]).as_str(), OWN_SECRET, GATEWAY);
    let provider = access(ID, SECRET, "https://oss.example.com");
    let settings = ServerSettings {
        region: "eu-central".into(),
        is_virtual_host: true,
    };
    // Never adopted; then repaired, so that a record has what stood there, which is the gateway's too.
    let made = home.with_key(id.as_str());
    let repaired = plan(&made[0], Goal::Gateway(&own), read).unwrap();
    let nothing = BTreeMap::new();
    let originals = home.texts(&repaired);
    for (layout, originals, is_repaired) in [
        (&Layout::default(), &nothing, false),
        (&repaired.layout, &originals, true),
    ] {
        if is_repaired {
            write(&repaired);
        }
        let found = home.with_key(if is_repaired { &own.id } else { id.as_str() });
        let goal = Goal::Provider {
            access: &provider,
            settings: &settings,
            layout,
            originals,
        };
        let ejected = plan(&found[0], goal, read).unwrap();
        assert_eq!(
            *ejected.files[0].after,
            format!(
                "[r2]\ntype = s3\nprovider = Other\naccess_key_id = {ID}\nsecret_access_key = {SECRET}\nendpoint = https://oss.example.com\nregion = eu-central\nforce_path_style = false\n"
            ),
            "repaired: {is_repaired}"
        );
    }
}

#[test]
fn what_wraps_a_remote_is_left_as_it_is() {
    let wrapped = format!(
        "{REMOTE}[vault]\ntype = crypt\nremote = r2:photos/secret\npassword = xyz\n[short]\ntype = alias\nremote = r2:photos\n[all]\ntype = combine\nupstreams = a=r2:photos b=r2:docs\n"
    );
    there_and_back("wrapped", &[(CONF, &wrapped)], "https://s3.example.com");
}

#[test]
fn a_connection_string_in_a_unit_is_moved_and_moved_back() {
    for options in [
        "provider=Minio,access_key_id=<ID>,secret_access_key=<SECRET>,endpoint=\\'https://s3.example.com\\':photos/x",
        "provider=Minio,access_key_id=<ID>,secret_access_key=<SECRET>,endpoint=s3.example.com:photos/x",
    ] {
        let unit = format!(
            "[Service]\nType=oneshot\nExecStart=/usr/bin/rclone sync /data \\\n  :s3,{options}\n"
        );
        there_and_back(options, &[(UNIT, &unit)], "https://s3.example.com");
    }
    let amazon = "[Service]\nExecStart=rclone sync /data :s3,provider=AWS,access_key_id=<ID>,secret_access_key=<SECRET>:photos/x\n";
    there_and_back(
        "without a server",
        &[(UNIT, amazon)],
        "https://s3.amazonaws.com",
    );
}

#[test]
fn variables_of_a_unit_are_moved_and_moved_back() {
    let unit =
        "[Service]\nEnvironmentFile=/home/ann/backup.env\nExecStart=rclone sync /data r2:photos\n";
    let variables = "# r2\nRCLONE_CONFIG_R2_TYPE=s3\nRCLONE_CONFIG_R2_ACCESS_KEY_ID=<ID>\nRCLONE_CONFIG_R2_SECRET_ACCESS_KEY=\"<SECRET>\"\nRCLONE_CONFIG_R2_ENDPOINT=https://s3.example.com\n";
    there_and_back(
        "rclone",
        &[(UNIT, unit), ("/home/ann/backup.env", variables)],
        "https://s3.example.com",
    );

    let unit = "[Service]\nEnvironmentFile=/home/ann/restic.env\nExecStart=restic backup /home\n";
    let variables = "AWS_ACCESS_KEY_ID=<ID>\nAWS_SECRET_ACCESS_KEY='<SECRET>'\nRESTIC_REPOSITORY=s3:https://s3.example.com/photos/restic\nRESTIC_PASSWORD=x";
    there_and_back(
        "restic",
        &[(UNIT, unit), ("/home/ann/restic.env", variables)],
        "https://s3.example.com",
    );
    let variables = variables.replace("https://s3", "s3");
    there_and_back(
        "restic, bare",
        &[(UNIT, unit), ("/home/ann/restic.env", &variables)],
        "https://s3.example.com",
    );

    let unit = "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=<ID> \"AWS_SECRET_ACCESS_KEY=<SECRET>\"\nEnvironment=RESTIC_PASSWORD=x\nExecStart=restic -r s3:https://s3.example.com/photos backup /home\n";
    there_and_back(
        "restic, in the unit",
        &[(UNIT, unit)],
        "https://s3.example.com",
    );

    let unit = "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=<ID>\nEnvironment=AWS_SECRET_ACCESS_KEY=<SECRET>\nExecStart=aws s3 sync /data s3://photos\n";
    there_and_back(
        "aws, without a server",
        &[(UNIT, unit)],
        "https://s3.amazonaws.com",
    );
    let unit = "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=<ID>\nEnvironment=AWS_SECRET_ACCESS_KEY=<SECRET>\nExecStart=s5cmd --endpoint-url https://s3.example.com ls s3://photos/\n";
    there_and_back("s5cmd", &[(UNIT, unit)], "https://s3.example.com");
}

#[test]
fn profiles_are_moved_and_moved_back() {
    let credentials = "[default]\naws_access_key_id = OTHERKEY\naws_secret_access_key = other\n\n[work]\naws_access_key_id = <ID>\naws_secret_access_key = <SECRET>\n";
    let config = "[profile work]\nregion = eu-west-1\nendpoint_url = https://s3.example.com\ns3 =\n    addressing_style = virtual\n";
    there_and_back(
        "with a server",
        &[
            ("/home/ann/.aws/credentials", credentials),
            ("/home/ann/.aws/config", config),
        ],
        "https://s3.example.com",
    );
    there_and_back(
        "without",
        &[("/home/ann/.aws/credentials", credentials)],
        "https://s3.amazonaws.com",
    );
    let alone = "[profile work]\naws_access_key_id = <ID>\naws_secret_access_key = <SECRET>\n";
    there_and_back(
        "in the config",
        &[("/home/ann/.aws/config", alone)],
        "https://s3.amazonaws.com",
    );
}

#[test]
fn tools_with_files_of_their_own_are_moved_and_moved_back() {
    let s3cfg = "[default]\naccess_key = <ID>\nhost_base = s3.example.com\nhost_bucket = %(bucket)s.s3.example.com\nsecret_key = <SECRET>\n# end\n";
    there_and_back(
        "s3cmd",
        &[("/home/ann/.s3cfg", s3cfg)],
        "https://s3.example.com",
    );
    let s3cfg = "[default]\naccess_key = <ID>\nsecret_key = <SECRET>\nuse_https = True\n";
    there_and_back(
        "s3cmd of Amazon's",
        &[("/home/ann/.s3cfg", s3cfg)],
        "https://s3.amazonaws.com",
    );
    let mc = "{\n\t\"version\": \"10\",\n\t\"aliases\": {\n\t\t\"other\": {\"url\": \"https://x.example\", \"accessKey\": \"OTHERID\", \"secretKey\": \"othersecret\", \"api\": \"s3v4\", \"path\": \"auto\"},\n\t\t\"play\": {\n\t\t\t\"url\": \"https://s3.example.com\",\n\t\t\t\"accessKey\": \"<ID>\",\n\t\t\t\"secretKey\": \"<SECRET>\",\n\t\t\t\"api\": \"s3v4\",\n\t\t\t\"path\": \"auto\"\n\t\t}\n\t}\n}\n";
    there_and_back(
        "mc",
        &[("/home/ann/.mc/config.json", mc)],
        "https://s3.example.com",
    );
    let unit = "[Service]\nExecStart=s3fs photos /mnt -o passwd_file=/home/ann/passwd-s3fs -o url=https://s3.example.com\n";
    there_and_back(
        "s3fs",
        &[(UNIT, unit), ("/home/ann/passwd-s3fs", "<ID>:<SECRET>\n")],
        "https://s3.example.com",
    );
}

#[test]
fn scripts_crontabs_and_compose_files_are_moved_and_moved_back() {
    let unit = "[Service]\nExecStart=/home/ann/backup.sh\n";
    let script = "#!/bin/sh\nset -e\nexport AWS_ACCESS_KEY_ID=<ID>\nexport AWS_SECRET_ACCESS_KEY=\"<SECRET>\"\naws --endpoint-url https://s3.example.com s3 sync /data s3://photos\n";
    there_and_back(
        "script",
        &[(UNIT, unit), ("/home/ann/backup.sh", script)],
        "https://s3.example.com",
    );
    let without = script.replace("--endpoint-url https://s3.example.com ", "");
    there_and_back(
        "script of Amazon's",
        &[(UNIT, unit), ("/home/ann/backup.sh", &without)],
        "https://s3.amazonaws.com",
    );
    let compose = "services:\n  backup:\n    image: restic/restic\n    network_mode: host\n    environment:\n      AWS_ACCESS_KEY_ID: <ID>\n      AWS_SECRET_ACCESS_KEY: \"<SECRET>\" # mine\n      RESTIC_REPOSITORY: s3:https://s3.example.com/photos\n    command: backup /data\n";
    let unit = "[Service]\nWorkingDirectory=/home/ann/stack\nExecStart=docker compose up\n";
    there_and_back(
        "compose",
        &[(UNIT, unit), ("/home/ann/stack/compose.yaml", compose)],
        "https://s3.example.com",
    );
    let list = compose
        .replace("AWS_ACCESS_KEY_ID: ", "- AWS_ACCESS_KEY_ID=")
        .replace(
            "AWS_SECRET_ACCESS_KEY: \"<SECRET>\"",
            "- AWS_SECRET_ACCESS_KEY=<SECRET>",
        )
        .replace("RESTIC_REPOSITORY: ", "- RESTIC_REPOSITORY=");
    there_and_back(
        "compose, a list",
        &[(UNIT, unit), ("/home/ann/stack/compose.yaml", &list)],
        "https://s3.example.com",
    );
    let line = "*/5 * * * * ann AWS_ACCESS_KEY_ID=<ID> AWS_SECRET_ACCESS_KEY=<SECRET> aws --endpoint-url https://s3.example.com s3 sync /data s3://photos\n";
    there_and_back(
        "crontab",
        &[("/etc/crontab", line)],
        "https://s3.example.com",
    );
    let lines = "AWS_ACCESS_KEY_ID=<ID>\nAWS_SECRET_ACCESS_KEY=<SECRET>\n0 2 * * * ann aws s3 sync /data s3://photos\n";
    there_and_back(
        "variables of a crontab",
        &[("/etc/crontab", lines)],
        "https://s3.amazonaws.com",
    );
}

#[test]
fn what_runs_in_a_container_with_a_network_of_its_own_is_left() {
    let compose = "services:\n  backup:\n    image: restic/restic\n    environment:\n      AWS_ACCESS_KEY_ID: <ID>\n      AWS_SECRET_ACCESS_KEY: <SECRET>\n      RESTIC_REPOSITORY: s3:https://s3.example.com/photos\n    command: backup /data\n";
    let unit = "[Service]\nWorkingDirectory=/home/ann/stack\nExecStart=docker compose up\n";
    let home = Home::with(&[(UNIT, unit), ("/home/ann/stack/compose.yaml", compose)]);
    let found = home.with_key(ID);
    let planned = |gateway: &str| {
        let own = access(OWN_ID, OWN_SECRET, gateway);
        plan(&found[0], Goal::Gateway(&own), read)
    };
    let Err(CannotPlan::CutOff(name)) = planned(GATEWAY) else {
        panic!("it was planned");
    };
    assert_eq!(name, "backup");
    // An address on a bridge is reached from there.
    assert!(planned("https://172.17.0.1:8643").is_ok());
}

#[test]
fn consumers_are_called_what_a_person_calls_them() {
    let files = [
        (
            CONF,
            "[r2]\ntype = s3\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = https://s3.example.com\n[vault]\ntype = crypt\nremote = r2:photos\n",
        ),
        (UNIT, "[Service]\nExecStart=rclone sync /data vault:\n"),
        (
            "/home/ann/.config/systemd/user/nightly.service",
            "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=OTHERKEYID AWS_SECRET_ACCESS_KEY=othersecret\nExecStart=restic -r s3:https://s3.example.com/photos backup /\n",
        ),
    ];
    let home = Home::with(&files);
    let consumers = home.consumers();
    let names: Vec<_> = consumers
        .iter()
        .map(|consumer| consumer.name.as_str())
        .collect();
    assert_eq!(names, ["rclone:r2", "restic:nightly"]);
    let selected = |text: &str| {
        let selector: Selector = text.parse().unwrap();
        let selected = consumers
            .iter()
            .filter(|consumer| selector.selects(consumer));
        selected
            .map(|consumer| consumer.name.as_str())
            .collect::<Vec<_>>()
    };
    for (asked, expected) in [
        ("rclone:r2", &["rclone:r2"][..]),
        ("rclone:r2:", &["rclone:r2"]),
        ("rclone:vault", &["rclone:r2"]),
        ("rclone:backup", &["rclone:r2"]),
        ("rclone:backup.service", &["rclone:r2"]),
        ("rclone", &["rclone:r2"]),
        ("restic:nightly", &["restic:nightly"]),
        ("restic:r2", &[]),
        ("aws:work", &[]),
    ] {
        assert_eq!(selected(asked), expected, "{asked}");
    }
    let conf = home.path(CONF);
    assert_eq!(selected(conf.to_str().unwrap()), ["rclone:r2"]);
    let unit = home.path(UNIT);
    assert_eq!(selected(unit.to_str().unwrap()), ["rclone:r2"]);
}

#[test]
fn two_of_one_name_are_told_apart_by_their_files() {
    let unit = |conf: &str| format!("[Service]\nExecStart=rclone --config {conf} lsf r2:\n");
    let conf = "[r2]\ntype = s3\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\n";
    let home = Home::with(&[
        (CONF, conf),
        ("/home/ann/second.conf", &format!("# mine\n{conf}")),
        (UNIT, &unit("/home/ann/second.conf")),
    ]);
    let consumers = home.with_key(ID);
    let names: Vec<_> = consumers.iter().map(|one| one.name.as_str()).collect();
    // The shorter path has the name alone.
    let other = format!("rclone:r2@{}", home.path(CONF).display());
    assert!(names.contains(&"rclone:r2"), "{names:?}");
    assert!(names.contains(&other.as_str()), "{names:?}");
}

#[test]
fn keys_on_command_lines_are_told_apart_by_their_lines() {
    let line = "rclone lsf :s3,access_key_id=<ID>,secret_access_key=<SECRET>:";
    let job = format!("#!/bin/sh\n{line}photos\n{line}films\n");
    let home = Home::with(&[
        ("/home/ann/job.sh", &job),
        (
            "/home/ann/.config/systemd/user/job.service",
            "[Service]\nExecStart=/bin/sh /home/ann/job.sh\n",
        ),
        (
            "/home/ann/.config/systemd/user/other.service",
            &format!("[Service]\nExecStart={line}photos\n"),
        ),
    ]);
    let found = home.with_key(ID);
    let places: Vec<_> = found.iter().map(|one| one.stands().clone()).collect();
    assert_eq!(found.len(), 3, "{places:?}");
    let names: BTreeSet<_> = found.iter().map(|one| &one.name).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let again = home.with_key(ID);
    for (at, one) in found.iter().enumerate() {
        for (other_at, other) in again.iter().enumerate() {
            assert_eq!(one.stands_exactly_where(other), at == other_at);
            let file = |of: &Consumer| of.stands().file().map(|(path, _)| path.to_owned());
            assert_eq!(one.stands_where(other), file(one) == file(other));
        }
    }
}

const SERVER: &str = "https://s3.example.com";
const OTHER_UNIT: &str = "/home/ann/.config/systemd/user/other.service";
const THIRD_UNIT: &str = "/home/ann/.config/systemd/user/third.service";
const CREDENTIALS: &str = "/home/ann/.aws/credentials";
const CONFIG: &str = "/home/ann/.aws/config";
const DEFAULT: &str =
    "[default]\naws_access_key_id = <ID>\naws_secret_access_key = <SECRET>\nregion = eu\n";

#[test]
fn an_entry_moves_with_every_job_that_overrides_its_server() {
    let unit = |line: &str| format!("[Service]\n{line}\n");
    for line in [
        "ExecStart=rclone --s3-endpoint https://s3.example.com copy /dir r2:photos/env",
        "Environment=RCLONE_S3_ENDPOINT=https://s3.example.com\nExecStart=rclone copy /dir r2:photos/env",
        "ExecStart=rclone copy /dir 'r2,endpoint=\"https://s3.example.com\":photos/x'",
    ] {
        there_and_back(line, &[(CONF, REMOTE), (UNIT, &unit(line))], SERVER);
        // Another job that has no word of its own on the server.
        let plain = unit("ExecStart=rclone lsf r2:photos");
        let files = [(CONF, REMOTE), (UNIT, &unit(line)), (OTHER_UNIT, &plain)];
        there_and_back(&format!("{line}, and without"), &files, SERVER);
    }
    let job = unit("ExecStart=aws --endpoint-url https://s3.example.com s3 sync /d s3://photos");
    let config = "[default]\nendpoint_url = https://s3.example.com\n";
    there_and_back(
        "a profile",
        &[(CREDENTIALS, DEFAULT), (CONFIG, config), (UNIT, &job)],
        SERVER,
    );
    // An entry that had no server gets one, and has none again when it is back.
    there_and_back(
        "a bare profile",
        &[(CREDENTIALS, DEFAULT), (UNIT, &job)],
        SERVER,
    );
    let bare = REMOTE.replace("endpoint = https://s3.example.com\r\n", "");
    let job = unit("ExecStart=rclone --s3-endpoint https://s3.example.com copy /dir r2:photos/env");
    there_and_back("a bare remote", &[(CONF, &bare), (UNIT, &job)], SERVER);
}

#[test]
fn a_server_that_stands_in_several_places_is_changed_in_all_of_them() {
    let script = "/home/ann/backup.sh";
    let unit = "[Service]\nExecStart=/home/ann/backup.sh\n";
    let keys = "#!/bin/sh\nexport AWS_ACCESS_KEY_ID=<ID>\nexport AWS_SECRET_ACCESS_KEY=<SECRET>\n";
    for lines in [
        "restic -r s3:https://s3.example.com/backup/r backup /home\nrestic -r s3:https://s3.example.com/backup/r forget --prune\n",
        "restic -r s3:https://s3.example.com/b backup / && restic -r s3:https://s3.example.com/b forget\n",
        "restic -r s3:s3.example.com/b backup / &&\\\n restic -r s3:https://s3.example.com/b forget\n",
        "aws --endpoint-url https://s3.example.com s3 sync /a s3://photos\naws --endpoint-url https://s3.example.com s3 sync /b s3://docs\n",
        "REPO=s3:https://s3.example.com/backup/rr\nrestic -r $REPO backup /home\necho done with $REPO\nrestic -r \"${REPO}\" check\n",
        "ENDPOINT=https://s3.example.com\naws --endpoint-url $ENDPOINT s3 sync /a s3://photos\n",
        "HOST=https://s3.example.com\nREPO=s3:$HOST/backup/rr\nrestic -r $REPO backup /home\n",
    ] {
        let text = format!("{keys}{lines}");
        there_and_back(lines, &[(UNIT, unit), (script, &text)], SERVER);
    }
    let environment =
        "Environment=AWS_ACCESS_KEY_ID=<ID>\nEnvironment=AWS_SECRET_ACCESS_KEY=<SECRET>\n";
    for lines in [
        "ExecStart=restic -r s3:https://s3.example.com/b backup /\nExecStartPost=restic -r s3:https://s3.example.com/b forget",
        "ExecStart=sh -c 'restic -r s3:https://s3.example.com/b backup / && restic -r s3:https://s3.example.com/b forget'",
    ] {
        let text = format!("[Service]\n{environment}{lines}\n");
        there_and_back(lines, &[(UNIT, &text)], SERVER);
    }
    let variables = "AWS_ACCESS_KEY_ID=<ID>\nAWS_SECRET_ACCESS_KEY=<SECRET>\nRESTIC_REPOSITORY=s3:https://s3.example.com/photos\nAWS_ENDPOINT_URL_S3=https://s3.example.com\n";
    let job = |command: &str| {
        format!("[Service]\nEnvironmentFile=/home/ann/both.env\nExecStart={command}\n")
    };
    there_and_back(
        "one file for two tools",
        &[
            (UNIT, &job("restic backup /")),
            (OTHER_UNIT, &job("aws s3 sync /d s3://photos")),
            ("/home/ann/both.env", variables),
        ],
        SERVER,
    );
    let job = |command: &str| format!("[Service]\nExecStart={command}\n");
    there_and_back(
        "one profile for three tools",
        &[
            (CREDENTIALS, DEFAULT),
            (
                UNIT,
                &job("s5cmd --endpoint-url https://s3.example.com ls s3://photos"),
            ),
            (
                OTHER_UNIT,
                &job("aws --endpoint-url https://s3.example.com s3 ls s3://photos"),
            ),
            (
                THIRD_UNIT,
                &job("restic -r s3:https://s3.example.com/b backup /"),
            ),
        ],
        SERVER,
    );
}

#[test]
fn a_server_that_serves_others_too_is_left_and_the_reason_told() {
    let unit = "[Service]\nExecStart=/home/ann/backup.sh\n";
    let keys = "#!/bin/sh\nexport AWS_ACCESS_KEY_ID=<ID>\nexport AWS_SECRET_ACCESS_KEY=<SECRET>\n";
    for (lines, told) in [
        (
            "restic -r s3:https://s3.example.com/b backup / && curl https://s3.example.com/health\n",
            "several times",
        ),
        (
            "restic -r s3:https://s3.example.com/b backup /\nrestic -r s3:https://replica.example.com/b backup /\n",
            "https://replica.example.com",
        ),
        (
            "URL=https://s3.example.com\naws --endpoint-url $URL s3 ls s3://photos\nAWS_ACCESS_KEY_ID=OTHERKEYID AWS_SECRET_ACCESS_KEY=othersecret aws --endpoint-url $URL s3 ls\n",
            "the variable URL",
        ),
    ] {
        let text = format!("{keys}{lines}");
        let home = Home::with(&[(UNIT, unit), ("/home/ann/backup.sh", &text)]);
        let own = access(OWN_ID, OWN_SECRET, GATEWAY);
        let planned = plan(&home.with_key(ID)[0], Goal::Gateway(&own), read);
        let why = planned.err().map(|why| why.to_string()).unwrap_or_default();
        assert!(why.contains(told), "{lines}: {why}");
    }
}

#[test]
fn a_job_that_takes_another_key_tells_nothing_of_a_profile() {
    let unit = "[Service]\nEnvironmentFile=/home/ann/backup.env\nExecStart=/home/ann/backup.sh\n";
    let variables = "AWS_ACCESS_KEY_ID=OTHERKEYID\nAWS_SECRET_ACCESS_KEY=othersecret\nRESTIC_REPOSITORY=s3:https://s3.example.com/backup\n";
    let config = "[default]\nendpoint_url = https://s3.example.com\n";
    let home = Home::with(&[
        (CREDENTIALS, DEFAULT),
        (CONFIG, config),
        (UNIT, unit),
        ("/home/ann/backup.env", variables),
        ("/home/ann/backup.sh", "#!/bin/sh\nrestic backup /\n"),
    ]);
    let found = home.with_key(ID);
    let [profile] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert!(
        profile
            .uses
            .iter()
            .any(|found| found.standing != Standing::Effective)
    );
    assert!(!profile.need().known);
    assert!(profile.buckets().is_empty(), "{:?}", profile.buckets());
    assert!(profile.units().is_empty());
    let selector = Selector::File(home.path("/home/ann/backup.sh"));
    assert!(!selector.selects(profile));
    let own = access(OWN_ID, OWN_SECRET, GATEWAY);
    let planned = plan(profile, Goal::Gateway(&own), read).unwrap();
    let paths: Vec<_> = planned.files.iter().map(|file| file.path.clone()).collect();
    assert_eq!(paths, [home.path(CONFIG), home.path(CREDENTIALS)]);
}

#[test]
fn a_password_file_of_s3fs_may_have_any_name_and_an_address_may_hold_the_key() {
    let unit = "[Service]\nExecStart=s3fs photos /mnt -o passwd_file=/home/ann/pw-s3fs -o url=https://s3.example.com -o use_path_request_style\n";
    there_and_back(
        "s3fs",
        &[(UNIT, unit), ("/home/ann/pw-s3fs", "<ID>:<SECRET>\n")],
        SERVER,
    );
    let secret = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00";
    let unit = format!(
        "[Service]\nEnvironment=MC_HOST_q=https://{ID}:{secret}@s3.example.com\nExecStart=mc mirror /d q/photos\n"
    );
    let home = Home::with(&[(UNIT, &unit)]);
    let own = access(OWN_ID, OWN_SECRET, GATEWAY);
    let adopted = plan(&home.with_key(ID)[0], Goal::Gateway(&own), read).unwrap();
    let moved = format!("MC_HOST_q=http://{OWN_ID}:{OWN_SECRET}@127.0.0.1:8642\n");
    assert!(
        adopted.files[0].after.contains(&moved),
        "{}",
        *adopted.files[0].after
    );
    write(&adopted);
    let nothing = BTreeMap::new();
    let goal = Goal::Provider {
        access: &access(ID, secret, SERVER),
        settings: &ServerSettings::default(),
        layout: &adopted.layout,
        originals: &nothing,
    };
    let back = plan(&home.with_key(OWN_ID)[0], goal, read).unwrap();
    assert_eq!(*back.files[0].after, unit);
}

#[test]
fn a_compose_file_that_no_unit_starts_is_moved_and_moved_back() {
    let path = "/home/ann/stack/compose.yaml";
    let mapping = "services:\n  backup:\n    image: restic/restic\n    network_mode: host\n    environment:\n      AWS_ACCESS_KEY_ID: <ID>\n      AWS_SECRET_ACCESS_KEY: <SECRET>\n      RESTIC_REPOSITORY: s3:https://s3.example.com/photos\n    command: backup /data\n";
    let endpoint = mapping.replace("restic/restic", "busybox").replace(
        "RESTIC_REPOSITORY: s3:https://s3.example.com/photos",
        "AWS_ENDPOINT_URL: https://s3.example.com",
    );
    let list = |text: &str| {
        text.replace("AWS_ACCESS_KEY_ID: ", "- AWS_ACCESS_KEY_ID=")
            .replace("AWS_SECRET_ACCESS_KEY: ", "- AWS_SECRET_ACCESS_KEY=")
            .replace("RESTIC_REPOSITORY: ", "- RESTIC_REPOSITORY=")
            .replace("AWS_ENDPOINT_URL: ", "- AWS_ENDPOINT_URL=")
    };
    for text in [mapping, &endpoint, &list(mapping), &list(&endpoint)] {
        there_and_back_of(&[path], text, &[(path, text)], SERVER);
    }
}

#[test]
fn a_file_of_variables_of_any_name_is_moved_and_moved_back() {
    let path = "/home/ann/restic-keys";
    let text = "# nightly\nexport RESTIC_REPOSITORY=s3:https://s3.example.com/photos\nexport AWS_ACCESS_KEY_ID=<ID>\nexport AWS_SECRET_ACCESS_KEY='<SECRET>'\n";
    there_and_back_of(&[path], "variables", &[(path, text)], SERVER);
    // A script is more than its variables.
    let script = format!("{text}do-something\n");
    let mut home = Home::with(&[(path, &script)]);
    home.named = vec![path];
    assert!(home.with_key(ID).is_empty());
}
