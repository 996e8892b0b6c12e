//! How files are changed: by nobody's leave but the user's, whole or not at all, and never for what
//! somebody else wrote.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use bascule_tests::{
    cli::{self, INCOMPLETE, REFUSED, STEPS_REMAIN},
    tools, wait,
};

use crate::Stage;

const CONF: &str = ".config/rclone/rclone.conf";
const REMOTE: &str = "[r2]\ntype = s3\nprovider = Minio\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = <ENDPOINT>\n";

fn stage() -> Option<Stage> {
    Stage::new(&[(CONF, REMOTE)])
}

#[test]
fn nothing_is_changed_without_consent_or_in_a_dry_run() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    let plan = stage.bascule(&["adopt", "rclone:r2", "--dry-run"]).ok();
    assert_eq!(plan["moved"][0]["consumer"], "rclone:r2");
    let changes = plan["moved"][0]["files"][0]["changes"].to_string();
    assert!(changes.contains("endpoint"), "{changes}");
    let error = stage
        .bascule(&["adopt", "rclone:r2"])
        .exits(REFUSED)
        .error();
    assert!(error["next"].as_str().unwrap().contains("--yes"));
    assert_eq!(stage.text(), before);
    let connections = stage.bascule(&["list"]).ok();
    assert_eq!(connections["connections"].as_array().map(Vec::len), Some(0));
}

#[test]
fn no_secret_is_shown_and_no_copy_is_left_beside_the_file() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    let secret = before
        .lines()
        .find_map(|line| line.strip_prefix("secret_access_key = "))
        .unwrap();
    let answer = stage.bascule(&["adopt", "rclone:r2", "--yes"]);
    assert_eq!(answer.code, Some(0), "{answer}");
    assert!(!answer.text().contains(secret));
    let own = stage.text();
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("secret_access_key = "))
        .unwrap();
    assert!(!answer.text().contains(own));
    let folder = stage.home(".config/rclone");
    let names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(names, ["rclone.conf"]);
    for (path, bytes) in stage.world.home.files("home/.state") {
        assert!(
            !bascule_tests::home::holds(&bytes, secret),
            "{}",
            path.display()
        );
    }
}

#[test]
fn undo_puts_the_exact_bytes_back_unless_the_file_has_changed() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let id = adopted["moved"][0]["id"].as_str().unwrap().to_owned();
    let path = stage.home(CONF);
    let own = stage.text();
    std::fs::write(&path, format!("{own}# mine\n")).unwrap();
    let refused = stage
        .bascule(&["adopt", "--undo", &id, "--yes"])
        .exits(REFUSED);
    assert!(
        refused.error()["next"].as_str().unwrap().contains("eject"),
        "{refused}"
    );
    std::fs::write(&path, &own).unwrap();
    stage.bascule(&["adopt", "--undo", &id[..6], "--yes"]).ok();
    assert_eq!(stage.text(), before);
    let key = adopted["moved"][0]["key"].as_str().unwrap();
    let shown = stage.bascule(&["key", "show", key]).ok();
    assert_eq!(shown["key"]["state"], "dead", "{shown}");
    // The same tool again, through the connection that is there already.
    let again = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    assert_eq!(
        again["moved"][0]["connection"],
        adopted["moved"][0]["connection"]
    );
}

#[test]
fn mode_owner_and_links_stay() {
    let Some(stage) = stage() else { return };
    let path = stage.home(CONF);
    let real = stage.home("dotfiles/rclone.conf");
    std::fs::create_dir_all(real.parent().unwrap()).unwrap();
    std::fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o644)).unwrap();
    let owner = std::fs::metadata(&real).unwrap().uid();
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
    let metadata = std::fs::metadata(&real).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid()), (0o644, owner));
    assert!(std::fs::read_to_string(&real).unwrap().contains("BSC"));
    assert_eq!(
        adopted["moved"][0]["readable_by_others"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[test]
fn what_another_program_manages_is_left_and_told() {
    let Some(stage) = stage() else { return };
    let path = stage.home(CONF);
    let text = format!(
        "# This file is managed by Ansible, do not edit\n{}",
        stage.text()
    );
    std::fs::write(&path, &text).unwrap();
    let answer = stage
        .bascule(&["adopt", "rclone:r2", "--yes"])
        .exits(REFUSED);
    assert!(
        answer.json["left"][0]["why"]
            .as_str()
            .unwrap()
            .contains("manages"),
        "{answer}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn what_would_not_work_is_put_back_and_its_key_is_revoked() {
    let Some(stage) = stage() else { return };
    let one = stage.text();
    let two = format!("{one}\n{}", one.replace("[r2]", "[other]"));
    std::fs::write(stage.home(CONF), two).unwrap();
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let connection = adopted["moved"][0]["connection"].as_str().unwrap();
    let before = stage.text();
    // The trial listing is refused.
    stage.bascule(&["pause", connection]).ok();
    let answer = stage.bascule(&["adopt", "rclone:other", "--yes"]);
    assert_ne!(answer.code, Some(0), "{answer}");
    assert_eq!(stage.text(), before);
    let listed = stage.bascule(&["list"]).ok();
    assert_eq!(listed["connections"][0]["living_keys"], 1, "{listed}");
}

#[test]
fn a_tool_whose_server_stands_where_anothers_does_is_left_and_the_other_goes_on() {
    const ONE: &str = "[Service]\nEnvironmentFile=<HOME>/a.env\nExecStart=<HOME>/backup.sh\n";
    const TWO: &str = "[Service]\nEnvironmentFile=<HOME>/b.env\nExecStart=<HOME>/backup.sh\n";
    let other = "AWS_ACCESS_KEY_ID=AKIAOTHERS00000007F3Q\nAWS_SECRET_ACCESS_KEY=another\n";
    let script = "#!/bin/sh\naws --endpoint-url <ENDPOINT> s3 ls s3://<BUCKET>\n";
    let Some(stage) = Stage::new(&[
        (
            "a.env",
            "AWS_ACCESS_KEY_ID=<ID>\nAWS_SECRET_ACCESS_KEY=<SECRET>\n",
        ),
        ("b.env", other),
        ("backup.sh", script),
        (".config/systemd/user/one.service", ONE),
        (".config/systemd/user/two.service", TWO),
    ]) else {
        return;
    };
    let texts = || {
        ["a.env", "b.env", "backup.sh"]
            .map(|file| std::fs::read_to_string(stage.home(file)).unwrap())
    };
    let before = texts();
    let file = stage.home("a.env");
    let answer = stage.bascule(&["adopt", file.to_str().unwrap(), "--yes"]);
    assert_ne!(answer.code, Some(0), "{answer}");
    assert!(answer.text().contains("sent elsewhere"), "{answer}");
    assert_eq!(texts(), before);
}

#[test]
fn two_tools_in_one_file_are_moved_one_after_the_other() {
    let Some(stage) = Stage::new(&[(
        CONF,
        "[one]\ntype = s3\nprovider = Minio\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = <ENDPOINT>\n\n[two]\ntype = s3\nprovider = Minio\nendpoint = <ENDPOINT>\nsecret_access_key = <SECRET>\naccess_key_id = <ID>",
    )]) else {
        return;
    };
    let before = stage.text();
    let conf = stage.home(CONF);
    let adopted = stage
        .bascule(&["adopt", conf.to_str().unwrap(), "--yes"])
        .ok();
    let moved = adopted["moved"].as_array().unwrap();
    assert_eq!(moved.len(), 2, "{adopted}");
    assert_ne!(moved[0]["key"], moved[1]["key"]);
    assert_eq!(moved[0]["connection"], moved[1]["connection"]);
    stage.bascule(&["eject", "rclone:one", "--yes"]).ok();
    stage.bascule(&["eject", "--all", "--yes"]).ok();
    assert_eq!(stage.text(), before);
}

#[test]
fn what_can_not_be_moved_is_told_beside_what_was() {
    let Some(stage) = Stage::new(&[
        (CONF, REMOTE),
        (
            ".aws/credentials",
            "[sso]\naws_access_key_id = ASIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\naws_session_token = y\n",
        ),
    ]) else {
        return;
    };
    let answer = stage
        .bascule(&["adopt", "rclone:r2", "aws:sso", "--yes"])
        .exits(STEPS_REMAIN);
    assert_eq!(
        answer.json["moved"].as_array().map(Vec::len),
        Some(1),
        "{answer}"
    );
    assert!(
        answer.json["left"][0]["why"]
            .as_str()
            .unwrap()
            .contains("temporary"),
        "{answer}"
    );
}

#[test]
fn a_run_that_is_killed_leaves_the_old_file_or_the_new_one_and_is_put_back_by_the_next() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    // Make the connection, so that what is killed is the move.
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let id = adopted["moved"][0]["id"].as_str().unwrap();
    stage.bascule(&["adopt", "--undo", id, "--yes"]).ok();
    let begun = std::time::Instant::now();
    stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let whole = begun.elapsed();
    stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();
    assert_eq!(stage.text(), before);
    let kills = 16 * u32::try_from(bascule_tests::scale()).unwrap();
    let mut seen_new = false;
    // The last one dies once the file is new, wherever in time that is.
    for kill in 0..=kills {
        let mut command = stage.world.cli().command();
        command.args(["adopt", "rclone:r2", "--yes"]);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut child = command.spawn().unwrap();
        // Where in the run it dies is what the kills differ in.
        if kill < kills {
            std::thread::sleep(whole * (kill + 1) / (kills + 1));
        } else {
            bascule_tests::wait::until("the file to be written or the run to end", || {
                let written = stage.text().contains("BSC");
                (written || child.try_wait().unwrap().is_some()).then_some(())
            });
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let text = stage.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), before.lines().count(), "half a file:\n{text}");
        seen_new |= text.contains("BSC");
        let adoptions = stage.bascule(&["adopt", "--list"]).ok();
        let open = adoptions["adoptions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|a| matches!(a["state"].as_str(), Some("prepared" | "adopted")));
        assert!(
            open || text == before,
            "what stood there is kept as long as it is needed"
        );
        // The next run of any kind finds what was left.
        stage.bascule(&["eject", "--all", "--yes"]);
        assert_eq!(stage.text(), before, "after kill {kill}");
        let left: Vec<_> = std::fs::read_dir(stage.home(".config/rclone"))
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert!(left.len() <= 2, "{left:?}");
    }
    assert!(seen_new, "some were killed after the file was written");
    stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
}

#[test]
fn a_rotation_moves_who_holds_the_old_key() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let old = adopted["moved"][0]["key"].as_str().unwrap().to_owned();
    let rotated = stage
        .bascule(&["key", "rotate", &old, "--rewrite", "--yes"])
        .ok();
    assert_eq!(
        rotated["moved"].as_array().map(Vec::len),
        Some(1),
        "{rotated}"
    );
    assert!(
        rotated["issued"].is_null(),
        "nobody needs to see the secret"
    );
    let next = rotated["rotation"]["next"][0].as_str().unwrap();
    assert!(
        next.contains("--format"),
        "how a tool elsewhere gets it: {next}"
    );
    let text = stage.text();
    let new = rotated["rotation"]["successor"]["access_key_id"]
        .as_str()
        .unwrap();
    assert!(text.contains(new) && !text.contains(&old));
    assert!(
        !rotated["rotation"]["until_silent_seconds"].is_null()
            || rotated["rotation"].to_string().contains("silent"),
        "{rotated}"
    );
    let ls = stage
        .world
        .rclone(&["lsf", &format!("r2:{}", stage.bucket)]);
    assert_eq!(ls.code, Some(0), "{ls}");
    // And the way that was told: once more, and shown.
    let format = ["--now", "--rewrite", "--yes", "--format", "env"];
    let again = [&["key", "rotate", new][..], &format].concat();
    let shown = stage.bascule(&again).ok();
    let handed_out = shown["issued"]["handed_out"].as_str().unwrap();
    let newest = shown["issued"]["key"]["access_key_id"].as_str().unwrap();
    assert!(handed_out.contains(newest), "{shown}");
    assert!(stage.text().contains(newest));
    stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();
}

#[test]
fn a_tool_with_a_retiring_key_is_repaired_to_the_successor_and_counts_as_moved() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let old = adopted["moved"][0]["key"].as_str().unwrap().to_owned();
    let rotated = stage.bascule(&["key", "rotate", &old]).ok();
    let new = rotated["issued"]["key"]["access_key_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let said = stage
        .world
        .cli()
        .say(&["repair", "--all", "--dry-run"])
        .exits(0);
    assert!(
        said.text().contains(&format!("its successor {new}")),
        "{said}"
    );

    let repaired = stage.bascule(&["repair", "rclone:r2", "--yes"]).ok();
    let moved = &repaired["moved"][0];
    assert_eq!(
        (&moved["key"], &moved["successor"]),
        (&new.clone().into(), &true.into()),
        "{moved}"
    );
    let text = stage.text();
    assert!(text.contains(&new) && !text.contains(&old));
    let keys = stage.bascule(&["list"]).ok();
    assert_eq!(
        keys["connections"][0]["living_keys"], 2,
        "no third key: {keys}"
    );
    let ls = stage
        .world
        .rclone(&["lsf", &format!("r2:{}", stage.bucket)]);
    assert_eq!(ls.code, Some(0), "{ls}");
    // What the watcher sees of the file.
    wait::until("the rotation counts it as moved", || {
        let report = stage.bascule(&["key", "rotation", &old]).ok();
        let holders = report["rotation"]["holders"].as_array().unwrap().clone();
        let moved = !holders.is_empty() && holders.iter().all(|holder| holder["key"] == "new");
        moved.then_some(())
    });
    stage.bascule(&["key", "rotation", &old, "--end"]).ok();
    stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();
}

#[test]
fn a_tool_whose_key_died_by_a_rotation_is_repaired_to_the_successor() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let first = adopted["moved"][0]["key"].as_str().unwrap().to_owned();
    let next = |old: &str| {
        let rotated = stage.bascule(&["key", "rotate", old, "--now"]).ok();
        rotated["issued"]["key"]["access_key_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    // However many there were in between.
    let last = next(&next(&first));
    let repaired = stage.bascule(&["repair", "--all", "--yes"]).ok();
    assert_eq!(repaired["moved"][0]["key"], last, "{repaired}");
    assert!(stage.text().contains(&last));

    // One that is paused is somebody's wish; one whose rights were changed is no longer the same.
    let paused = next(&last);
    stage.bascule(&["key", "pause", &paused]).ok();
    let left = stage.bascule(&["repair", "--all", "--yes"]).exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("key resume"), "{left}");
    stage.bascule(&["key", "resume", &paused]).ok();
    stage
        .bascule(&["key", "restrict", &paused, "--label", "other"])
        .ok();
    stage
        .bascule(&["key", "restrict", &paused, "--permission", "read"])
        .ok();
    let said = stage
        .world
        .cli()
        .say(&["repair", "--all", "--dry-run"])
        .exits(0);
    assert!(said.text().contains("a new key of"), "{said}");
    assert!(said.text().contains("rights were changed"), "{said}");
    let repaired = stage.bascule(&["repair", "--all", "--yes"]).ok();
    assert_ne!(repaired["moved"][0]["key"], paused, "{repaired}");
    assert_eq!(repaired["moved"][0]["successor"], false, "{repaired}");
    let ls = stage
        .world
        .rclone(&["lsf", &format!("r2:{}", stage.bucket)]);
    assert_eq!(ls.code, Some(0), "{ls}");
}

#[test]
fn what_an_existing_connection_does_not_reach_is_told_and_a_job_that_needs_it_is_left() {
    let Some(stage) = stage() else { return };
    let other = stage.minio().bucket();
    let endpoint = stage.minio().endpoint();
    let user = (stage.user.0.as_str(), stage.user.1.as_str());
    stage
        .world
        .connect_at("narrow", &[&stage.bucket], &endpoint, user);
    let said = stage
        .world
        .cli()
        .say(&["adopt", "rclone:r2", "--dry-run"])
        .exits(0);
    // Nobody has named it, and no command line tells that the rest is not needed.
    assert!(said.text().contains("new connection r2"), "{said}");
    let named = ["adopt", "rclone:r2", "--connection", "narrow", "--dry-run"];
    let said = stage.world.cli().say(&named).exits(0);
    assert!(
        said.text().contains("lost:") && said.text().contains(&other),
        "{said}"
    );
    stage
        .bascule(&["adopt", "rclone:r2", "--connection", "narrow", "--yes"])
        .ok();
    stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();

    // Two buckets on one command line; only the first is the use's own.
    let unit = stage.home(".config/systemd/user/copy.service");
    std::fs::create_dir_all(unit.parent().unwrap()).unwrap();
    let line = format!(
        "[Service]\nExecStart=rclone copy r2:{} r2:{other}\n",
        stage.bucket
    );
    std::fs::write(&unit, line).unwrap();
    let before = stage.text();
    let args = ["adopt", "rclone:r2", "--connection", "narrow", "--yes"];
    let left = stage.bascule(&args).exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(
        why.contains(&other) && why.contains("--connection"),
        "{left}"
    );
    assert_eq!(stage.text(), before);
    // A connection that serves nobody is told before anything is changed.
    std::fs::remove_file(&unit).unwrap();
    stage.bascule(&["pause", "narrow"]).ok();
    let left = stage.bascule(&args).exits(REFUSED);
    let why = left.json["left"][0]["why"].as_str().unwrap();
    assert!(why.contains("bascule resume narrow"), "{left}");
}

#[test]
fn undo_of_what_was_moved_several_times_gives_the_bytes_from_before_the_first() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let mut key = adopted["moved"][0]["key"].as_str().unwrap().to_owned();
    let mut id = String::new();
    for _ in 0..3 {
        let args = ["key", "rotate", &key, "--now", "--rewrite", "--yes"];
        let rotated = stage.bascule(&args).ok();
        let moved = &rotated["moved"][0];
        (key, id) = (
            moved["key"].as_str().unwrap().to_owned(),
            moved["id"].as_str().unwrap().to_owned(),
        );
    }
    let list = stage.bascule(&["adopt", "--list"]).ok();
    let all = list["adoptions"].as_array().unwrap();
    let kept = |one: &&serde_json::Value| one["can_be_undone"] == true;
    assert_eq!(
        all.iter().filter(kept).count(),
        1,
        "the last, which leads back to the first: {list}"
    );
    let told = stage.bascule(&["adopt", "--undo", &id, "--yes"]).ok();
    assert_eq!(stage.text(), before);
    assert_eq!(
        told["key_lives"], true,
        "it took another one's place: {told}"
    );
    let list = stage.bascule(&["adopt", "--list"]).ok();
    let mut all = list["adoptions"].as_array().unwrap().iter();
    assert!(all.all(|one| one["can_be_undone"] == false), "{list}");
}

#[test]
fn a_tool_whose_file_is_gone_is_told_and_closed_by_eject() {
    let Some(stage) = stage() else { return };
    let adopted = stage.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    let key = adopted["moved"][0]["key"].as_str().unwrap();
    std::fs::remove_file(stage.home(CONF)).unwrap();
    let list = stage.bascule(&["adopt", "--list"]).ok();
    assert_eq!(list["adoptions"][0]["files_gone"], true, "{list}");
    let said = stage.world.cli().say(&["adopt", "--list"]).exits(0);
    assert!(said.text().contains("bascule eject rclone:r2"), "{said}");
    stage.bascule(&["eject", "rclone:r2"]).exits(REFUSED);
    let closed = stage.bascule(&["eject", "rclone:r2", "--yes"]).ok();
    assert_eq!(closed["closed"][0]["consumer"], "rclone:r2", "{closed}");
    let shown = stage.bascule(&["key", "show", key]).ok();
    assert_eq!(shown["key"]["state"], "dead", "{shown}");
    let list = stage.bascule(&["adopt", "--list"]).ok();
    assert_eq!(list["adoptions"][0]["state"], "ejected", "{list}");
}

#[test]
fn an_encrypted_configuration_is_changed_by_rclone_itself() {
    let Some(stage) = stage() else { return };
    let before = stage.text();
    let path = stage.home(CONF);
    let rclone = tools::get("rclone");
    let path_with_rclone = {
        let mut folders = vec![rclone.parent().unwrap().to_owned()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        std::env::join_paths(folders).unwrap()
    };
    let with_password = |mut command: std::process::Command, args: &[&str]| {
        command.args(args);
        command
            .env("RCLONE_CONFIG_PASS", "a password")
            .env("PATH", &path_with_rclone);
        cli::finish(command, "", args.join(" "))
    };
    // rclone asks for the new password on its input.
    let mut command = stage.world.home.command(&rclone);
    command.args(["config", "encryption", "set"]);
    let set = cli::finish(
        command,
        "a password\na password\n",
        "rclone config encryption set".into(),
    );
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("RCLONE_ENCRYPT_V0"),
        "{set}"
    );
    let sealed = std::fs::read(&path).unwrap();
    let shown =
        || with_password(stage.world.home.command(&rclone), &["config", "show", "r2"]).stdout;
    let bascule = |args: &[&str]| {
        let mut command = stage.world.cli().command();
        command.arg("--json");
        with_password(command, args)
    };
    let locked = stage.bascule(&["adopt", path.to_str().unwrap(), "--yes"]);
    let next = locked.error()["next"].as_str().unwrap().to_owned();
    assert!(
        next.contains("RCLONE_CONFIG_PASS") && next.contains("--unlock"),
        "{next}"
    );
    let all = stage
        .bascule(&["adopt", "--all", "--dry-run"])
        .exits(INCOMPLETE);
    let left = all.json["left"][0]["consumer"].as_str().unwrap();
    assert_eq!(left, path.to_str().unwrap(), "{all}");
    // As rclone takes it from a program.
    let mut command = stage.world.cli().command();
    command.args(["--json", "adopt", "rclone:r2", "--dry-run", "--unlock"]);
    command.env("RCLONE_PASSWORD_COMMAND", "echo \"a password\"");
    let unlocked = cli::finish(command, "", "adopt --unlock".into()).ok();
    assert_eq!(unlocked["moved"][0]["consumer"], "rclone:r2", "{unlocked}");

    let adopted = bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("RCLONE_ENCRYPT_V0")
    );
    let key = adopted["moved"][0]["key"].as_str().unwrap().to_owned();
    assert!(shown().contains(&key), "{}", shown());
    let list = ["lsf", &format!("r2:{}", stage.bucket)];
    assert_eq!(
        with_password(stage.world.home.command(&rclone), &list).code,
        Some(0)
    );
    // Back to the very bytes, unless rclone has written since: then it is told what differs.
    let id = adopted["moved"][0]["id"].as_str().unwrap();
    let left = std::fs::read(&path).unwrap();
    let set = ["config", "update", "r2", "region", "somewhere"];
    with_password(stage.world.home.command(&rclone), &set);
    let command = stage.world.cli().command();
    let refused = with_password(command, &["adopt", "--undo", id, "--yes"]).exits(REFUSED);
    assert!(refused.text().contains("[r2] region"), "{refused}");
    assert!(!refused.text().contains("somewhere"), "{refused}");
    std::fs::write(&path, left).unwrap();
    bascule(&["adopt", "--undo", id, "--yes"]).ok();
    assert_eq!(std::fs::read(&path).unwrap(), sealed);
    bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    bascule(&["eject", "rclone:r2", "--yes"]).ok();
    for line in before.lines().filter(|line| line.contains(" = ")) {
        assert!(shown().contains(line), "{line}: {}", shown());
    }
    assert_eq!(
        with_password(stage.world.home.command(&rclone), &list).code,
        Some(0)
    );
}

#[test]
fn two_runs_at_once_do_not_take_one_another_for_interrupted() {
    let Some(stage) = stage() else { return };
    let mut command = stage.world.cli().command();
    command.args(["--json", "adopt", "rclone:r2", "--yes"]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let mut first = command.spawn().unwrap();
    let second = stage.bascule(&["adopt", "rclone:r2", "--yes"]);
    let first = first.wait().unwrap();
    // One of them moves it; the other one waits for nobody, or comes after it.
    assert!(first.success() || second.code == Some(0), "{second}");
    let text = stage.text();
    assert!(text.contains("BSC"), "{text}");
    let list = stage.bascule(&["adopt", "--list"]).ok();
    let adopted = list["adoptions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|a| a["state"] == "adopted")
        .count();
    assert_eq!(adopted, 1, "{list}");
}
