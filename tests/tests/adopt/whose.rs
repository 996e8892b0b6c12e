//! Whose credentials are behind a tool's key: its own, or those that its user names, and never anybody else's.

use bascule_tests::cli::REFUSED;
use serde_json::{Value, json};

use crate::Stage;

const CONF: &str = ".config/rclone/rclone.conf";

fn remote(stage: &Stage, name: &str, (id, secret): &(String, String)) -> String {
    format!(
        "[{name}]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\nsecret_access_key = {secret}\nendpoint = {}\n",
        stage.minio().endpoint()
    )
}

fn write(stage: &Stage, text: &str) {
    let path = stage.home(CONF);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn conf(stage: &Stage) -> String {
    std::fs::read_to_string(stage.home(CONF)).unwrap()
}

fn whole(bucket: &str) -> String {
    let arn = format!("arn:aws:s3:::{bucket}");
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Action": ["s3:*"], "Resource": [arn, format!("{arn}/*")],
        }],
    })
    .to_string()
}

#[test]
fn keys_that_end_alike_are_not_the_same_and_each_tool_goes_with_its_own() {
    let Some(stage) = Stage::new(&[]) else { return };
    let (docs, vault) = (stage.minio().bucket(), stage.minio().bucket());
    let docs_user = stage
        .minio()
        .limited_user("docs-backup-user", &whole(&docs));
    let vault_user = stage
        .minio()
        .limited_user("vault-backup-user", &whole(&vault));
    let (docs_user, vault_user) = (docs_user.unwrap(), vault_user.unwrap());
    let before = format!(
        "{}\n{}",
        remote(&stage, "ndocs", &docs_user),
        remote(&stage, "nvault", &vault_user)
    );
    write(&stage, &before);
    let first = stage.bascule(&["adopt", "rclone:ndocs", "--yes"]).ok();
    let second = stage.bascule(&["adopt", "rclone:nvault", "--yes"]).ok();
    assert_eq!(first["moved"][0]["connection"], "ndocs", "{first}");
    assert_eq!(second["moved"][0]["connection"], "nvault", "{second}");
    for place in [format!("ndocs:{docs}"), format!("nvault:{vault}")] {
        let ls = stage.world.rclone(&["lsf", &place]);
        assert_eq!(ls.code, Some(0), "{place}: {ls}");
    }
    stage.bascule(&["eject", "--all", "--yes"]).ok();
    assert_eq!(conf(&stage), before);
    // Once more, through the connections that are there: each finds its own.
    let again = stage.bascule(&["adopt", "--all", "--yes"]).ok();
    let connections = again["moved"].as_array().unwrap().iter();
    let connections: Vec<_> = connections.map(|one| one["connection"].clone()).collect();
    assert_eq!(connections, ["ndocs", "nvault"], "{again}");
}

#[test]
fn a_narrow_key_gets_a_wide_connection_only_by_name_within_limits_and_leaves_with_its_own() {
    let Some(stage) = Stage::new(&[]) else { return };
    let photos = stage.bucket.clone();
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": [format!("arn:aws:s3:::{photos}/2026/*")],
        }],
    });
    let user = stage
        .minio()
        .limited_user("narrow-user", &policy.to_string());
    let before = remote(&stage, "pre", &user.unwrap());
    write(&stage, &before);
    let unit = stage.home(".config/systemd/user/copy.service");
    std::fs::create_dir_all(unit.parent().unwrap()).unwrap();
    let data = stage.home("data");
    let line = format!(
        "[Service]\nExecStart=rclone copy {} pre:{photos}/2026/x\n",
        data.display()
    );
    std::fs::write(&unit, line).unwrap();
    let other = stage.minio().bucket();
    let endpoint = stage.minio().endpoint();
    let wide = (stage.user.0.as_str(), stage.user.1.as_str());
    stage
        .world
        .connect_at("wide", &[&photos, &other], &endpoint, wide);

    let left = stage
        .bascule(&["adopt", "rclone:pre", "--yes"])
        .exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("--connection wide"), "{left}");
    assert_eq!(conf(&stage), before);

    let args = ["adopt", "rclone:pre", "--connection", "wide", "--yes"];
    let adopted = stage.bascule(&args).ok();
    let moved = &adopted["moved"][0];
    assert!(
        moved["gained"].as_str().unwrap().contains("wide"),
        "{moved}"
    );
    let shown = stage
        .bascule(&["key", "show", moved["key"].as_str().unwrap()])
        .ok();
    assert_eq!(shown["key"]["buckets"], json!([photos]), "{shown}");
    assert_eq!(shown["key"]["prefixes"], json!(["2026/x"]), "{shown}");
    let ejected = stage.bascule(&["eject", "rclone:pre", "--yes"]).ok();
    assert_eq!(ejected["ejected"][0]["connection_key"], false, "{ejected}");
    assert_eq!(conf(&stage), before, "what it had, not what wide has");

    // Once that is dead, the other one is given only to whoever asks for it.
    stage.bascule(&args).ok();
    stage.minio().disable("narrow-user");
    let left = stage
        .bascule(&["eject", "rclone:pre", "--yes"])
        .exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("--connection-key"), "{left}");
    assert!(conf(&stage).contains("BSC"));
    stage
        .bascule(&["eject", "rclone:pre", "--connection-key", "--yes"])
        .ok();
    assert!(conf(&stage).contains(&stage.user.0));
}

#[test]
fn adoptions_of_one_file_are_undone_in_any_order_and_no_other_change_is_lost() {
    let Some(stage) = Stage::new(&[]) else { return };
    let remotes = ["one", "two", "three"].map(|name| remote(&stage, name, &stage.user));
    let before = remotes.join("\n");
    write(&stage, &before);
    let file = stage.home(CONF);
    let adopted = stage.bascule(&["adopt", file.to_str().unwrap(), "--yes"]);
    let adopted = adopted.ok();
    let moved = adopted["moved"].as_array().unwrap();
    let ids: Vec<_> = moved
        .iter()
        .map(|one| one["id"].as_str().unwrap())
        .collect();
    let undo = |id: &str| stage.bascule(&["adopt", "--undo", id, "--yes"]);
    undo(ids[1]).ok();
    let now = conf(&stage);
    assert_eq!(now.matches(&stage.user.0).count(), 1, "{now}");
    assert_eq!(now.matches("BSC").count(), 2, "{now}");
    // What somebody writes in between is told, line by line, and stays.
    write(&stage, &format!("{now}region = mine\n"));
    let refused = undo(ids[0]).exits(REFUSED);
    let changes = refused.error()["details"][0]["changes"].to_string();
    assert!(changes.contains("region = mine"), "{refused}");
    assert!(!changes.contains("type = s3"), "{refused}");
    write(&stage, &now);
    undo(ids[0]).ok();
    undo(ids[2]).ok();
    assert_eq!(conf(&stage), before);
}

#[test]
fn a_rewrite_that_was_interrupted_goes_on_when_it_is_repeated() {
    let Some(stage) = Stage::new(&[]) else { return };
    write(&stage, &remote(&stage, "r2", &stage.user));
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let moved = &adopted["moved"][0];
    let name = format!(
        "{}/{}",
        moved["connection"].as_str().unwrap(),
        moved["label"].as_str().unwrap()
    );
    // As far as it had come: the new key is there, and nobody has it.
    let rotated = stage.bascule(&["key", "rotate", &name]).ok();
    let new = rotated["issued"]["key"]["access_key_id"].as_str().unwrap();
    let again = ["key", "rotate", &name, "--rewrite", "--yes"];
    let moved = |answer: &Value| answer["moved"].as_array().map(Vec::len);
    let done = stage.bascule(&again).ok();
    assert_eq!(moved(&done), Some(1), "{done}");
    assert!(conf(&stage).contains(new));
    let done = stage.bascule(&again).ok();
    assert_eq!(moved(&done), Some(0), "{done}");
    assert!(conf(&stage).contains(new));
}
