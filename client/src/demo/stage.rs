//! The demo's surroundings: a private temporary folder and a daemon that knows only that folder.

use std::{
    fs::{File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use bascule_proto::{location::SOCKET_NAME, v1};
use tokio::process::{Child, Command};

use crate::{
    channel::Client,
    error::{Error, Kind},
    program,
};

/// How long the daemon has to answer, and to stop.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(15);
const LOG_END: usize = 2000;

/// The folder and the daemon in it.
#[derive(Debug)]
pub(super) struct Stage {
    folder: tempfile::TempDir,
    program: PathBuf,
    daemon: Option<Child>,
}

impl Stage {
    /// Makes the folder and finds the program.
    pub(super) fn set() -> Result<Self, Error> {
        let program = program::basculed()?;
        let failed = |error: std::io::Error| {
            Error::new(
                Kind::Failed,
                format!("the temporary folder could not be set up: {error}"),
            )
        };
        let folder = tempfile::Builder::new()
            .prefix("bascule-demo-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(failed)?;
        for name in ["home", "buckets/photos"] {
            std::fs::create_dir_all(folder.path().join(name)).map_err(failed)?;
        }
        // Named, so that no other configuration is looked for. The user's own folders are none of its
        // business.
        let settings = "[watch]\nsweep = \"off\"\n";
        std::fs::write(folder.path().join("config.toml"), settings).map_err(failed)?;
        Ok(Self {
            folder,
            program,
            daemon: None,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder that is connected; each folder in it is a bucket.
    pub(super) fn buckets(&self) -> PathBuf {
        self.folder.path().join("buckets")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Starts the daemon and waits until it answers.
    pub(super) async fn start(&mut self) -> Result<Client, String> {
        let folder = self.folder.path();
        let log = File::create(self.log()).map_err(|error| format!("its log: {error}"))?;
        let errors = log
            .try_clone()
            .map_err(|error| format!("its log: {error}"))?;
        let mut command = Command::new(&self.program);
        command
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("--state-dir")
            .arg(folder.join("state"))
            .arg("--runtime-dir")
            .arg(folder.join("run"))
            .args(["--gateway", "127.0.0.1:0"])
            .current_dir(folder)
            .env_clear()
            .env("HOME", folder.join("home"))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .kill_on_drop(true);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        let daemon = command
            .spawn()
            .map_err(|error| format!("{} could not be run: {error}", self.program.display()))?;
        let daemon = self.daemon.insert(daemon);
        let socket = self.folder.path().join("run").join(SOCKET_NAME);
        let began = Instant::now();
        loop {
            if let Some(status) = daemon.try_wait().map_err(|error| error.to_string())? {
                return Err(format!("it ended at once ({status})"));
            }
            let left = PATIENCE.saturating_sub(began.elapsed());
            if let Ok(Some(client)) = tokio::time::timeout(left, answering(&socket)).await {
                return Ok(client);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("it did not answer within {} s", PATIENCE.as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// The end of what the daemon logged, on one line.
    pub(super) fn log_end(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let end = &text[text.len().saturating_sub(LOG_END)..];
        String::from_utf8_lossy(end).trim().replace('\n', " | ")
    }

    /// Stops the daemon and removes the folder.
    pub(super) async fn clear(mut self) -> Result<(), String> {
        let stopped = match self.daemon.take() {
            Some(daemon) => stop(daemon).await,
            None => Ok(()),
        };
        let folder = self.folder.path().to_path_buf();
        self.folder
            .close()
            .map_err(|error| format!("{} could not be removed: {error}", folder.display()))?;
        stopped
    }
}

/// The daemon at the socket, if it answers.
async fn answering(socket: &Path) -> Option<Client> {
    let client = Client::connect(Some(socket)).await.ok()?;
    let answer = client.system().status(v1::StatusRequest {}).await;
    answer.is_ok().then_some(client)
}

/// SIGTERM and a wait; SIGKILL if that is not enough.
async fn stop(mut daemon: Child) -> Result<(), String> {
    let pid = daemon
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended by itself meanwhile, which the wait shows.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
    }
    match tokio::time::timeout(PATIENCE, daemon.wait()).await {
        Ok(Ok(status)) => ended_well(status),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            daemon.kill().await.ok();
            Err(format!(
                "the daemon did not stop within {} s",
                PATIENCE.as_secs()
            ))
        }
    }
}

fn ended_well(status: ExitStatus) -> Result<(), String> {
    if status.success() {
        Ok(())
    } else {
        Err(format!("the daemon ended with {status}"))
    }
}
