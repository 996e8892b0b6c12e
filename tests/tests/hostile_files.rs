//! Files that want to stop, stall or deceive the watcher (threats.md F1 to F9), at the real programs. The
//! sweep's own tests of these are beside it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
};

use bascule_tests::{Cli, Daemon, Home, daemon::Start, wait};

/// As `bascule_client::exit::Exit`.
const FINDINGS: i32 = 9;
const INCOMPLETE: i32 = 10;
const DEAD: &str = "AKIAZQ7R2M4N6P3B5C2D";
const RCLONE: &str = "home/.config/rclone/rclone.conf";

fn write(home: &Home, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = home.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn section(id: &str) -> String {
    format!("[r2]\ntype = s3\naccess_key_id = {id}\nsecret_access_key = hunter2\n")
}

fn pipe(home: &Home, name: &str) {
    let path = home.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A daemon that knows of a dead key.
fn daemon(home: &Home, start: &Start) -> Daemon {
    let daemon = start.run(home);
    Cli::new(home).run(&["key", "mark-dead", DEAD]).ok();
    daemon
}

/// The kinds of the consumers that are found.
fn kinds(home: &Home) -> Vec<String> {
    let answer = Cli::new(home).run(&["findings"]).ok();
    let found = answer["findings"].as_array().unwrap().iter();
    let kinds = found.map(|finding| finding["kind"].as_str().unwrap().to_owned());
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort();
    kinds
}

fn wait_for(home: &Home, expected: &[&str]) {
    wait::until(&format!("findings of {expected:?}"), || {
        (kinds(home) == expected).then_some(())
    });
}

/// Waits until a full sweep has ended, and returns what was not checked.
fn swept(home: &Home) -> String {
    wait::until("the full sweep to end", || {
        let answer = Cli::new(home).run(&["findings"]).ok();
        let ended = &answer["sweep"]["last"];
        (!ended.is_null()).then(|| answer["not_checked"].to_string())
    })
}

/// What `scan` could not look at.
fn gaps(home: &Home) -> String {
    let known = ["processes", "jobs", "search"].map(|part| ["--skip", part]);
    let answer = Cli::new(home).run(&[&["scan"], known.as_flattened()].concat());
    let code = answer.code;
    assert!(
        code == Some(INCOMPLETE) || code == Some(FINDINGS),
        "{answer}"
    );
    assert!(!answer.text().contains("hunter2"), "{answer}");
    answer.json["not_checked"].to_string()
}

#[test]
fn f1_pipes_where_configurations_should_be_hang_nothing() {
    let home = Home::new();
    pipe(&home, "home/.aws/credentials");
    pipe(&home, "home/.s3cfg");
    pipe(&home, "home/notes/pipe");
    let _socket = std::os::unix::net::UnixListener::bind(home.path("home/socket")).unwrap();
    fs::create_dir_all(home.path("home/.mc/config.json")).unwrap();
    write(&home, RCLONE, section(DEAD));
    write(&home, "home/notes/a", DEAD);
    let _daemon = daemon(&home, &Start::new());
    wait_for(&home, &["rclone", "unknown"]);
    assert!(swept(&home).contains(".aws/credentials"));
    let gaps = gaps(&home);
    for file in [".aws/credentials", ".s3cfg", ".mc/config.json"] {
        assert!(gaps.contains(file), "{file}: {gaps}");
    }
}

#[test]
fn f2_huge_and_deeply_nested_files_are_told_and_hide_nothing_else() {
    let home = Home::new();
    let conf = write(&home, RCLONE, "");
    fs::File::options()
        .write(true)
        .open(conf)
        .unwrap()
        .set_len(10 << 30)
        .unwrap();
    let nested = format!("{}hunter2", "[".repeat(100_000));
    write(&home, "home/.mc/config.json", nested);
    let line = format!("{}\"{DEAD}\"", "x".repeat(3 << 20));
    write(&home, "home/line", line);
    write(
        &home,
        "home/.aws/credentials",
        format!("[a]\naws_access_key_id={DEAD}\naws_secret_access_key=x\n"),
    );
    let _daemon = daemon(&home, &Start::new());
    wait_for(&home, &["aws", "unknown"]);
    assert!(swept(&home).contains("larger than the limit"));
    let gaps = gaps(&home);
    for file in ["rclone.conf", ".mc/config.json"] {
        assert!(gaps.contains(file), "{file}: {gaps}");
    }
}

#[test]
fn f3_links_lead_nowhere_and_loops_end() {
    let home = Home::new();
    let outside = write(&home, "work/outside", DEAD);
    write(&home, RCLONE, section(DEAD));
    for (target, name) in [
        ("loop", "home/loop"),
        ("..", "home/.config/up"),
        ("/proc/self/root", "home/system"),
        ("nowhere", "home/.s3cfg"),
    ] {
        symlink(target, home.path(name)).unwrap();
    }
    symlink(outside, home.path("home/out")).unwrap();
    fs::create_dir_all(home.path("home/.aws")).unwrap();
    symlink("credentials", home.path("home/.aws/credentials")).unwrap();
    let _daemon = daemon(&home, &Start::new());
    swept(&home);
    Cli::new(&home).run(&["findings", "--look"]).ok();
    assert_eq!(kinds(&home), ["rclone"]);
}

#[test]
fn f4_a_file_whose_rights_come_back_is_read_again() {
    // Root may read everything, so nobody's rights have to do.
    let home = Home::new();
    let conf = write(&home, RCLONE, section(DEAD));
    let _daemon = daemon(&home, &Start::new());
    wait_for(&home, &["rclone"]);
    // As good as closed: it is no file any more.
    fs::rename(&conf, conf.with_extension("kept")).unwrap();
    pipe(&home, RCLONE);
    wait::until("the gap", || {
        let answer = Cli::new(&home).run(&["findings"]).ok();
        answer["not_checked"]
            .to_string()
            .contains("rclone.conf")
            .then_some(())
    });
    assert_eq!(kinds(&home), ["rclone"], "what is not known is not mended");
    fs::remove_file(&conf).unwrap();
    write(&home, RCLONE, section("AKIAZQ7R2M4N6P3B5LIV"));
    wait_for(&home, &[]);
}

#[test]
fn f5_a_file_that_is_replaced_again_and_again_is_seen_as_it_ends() {
    let home = Home::new();
    let conf = write(&home, RCLONE, section("AKIAZQ7R2M4N6P3B5LIV"));
    let _daemon = daemon(&home, &Start::new());
    for round in 0..300 {
        match round % 3 {
            0 => fs::write(&conf, &section(DEAD)[..round % 40]).unwrap(),
            1 => {
                let next = conf.with_extension("new");
                fs::write(&next, section(DEAD)).unwrap();
                fs::rename(&next, &conf).unwrap();
            }
            _ => fs::remove_file(&conf).unwrap(),
        }
    }
    fs::write(&conf, section(DEAD)).unwrap();
    wait_for(&home, &["rclone"]);
    fs::remove_file(&conf).unwrap();
    wait_for(&home, &[]);
}

#[test]
#[cfg(target_os = "linux")]
fn f6_more_events_than_the_system_keeps_lose_nothing() {
    let kept = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let kept: usize = kept.trim().parse().unwrap();
    let home = Home::new();
    let conf = write(&home, RCLONE, section("AKIAZQ7R2M4N6P3B5LIV"));
    let daemon = daemon(&home, &Start::new());
    swept(&home);
    assert_eq!(kinds(&home), Vec::<String>::new());
    // Nobody takes the events meanwhile. Each rename is two, and no two of them are merged.
    daemon.suspend();
    let (a, b) = (conf.with_extension("a"), conf.with_extension("b"));
    fs::write(&a, "").unwrap();
    for _ in 0..kept.max(20_000) / 4 + 1 {
        fs::rename(&a, &b).unwrap();
        fs::rename(&b, &a).unwrap();
    }
    fs::write(&conf, section(DEAD)).unwrap();
    daemon.resume();
    wait_for(&home, &["rclone"]);
    let log = daemon.log();
    assert!(log.contains("more changed than the system tells"), "{log}");
}

#[test]
#[cfg(target_os = "linux")]
fn f7_without_watches_left_it_says_so_and_looks_when_asked_and_with_each_event() {
    let works = Command::new("unshare")
        .args(["--user", "--map-current-user", "--keep-caps", "true"])
        .stderr(Stdio::null())
        .status();
    if !works.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no user namespace can be made here");
        return;
    }
    let home = Home::new();
    write(&home, RCLONE, section("AKIAZQ7R2M4N6P3B5LIV"));
    let daemon = daemon(&home, &Start::new().limit_watches(1));
    let told = wait::until("it to be told", || {
        let status = Cli::new(&home).run(&["status"]).ok();
        let told = status["troubles"].to_string();
        told.contains("max_user_watches").then_some(told)
    });
    assert!(told.contains("bascule findings --look"), "{told}");
    let answer = Cli::new(&home).run(&["findings"]).ok();
    let gaps = answer["not_checked"].to_string();
    assert!(gaps.contains("max_user_watches"), "{gaps}");
    write(&home, RCLONE, section(DEAD));
    Cli::new(&home).run(&["findings", "--look"]).ok();
    assert_eq!(kinds(&home), ["rclone"]);
    drop(daemon);
}

#[test]
fn f8_a_syntax_error_on_the_line_of_a_secret_tells_path_and_line_only() {
    let home = Home::new();
    write(
        &home,
        "home/.mc/config.json",
        "{\n \"aliases\": { hunter2\n",
    );
    write(&home, "home/.s3cfg", "hunter2 is no setting\n");
    write(
        &home,
        "home/.aws/credentials",
        "[a\naws_secret_access_key hunter2\n",
    );
    write(&home, "home/.config/restic/x.yaml", "a: [hunter2\n");
    let daemon = daemon(&home, &Start::new().env("RUST_LOG", "trace"));
    let told = wait::until("the gap", || {
        let answer = Cli::new(&home).run(&["findings", "--look"]).ok();
        let told = answer["not_checked"].to_string();
        told.contains(".mc/config.json").then_some(told)
    });
    assert!(told.contains("line 3"), "{told}");
    assert!(!told.contains("hunter2"), "{told}");
    assert!(!daemon.log().contains("hunter2"), "{}", daemon.log());
    gaps(&home);
}

/// A FUSE file system whose program never answers; it ends with the test.
#[cfg(target_os = "linux")]
struct Stalled(
    PathBuf,
    #[expect(dead_code, reason = "its end would be an answer")] fs::File,
);

#[cfg(target_os = "linux")]
impl Stalled {
    fn mount(path: PathBuf) -> Option<Self> {
        let device = fs::File::options().read(true).write(true).open("/dev/fuse");
        let device = device.ok()?;
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0";
        let mounted = Command::new("mount")
            .args(["-i", "-t", "fuse", "-o", options, "stalled"])
            .arg(&path)
            .stdin(Stdio::from(device.try_clone().ok()?))
            .stderr(Stdio::null())
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path, device))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Stalled {
    fn drop(&mut self) {
        let unmount = Command::new("umount")
            .args(["-i", "-l"])
            .arg(&self.0)
            .status();
        drop(unmount);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn f9_a_stalled_mount_in_the_home_holds_up_nothing_else() {
    let home = Home::new();
    write(&home, RCLONE, section(DEAD));
    write(&home, "home/z/notes", DEAD);
    fs::create_dir_all(home.path("home/cloud")).unwrap();
    let Some(_mount) = Stalled::mount(home.path("home/cloud")) else {
        eprintln!("skipped: no FUSE file system can be mounted here");
        return;
    };
    let mut daemon = daemon(&home, &Start::new());
    let gaps = swept(&home);
    assert!(gaps.contains("on a network or FUSE mount"), "{gaps}");
    wait_for(&home, &["rclone", "unknown"]);
    assert!(daemon.stop().success());
}

#[test]
#[cfg(target_os = "linux")]
fn f9_a_stalled_mount_where_a_configuration_lies_holds_up_neither_answers_nor_the_end() {
    let home = Home::new();
    fs::create_dir_all(home.path("home/.config/rclone")).unwrap();
    let Some(_mount) = Stalled::mount(home.path("home/.config/rclone")) else {
        eprintln!("skipped: no FUSE file system can be mounted here");
        return;
    };
    write(&home, "home/z/notes", DEAD);
    let mut daemon = daemon(&home, &Start::new());
    let gaps = swept(&home);
    assert!(gaps.contains("the first look is not done yet"), "{gaps}");
    assert!(daemon.stop().success());
}
