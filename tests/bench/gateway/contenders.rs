//! Who is compared: the upstream itself and three proxies in front of it, each in a process of its
//! own on loopback. What they hold is read from /proc.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use bascule_tests::{Cli, Daemon, Home, Issued, Minio, process::Process, tools};

use crate::{
    load,
    requests::{Credentials, KIB, Kind, LISTED, OPERATIONS, Operation, Target, readable},
    stub,
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// One way to an upstream.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) target: Target,
    /// Ends with this value.
    _process: Option<Process>,
    /// Of the process whose memory counts, its children included.
    pid: Option<u32>,
}

impl Contender {
    /// Forgets how much its processes held at most.
    pub(crate) fn forget_peak(&self) {
        for pid in self.pids() {
            // Where that can't be reset, the peak is that of the whole run.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    /// The most that its processes held since, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        let held = self
            .pids()
            .into_iter()
            .filter_map(bascule_tests::measure::held);
        held.map(|held| held.peak).sum()
    }

    /// Processor time that its processes have used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        let used = self
            .pids()
            .into_iter()
            .filter_map(bascule_tests::measure::processor_time);
        used.sum()
    }

    fn pids(&self) -> Vec<u32> {
        let Some(pid) = self.pid else {
            return Vec::new();
        };
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let children = children.split_whitespace().filter_map(|id| id.parse().ok());
        [pid].into_iter().chain(children).collect()
    }
}

/// An upstream and the ways to it; the first one is direct.
pub(crate) struct Upstream {
    pub(crate) name: &'static str,
    pub(crate) contenders: Vec<Contender>,
}

/// Everything that runs.
pub(crate) struct Field {
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) daemon: Daemon,
    _home: Home,
    _minio: Arc<Minio>,
}

impl Field {
    /// Starts everything. `None` when there is no MinIO here.
    pub(crate) fn new() -> Option<Self> {
        let minio = Minio::shared()?;
        let home = Home::new();
        let daemon = Daemon::start(&home);
        let stub = stub::start("bench").to_string();
        let (id, secret) = minio.credentials();
        let credentials = Credentials {
            id: id.to_owned(),
            secret: secret.to_owned(),
        };
        let bucket = minio.bucket();
        let targets = [
            (
                "stub",
                Target {
                    address: stub,
                    bucket: "bench".to_owned(),
                    credentials: credentials.clone(),
                },
            ),
            (
                "MinIO",
                Target {
                    address: minio.address(),
                    bucket,
                    credentials,
                },
            ),
        ];
        fill(&minio, &targets[1].1.bucket);
        let upstreams = targets
            .into_iter()
            .map(|(name, direct)| Upstream {
                name,
                contenders: [
                    nginx(&home, name, &direct),
                    Some(gateway(&home, name, &direct)),
                    rclone(&home, name, &direct),
                ]
                .into_iter()
                .flatten()
                .fold(vec![plain(&direct)], |mut all, next| {
                    all.push(next);
                    all
                }),
            })
            .map(|mut upstream| {
                for contender in &mut upstream.contenders {
                    if contender.name == "bascule" {
                        contender.pid = Some(daemon.pid());
                    }
                }
                upstream
            })
            .collect();
        Some(Self {
            upstreams,
            daemon,
            _home: home,
            _minio: minio,
        })
    }
}

fn plain(direct: &Target) -> Contender {
    Contender {
        name: "direct",
        target: direct.clone(),
        _process: None,
        pid: None,
    }
}

/// Puts what the rows read into a bucket of the MinIO.
fn fill(minio: &Minio, bucket: &str) {
    let s3 = minio.s3();
    for row in OPERATIONS.iter().filter(|row| row.kind == Kind::Get) {
        s3.put(bucket, &readable(row), vec![7; row.bytes])
            .expect("an object to read");
    }
    for number in 0..LISTED {
        s3.put(bucket, &format!("many/object-{number:05}"), vec![7; 4])
            .expect("an object to list");
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Starts a proxy and waits until it serves a small object.
fn start(name: &'static str, command: Command, log: &Path, target: Target) -> Contender {
    let mut process = Process::start(command, log);
    let small = Operation {
        name: "small",
        kind: Kind::Get,
        bytes: 4 * KIB,
        at_once: 1,
        goal: 0.0,
    };
    let begun = Instant::now();
    while let Err(error) = load::run(&target, &small, Duration::ZERO) {
        if process.ended().is_some() || begun.elapsed() > START_LIMIT {
            panic!("{name} does not serve: {error:#}\n{}", process.output());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Contender {
        name,
        target,
        pid: Some(process.pid()),
        _process: Some(process),
    }
}

/// nginx with nothing but a proxy in it. `None`, said aloud, where it is not installed.
fn nginx(home: &Home, upstream: &str, direct: &Target) -> Option<Contender> {
    let Some(program) = tools::installed_path("nginx") else {
        eprintln!("without nginx: it is not installed (tests/setup benches)");
        return None;
    };
    let folder = home.path(&format!("nginx-{upstream}"));
    fs::create_dir_all(&folder).expect("a folder");
    let (port, shown) = (free_port(), folder.display());
    let settings = format!(
        "daemon off; worker_processes auto; pid {shown}/pid; error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off; client_max_body_size 0; keepalive_requests 1000000000;\n\
           client_body_temp_path {shown}/1; proxy_temp_path {shown}/2; fastcgi_temp_path {shown}/3;\n\
           uwsgi_temp_path {shown}/4; scgi_temp_path {shown}/5;\n\
           upstream provider {{ server {}; keepalive 64; keepalive_requests 1000000000; }}\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location / {{\n\
               proxy_pass http://provider; proxy_http_version 1.1;\n\
               proxy_set_header Connection \"\"; proxy_set_header Host $http_host;\n\
               proxy_buffer_size 128k; proxy_buffers 4 128k; proxy_buffering off; proxy_request_buffering off;\n\
             }}\n\
           }}\n\
         }}\n",
        direct.address
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, settings).expect("a file");
    let mut command = home.command(&program);
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    let target = Target {
        address: format!("127.0.0.1:{port}"),
        ..direct.clone()
    };
    Some(start("nginx", command, &folder.join("log"), target))
}

fn gateway(home: &Home, upstream: &str, direct: &Target) -> Contender {
    let name = upstream.to_lowercase();
    let endpoint = format!("http://{}", direct.address);
    Cli::new(home)
        .run_with(
            &[
                "connect",
                &name,
                "--provider",
                "minio",
                "--endpoint",
                &endpoint,
                "--bucket",
                &direct.bucket,
                "--allow-http",
                "--credentials-stdin",
            ],
            &format!("{}\n{}\n", direct.credentials.id, direct.credentials.secret),
        )
        .ok();
    let issued = Issued::of(
        &Cli::new(home)
            .run(&["key", "issue", &name, "--label", "bench"])
            .ok(),
    );
    Contender {
        name: "bascule",
        target: Target {
            address: issued.endpoint.trim_start_matches("http://").to_owned(),
            bucket: direct.bucket.clone(),
            credentials: Credentials {
                id: issued.id,
                secret: issued.secret,
            },
        },
        _process: None,
        pid: None,
    }
}

fn rclone(home: &Home, upstream: &str, direct: &Target) -> Option<Contender> {
    let port = free_port();
    let own = Credentials {
        id: "benchbenchbench".to_owned(),
        secret: "benchbenchbenchbenchbenchbench".to_owned(),
    };
    let mut command = home.command(&tools::get("rclone"));
    command
        .env("RCLONE_CONFIG_UP_TYPE", "s3")
        .env("RCLONE_CONFIG_UP_PROVIDER", "Other")
        .env(
            "RCLONE_CONFIG_UP_ENDPOINT",
            format!("http://{}", direct.address),
        )
        .env("RCLONE_CONFIG_UP_ACCESS_KEY_ID", &direct.credentials.id)
        .env(
            "RCLONE_CONFIG_UP_SECRET_ACCESS_KEY",
            &direct.credentials.secret,
        )
        .args(["serve", "s3", "up:", "--addr", &format!("127.0.0.1:{port}")])
        .args(["--auth-key", &format!("{},{}", own.id, own.secret)]);
    let target = Target {
        address: format!("127.0.0.1:{port}"),
        bucket: direct.bucket.clone(),
        credentials: own,
    };
    let log = home.path(&format!("rclone-{upstream}.log"));
    Some(start("rclone serve", command, &log, target))
}
