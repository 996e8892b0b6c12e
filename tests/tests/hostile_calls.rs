//! What no client of ours would send: to the control socket (threats.md E3, E5, H5) and to whoever serves
//! metrics (E6).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::Duration,
};

use bascule_tests::{Cli, Daemon, Home, Minio, World, daemon::Start, wait};

/// As bytes on a wire: RFC 9113.
struct Frames(Vec<u8>);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl Frames {
    fn greeting() -> Self {
        Self(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()).add(SETTINGS, 0, 0, &[])
    }

    const fn none() -> Self {
        Self(Vec::new())
    }

    fn add(mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.0.extend(&length[1..]);
        self.0.extend([kind, flags]);
        self.0.extend(stream.to_be_bytes());
        self.0.extend(payload);
        self
    }
}

/// Header fields that are put into no table: RFC 7541, 6.2.2.
fn fields(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.bytes());
        }
    }
    bytes
}

const STATUS: &str = "/bascule.v1.System/Status";
const CONNECT: &str = "/bascule.v1.Connections/Connect";

/// Sends and reads until the other side is silent for a moment or has gone; whether it has gone.
fn send(socket: &mut UnixStream, bytes: &[u8]) -> bool {
    if socket.write_all(bytes).is_err() {
        return true;
    }
    let mut scratch = [0; 65_536];
    loop {
        match socket.read(&mut scratch) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return false;
            }
            Err(_) => return true,
        }
    }
}

fn dial(cli: &Cli) -> UnixStream {
    let socket = UnixStream::connect(cli.socket()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    socket
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
}

fn is_well(home: &Home, daemon: &mut Daemon) {
    assert!(daemon.runs());
    Cli::new(home).run(&["status"]).ok();
    let log = fs::read_to_string(home.path("daemon.log")).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn e3_a_second_daemon_ends_and_leaves_store_and_socket_to_the_first() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let before = home.files("state");
    let mut second = Start::new().spawn(&home);
    assert!(!second.wait("the second daemon to end").success());
    assert!(
        second.output().contains("already") || second.output().contains("another"),
        "{}",
        second.output()
    );
    assert_eq!(home.files("state"), before);
    is_well(&home, &mut daemon);
}

#[test]
fn e5_malformed_oversized_and_nested_calls_are_errors_and_nothing_falls_over() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let call = |path: &str, message: &[u8]| {
        Frames::greeting()
            .add(HEADERS, END_HEADERS, 1, &fields(path))
            .add(DATA, END_STREAM, 1, message)
            .0
    };
    // A group in a group in a group: what protobuf readers were overrun by.
    let nested: Vec<u8> = [0, 0, 0, 0x27, 0x10]
        .into_iter()
        .chain(std::iter::repeat_n(0x0b, 10_000))
        .collect();
    let messages: [&[u8]; 8] = [
        b"",
        &[0],
        &[0, 0xff, 0xff, 0xff, 0xff],
        &[1, 0, 0, 0, 1, 0],
        &[9, 0, 0, 0, 0],
        &[0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0, 3, 0x0a, 0xff, 0x7f],
        &nested,
    ];
    for path in [STATUS, CONNECT, "/", "/bascule.v1.System/Nothing", "/x.Y/Z"] {
        for message in messages {
            send(&mut dial(&cli), &call(path, message));
        }
    }
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0; 70_000],
        vec![0xff; 70_000],
        Frames::greeting()
            .add(HEADERS, END_HEADERS, 0, &fields(STATUS))
            .0,
        Frames::greeting()
            .add(HEADERS, END_HEADERS, 1, &[0xff; 64])
            .0,
        Frames::greeting().add(DATA, END_STREAM, 1, b"x").0,
        Frames::greeting().add(77, 0xff, u32::MAX, &[7; 1000]).0,
    ] {
        send(&mut dial(&cli), &bytes);
    }
    is_well(&home, &mut daemon);
}

#[test]
fn h5_a_flood_of_frames_costs_the_connection_and_nothing_else() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let cli = Cli::new(&home);
    let resident = |daemon: &Daemon| {
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let flood = |name: &str, first: Frames, more: &mut dyn FnMut(u32) -> Frames| {
        let mut socket = dial(&cli);
        assert!(!send(&mut socket, &first.0), "{name}: nothing was sent yet");
        let gone = (0..400).any(|round| {
            let mut bytes = Vec::new();
            for number in 0..1000 {
                bytes.extend(more(round * 1000 + number).0);
            }
            send(&mut socket, &bytes)
        });
        assert!(gone, "{name}: 400,000 frames were taken");
    };
    let before = resident(&daemon);
    flood("resets", Frames::greeting(), &mut |number| {
        let stream = number * 2 + 1;
        Frames::none()
            .add(HEADERS, END_HEADERS, stream, &fields(STATUS))
            .add(RST_STREAM, 0, stream, &[0, 0, 0, 8])
    });
    let open = Frames::greeting().add(HEADERS, 0, 1, &fields(STATUS));
    flood("continuations", open, &mut |_| {
        Frames::none().add(CONTINUATION, 0, 1, &[0; 16])
    });
    let open = Frames::greeting().add(HEADERS, END_HEADERS, 1, &fields(STATUS));
    flood("empty data", open, &mut |_| {
        Frames::none().add(DATA, 0, 1, b"")
    });
    let after = resident(&daemon);
    assert!(
        after < before + 32 * 1024,
        "{before} KiB before, {after} KiB after"
    );
    is_well(&home, &mut daemon);
}

#[test]
fn h5_the_gateway_speaks_http_1_1_only() {
    let home = Home::new();
    let mut daemon = Daemon::start(&home);
    let mut socket = TcpStream::connect(daemon.gateway_address()).unwrap();
    socket.write_all(&Frames::greeting().0).unwrap();
    let mut answer = Vec::new();
    // It may be reset with what was not read.
    socket.read_to_end(&mut answer).ok();
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1."),
        "{answer:?}"
    );
    is_well(&home, &mut daemon);
}

/// The listening TCP ports of a process.
fn listening(pid: u32) -> Vec<u16> {
    let mut inodes = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            inodes.push(target.display().to_string());
        }
    }
    let mut ports = Vec::new();
    for table in ["tcp", "tcp6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            let is_own = inodes.contains(&format!("socket:[{}]", words[9]));
            if words[3] == "0A" && is_own {
                let (_, port) = words[1].rsplit_once(':').unwrap();
                ports.push(u16::from_str_radix(port, 16).unwrap());
            }
        }
    }
    ports
}

fn scrape(mut stream: impl Read + Write, path: &str, more: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn e6_nothing_but_the_gateway_listens_unless_metrics_are_asked_for() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let (_, port) = daemon.gateway_address().rsplit_once(':').unwrap();
    // Another user's descriptors are root's to read; then there is nothing to compare.
    if rustix::process::geteuid().is_root() {
        assert_eq!(listening(daemon.pid()), [port.parse::<u16>().unwrap()]);
    }
    let mut stream = TcpStream::connect(daemon.gateway_address()).unwrap();
    let request =
        format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(!answer.contains("bascule_connections"), "{answer}");
}

#[test]
fn e6_metrics_are_read_from_where_they_were_asked_for_and_hold_no_secret() {
    let Some(minio) = Minio::shared() else { return };
    let home = Home::new();
    let socket = home.root().join("metrics/m.sock");
    let settings = format!("[metrics]\nlisten = \"unix:{}\"\n", socket.display());
    let file = home.write("config.toml", &settings);
    let daemon = Start::new().arg("--config").arg(file).run(&home);
    let world = World {
        daemon,
        home,
        minio,
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    key.s3().put(&bucket, "secret-name", "12345").unwrap();
    let read = |path: &str, more: &str| scrape(UnixStream::connect(&socket).unwrap(), path, more);
    let answer = wait::until("the request in the metrics", || {
        let answer = read("/metrics", "");
        answer.contains("PutObject").then_some(answer)
    });
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200") && head.contains("version=0.0.4"),
        "{head}"
    );
    // One source for both.
    let printed = world.cli().say(&["metrics"]).exits(0).stdout;
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| line.starts_with("# "));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(names(body), names(&printed));
    let open = read(
        "/metrics",
        "Accept: application/openmetrics-text;version=1.0.0\r\n",
    );
    assert!(
        open.contains("application/openmetrics-text") && open.ends_with("# EOF\n"),
        "{open}"
    );
    let (id, secret) = world.minio.credentials();
    for hidden in [
        &*bucket,
        "secret-name",
        &key.id,
        &key.secret,
        "laptop",
        id,
        secret,
    ] {
        assert!(
            !answer.contains(hidden) && !open.contains(hidden),
            "{hidden}"
        );
    }
    assert!(read("/", "").starts_with("HTTP/1.1 404"));
    assert!(read("/metrics", "Host: evil.test\r\n").starts_with("HTTP/1.1 421"));
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o7777,
        0o600
    );
}
