//! Storms of refused requests at the real daemon (threats.md H7).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use bascule_tests::{Cli, Daemon, Home, daemon::Start, measure, wait};

/// Sends raw requests one after the other on one connection, and returns how many were answered
/// with 400 or 403.
fn storm(address: &str, requests: usize) -> usize {
    let ids = [
        "\u{1b}[31mBSC",
        "BSC\u{9b}0m",
        "BSCAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "../\u{7}",
    ];
    let mut refused = 0;
    let mut answer = Vec::new();
    for number in 0..requests {
        let id = ids[number % ids.len()];
        let mut stream = TcpStream::connect(address).unwrap();
        let request = match number % 3 {
            0 => format!(
                "GET /photos/%1b%5b2J HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
                 x-amz-date: 20261123T120000Z\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
                 authorization: AWS4-HMAC-SHA256 Credential={id}/20261123/auto/s3/aws4_request, \
                 SignedHeaders=host, Signature={number:064x}\r\n\r\n"
            ),
            1 => format!(
                "GET /\u{1b}[2J?X-Amz-Credential={id} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
            ),
            _ => format!(
                "GET /photos/a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\
                 user-agent: \u{1b}]0;owned\u{7}\r\nauthorization: {id}\r\n\r\n"
            ),
        };
        stream.write_all(request.as_bytes()).unwrap();
        answer.clear();
        // A reset may end what was answered before.
        let _ = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer);
        refused += usize::from(text.starts_with("HTTP/1.1 40"));
    }
    refused
}

#[test]
fn h7_a_storm_of_failures_leaves_a_few_clean_lines_and_no_state() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let address = daemon.gateway_address();
    assert_eq!(storm(address, 300), 300);
    // The first look at the machine takes memory of its own.
    Cli::new(&home).run(&["findings", "--look"]).ok();
    let before = measure::held(daemon.pid());
    assert_eq!(storm(address, 3000), 3000);
    // The next line tells what was left out, once its turn has come.
    wait::until("a line that tells of the others", || {
        // Every fourth id, and a third of the requests, are free of what hyper refuses itself.
        storm(address, 12);
        let told = |line: &str| line.contains("\"left_out\":") && !line.contains("\"left_out\":0");
        daemon.log().lines().any(told).then_some(())
    });
    let log = daemon.log();
    let lines = log.matches("was not authenticated").count();
    assert!((1..600).contains(&lines), "{lines} lines for 3300 failures");
    for bad in ["\u{1b}", "\u{9b}", "\u{7}", "\\u001b", "owned"] {
        assert!(!log.contains(bad), "{bad:?} in the log");
    }
    if let (Some(before), Some(after)) = (before, measure::held(daemon.pid())) {
        let grown = after.own.saturating_sub(before.own);
        assert!(grown < 16 << 20, "{grown} bytes more after the storm");
        wait::until("the storm's descriptors to be closed", || {
            let now = measure::held(daemon.pid())?;
            (now.descriptors <= before.descriptors.map(|open| open + 2)).then_some(())
        });
    }
    Cli::new(&home).run(&["status"]).ok();
}

/// A busy machine may be slow to accept.
#[test]
#[cfg(target_os = "linux")]
fn h1_many_who_connect_before_any_is_accepted_are_all_served() {
    const CLIENTS: usize = 1_000;
    let allowed = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let clients = CLIENTS.min(allowed.trim().parse().unwrap());
    let home = Home::new();
    let mut process = Start::new().spawn(&home);
    let gateway = wait::until("the daemon to answer", || {
        let status = Cli::new(&home).run(&["status"]);
        Some(status.json["gateways"][0].as_str()?.to_owned())
    });
    let address: SocketAddr = gateway.trim_start_matches("http://").parse().unwrap();
    process.suspend();
    let waiting: Vec<_> = (0..clients)
        .map(|_| TcpStream::connect_timeout(&address, wait::LIMIT).expect("a place to wait in"))
        .collect();
    // A client whose place was dropped does not know before it sends something.
    let table = format!("/proc/{}/net/tcp", process.pid());
    let end = |port: u16| format!(":{port:04X}");
    let ports = waiting
        .iter()
        .map(|stream| end(stream.local_addr().unwrap().port()));
    let (ours, port): (BTreeSet<_>, _) = (ports.collect(), end(address.port()));
    // A line may come twice or not at all while other connections come and go.
    let mut established = BTreeSet::new();
    wait::until("all clients to have a place", || {
        let known = fs::read_to_string(&table).unwrap();
        established.extend(known.lines().filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            let peer = words[2].get(8..)?;
            let is_ours = words[1].ends_with(&port) && words[3] == "01";
            is_ours.then(|| ours.get(peer)).flatten()
        }));
        (established.len() == clients).then_some(())
    });
    process.resume();
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    for mut stream in &waiting {
        stream.write_all(request.as_bytes()).unwrap();
    }
    for mut stream in waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    }
    process.terminate();
    assert!(process.wait("the daemon to end").success());
}
