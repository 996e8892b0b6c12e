//! Ways back that can't be gone blindly: over what others wrote since, from what a killed run has left, and
//! for tools that were never adopted.

use bascule_client::channel::Client;
use bascule_proto::v1;
use bascule_tests::{
    Cli,
    cli::{self, REFUSED},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::Stage;

const CONF: &str = ".config/rclone/rclone.conf";
const REMOTE: &str = "[r2]\ntype = s3\nprovider = Minio\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = <ENDPOINT>\n";

fn stage() -> Option<Stage> {
    Stage::new(&[(CONF, REMOTE)])
}

fn key_of(answer: &Value) -> &str {
    answer["moved"][0]["key"].as_str().unwrap()
}

fn state_of(stage: &Stage, key: &str) -> String {
    let shown = stage.bascule(&["key", "show", key]).ok();
    shown["key"]["state"].as_str().unwrap().to_owned()
}

fn adoptions(stage: &Stage) -> Vec<Value> {
    let list = stage.bascule(&["adopt", "--list"]).ok();
    list["adoptions"].as_array().unwrap().clone()
}

/// Has the daemon keep what a run keeps before it changes a file, as if it had been killed then.
fn prepared(stage: &Stage, key: &str, consumer: &str, path: &str) -> String {
    let runtime = Runtime::new().unwrap();
    let socket = Cli::new(&stage.world.home).socket();
    let request = v1::PrepareAdoptionRequest {
        key: key.into(),
        consumer: consumer.into(),
        layout: format!(r#"{{"files":[{{"path":"{path}","after":"other"}}],"layout":[]}}"#),
        files: vec![v1::OriginalFile {
            path: path.into(),
            content: b"what stood there".to_vec(),
        }],
        ..v1::PrepareAdoptionRequest::default()
    };
    let answer = runtime.block_on(async {
        let client = Client::connect(Some(&socket)).await.unwrap();
        client.adoptions().prepare(request).await.unwrap()
    });
    answer.into_inner().adoption.unwrap().id
}

#[test]
fn undo_over_several_moves_never_takes_away_what_was_written_between_them() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let path = stage.home(CONF);
    let mine = "\n[mine]\ntype = local\n";
    std::fs::write(&path, format!("{}{mine}", stage.text())).unwrap();
    let rotate = ["--now", "--rewrite", "--yes"];
    let first = [&["key", "rotate", key_of(&adopted)][..], &rotate].concat();
    let rotated = stage.bascule(&first).ok();
    let again = [&["key", "rotate", key_of(&rotated)][..], &rotate].concat();
    let last = stage.bascule(&again).ok();
    let id = last["moved"][0]["id"].as_str().unwrap();
    let now = stage.text();

    let refused = stage
        .bascule(&["adopt", "--undo", id, "--yes"])
        .exits(REFUSED);
    let next = refused.error()["next"].as_str().unwrap().to_owned();
    assert!(next.contains("bascule eject rclone:r2"), "{next}");
    assert_eq!(stage.text(), now);
    let said = stage.world.cli().say(&["adopt", "--undo", id, "--yes"]);
    assert!(said.text().contains("[mine]"), "the difference: {said}");
    let can = |one: &Value| one["can_be_undone"] == true;
    assert!(!adoptions(&stage).iter().any(can));
    // The first one names the one that is in force.
    let first = adopted["moved"][0]["id"].as_str().unwrap();
    let refused = stage.bascule(&["adopt", "--undo", first]).exits(REFUSED);
    assert!(refused.text().contains(id), "{refused}");
    stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();
    assert!(stage.text().ends_with(mine));
}

#[test]
fn undo_puts_no_credentials_back_that_were_replaced_since() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let connection = adopted["moved"][0]["connection"].as_str().unwrap();
    let own = stage.minio().user().unwrap();
    stage
        .world
        .cli()
        .run_with(
            &["credentials", connection, "--credentials-stdin"],
            &format!("{}\n{}\n", own.0, own.1),
        )
        .ok();
    let now = stage.text();
    let id = adopted["moved"][0]["id"].as_str().unwrap();
    let refused = stage
        .bascule(&["adopt", "--undo", id, "--yes"])
        .exits(REFUSED);
    assert!(refused.text().contains("bascule eject"), "{refused}");
    assert_eq!(stage.text(), now);
    assert_eq!(state_of(&stage, key_of(&adopted)), "active");
}

#[test]
fn an_interrupted_move_is_settled_only_as_what_is_seen_of_it_and_stops_nobody_else() {
    let Some(stage) = stage() else { return };
    let user = (stage.user.0.as_str(), stage.user.1.as_str());
    let endpoint = stage.minio().endpoint();
    for name in ["other", "gone"] {
        stage
            .world
            .connect_at(name, &[&stage.bucket], &endpoint, user);
    }
    let file = |name: &str, text: &str| {
        let path = stage.home(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // It can't be told whether the file holds the key: neither key nor originals may go.
    let key = stage.world.issue("other", "unreadable");
    let managed = "# This file is managed by Ansible, do not edit\n";
    let unreadable = file("unreadable.env", managed);
    let unknown = prepared(&stage, &key.id, "shell:unreadable", &unreadable);
    // One on what is not mounted.
    let away = stage.world.issue("other", "away");
    let not_mounted = stage.home("usb/away.env");
    let not_mounted = not_mounted.to_str().unwrap();
    let is_away = prepared(&stage, &away.id, "shell:away", not_mounted);
    // One whose connection is deleted since, and whose file was edited and holds the dead key.
    let dead = stage.world.issue("gone", "edited");
    let edited = file(
        "edited.env",
        &format!("# mine\nAWS_ACCESS_KEY_ID={}\n", dead.id),
    );
    let holding = prepared(&stage, &dead.id, "shell:edited", &edited);
    stage.world.delete("gone", &[]).verdict("intact");

    let adopted = stage.bascule(&["adopt", "rclone:r2", "--connection", "other", "--yes"]);
    assert_eq!(adopted.code, Some(0), "{adopted}");
    let all = adoptions(&stage);
    let state = |id: &str| {
        let mut all = all.iter();
        all.find(|one| one["id"] == id).unwrap()["state"].clone()
    };
    assert_eq!(state(&unknown), "prepared");
    assert_eq!(state(&is_away), "prepared");
    assert_eq!(state(&holding), "adopted", "so that it can be repaired");
    assert_eq!(state_of(&stage, &key.id), "active");
    assert_eq!(state_of(&stage, &away.id), "active");
    let said = stage
        .world
        .cli()
        .say(&["eject", "rclone:r2", "--yes"])
        .exits(0);
    assert!(said.text().contains("managed by Ansible"), "{said}");
    assert!(said.text().contains("not be mounted"), "{said}");
}

#[test]
fn what_is_not_mounted_is_not_gone_unless_the_user_says_so() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let folder = stage.home(".config/rclone");
    let aside = stage.home("aside");
    std::fs::rename(&folder, &aside).unwrap();
    let left = stage.bascule(&["eject", "--all", "--yes"]).exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("mounted") && why.contains("--gone"), "{why}");
    assert_eq!(adoptions(&stage)[0]["state"], "adopted");
    assert_eq!(state_of(&stage, key_of(&adopted)), "active");
    let closed = stage.bascule(&["eject", "--all", "--gone", "--yes"]).ok();
    assert_eq!(closed["closed"][0]["consumer"], "rclone:r2", "{closed}");
    assert_eq!(state_of(&stage, key_of(&adopted)), "dead");
}

/// Runs as root only: what is mounted for the adoption alone is gone after it.
#[test]
fn a_file_at_the_root_of_a_mount_point_that_is_empty_now_is_not_gone() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: not root");
        return;
    }
    let Some(stage) = stage() else { return };
    let folder = stage.home(".config/rclone");
    let aside = stage.home("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let bascule = stage.world.cli().command();
    let mut command = stage.world.home.command("/usr/bin/unshare".as_ref());
    let script = "mount -t tmpfs none \"$1\" && cp \"$2\"/* \"$1\" && shift 2 && exec \"$@\"";
    command
        .args(["-m", "sh", "-c", script, "sh"])
        .args([&folder, &aside])
        .arg(bascule.get_program())
        .args(bascule.get_args())
        .args(["--json", "adopt", "rclone:r2", "--yes"]);
    for (name, value) in bascule.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let adopted = cli::finish(command, "", "adopt on a mount".into()).ok();
    assert!(folder.read_dir().unwrap().next().is_none());
    let left = stage.bascule(&["eject", "--all", "--yes"]).exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(
        why.contains("not mounted") && why.contains("--gone"),
        "{why}"
    );
    assert_eq!(adoptions(&stage)[0]["files_away"], true);
    assert_eq!(state_of(&stage, key_of(&adopted)), "active");
    stage.bascule(&["eject", "--all", "--gone", "--yes"]).ok();
    assert_eq!(state_of(&stage, key_of(&adopted)), "dead");
}

#[test]
fn an_interrupted_move_whose_files_are_gone_is_told_and_closed() {
    let Some(stage) = stage() else { return };
    let user = (stage.user.0.as_str(), stage.user.1.as_str());
    let endpoint = stage.minio().endpoint();
    stage
        .world
        .connect_at("other", &[&stage.bucket], &endpoint, user);
    let one = |all: &[Value], id: &str| {
        let mut all = all.iter();
        all.find(|one| one["id"] == id).unwrap().clone()
    };
    // Without its folder it may not be mounted.
    let away = stage.world.issue("other", "away");
    let path = stage.home("usb/away.env");
    let is_away = prepared(&stage, &away.id, "shell:away", path.to_str().unwrap());
    let told = one(&adoptions(&stage), &is_away);
    assert_eq!(told["interrupted"], true, "{told}");
    assert_eq!(told["files_away"], true, "{told}");
    let said = stage.world.cli().say(&["adopt", "--list"]).exits(0);
    assert!(
        said.text().contains("interrupted, folder not there"),
        "{said}"
    );
    assert!(
        said.text().contains("bascule eject shell:away --gone"),
        "{said}"
    );
    let undo = stage.bascule(&["adopt", "--undo", &is_away, "--yes"]);
    let next = undo.exits(REFUSED).error()["next"].to_string();
    assert!(next.contains("eject shell:away --gone"), "{next}");
    let left = stage
        .bascule(&["eject", "shell:away", "--yes"])
        .exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("--gone"), "{why}");
    assert_eq!(state_of(&stage, &away.id), "active");
    let closed = stage
        .bascule(&["eject", "shell:away", "--gone", "--yes"])
        .ok();
    assert_eq!(closed["closed"][0]["consumer"], "shell:away", "{closed}");
    assert_eq!(state_of(&stage, &away.id), "dead");
    assert_eq!(one(&adoptions(&stage), &is_away)["state"], "rolled-back");

    // With it, it is certain, and closed by whichever run comes next; eject tells so.
    let gone = stage.world.issue("other", "gone");
    let path = stage.home("gone.env");
    let is_gone = prepared(&stage, &gone.id, "shell:gone", path.to_str().unwrap());
    let told = one(&adoptions(&stage), &is_gone);
    assert_eq!(told["files_gone"], true, "{told}");
    let closed = stage.bascule(&["eject", "shell:gone", "--yes"]).ok();
    assert_eq!(closed["closed"][0]["consumer"], "shell:gone", "{closed}");
    assert_eq!(closed["closed"][0]["key_lives"], false, "{closed}");
    assert_eq!(state_of(&stage, &gone.id), "dead");
}

#[test]
fn after_an_erasure_a_repair_gives_what_the_dead_key_was_allowed_and_no_more() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let connection = adopted["moved"][0]["connection"].as_str().unwrap();
    let narrowed = ["--permission", "append", "--prefix", "own/"];
    let restrict = [&["key", "restrict", key_of(&adopted)][..], &narrowed].concat();
    stage.bascule(&restrict).ok();
    // The other one reaches more than the first did.
    let more = stage.minio().bucket();
    let user = stage.minio().user().unwrap();
    let both = [&*stage.bucket, &*more];
    let endpoint = stage.minio().endpoint();
    stage
        .world
        .connect_at("spare", &both, &endpoint, (&user.0, &user.1));
    stage.world.delete(connection, &[]).verdict("intact");
    let repair = ["repair", "rclone:r2", "--connection", "spare", "--yes"];
    let repaired = stage.bascule(&repair).ok();
    assert_eq!(repaired["moved"][0]["permission"], "append", "{repaired}");
    let shown = stage.bascule(&["key", "show", key_of(&repaired)]).ok();
    let key = &shown["key"];
    assert_eq!(key["prefixes"], serde_json::json!(["own/"]), "{shown}");
    assert_eq!(key["buckets"], serde_json::json!([stage.bucket]), "{shown}");
}

#[test]
fn a_file_that_its_user_set_back_only_loses_its_record() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    std::fs::write(stage.home(CONF), &before).unwrap();
    let closed = stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();
    assert_eq!(closed["closed"][0]["consumer"], "rclone:r2", "{closed}");
    assert_eq!(closed["left"], Value::Array(Vec::new()), "{closed}");
    assert_eq!(state_of(&stage, key_of(&adopted)), "dead");
    assert_eq!(stage.text(), before);
}

#[test]
fn of_keys_on_command_lines_only_the_ejected_ones_place_is_looked_at() {
    const OWN: &str = "[Service]\nExecStart=rclone lsf :s3,provider=Minio,access_key_id=<ID>,secret_access_key=<SECRET>,endpoint=\\'<ENDPOINT>\\':<BUCKET>\n";
    // The provider's key on another line, with a secret that would not pass: nobody moves that.
    const STALE: &str = "[Service]\nExecStart=rclone lsf :s3,provider=Minio,access_key_id=<ID>,secret_access_key=fromBeforeItWasChanged,endpoint=\\'<ENDPOINT>\\':<BUCKET>\n";
    let Some(stage) = Stage::new(&[
        (".config/systemd/user/own.service", OWN),
        (".config/systemd/user/stale.service", STALE),
    ]) else {
        return;
    };
    let before = stage.text();
    let user = (stage.user.0.as_str(), stage.user.1.as_str());
    let endpoint = stage.minio().endpoint();
    stage
        .world
        .connect_at("photos", &[&stage.bucket], &endpoint, user);
    let adopted = stage.bascule(&["adopt", "rclone:own", "--connection", "photos", "--yes"]);
    assert_eq!(adopted.code, Some(0), "{adopted}\n{}", stage.text());
    let ejected = stage.bascule(&["eject", "rclone:own", "--yes"]);
    assert_eq!(ejected.code, Some(0), "{ejected}\n{}", stage.text());
    assert_eq!(stage.text(), before);
}

#[test]
fn a_remote_that_a_key_was_written_into_is_ejected_to_its_provider() {
    for repaired in [false, true] {
        let Some(stage) = Stage::new(&[]) else { return };
        let user = (stage.user.0.as_str(), stage.user.1.as_str());
        let endpoint = stage.minio().endpoint();
        stage
            .world
            .connect_at("photos", &[&stage.bucket], &endpoint, user);
        let issue = [
            "key", "issue", "photos", "--label", "r2", "--format", "rclone", "--write",
        ];
        let conf = stage.home(CONF);
        std::fs::create_dir_all(conf.parent().unwrap()).unwrap();
        let issued = stage.bascule(&issue).ok();
        if repaired {
            let key = issued["key"]["access_key_id"].as_str().unwrap();
            stage.bascule(&["key", "revoke", key]).ok();
            stage.bascule(&["repair", "--all", "--yes"]).ok();
        }
        let ejected = stage.bascule(&["eject", "--all", "--yes"]).ok();
        assert_eq!(ejected["ejected"][0]["key_lives"], false, "{ejected}");
        let text = std::fs::read_to_string(&conf).unwrap();
        assert!(
            text.contains(&stage.user.0) && text.contains(&endpoint),
            "{text}"
        );
        let none = stage.bascule(&["eject", "--all", "--yes"]).ok();
        assert_eq!(none["left"], Value::Array(Vec::new()), "{none}");
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix('['))
            .unwrap();
        let remote = format!("{}:{}", name.trim_end_matches(']'), stage.bucket);
        let ls = stage.world.rclone(&["lsf", &remote]);
        assert_eq!(ls.code, Some(0), "{ls}");
    }
}

#[test]
fn a_key_that_two_tools_share_dies_when_both_are_ejected() {
    let two = "[r2]\ntype = s3\nprovider = Minio\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = <ENDPOINT>\n";
    let Some(stage) = Stage::new(&[(CONF, two)]) else {
        return;
    };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let conf = stage.home(CONF);
    let copy = stage.text().replace("[r2]", "[copy]");
    std::fs::write(&conf, format!("{}\n{copy}", stage.text())).unwrap();
    let ejected = stage.bascule(&["eject", "rclone:copy", "--yes"]).ok();
    assert_eq!(ejected["ejected"][0]["key_lives"], true, "{ejected}");
    assert_eq!(state_of(&stage, key_of(&adopted)), "active");
    assert_eq!(adoptions(&stage)[0]["state"], "adopted", "it is r2's");
    let own = stage.text();
    let copy = own
        .split("[copy]")
        .next()
        .unwrap()
        .replace("[r2]", "[copy]");
    std::fs::write(
        &conf,
        format!("{}{copy}", own.split("[copy]").next().unwrap()),
    )
    .unwrap();
    let both = stage.bascule(&["eject", "--all", "--yes"]).ok();
    let lives = |one: &Value| one["key_lives"] == true;
    let done = both["ejected"].as_array().unwrap();
    assert!(done.len() == 2 && !done.iter().any(lives), "{both}");
    assert_eq!(state_of(&stage, key_of(&adopted)), "dead");
}
