//! Who may come: users at the control socket, users at the gateway, and machines beside this one
//! (threats.md E1, and what a shared machine means).
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

use bascule_tests::{Answer, Cli, Daemon, Home, Issued, Minio, World, cli, daemon::Start, tools};

const NOBODY: u32 = 65_534;
/// A group that every Debian has, and that root is not in.
const GROUP: (&str, u32) = ("games", 60);

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: this is not root");
    }
    root
}

/// A home that others can pass through, with a command line that they can run.
fn shared_home() -> Home {
    let home = Home::new();
    fs::set_permissions(home.root(), Permissions::from_mode(0o711)).unwrap();
    let program = home.root().join("bascule");
    fs::copy(tools::program("bascule"), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    home
}

/// The command line as another user, with further groups.
fn as_nobody(home: &Home, groups: &str, arguments: &[&str]) -> Answer {
    let mut command = home.command(Path::new("setpriv"));
    command.args(["--reuid", "65534", "--regid", "65534"]);
    match groups {
        "" => command.arg("--clear-groups"),
        groups => command.args(["--groups", groups]),
    };
    command.arg(home.root().join("bascule"));
    command
        .arg("--socket")
        .arg(Cli::new(home).socket())
        .arg("--json")
        .args(arguments);
    cli::finish(command, "", format!("(nobody) {}", arguments.join(" ")))
}

#[test]
fn e1_another_user_is_refused_even_where_the_modes_would_let_it_in() {
    if !is_root() {
        return;
    }
    let home = shared_home();
    let _daemon = Daemon::start(&home);
    let socket = Cli::new(&home).socket();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, 0o600);
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(socket.parent().unwrap(), Permissions::from_mode(0o711)).unwrap();
    for (groups, verb) in [("", "status"), ("60", "list"), ("", "list")] {
        let refused = as_nobody(&home, groups, &[verb]).exits(4);
        let text = refused.text();
        assert!(
            text.contains("user 65534 is not an operator of this daemon"),
            "{refused}"
        );
        assert!(text.contains("bascule help multi-user"), "{refused}");
    }
    // However many there are, and though they say nothing: those who may come do.
    let silent = format!(
        "import socket\nopen=[]\nfor _ in range(100):\n s=socket.socket(socket.AF_UNIX); s.connect('{}'); open.append(s)\nprint(len(open), flush=True)\ninput()\nfor s in open:\n s.settimeout(30)\n while s.recv(4096): pass\nprint('closed')",
        socket.display()
    );
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "/usr/bin/python3",
        "-c",
        &silent,
    ]);
    let mut crowd = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut number = [0; 4];
    let shown = crowd.stdout.as_mut().unwrap();
    shown.read_exact(&mut number).unwrap();
    assert_eq!(&number, b"100\n");
    Cli::new(&home).run(&["status"]).ok();
    crowd.stdin.take().unwrap().write_all(b"\n").unwrap();
    let crowd = crowd.wait_with_output().unwrap();
    assert!(
        String::from_utf8_lossy(&crowd.stdout).contains("closed"),
        "all are closed in time: {crowd:?}"
    );
    Cli::new(&home).run(&["status"]).ok();
    let log = fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(
        log.contains("refused a connection of another user"),
        "{log}"
    );
}

#[test]
fn operators_do_what_the_owner_does_and_the_audit_tells_who_it_was() {
    if !is_root() {
        return;
    }
    let home = shared_home();
    let (group, gid) = GROUP;
    let file = home.write(
        "config.toml",
        &format!("[access]\noperators = \"group:{group}\"\n"),
    );
    let mut daemon = Start::new().arg("--config").arg(&file).run(&home);
    let socket = Cli::new(&home).socket();
    let modes = || {
        let of = |path: &Path| {
            let found = fs::metadata(path).unwrap();
            (found.mode() & 0o7777, found.gid())
        };
        (of(socket.parent().unwrap()), of(&socket))
    };
    assert_eq!(modes(), ((0o710, gid), (0o660, gid)));
    as_nobody(&home, "", &["status"]).exits(5);
    as_nobody(&home, &gid.to_string(), &["status"]).ok();
    let folder = home.path("home/storage");
    fs::create_dir_all(folder.join("box")).unwrap();
    let place = folder.display().to_string();
    let connect = [
        "connect",
        "shared",
        "--provider",
        "local",
        "--path",
        &place,
        "--bucket",
        "box",
    ];
    Cli::new(&home).run(&connect).ok();
    as_nobody(&home, &gid.to_string(), &["rename", "shared", "ours"]).ok();
    let audit = Cli::new(&home).run(&["audit"]).ok().to_string();
    assert!(audit.contains(&NOBODY.to_string()), "{audit}");
    daemon.stop();
    // Without the setting everything is closed again.
    fs::write(&file, "").unwrap();
    let _daemon = Start::new().arg("--config").arg(&file).run(&home);
    let ((folder, _), (socket, _)) = modes();
    assert_eq!((folder, socket), (0o700, 0o600));
    as_nobody(&home, &gid.to_string(), &["status"]).exits(5);
}

#[test]
fn a_group_that_does_not_exist_keeps_the_daemon_from_starting() {
    let home = Home::new();
    let file = home.write(
        "config.toml",
        "[access]\noperators = \"group:no-such-group\"\n",
    );
    let mut daemon = Start::new().arg("--config").arg(file).spawn(&home);
    let status = daemon.wait("the daemon to end");
    assert_eq!(status.code(), Some(78), "no manager tries it again");
    let told = daemon.output();
    assert!(
        told.contains("no-such-group") && told.contains("config.toml:2: "),
        "{told}"
    );
}

/// The first bytes that a request without a signature is answered with, by whoever runs it.
fn knocks(runner: &[&str], address: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port} && printf 'GET /b HTTP/1.1\\r\\nHost: {address}\\r\\n\\r\\n' >&3 && head -c 12 <&3"
    );
    let mut command = Command::new(runner[0]);
    command.args(&runner[1..]).args(["bash", "-c", &script]);
    let output = command.output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const AS_NOBODY: &[&str] = &[
    "setpriv",
    "--reuid",
    "65534",
    "--regid",
    "65534",
    "--clear-groups",
];
const AS_ROOT: &[&str] = &["env"];

#[test]
fn only_users_that_are_named_reach_the_gateway_by_loopback() {
    if !is_root() {
        return;
    }
    let home = Home::new();
    let file = home.write("config.toml", "[access]\nallow_uid = [0]\n");
    let mut daemon = Start::new().arg("--config").arg(&file).run(&home);
    let answered = "HTTP/1.1 403";
    let knock = |daemon: &Daemon, who: &[&str]| knocks(who, daemon.gateway_address());
    assert_eq!(knock(&daemon, AS_ROOT), answered);
    let doctor = || Cli::new(&home).run(&["doctor", "--offline"]).stdout;
    let told = doctor();
    assert!(!told.contains("allow_uid"), "{told}");
    assert_eq!(knock(&daemon, AS_NOBODY), "");
    assert_eq!(knock(&daemon, AS_NOBODY), "");
    // Whoever is kept out leaves a trace.
    let told = doctor();
    assert!(
        told.contains("2 connections") && told.contains("allow_uid"),
        "{told}"
    );
    let status = Cli::new(&home).run(&["status"]).ok();
    assert!(
        status["troubles"].to_string().contains("allow_uid"),
        "{status:#}"
    );
    let log = fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(
        log.contains("allow_uid does not name its user") && log.contains("user 65534"),
        "{log}"
    );
    let metrics = Cli::new(&home).say(&["metrics"]).stdout;
    let counted = metrics
        .lines()
        .find(|line| line.contains("reason=\"USER-NOT-ALLOWED\""));
    assert!(
        counted.is_some_and(|line| line.ends_with(" 2")),
        "{metrics}"
    );
    daemon.stop();
    fs::write(&file, "").unwrap();
    let daemon = Start::new().arg("--config").arg(&file).run(&home);
    assert_eq!(
        knock(&daemon, AS_NOBODY),
        answered,
        "loopback is everybody's unless it is limited"
    );
}

/// A network namespace beside this one with a line between them, as a container has. Gone on drop.
struct Beside {
    name: String,
    here: String,
    there: String,
}

impl Beside {
    fn new() -> Option<Self> {
        let number = std::process::id() % 250;
        let beside = Self {
            name: format!("bascule{number}"),
            here: format!("10.211.{number}.1"),
            there: format!("10.211.{number}.2"),
        };
        let Self { name, here, there } = &beside;
        let script = format!(
            "ip netns add {name} && ip link add bsc{number} type veth peer name eth0 netns {name} \
             && ip addr add {here}/30 dev bsc{number} && ip link set bsc{number} up \
             && ip -n {name} addr add {there}/30 dev eth0 && ip -n {name} link set eth0 up"
        );
        let made = Command::new("sh").args(["-c", &script]).output().unwrap();
        if !made.status.success() {
            let why = String::from_utf8_lossy(&made.stderr);
            eprintln!("skipped: no network namespace can be made here: {why}");
            return None;
        }
        Some(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

#[test]
fn a_container_beside_this_machine_uses_a_key_that_names_its_address_and_no_other() {
    if !is_root() {
        return;
    }
    let (Some(minio), Some(beside)) = (Minio::shared(), Beside::new()) else {
        return;
    };
    let home = Home::new();
    // Users of this machine are limited too, which is no matter of containers.
    let file = home.write("config.toml", "[access]\nallow_uid = [0]\n");
    let bridge = format!("{}:0", beside.here);
    let daemon = Start::new()
        .arg("--config")
        .arg(file)
        .arg("--gateway")
        .arg("127.0.0.1:0")
        .arg("--gateway")
        .arg(&bridge)
        .arg("--allow-plain-http")
        .run(&home);
    let world = World {
        daemon,
        home,
        minio,
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let status = world.cli().run(&["status"]).ok();
    let gateways: Vec<_> = status["gateways"].as_array().unwrap().clone();
    let mut at = gateways.iter().filter_map(|at| at.as_str());
    let at = at.rfind(|at| at.contains(&beside.here)).unwrap().to_owned();
    let let_in = Issued::of(
        &world
            .cli()
            .run(&[
                "key",
                "issue",
                "photos",
                "--label",
                "app",
                "--allow-ip",
                &beside.there,
            ])
            .ok(),
    );
    let not_let_in = world.issue("photos", "desk");
    let ls = |key: &Issued| {
        let mut command = world.home.command(Path::new("ip"));
        command
            .args(["netns", "exec", &beside.name])
            .arg(tools::get("python"))
            .args(["-m", "awscli", "--endpoint-url", &at, "s3", "ls"])
            .arg(format!("s3://{bucket}"))
            .env("AWS_ACCESS_KEY_ID", &key.id)
            .env("AWS_SECRET_ACCESS_KEY", &key.secret)
            .env("AWS_DEFAULT_REGION", "auto")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1");
        cli::finish(command, "", "(aws in the namespace)".to_owned())
    };
    // An empty bucket: the aws cli ends with 0 once it is listed.
    let answer = ls(&let_in);
    assert_eq!(answer.code, Some(0), "{answer}");
    let answer = ls(&not_let_in);
    assert_ne!(answer.code, Some(0), "{answer}");
    assert!(answer.text().contains("AccessDenied"), "{answer}");
    // Another user of this machine does not get around the rule by that address.
    let address = at.trim_start_matches("http://");
    assert_eq!(knocks(AS_NOBODY, address), "");
    assert_eq!(knocks(AS_ROOT, address), "HTTP/1.1 403");
}
