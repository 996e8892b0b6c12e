//! The gateway's listeners: several at once, TLS, and what is refused (gateway.md 51, threats.md
//! E4, E7, H1, H2).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use bascule_tests::{
    Cli, Home, Minio, World,
    cli::{self, CONFIGURATION},
    daemon::{Daemon, Start},
    wait,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Runs a program that has to succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Puts a new self-signed certificate for the loopback address in the place of the former one,
/// key first, as tools that renew certificates do. A copy to trust it by is returned.
fn renew(home: &Home, name: &str) -> PathBuf {
    let path = |file: &str| home.path("work").join(file);
    let (key, certificate) = (path("next.key"), path(&format!("{name}.pem")));
    run(home
        .command(Path::new("openssl"))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&key, path("gateway.key")).unwrap();
    fs::copy(&certificate, path("next.pem")).unwrap();
    fs::rename(path("next.pem"), path("gateway.pem")).unwrap();
    certificate
}

/// How to start a daemon with that certificate.
fn start(home: &Home) -> Start {
    Start::new()
        .arg("--gateway-tls-certificate")
        .arg(home.path("work/gateway.pem"))
        .arg("--gateway-tls-key")
        .arg(home.path("work/gateway.key"))
}

/// The status that curl gets for an anonymous request, and the protocol; `None` if it got none.
fn curl(home: &Home, url: &str, trusted: &Path, more: &[&str]) -> Option<String> {
    let output = home
        .command(Path::new("curl"))
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(["--output", "/dev/null", "--write-out"])
        .arg("%{http_code} HTTP/%{http_version}")
        .arg("--cacert")
        .arg(trusted)
        .args(more)
        .arg(url)
        .output()
        .unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

const FORBIDDEN: &str = "403 HTTP/1.1";

/// Runs a daemon that must not start, and returns what it said.
fn refused(home: &Home, start: &Start, code: i32) -> String {
    let mut process = start.spawn(home);
    let status = process.wait("the daemon to refuse");
    assert_eq!(status.code(), Some(code), "{}", process.output());
    process.output()
}

#[test]
fn tls_stands_beside_plain_http_and_tools_use_either() {
    let Some(minio) = Minio::shared() else {
        return;
    };
    let home = Home::new();
    let trusted = renew(&home, "one");
    // The first address is that of `--gateway` as it is written first.
    let daemon = start(&home)
        .arg("--gateway")
        .arg("https://127.0.0.1:0")
        .run(&home);
    let world = World {
        daemon,
        home,
        minio,
    };
    let status = world.cli().run(&["status"]).ok();
    let (secure, plain) = (
        status["gateways"][0].as_str().unwrap(),
        status["gateways"][1].as_str().unwrap(),
    );
    assert!(secure.starts_with("https://127.0.0.1:"), "{status}");
    assert!(plain.starts_with("http://127.0.0.1:"), "{status}");

    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    assert_eq!(key.endpoint, secure, "tools are given the first address");
    let trusted = trusted.to_str().unwrap();
    let file = world.home.write("a.txt", "over TLS");
    let object = format!("s3://{bucket}/a.txt");
    let put = ["--ca-bundle", trusted, "s3", "cp"];
    let put = world.aws(
        &key,
        &[&put[..], &[file.to_str().unwrap(), &object]].concat(),
    );
    assert_eq!(put.code, Some(0), "{put}");
    let got = world.boto3(
        &key,
        &format!(
            "s3 = boto3.client('s3', endpoint_url={secure:?}, verify={trusted:?})\n\
             sys.stdout.write(s3.get_object(Bucket={bucket:?}, Key='a.txt')['Body'].read().decode())\n\
             made = s3.create_multipart_upload(Bucket={bucket:?}, Key='parts')['UploadId']\n\
             part = s3.upload_part(Bucket={bucket:?}, Key='parts', UploadId=made, PartNumber=1, Body=b'x')\n\
             done = s3.complete_multipart_upload(Bucket={bucket:?}, Key='parts', UploadId=made,\n\
                 MultipartUpload={{'Parts': [{{'PartNumber': 1, 'ETag': part['ETag']}}]}})\n\
             assert done['Location'].startswith({secure:?}), done['Location']\n"
        ),
    );
    assert_eq!(
        (got.code, got.stdout.as_str()),
        (Some(0), "over TLS"),
        "{got}"
    );
    let mut beside = key.clone();
    beside.endpoint = plain.to_owned();
    assert_eq!(
        beside.s3().get(&bucket, "a.txt").unwrap().text(),
        "over TLS",
        "the same key by the other address"
    );

    // Neither speaks what the other does, and TLS leads to HTTP/1.1 only.
    let ask = |url: &str, more: &[&str]| curl(&world.home, url, Path::new(trusted), more);
    assert_eq!(ask(secure, &["--http2"]).as_deref(), Some(FORBIDDEN));
    assert_eq!(ask(&secure.replace("https", "http"), &[]), None);
    assert_eq!(ask(&plain.replace("http", "https"), &[]), None);
    assert_eq!(ask(secure, &["--tls-max", "1.1"]), None);
}

#[test]
fn a_replaced_certificate_is_shown_to_the_next_connection() {
    let home = Home::new();
    let one = renew(&home, "one");
    let daemon = start(&home).gateway("https://127.0.0.1:0").run(&home);
    let ask = |trusted: &Path| curl(&home, &daemon.gateway, trusted, &[]);
    assert_eq!(ask(&one).as_deref(), Some(FORBIDDEN));

    let two = renew(&home, "two");
    assert_eq!(ask(&two).as_deref(), Some(FORBIDDEN));
    assert_eq!(ask(&one), None, "the former certificate is gone");

    let broken = home.path("work/gateway.pem");
    fs::write(&broken, "not a certificate").unwrap();
    let warnings = || daemon.log().matches("the former one stays").count();
    for _ in 0..3 {
        assert_eq!(ask(&two).as_deref(), Some(FORBIDDEN), "the former stays");
    }
    assert_eq!(warnings(), 1, "{}", daemon.log());
    fs::remove_file(&broken).unwrap();
    assert_eq!(ask(&two).as_deref(), Some(FORBIDDEN));
    assert_eq!(warnings(), 2, "{}", daemon.log());

    let three = renew(&home, "three");
    assert_eq!(ask(&three).as_deref(), Some(FORBIDDEN));
    let key = fs::read_to_string(home.path("work/gateway.key")).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!daemon.log().contains(line), "the key is in the log");
}

#[test]
fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let home = Home::new();
    renew(&home, "one");
    let secure = start(&home).gateway("https://127.0.0.1:0");
    let key = home.path("work/gateway.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = refused(&home, &secure, CONFIGURATION);
    assert!(
        said.contains("chmod 600") && said.contains("gateway.key"),
        "{said}"
    );
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(home.path("work/gateway.pem"), home.path("work/kept.pem")).unwrap();
    renew(&home, "two");
    fs::copy(home.path("work/kept.pem"), home.path("work/gateway.pem")).unwrap();
    let said = refused(&home, &secure, CONFIGURATION);
    assert!(said.contains("can't be used together"), "{said}");
    fs::remove_file(home.path("work/gateway.pem")).unwrap();
    let said = refused(&home, &secure, CONFIGURATION);
    assert!(said.contains("gateway.pem"), "{said}");

    let said = refused(
        &home,
        &Start::new().gateway("https://127.0.0.1:0"),
        CONFIGURATION,
    );
    assert!(said.contains("--gateway-tls-certificate"), "{said}");
    let said = refused(&home, &start(&home), CONFIGURATION);
    assert!(said.contains("https://"), "{said}");
}

#[test]
fn e7_plain_http_beyond_loopback_needs_a_word() {
    let home = Home::new();
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:8642",
        "http://192.0.2.1:8642",
    ] {
        let said = refused(&home, &Start::new().gateway(address), CONFIGURATION);
        assert!(
            said.contains("--allow-plain-http")
                && said.contains("allow_plain_http_beyond_loopback"),
            "{said}"
        );
    }
    assert!(!home.state().exists());
    // With the word it is tried; nobody has this address (RFC 5737).
    let start = Start::new()
        .gateway("192.0.2.1:8642")
        .arg("--allow-plain-http");
    let said = refused(&home, &start, 1);
    assert!(said.contains("can't listen on 192.0.2.1:8642"), "{said}");
}

#[test]
fn h1_slow_greetings_end_on_their_deadline_and_others_are_served() {
    let home = Home::new();
    let trusted = renew(&home, "one");
    let settings = home.write("slow.toml", "[gateway]\nheader_timeout_seconds = 5\n");
    let daemon = start(&home)
        .arg("--config")
        .arg(settings)
        .gateway("https://127.0.0.1:0")
        .run(&home);
    let address = daemon.gateway.trim_start_matches("https://");
    let mut slow: Vec<_> = (0..100)
        .map(|number| {
            let mut stream = TcpStream::connect(address).unwrap();
            if number % 2 == 0 {
                // The beginning of a greeting.
                stream.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
            }
            stream
        })
        .collect();
    assert_eq!(
        curl(&home, &daemon.gateway, &trusted, &[]).as_deref(),
        Some(FORBIDDEN)
    );
    for stream in &mut slow {
        stream.set_read_timeout(Some(wait::LIMIT)).unwrap();
        let mut rest = Vec::new();
        // A reset is an end too.
        match stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
}

fn limit_files(daemon: &Daemon, files: Option<u64>) -> Option<u64> {
    let pid = Pid::from_raw(daemon.pid().cast_signed());
    let former = prlimit(
        pid,
        Resource::Nofile,
        Rlimit {
            current: files,
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        },
    );
    former.unwrap().current
}

#[test]
fn h2_without_descriptors_both_sockets_wait_and_recover() {
    let home = Home::new();
    let daemon = Daemon::start(&home);
    let folder = format!("/proc/{}/fd", daemon.pid());
    if fs::read_dir(&folder).is_err() {
        // Only Linux tells, and only to a user who may ask.
        return;
    }
    // One that is closed later would be one more to accept with.
    Cli::new(&home).run(&["findings", "--look"]).ok();
    let (mut open, mut looks) = (0, 0);
    wait::until("nothing to be opened or closed any more", || {
        let now = fs::read_dir(&folder).unwrap().count();
        looks = if now == open { looks + 1 } else { 0 };
        open = now;
        (looks == 25).then_some(())
    });
    let former = limit_files(&daemon, Some(open as u64 + 3));
    let held: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(daemon.gateway_address()).unwrap())
        .collect();
    wait::until("the gateway to run out", || {
        daemon
            .log()
            .contains("a connection could not be accepted")
            .then_some(())
    });
    let mut asking = Cli::new(&home).command();
    let asking = asking.args(["status", "--json"]).stdout(Stdio::null());
    let mut asking = asking.spawn().unwrap();
    wait::until("the control socket to run out", || {
        daemon
            .log()
            .contains("a call could not be accepted")
            .then_some(())
    });
    assert_eq!(
        daemon.log().matches("could not be accepted").count(),
        2,
        "one line for each, however long it lasts"
    );
    limit_files(&daemon, former);
    assert!(asking.wait().unwrap().success(), "the call that waited");
    drop(held);
    let reply = curl(&home, &daemon.gateway, Path::new("/dev/null"), &[]);
    assert_eq!(reply.as_deref(), Some(FORBIDDEN));
    Cli::new(&home).run(&["status"]).ok();
}

#[test]
fn h2_clients_of_the_gateway_leave_descriptors_for_the_control_socket() {
    let home = Home::new();
    let daemon = Start::new().limit_files(150).run(&home);
    // As many as it may open, most of which wait to be accepted.
    let held: Vec<_> = (0..130)
        .map(|_| TcpStream::connect(daemon.gateway_address()).unwrap())
        .collect();
    for _ in 0..3 {
        Cli::new(&home).run(&["status"]).ok();
    }
    drop(held);
    let reply = curl(&home, &daemon.gateway, Path::new("/dev/null"), &[]);
    assert_eq!(reply.as_deref(), Some(FORBIDDEN));
    assert!(!daemon.log().contains("could not be accepted"));
}

#[test]
fn e4_a_name_that_is_not_ours_is_refused_until_it_is_configured() {
    let home = Home::new();
    let ask = |daemon: &Daemon| {
        let mut command = home.command(Path::new("curl"));
        command
            .args(["--silent", "--header", "Host: gateway.internal:8642"])
            .arg(&daemon.gateway);
        cli::finish(command, "", "(curl)".to_owned()).stdout
    };
    let mut daemon = Daemon::start(&home);
    let said = ask(&daemon);
    assert!(said.contains("hosts under [gateway]"), "{said}");
    daemon.stop();
    let settings = home.write("hosts.toml", "[gateway]\nhosts = [\"gateway.internal\"]\n");
    daemon.restart_as(&home, &Start::new().arg("--config").arg(settings));
    let said = ask(&daemon);
    assert!(
        !said.contains("hosts under [gateway]") && said.contains("AccessDenied"),
        "{said}"
    );
}
