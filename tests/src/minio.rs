//! A real MinIO on loopback, with a data folder and root credentials of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    cli, home::Home, port::Port, process::Process, random_hex, runtime, s3::S3, tools, wait,
};

/// A running server. It is killed on drop and its data removed.
#[derive(Debug)]
pub struct Minio {
    home: Home,
    program: PathBuf,
    process: Mutex<Option<Process>>,
    port: Port,
    user: String,
    password: String,
}

impl Minio {
    /// Starts one of its own. `None` when the test is to be skipped.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = tools::find("minio")?;
        let minio = Self {
            home: Home::new(),
            program,
            process: Mutex::new(None),
            port: Port::new(),
            user: format!("root{}", random_hex(6)),
            password: random_hex(20),
        };
        minio.run();
        Some(minio)
    }

    /// The server that the tests of a binary share while any of them runs.
    #[must_use]
    pub fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Minio>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(minio) = shared.upgrade() {
            return Some(minio);
        }
        let minio = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&minio);
        Some(minio)
    }

    fn run(&self) {
        let mut command = self.home.command(&self.program);
        command
            .env("MINIO_ROOT_USER", &self.user)
            .env("MINIO_ROOT_PASSWORD", &self.password)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off")
            .args(["server", "--quiet", "--address"])
            .arg(self.address())
            .arg("--certs-dir")
            .arg(self.home.path("certs"))
            .arg(self.home.path("data"));
        let mut process = Process::start(command, &self.home.path("minio.log"));
        let s3 = self.s3();
        wait::until("MinIO to answer", || {
            if let Some(status) = process.ended() {
                panic!("MinIO ended with {status}:\n{}", self.log());
            }
            let reply = runtime().block_on(s3.send(http::Method::GET, "/", &[], ""));
            reply.is_ok_and(|reply| reply.status == 200).then_some(())
        });
        *self.process() = Some(process);
    }

    /// Such as `http://127.0.0.1:9000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        self.port.address().to_string()
    }

    /// The root user's id and password.
    #[must_use]
    pub fn credentials(&self) -> (&str, &str) {
        (&self.user, &self.password)
    }

    /// A direct client with the root user's credentials.
    #[must_use]
    pub fn s3(&self) -> S3 {
        S3::new(&self.endpoint(), &self.user, &self.password)
    }

    /// Makes a bucket of a new name and returns the name.
    #[must_use]
    pub fn bucket(&self) -> String {
        let name = format!("bucket-{}", random_hex(5));
        self.s3().make_bucket(&name).expect("MinIO makes a bucket");
        name
    }

    /// Kills the server; data and port stay.
    pub fn stop(&self) {
        *self.process() = None;
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it again on the same data and the same port.
    pub fn start_again(&self) {
        assert!(self.process().is_none(), "MinIO still runs");
        self.run();
    }

    /// Runs `mc` as the root user, with this server as the alias `here`. `None` when the test is
    /// to be skipped; panics when `mc` fails.
    pub fn mc(&self, args: &[&str]) -> Option<String> {
        let mut command = self.home.command(&tools::find("mc")?);
        let alias = format!("http://{}:{}@{}", self.user, self.password, self.address());
        command
            .env("MC_HOST_here", alias)
            .args(["--no-color", "--quiet"])
            .args(args);
        let answer = cli::finish(command, "", args.join(" "));
        assert_eq!(answer.code, Some(0), "mc: {answer}");
        Some(answer.stdout)
    }

    /// Makes a user who may do everything with objects, and returns id and secret.
    pub fn user(&self) -> Option<(String, String)> {
        let (id, secret) = (format!("user{}", random_hex(6)), random_hex(20));
        self.mc(&["admin", "user", "add", "here", &id, &secret])?;
        self.mc(&[
            "admin",
            "policy",
            "attach",
            "here",
            "readwrite",
            "--user",
            &id,
        ])?;
        Some((id, secret))
    }

    /// Makes a user of this name that may do what a policy of the server says.
    pub fn limited_user(&self, id: &str, policy: &str) -> Option<(String, String)> {
        let secret = random_hex(20);
        let file = self.home.path(&format!("{id}.json"));
        std::fs::write(&file, policy).ok()?;
        self.mc(&["admin", "user", "add", "here", id, &secret])?;
        self.mc(&["admin", "policy", "create", "here", id, file.to_str()?])?;
        self.mc(&["admin", "policy", "attach", "here", id, "--user", id])?;
        Some((id.to_owned(), secret))
    }

    /// Disables a user: its requests are refused from now on.
    pub fn disable(&self, id: &str) {
        self.mc(&["admin", "user", "disable", "here", id]);
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.home.path("minio.log")).unwrap_or_default())
            .into_owned()
    }
}
