//! The harness of the behaviour tests: a home of its own, the real daemon, the real command line,
//! a real MinIO, a recording proxy and the real tools. It knows the programs from outside, as a
//! user does, and must never touch a file, process or port that it did not make. What it starts
//! ends with the value that stands for it, also when a test panics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that can't go on says so, by panicking and on its standard error"
)]

pub mod cli;
pub mod clock;
pub mod containers;
mod control_groups;
pub mod daemon;
pub mod desktop;
pub mod generated;
pub mod home;
pub mod keyring;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod minio;
pub mod port;
pub mod process;
pub mod receiver;
pub mod recorded;
pub mod recorder;
pub mod relay;
pub mod s3;
mod server;
mod session_bus;
pub mod signers;
pub mod small_disk;
pub mod sources;
pub mod stream;
pub mod terminal;
pub mod tools;
pub mod user;
pub mod wait;
pub mod world;

use std::sync::OnceLock;

pub use cli::{Answer, Cli};
pub use clock::Clock;
pub use containers::Containers;
pub use daemon::Daemon;
pub use home::Home;
pub use machine::Machine;
pub use minio::Minio;
pub use port::Port;
pub use recorded::Recorded;
pub use recorder::{Recorder, Seen, Treat};
pub use relay::{Conduct, Relay};
pub use s3::{Object, S3};
pub use signers::Signers;
pub use small_disk::SmallDisk;
pub use terminal::Terminal;
pub use world::{Issued, World};

/// The one runtime that carries HTTP for every test of a binary.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// How much larger than usual the counts are: `BASCULE_TEST_SCALE`, 1 unless set.
#[must_use]
pub fn scale() -> usize {
    std::env::var("BASCULE_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1)
}

/// Random hexadecimal digits, two for each byte.
#[must_use]
pub fn random_hex(bytes: usize) -> String {
    use std::{fmt::Write, io::Read};
    let mut buffer = vec![0_u8; bytes];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut buffer))
        .expect("random bytes");
    buffer.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
