//! The daemon as a service: what its units promise, under a booted systemd, and what it tells a
//! manager, without one.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::Duration,
};

use bascule_tests::{
    Cli, Home, Issued,
    cli::{NOT_FOUND, REFUSED},
    daemon::Start,
    machine::{Boot, Machine},
    tools,
    user::{SERVICE, User},
    wait,
};
use serde_json::Value;

fn packaged(unit: &str) -> String {
    fs::read_to_string(tools::workspace().join("packaging/systemd").join(unit)).unwrap()
}

/// The exposure of a unit in tenths, as `systemd-analyze security` finds it.
fn exposure(home: &Home, scope: &str, unit: &str) -> Option<u32> {
    let file = home.write(SERVICE, unit);
    let analyzed = Command::new("systemd-analyze")
        .args([scope, "security", "--offline=true", "--no-pager"])
        .arg(&file)
        .env("XDG_RUNTIME_DIR", home.root())
        .output();
    let Ok(analyzed) = analyzed else {
        eprintln!("skipped: there is no systemd-analyze");
        return None;
    };
    let text = String::from_utf8_lossy(&analyzed.stdout).into_owned();
    let (_, rest) = text.split_once(&format!("for {SERVICE}: ")).expect(&text);
    let figure = rest.split_whitespace().next().unwrap();
    let (whole, tenths) = figure.split_once('.').unwrap();
    Some(whole.parse::<u32>().unwrap() * 10 + tenths.parse::<u32>().unwrap())
}

#[test]
fn j1_no_unit_is_more_exposed_than_it_has_to_be() {
    let home = Home::new();
    let system = packaged("system/bascule.service");
    let whole_machine = format!("{system}\n{}", packaged("system/whole-machine.conf"));
    for (scope, unit, most) in [
        ("--system", &system, 13),
        // What CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH cost.
        ("--system", &whole_machine, 18),
        // Without a user namespace, which would hide the user's other processes.
        ("--user", &packaged("user/bascule.service"), 63),
    ] {
        let Some(exposure) = exposure(&home, scope, unit) else {
            return;
        };
        assert!(exposure <= most, "{scope}: {exposure} is more than {most}");
    }
}

/// What moves a user's service into a user namespace, from systemd 254 on, and so hides from it who
/// uses a key.
#[test]
fn j1_the_users_unit_needs_no_namespace() {
    const NEEDS_ONE: [&str; 14] = [
        "PrivateUsers",
        "PrivateTmp",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateNetwork",
        "PrivateIPC",
        "ProtectSystem",
        "ProtectHome",
        "ProtectKernel",
        "ProtectControlGroups",
        "ProtectClock",
        "ProtectHostname",
        "ProtectProc",
        "ReadOnlyPaths",
    ];
    let unit = packaged("user/bascule.service");
    for line in unit.lines() {
        let needs = NEEDS_ONE.iter().find(|name| line.starts_with(**name));
        assert_eq!(needs, None, "{line}");
    }
}

/// A service manager's socket, without the manager.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(home: &Home) -> Self {
        let path = home.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(wait::LIMIT)).unwrap();
        Self {
            socket,
            path: path.to_str().unwrap().to_owned(),
        }
    }

    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("something to be told");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// What is told up to a message with this in it.
    fn until(&self, what: &str) -> String {
        loop {
            let told = self.next();
            if told.contains(what) {
                return told;
            }
        }
    }
}

#[test]
fn j2_the_manager_hears_ready_once_it_serves_then_that_it_works_and_that_it_stops() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let start = Start::new()
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "400000");
    let mut process = start.spawn(&home);
    assert!(manager.next().contains("STATUS=opening the store"));
    let ready = manager.until("READY=1");
    // It does serve: no waiting between the two.
    let status = Cli::new(&home).run(&["status"]).ok();
    let gateway = status["gateways"][0].as_str().unwrap();
    assert!(
        ready.contains(&format!("STATUS=serving {gateway}")),
        "{ready}"
    );
    assert_eq!(manager.until("WATCHDOG=1").trim(), "WATCHDOG=1");

    process.suspend();
    let stat = format!("/proc/{}/stat", process.pid());
    wait::until("the daemon to stand still", || {
        let stat = fs::read_to_string(&stat).unwrap();
        stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
    });
    // What was sent before that.
    manager.socket.set_nonblocking(true).unwrap();
    while manager.socket.recv(&mut [0; 64]).is_ok() {}
    manager.socket.set_nonblocking(false).unwrap();
    manager
        .socket
        .set_read_timeout(Some(Duration::from_millis(800)))
        .unwrap();
    assert!(
        manager.socket.recv(&mut [0; 64]).is_err(),
        "a frozen daemon says that it works"
    );
    manager.socket.set_read_timeout(Some(wait::LIMIT)).unwrap();
    process.resume();
    manager.until("WATCHDOG=1");

    process.terminate();
    manager.until("STOPPING=1");
    assert!(process.wait("the daemon to end").success());
}

#[test]
fn where_nobody_watches_nothing_is_told_and_a_daemon_that_fails_is_never_ready() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let start = Start::new().env("NOTIFY_SOCKET", &manager.path);
    let mut process = start.spawn(&home);
    manager.until("READY=1");
    process.terminate();
    assert!(manager.next().contains("STOPPING=1"));
    assert!(process.wait("the daemon to end").success());

    fs::write(home.state().join("root.key"), "cut").unwrap();
    let mut process = start.spawn(&home);
    assert!(!process.wait("the daemon to end").success());
    manager.socket.set_nonblocking(true).unwrap();
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.socket.recv(&mut buffer) {
        assert!(!String::from_utf8_lossy(&buffer[..length]).contains("READY"));
    }
}

/// The first line of the gateway's answer to a request without a signature.
fn ask(gateway: &str) -> String {
    let address = gateway.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("the gateway to listen");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

fn status_of(machine: &Machine, pid: &str, name: &str) -> String {
    let status = machine
        .run(&["cat", &format!("/proc/{pid}/status")])
        .exits(0)
        .stdout;
    let prefix = format!("{name}:");
    let line = status
        .lines()
        .find(|line| line.starts_with(&prefix))
        .unwrap();
    line[prefix.len()..].trim().to_owned()
}

/// Runs rclone as a unit until the daemon has seen its process.
fn seen(user: &User<'_>, key: &Issued, unit: &str) -> Value {
    user.install(
        unit,
        &format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=oneshot\n\
             ExecStart=/usr/local/bin/rclone copyto /etc/hostname :s3:pictures/name \
             --s3-provider=Other --s3-no-check-bucket --s3-force-path-style --s3-endpoint={} \
             --s3-access-key-id={} --s3-secret-access-key={}\n",
            key.endpoint, key.id, key.secret
        ),
    );
    // A run may be over before its process was seen.
    wait::until("the process to be seen", || {
        user.systemctl(&["start", unit]).exits(0);
        let answer = user
            .bascule(&["usage", "photos", "--by", "process"])
            .exits(0);
        let rows = answer.json["rows"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["process"].is_object())
    })
}

#[test]
fn a_user_installs_it_and_it_starts_by_itself_is_hardened_and_sees_who_uses_a_key() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let alice = User::alice(&machine).with_a_port();
    let none = alice.service("status", &[]);
    assert_eq!(none.exits(NOT_FOUND).json["installed"], false);

    let done = alice.service("install", &[]).ok();
    let gateway = done["gateway"].as_str().unwrap().to_owned();
    assert!(gateway.starts_with("http://127.0.0.1:"), "{done:#}");
    assert_eq!(done["socket"], "/run/user/1000/bascule/bascule.sock");
    assert_eq!(done["state_dir"], "/home/alice/.local/state/bascule");
    assert_eq!(done["lingers"], true);
    assert_eq!(done["files"].as_array().unwrap().len(), 3, "{done:#}");
    let status = alice.service("status", &[]).ok();
    assert_eq!(
        (&status["running"], &status["listening"], &status["enabled"]),
        (&true.into(), &true.into(), &true.into()),
        "{status:#}"
    );
    assert_eq!(status["says"], format!("serving {gateway}"));

    // Again: nothing changes, nothing is disturbed.
    let pid = alice.pid();
    let again = alice.service("install", &[]).ok();
    for file in again["files"].as_array().unwrap() {
        assert_eq!(file["change"], "unchanged", "{again:#}");
    }
    assert_eq!(again["gateway"], gateway);
    assert_eq!(alice.pid(), pid);

    verified(&alice, "--user", "/home/alice/.config/systemd/user");

    // The first command and the first request start a service that is stopped.
    let key = alice.key("/home/alice/storage");
    for starts in ["command", "request"] {
        alice.systemctl(&["stop", SERVICE]).exits(0);
        assert_eq!(alice.property(SERVICE, "ActiveState"), "inactive");
        assert_eq!(alice.property(SERVICE, "Result"), "success");
        match starts {
            "command" => assert_eq!(alice.bascule(&["status"]).ok()["connections"], 1),
            _ => assert!(ask(&gateway).starts_with("HTTP/1.1 403"), "{gateway}"),
        }
        alice.wait_for("ActiveState", "active");
    }

    // Each directive is in effect.
    let pid = alice.pid();
    assert_eq!(status_of(&machine, &pid, "NoNewPrivs"), "1");
    assert_eq!(status_of(&machine, &pid, "Seccomp"), "2");
    assert_eq!(status_of(&machine, &pid, "CapEff"), "0000000000000000");
    let limits = machine
        .run(&["cat", &format!("/proc/{pid}/limits")])
        .exits(0)
        .stdout;
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
    let namespace = |pid: &str| {
        machine
            .run(&["readlink", &format!("/proc/{pid}/ns/user")])
            .stdout
    };
    assert_eq!(
        namespace(&pid),
        namespace("1"),
        "a user namespace hides processes"
    );

    // And who uses a key is seen from inside.
    let seen = seen(&alice, &key, "backup.service");
    let process = &seen["process"];
    assert_eq!(process["exe"], "/usr/local/bin/rclone", "{seen:#}");
    assert!(
        process["unit"].as_str().unwrap().contains("backup.service"),
        "{seen:#}"
    );

    // The root key as a credential: plain, where systemd encrypts none for users.
    let moved = alice.bascule(&["root-key", "move", "credential"]).ok();
    assert_eq!(moved["kept_in"], "credential", "{moved:#}");
    let own_file = "/home/alice/.local/state/bascule/root.key";
    machine.run(&["test", "-e", own_file]).exits(1);
    alice.systemctl(&["restart", SERVICE]).exits(0);
    assert_eq!(alice.bascule(&["status"]).ok()["connections"], 1);
    verified(&alice, "--user", "/home/alice/.config/systemd/user");
    let moved = alice.bascule(&["root-key", "move", "file"]).ok();
    assert_eq!(
        (&moved["kept_in"], &moved["copy"]),
        (&"file".into(), &Value::Null)
    );
    machine.run(&["test", "-e", own_file]).exits(0);

    // A reload keeps the process; a mistake in the file is an error and changes nothing.
    let pid = alice.pid();
    let folder = "/home/alice/.config/bascule";
    alice.run(&["mkdir", "-p", folder]).exits(0);
    let configure = |text: &str| {
        let to = format!("of={folder}/config.toml");
        alice.run_with(&["dd", "status=none", &to], text).exits(0);
        alice.systemctl(&["reload", SERVICE])
    };
    configure("[gateway]\ndrain_seconds = 7\n").exits(0);
    let refused = configure("[gateway]\nnonsense = 7\n");
    assert_ne!(refused.code, Some(0), "{refused}");
    machine.run(&["journalctl", "--sync"]).exits(0);
    let journal = machine
        .run(&["journalctl", "--no-pager", "_UID=1000"])
        .stdout;
    assert!(journal.contains("nonsense"), "{journal}");
    configure("").exits(0);
    assert_eq!(alice.pid(), pid);

    let logs = alice.service("logs", &[]).ok();
    assert!(!logs["entries"].as_array().unwrap().is_empty(), "{logs:#}");

    let gone = alice.service("uninstall", &[]).ok();
    assert_eq!(gone["state_dir"], done["state_dir"], "{gone:#}");
    assert_eq!(gone["living_keys"], 1);
    assert!(TcpStream::connect(gateway.trim_start_matches("http://")).is_err());
    machine
        .run(&["test", "-f", "/home/alice/.local/state/bascule/store.redb"])
        .exits(0);
    alice.service("status", &[]).exits(NOT_FOUND);
    assert_eq!(
        alice.service("uninstall", &[]).ok()["files"],
        Value::Array(vec![])
    );
}

#[test]
fn j2_a_daemon_that_stands_still_is_started_anew() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let alice = User::alice(&machine).with_a_port();
    // What is there already is refused, and left as it is.
    let by_hand = "[Service]\nExecStart=/usr/local/bin/basculed --gateway 127.0.0.1:0\n";
    alice.install("by-hand.service", by_hand);
    alice.systemctl(&["start", "by-hand"]).exits(0);
    wait::until("the daemon by hand", || {
        (alice.bascule(&["status"]).code == Some(0)).then_some(())
    });
    let refused = alice.service("install", &[]).exits(REFUSED);
    assert!(refused.text().contains("runs already"), "{refused}");
    alice.systemctl(&["stop", "by-hand"]).exits(0);

    alice.service("install", &[]).ok();
    let _key = alice.key("/home/alice/storage");
    alice.install(
        "bascule.service.d/test.conf",
        "[Service]\nWatchdogSec=15s\nRestartSec=100ms\n",
    );
    alice.systemctl(&["restart", SERVICE]).exits(0);
    let frozen = alice.pid();
    machine
        .run(&["sh", "-c", &format!("kill -STOP {frozen}")])
        .exits(0);
    wait::until("the frozen daemon to be replaced", || {
        let pid = alice.pid();
        (pid != frozen && pid != "0" && alice.property(SERVICE, "ActiveState") == "active")
            .then_some(())
    });
    assert_eq!(alice.property(SERVICE, "NRestarts"), "1");
    assert_eq!(alice.bascule(&["status"]).ok()["connections"], 1);
}

#[test]
fn j4_a_crash_loop_ends_after_few_restarts_and_all_that_was_answered_is_there_afterwards() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let alice = User::alice(&machine).with_a_port();
    let done = alice.service("install", &[]).ok();
    let key = alice.key("/home/alice/storage");
    key.s3().put("pictures", "cat", "meow").unwrap();
    // As it is installed, but for the pause in between.
    alice.install(
        "bascule.service.d/test.conf",
        "[Service]\nRestartSec=100ms\n",
    );
    alice.systemctl(&["restart", SERVICE]).exits(0);

    // Killed over and over while it takes changes, it is given up. What it answered counts, and what was
    // cut off may have come about or not.
    let (mut kept, mut killed) = (vec!["laptop".to_owned()], Vec::<String>::new());
    wait::until("the loop to end", || {
        if alice.property(SERVICE, "ActiveState") == "failed" {
            return Some(());
        }
        let pid = alice.pid();
        if pid != "0" && !killed.contains(&pid) {
            let label = format!("issued-{}", kept.len());
            let issue = ["key", "issue", "photos", "--label", &label];
            if alice.bascule(&issue).code == Some(0) {
                kept.push(label);
            }
            // Another change is under way when it dies.
            let half_way = alice.command(&["bascule", "key", "issue", "photos", "--label", "cut"]);
            let mut half_way = half_way_through(half_way);
            machine.run(&["sh", "-c", &format!("kill -KILL {pid}")]);
            half_way.wait().unwrap();
            killed.push(pid);
        }
        None
    });
    // Five starts in ten minutes, the first by hand.
    assert!((2..=5).contains(&killed.len()), "{killed:?}");
    let restarts: usize = alice.property(SERVICE, "NRestarts").parse().unwrap();
    assert!(restarts <= 5, "{restarts}");
    assert!(kept.len() > 1, "it took no change between its deaths");
    let status = alice.service("status", &[]).exits(1);
    assert_eq!(status.json["state"], "failed", "{status}");

    // systemd's own way on.
    alice
        .systemctl(&[&["reset-failed"], &UNITS[..]].concat())
        .exits(0);
    alice.systemctl(&[&["start"], &UNITS[..]].concat()).exits(0);
    alice.wait_for("ActiveState", "active");
    let listed = alice.bascule(&["key", "list", "photos"]).ok();
    let labels: BTreeSet<_> = listed["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["label"].as_str().unwrap())
        .collect();
    for label in &kept {
        assert!(labels.contains(&**label), "{label} is lost: {listed:#}");
    }
    assert!(!listed.to_string().contains(&key.secret));
    let audit = alice.bascule(&["audit"]).ok().to_string();
    assert!(audit.contains("laptop"), "{audit}");
    assert_eq!(key.s3().get("pictures", "cat").unwrap().body, "meow");

    // And ours, which changes nothing that is well.
    let again = alice.service("install", &[]).ok();
    assert_eq!(again["gateway"], done["gateway"]);
    assert_eq!(key.s3().get("pictures", "cat").unwrap().body, "meow");
}

/// A command that goes on by itself.
fn half_way_through(mut command: Command) -> std::process::Child {
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// No directive is unknown to this systemd, which would say so at every start.
fn verified(user: &User<'_>, scope: &str, folder: &str) {
    let [control, gateway, service] = ["bascule.socket", "bascule-gateway.socket", SERVICE]
        .map(|unit| format!("{folder}/{unit}"));
    let verify = ["systemd-analyze", scope, "--man=no", "verify"];
    let answer = user.run(&[&verify[..], &[control.as_str(), &gateway, &service]].concat());
    assert_eq!(answer.code, Some(0), "{answer}");
    assert_eq!(answer.stderr.trim(), "", "{answer}");
}

fn a_move_to_a_credential_that_fails_loses_nothing(machine: &Machine, root: &User<'_>) {
    const KEY: &str = "/var/lib/bascule/root.key";
    const PLAIN: &str = "/etc/credstore/bascule.root.key";
    const ENCRYPTED: &str = "/etc/credstore.encrypted/bascule.root.key";
    let is_there = |path: &str| machine.run(&["test", "-e", path]).code == Some(0);
    let move_it = ["root-key", "move", "credential", "--system"];
    // What somebody else keeps there stays.
    machine.run(&["mkdir", "-p", "/etc/credstore"]).exits(0);
    machine.write(PLAIN, "somebody else's");
    machine.run(&["chmod", "600", PLAIN]).exits(0);
    let refused = root.bascule(&move_it).exits(4);
    assert!(refused.text().contains("another root key"), "{refused}");
    assert!(is_there(PLAIN) && is_there(KEY) && !is_there(ENCRYPTED));
    machine.run(&["rm", PLAIN]).exits(0);
    let shown = root.bascule(&["root-key", "show"]).ok();
    assert_eq!(shown["kept_in"], "file", "{shown:#}");
    assert_eq!(shown["moving_to"], Value::Null, "{shown:#}");

    // A service that has taken it, and does not come up, has it only there.
    let folder = "/etc/systemd/system/bascule.service.d";
    machine.run(&["mkdir", "-p", folder]).exits(0);
    let fails = format!("{folder}/50-fails.conf");
    machine.write(&fails, "[Service]\nExecStartPost=/bin/false\nRestart=no\n");
    let failed = root.bascule(&move_it);
    assert_ne!(failed.code, Some(0), "{failed}");
    assert!(failed.text().contains("it stays"), "{failed}");
    assert!(is_there(ENCRYPTED) && !is_there(KEY));
    machine.run(&["rm", &fails]).exits(0);
    root.systemctl(&["daemon-reload"]).exits(0);
    root.systemctl(&[&["reset-failed"], &UNITS[..]].concat());
    root.systemctl(&[&["start"], &UNITS[..]].concat()).exits(0);
    assert_eq!(root.bascule(&["status"]).ok()["connections"], 1);
    let moved = root.bascule(&["root-key", "move", "file", "--system"]).ok();
    assert_eq!(moved["kept_in"], "file", "{moved:#}");
}

/// The root key is a credential, and its file is there as well, or it is on its way from there.
fn what_doctor_says_about_a_credential_helps(machine: &Machine, root: &User<'_>) {
    const KEY: &str = "/var/lib/bascule/root.key";
    let diagnosis = || {
        let doctor = root.bascule(&["doctor", "--offline"]);
        let checks = doctor.json["checks"].as_array().unwrap().clone();
        checks
            .into_iter()
            .find(|one| one["area"] == "root-key")
            .unwrap()
    };
    let follow = |remedy: &str| {
        // Root needs no sudo, and the machine has none.
        let command = remedy.replace(", then: ", " && ").replace("sudo ", "");
        root.run(&["sh", "-c", &command]).exits(0);
        let line = diagnosis();
        assert_eq!(line["standing"], "ok", "{remedy}: {line:#}");
        let shown = root.bascule(&["root-key", "show"]).ok();
        assert_eq!(shown["kept_in"], "credential", "{shown:#}");
        machine.run(&["test", "-e", KEY]).exits(1);
    };
    root.bascule(&["root-key", "move", "file", "--system"])
        .exits(0);
    let copy = "cp -p /var/lib/bascule/root.key /var/lib/bascule/root.key.copy";
    machine.run(&["sh", "-c", copy]).exits(0);

    // On its way: what a move leaves that was cut off before systemd had it.
    root.systemctl(&["stop", SERVICE]).exits(0);
    let store = "00".repeat(16);
    let marker = format!(
        "{{\"bascule_root_key_place\":1,\"kept_in\":\"credential\",\"store\":\"{store}\",\"leaving\":false}}"
    );
    machine.write(&format!("{KEY}.place"), &marker);
    let own = format!("chown bascule: {KEY}.place && chmod 600 {KEY}.place");
    machine.run(&["sh", "-c", &own]).exits(0);
    root.systemctl(&["start", SERVICE]).exits(0);
    let line = diagnosis();
    assert!(
        line["told"].as_str().unwrap().contains("on its way"),
        "{line:#}"
    );
    follow(line["remedy"].as_str().unwrap());

    // Without a marker beside it, the file is a copy that nobody needs.
    root.systemctl(&["stop", SERVICE]).exits(0);
    let back = format!("mv {KEY}.copy {KEY} && rm {KEY}.place");
    machine.run(&["sh", "-c", &back]).exits(0);
    root.systemctl(&["start", SERVICE]).exits(0);
    let line = diagnosis();
    assert!(
        line["told"]
            .as_str()
            .unwrap()
            .contains("a copy that nobody needs"),
        "{line:#}"
    );
    follow(line["remedy"].as_str().unwrap());
}

#[test]
fn the_machines_service_is_confined_listens_on_loopback_only_and_takes_its_root_key_from_systemd() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let root = User::root(&machine).with_a_port();
    let done = root.service("install", &[]).ok();
    let gateway = done["gateway"].as_str().unwrap().to_owned();
    assert_eq!(done["socket"], "/run/bascule/bascule.sock");
    assert_eq!(done["state_dir"], "/var/lib/bascule");
    // Without being told where: it is the only daemon here.
    assert_eq!(root.bascule(&["status"]).ok()["connections"], 0);

    // E7: nothing beyond loopback, and no key works that nobody has issued.
    e7_loopback_only(&machine, &root.pid());
    assert!(ask(&gateway).starts_with("HTTP/1.1 403"), "{gateway}");

    let pid = root.pid();
    for (name, value) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        assert_eq!(status_of(&machine, &pid, name), value, "{name}");
    }
    let uid = machine.run(&["id", "-u", "bascule"]).exits(0).stdout;
    assert!(status_of(&machine, &pid, "Uid").starts_with(uid.trim()));
    confined(&machine, &pid);

    // Another user does not get in (E1).
    let stranger = machine.run(&[
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "bascule",
        "--json",
        "--socket",
        "/run/bascule/bascule.sock",
        "status",
    ]);
    assert_ne!(stranger.code, Some(0), "{stranger}");

    verified(&root, "--system", "/etc/systemd/system");

    // The root key in systemd's hands, encrypted, instead of the state folder.
    let key = root.key("/var/lib/bascule/storage");
    a_move_to_a_credential_that_fails_loses_nothing(&machine, &root);
    let moved = root
        .bascule(&["root-key", "move", "credential", "--system"])
        .ok();
    assert_eq!(moved["kept_in"], "credential", "{moved:#}");
    machine
        .run(&["test", "-e", "/etc/credstore.encrypted/bascule.root.key"])
        .exits(0);
    assert_eq!(root.bascule(&["status"]).ok()["connections"], 1);
    root.systemctl(&["restart", SERVICE]).exits(0);
    assert_eq!(root.bascule(&["status"]).ok()["connections"], 1);
    machine
        .run(&["test", "-e", "/var/lib/bascule/root.key"])
        .exits(1);

    what_doctor_says_about_a_credential_helps(&machine, &root);

    // With the whole machine in sight, the process of another user and its unit are named.
    let whole = root.service("install", &["--whole-machine"]).ok();
    assert_eq!(whole["gateway"], gateway);
    let seen = seen(&root, &key, "backup.service");
    assert_eq!(seen["process"]["unit"], "backup.service", "{seen:#}");
    assert_eq!(seen["process"]["exe"], "/usr/local/bin/rclone", "{seen:#}");
    // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE.
    assert_eq!(
        status_of(&machine, &root.pid(), "CapEff"),
        "0000000000080004"
    );

    // Without the service nobody would lend it.
    let refused = root.service("uninstall", &[]).exits(4);
    assert!(refused.text().contains("root-key move file"), "{refused}");
    let moved = root.bascule(&["root-key", "move", "file", "--system"]).ok();
    assert_eq!(moved["kept_in"], "file", "{moved:#}");
    assert_eq!(moved["copy"], Value::Null, "{moved:#}");
    machine
        .run(&["test", "-e", "/etc/credstore.encrypted/bascule.root.key"])
        .exits(1);
    let gone = root.service("uninstall", &[]).ok();
    assert_eq!(gone["files"].as_array().unwrap().len(), 4, "{gone:#}");
    machine
        .run(&["test", "-f", "/var/lib/bascule/store.redb"])
        .exits(0);
}

const OWN_UNITS: &str = "/home/alice/.config/systemd/user";
const UNITS: [&str; 3] = [SERVICE, "bascule.socket", "bascule-gateway.socket"];

#[test]
fn a_store_that_opens_only_in_its_service_keeps_its_port_or_is_told_that_nobody_knows_it() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let alice = User::alice(&machine).with_a_port();
    let done = alice.service("install", &[]).ok();
    let gateway = done["gateway"].as_str().unwrap().to_owned();
    let key = alice.key("/home/alice/storage");
    alice.bascule(&["root-key", "move", "credential"]).exits(0);
    let stop = || {
        alice.systemctl(&[&["stop"], &UNITS[..]].concat()).exits(0);
    };
    // The settings say nothing, the unit does.
    let settings = "/home/alice/.config/bascule/config.toml";
    let with_port = machine.run(&["cat", settings]).exits(0).stdout;
    machine.run(&["rm", settings]).exits(0);
    stop();
    let again = alice.service("install", &[]).ok();
    assert_eq!(again["gateway"], gateway.as_str(), "{again:#}");
    key.s3().put("pictures", "cat", "meow").unwrap();

    // A unit that a package brings, and nobody has enabled, says nothing of the port that tools have.
    stop();
    alice
        .systemctl(&[&["disable"], &UNITS[..]].concat())
        .exits(0);
    machine
        .run(&["mkdir", "-p", "/usr/lib/systemd/user"])
        .exits(0);
    for unit in UNITS {
        machine
            .run(&["rm", &format!("{OWN_UNITS}/{unit}")])
            .exits(0);
        let text = packaged(&format!("user/{unit}"));
        machine.write(&format!("/usr/lib/systemd/user/{unit}"), &text);
    }
    alice.systemctl(&["daemon-reload"]).exits(0);
    let refused = alice.service("install", &[]).exits(REFUSED);
    for told in [
        "credential",
        "lent none here",
        "listen = ",
        settings.rsplit('/').next().unwrap(),
    ] {
        assert!(refused.text().contains(told), "{told}: {refused}");
    }
    machine
        .run(&["test", "-e", &format!("{OWN_UNITS}/bascule-gateway.socket")])
        .exits(1);
    // As it says.
    let to = format!("of={settings}");
    alice
        .run_with(&["dd", "status=none", &to], &with_port)
        .exits(0);
    let again = alice.service("install", &[]).ok();
    assert_eq!(again["gateway"], gateway.as_str(), "{again:#}");
    assert_eq!(key.s3().get("pictures", "cat").unwrap().body, "meow");

    // What the service could not open either is no service's to be.
    alice.bascule(&["root-key", "move", "file"]).exits(0);
    stop();
    let root_key = "/home/alice/.local/state/bascule/root.key";
    let whole = format!("{root_key}.aside");
    alice.run(&["mv", root_key, &whole]).exits(0);
    let refused = alice.service("install", &[]).exits(REFUSED);
    let error = refused.error();
    let (message, next) = (
        error["message"].as_str().unwrap(),
        error["next"].as_str().unwrap(),
    );
    assert!(
        message.contains(root_key) && message.contains("is missing"),
        "{error:#}"
    );
    assert!(
        next.contains("bascule reset --yes-lose-everything"),
        "{error:#}"
    );
    alice.run(&["mv", &whole, root_key]).exits(0);
    let again = alice.service("install", &[]).ok();
    assert_eq!(again["gateway"], gateway.as_str(), "{again:#}");

    // A keychain that may open later: it waits for that, on the port that it has.
    stop();
    alice.run(&["mv", root_key, &whole]).exits(0);
    let place = "/home/alice/.local/state/bascule/root.key.place";
    let marker = "{\"bascule_root_key_place\":1,\"kept_in\":\"keychain\",\"store\":\"00\",\"leaving\":false}";
    let to = format!("umask 077; cat >{place}");
    alice.run_with(&["sh", "-c", &to], marker).exits(0);
    let waits = alice.service("install", &[]).ok();
    assert_eq!(waits["gateway"], gateway.as_str(), "{waits:#}");
    let cause = waits["waits_for"].as_str().unwrap();
    assert!(cause.contains("no keychain can be reached"), "{waits:#}");
    assert_eq!(
        alice.property("bascule-gateway.socket", "ActiveState"),
        "active"
    );
    stop();
}

#[test]
fn a_store_of_the_machines_that_does_not_open_names_a_reset_that_works() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let root = User::root(&machine).with_a_port();
    root.service("install", &[]).ok();
    root.key("/var/lib/bascule/storage");
    root.systemctl(&[&["stop"], &UNITS[..]].concat()).exits(0);
    machine.run(&["rm", "/var/lib/bascule/root.key"]).exits(0);
    let reset = "sudo -u bascule bascule reset --yes-lose-everything --state-dir /var/lib/bascule";
    let refused = root.service("install", &[]).exits(REFUSED);
    let error = refused.error();
    assert!(error["next"].as_str().unwrap().contains(reset), "{error:#}");
    assert_ne!(root.systemctl(&["start", SERVICE]).code, Some(0));
    let logs = root.service("logs", &[]).exits(0);
    assert!(logs.text().contains(reset), "{logs}");

    // The machine has no sudo.
    let (_, command) = reset.split_once("sudo -u bascule ").unwrap();
    let as_bascule =
        "exec setpriv --reuid=bascule --regid=bascule --clear-groups env HOME=/var/lib/bascule ";
    machine
        .run(&["sh", "-c", &format!("{as_bascule}{command}")])
        .exits(0);
    root.service("install", &[]).ok();
    assert_eq!(root.bascule(&["status"]).ok()["connections"], 0);
}

#[test]
fn a_socket_whose_unit_changed_begins_anew_and_the_others_stay() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let root = User::root(&machine).with_a_port();
    let done = root.service("install", &[]).ok();
    assert_eq!(done["restarted"], serde_json::json!([]), "{done:#}");
    let invocation = |unit: &str| root.property(unit, "InvocationID");
    let (gateway, service) = (invocation("bascule-gateway.socket"), invocation(SERVICE));
    root.install("bascule.socket.d/mode.conf", "[Socket]\nSocketMode=0700\n");
    let again = root.service("install", &[]).ok();
    assert_eq!(
        again["restarted"],
        serde_json::json!(["bascule.socket"]),
        "{again:#}"
    );
    let mode = machine
        .run(&["stat", "-c", "%a", "/run/bascule/bascule.sock"])
        .exits(0);
    assert_eq!(mode.stdout.trim(), "700");
    // Whoever connects to the gateway meanwhile waits, and nobody else gets its port.
    assert_eq!(invocation("bascule-gateway.socket"), gateway);
    // The service has taken the new socket.
    assert_ne!(invocation(SERVICE), service);
    let again = root.service("install", &[]).ok();
    assert_eq!(again["restarted"], serde_json::json!([]), "{again:#}");

    // A setting that is taken away, of the gateway's this time, which keeps its port.
    let backlog = "bascule-gateway.socket.d/backlog.conf";
    root.install(backlog, "[Socket]\nBacklog=7\n");
    for _ in ["there", "gone"] {
        let again = root.service("install", &[]).ok();
        let anew = serde_json::json!(["bascule-gateway.socket"]);
        assert_eq!(again["restarted"], anew, "{again:#}");
        assert_eq!(again["gateway"], done["gateway"]);
        root.install(backlog, "");
    }
}

#[test]
fn operators_use_the_machines_service_once_its_socket_is_theirs_too() {
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let root = User::root(&machine).with_a_port();
    root.service("install", &[]).ok();
    root.set("[access]\noperators = \"group:games\"\n");
    root.install(
        "bascule.socket.d/operators.conf",
        "[Socket]\nSocketMode=0660\nSocketGroup=games\n",
    );
    // As the help says.
    let help = root.run(&["bascule", "help", "multi-user"]).exits(0).stdout;
    for line in [
        "SocketMode=0660",
        "SocketGroup=",
        "systemctl edit bascule.socket",
    ] {
        assert!(help.contains(line), "{help}");
    }
    root.systemctl(&["stop", SERVICE, "bascule.socket"])
        .exits(0);
    root.systemctl(&["start", "bascule.socket", SERVICE])
        .exits(0);
    let as_nobody = |groups: &str| {
        let mut command = vec!["setpriv", "--reuid=65534", "--regid=65534"];
        match groups {
            "" => command.push("--clear-groups"),
            groups => command.extend(["--groups", groups]),
        }
        command.extend([
            "bascule",
            "--socket",
            "/run/bascule/bascule.sock",
            "--json",
            "status",
        ]);
        machine.run(&command)
    };
    as_nobody("60").ok();
    assert_ne!(as_nobody("").code, Some(0));
    root.bascule(&["status"]).ok();
}

/// Every TCP socket that the process listens on is on loopback.
fn e7_loopback_only(machine: &Machine, pid: &str) {
    let held = machine
        .run(&["sh", "-c", &format!("readlink /proc/{pid}/fd/*")])
        .stdout;
    let held: BTreeSet<_> = held
        .lines()
        .filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']'))
        .collect();
    let tables = machine
        .run(&["cat", "/proc/net/tcp", "/proc/net/tcp6"])
        .exits(0)
        .stdout;
    let mut listening = Vec::new();
    for line in tables.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        if fields.len() > 9 && fields[3] == "0A" && held.contains(fields[9]) {
            listening.push(fields[1].to_owned());
        }
    }
    assert_eq!(listening.len(), 1, "{listening:?}");
    assert!(listening[0].starts_with("0100007F:"), "{listening:?}");
}

/// What the unit's namespaces forbid fails, even for root in them.
fn confined(machine: &Machine, pid: &str) {
    let inside = |script: &str| {
        machine.run(&[
            "nsenter", "--mount", "--target", pid, "--", "sh", "-c", script,
        ])
    };
    for (directive, script) in [
        ("ProtectSystem=strict", "touch /etc/x"),
        ("ProtectSystem=strict", "touch /srv/x"),
        ("ProtectHome=read-only", "touch /root/x"),
        ("ProtectHome=read-only", "touch /home/x"),
        (
            "ProtectKernelTunables",
            "echo 1 > /proc/sys/vm/overcommit_memory",
        ),
        ("ProtectControlGroups", "mkdir /sys/fs/cgroup/x"),
        (
            "PrivateDevices",
            "test -e /dev/fuse -o -e /dev/kmsg -o -e /dev/tty0",
        ),
        ("ProtectKernelModules", "ls /usr/lib/modules"),
    ] {
        let answer = inside(script);
        assert_ne!(answer.code, Some(0), "{directive}: {answer}");
    }
    inside("touch /var/lib/bascule/x && rm /var/lib/bascule/x").exits(0);
    machine.write("/tmp/outside", "x");
    inside("test ! -e /tmp/outside").exits(0);
    let mounts = machine
        .run(&["cat", &format!("/proc/{pid}/mountinfo")])
        .exits(0)
        .stdout;
    let proc = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/proc"))
        .unwrap();
    assert!(
        proc.contains("hidepid=invisible") || proc.contains("hidepid=2"),
        "{proc}"
    );
}

#[test]
fn without_systemd_it_says_so_and_what_to_do() {
    if Path::new("/run/systemd/system").exists() {
        eprintln!("skipped: this machine runs systemd");
        return;
    }
    let home = Home::new();
    for verb in ["install", "uninstall", "status"] {
        let refused = Cli::new(&home).run(&["service", verb]).exits(REFUSED);
        let error = refused.error();
        assert!(
            error["message"].as_str().unwrap().contains("systemd"),
            "{error}"
        );
        assert!(
            error["next"].as_str().unwrap().contains("basculed"),
            "{error}"
        );
    }
}
