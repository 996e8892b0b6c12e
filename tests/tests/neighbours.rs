//! A client and a daemon of neighbouring versions: what one does not know of the other's is passed over,
//! and that they differ is told (threats.md G8).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
};

use bascule_proto::v1;
use bascule_tests::{Cli, Daemon, Home, cli};
use prost::Message;

/// Field 2000 with a number, field 2001 with bytes: what a later version may have added.
const UNKNOWN: &[u8] = &[0x80, 0x7d, 0x2a, 0x8a, 0x7d, 3, b'n', b'e', b'w'];

const DATA: u8 = 0;

/// One frame of HTTP/2; `None` when there are no more.
fn frame(from: &mut impl Read) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut head = vec![0; 9];
    from.read_exact(&mut head).ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    from.read_exact(&mut payload).ok()?;
    Some((head, payload))
}

/// A data frame that holds one message, whole: its bytes.
fn message<'a>(head: &[u8], payload: &'a [u8]) -> Option<&'a [u8]> {
    let rest = payload.strip_prefix(&[0]).filter(|_| head[3] == DATA)?;
    let (length, message) = rest.split_first_chunk::<4>()?;
    (u32::from_be_bytes(*length) as usize == message.len()).then_some(message)
}

fn data(head: &[u8], message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    let mut bytes = (length + 5).to_be_bytes()[1..].to_vec();
    bytes.extend(&head[3..]);
    bytes.push(0);
    bytes.extend(length.to_be_bytes());
    bytes.extend(message);
    bytes
}

#[derive(Clone, Copy)]
enum Direction {
    ToDaemon,
    ToClient,
}

type Alter = fn(Direction, &[u8]) -> Vec<u8>;

/// Stands between the command line and the daemon, and alters every message that passes.
fn between(home: &Home, alter: Alter) -> PathBuf {
    let path = home.root().join("between.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = Cli::new(home).socket();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = UnixStream::connect(&daemon).unwrap();
            let (from_client, from_server) =
                (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let mut client = from_client;
                let mut greeting = [0; 24];
                client.read_exact(&mut greeting).ok()?;
                (&server).write_all(&greeting).ok()?;
                pass(client, server, Direction::ToDaemon, alter)
            });
            thread::spawn(move || pass(from_server, client, Direction::ToClient, alter));
        }
    });
    path
}

fn pass(
    mut from: UnixStream,
    mut to: UnixStream,
    direction: Direction,
    alter: Alter,
) -> Option<()> {
    while let Some((head, payload)) = frame(&mut from) {
        let bytes = match message(&head, &payload) {
            Some(message) => data(&head, &alter(direction, message)),
            None => [head, payload].concat(),
        };
        to.write_all(&bytes).ok()?;
    }
    to.shutdown(std::net::Shutdown::Both).ok()
}

fn bascule(home: &Home, socket: &Path, args: &[&str]) -> cli::Answer {
    let mut command = home.command(&bascule_tests::tools::program("bascule"));
    command.arg("--socket").arg(socket).arg("--json").args(args);
    cli::finish(command, "", args.join(" "))
}

/// A home with a connection that has a key.
fn scene() -> (Home, Daemon) {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let folder = home.path("home/storage");
    std::fs::create_dir_all(folder.join("box")).unwrap();
    let folder = folder.display().to_string();
    let place = ["--provider", "local", "--path", &folder, "--bucket", "box"];
    let cli = Cli::new(&home);
    cli.run(&[&["connect", "photos"][..], &place].concat()).ok();
    cli.run(&["key", "issue", "photos", "--label", "laptop"])
        .ok();
    (home, daemon)
}

#[test]
fn g8_fields_that_a_later_version_has_added_hinder_neither_the_daemon_nor_the_command_line() {
    let (home, _daemon) = scene();
    let socket = between(&home, |_, message| [message, UNKNOWN].concat());
    for args in [
        &["status"][..],
        &["list"],
        &["show", "photos"],
        &["key", "list", "photos"],
        &["audit"],
        &["usage", "photos"],
        &["findings"],
        &["deletion", "list"],
        &["limit", "photos"],
    ] {
        let (plain, altered) = (Cli::new(&home).run(args), bascule(&home, &socket, args));
        assert_eq!(plain.code, altered.code, "{altered}");
        assert!(altered.json.is_object(), "{altered}");
        let keys = |answer: &cli::Answer| -> Vec<String> {
            answer.json.as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(keys(&plain), keys(&altered), "{altered}");
    }
    // What was asked for is done, and not something else.
    bascule(&home, &socket, &["rename", "photos", "pictures"]).ok();
    Cli::new(&home).run(&["show", "pictures"]).ok();
}

#[test]
fn g8_an_earlier_daemon_that_tells_less_is_understood() {
    let (home, _daemon) = scene();
    // All that version 0.1 could not do without.
    let socket = between(&home, |direction, message| {
        let status = v1::StatusResponse::decode(message);
        match (direction, status) {
            (Direction::ToClient, Ok(status)) if status.pid != 0 => v1::StatusResponse {
                version: "0.0.9".into(),
                pid: status.pid,
                gateways: status.gateways,
                state_dir: status.state_dir,
                connections: status.connections,
                ..Default::default()
            }
            .encode_to_vec(),
            _ => message.to_vec(),
        }
    });
    let status = bascule(&home, &socket, &["status"]).ok();
    assert_eq!(status["version"], "0.0.9");
    assert_eq!(status["connections"], 1);
    // That they differ is told, with both numbers.
    let mut command = home.command(&bascule_tests::tools::program("bascule"));
    command.arg("--socket").arg(&socket).arg("status");
    let said = cli::finish(command, "", "status".into()).exits(0).stdout;
    for version in ["0.0.9", env!("CARGO_PKG_VERSION")] {
        assert!(said.contains(version), "{said}");
    }
    let doctor = bascule(&home, &socket, &["doctor"]);
    let text = doctor.text();
    assert!(
        text.contains("0.0.9")
            && text.contains("restart the daemon: end it (Ctrl-C), then: basculed"),
        "{text}"
    );
}

#[test]
fn g8_a_state_of_a_key_that_a_later_version_has_added_is_shown_as_unknown() {
    let (home, _daemon) = scene();
    let socket = between(&home, |direction, message| {
        let listed = v1::ListKeysResponse::decode(message);
        match (direction, listed) {
            (Direction::ToClient, Ok(mut listed))
                if listed.keys.iter().any(|key| key.label == "laptop") =>
            {
                for key in &mut listed.keys {
                    key.state = 99;
                }
                listed.encode_to_vec()
            }
            _ => message.to_vec(),
        }
    });
    let listed = bascule(&home, &socket, &["key", "list", "photos"]).ok();
    let key = &listed["keys"][0];
    assert_eq!(key["label"], "laptop", "{listed:#}");
    // Never as one of those that are known: a dead key must not look alive.
    for known in ["active", "paused", "dead"] {
        assert_ne!(key["state"], known, "{listed:#}");
    }
}
