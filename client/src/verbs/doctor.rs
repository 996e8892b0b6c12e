//! `bascule doctor`: everything a support person would ask for. What the daemon can see is asked there;
//! without one the rest is looked at here, and what can't be is said.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bascule_proto::{
    location,
    v1::{self, Standing},
};
use clap::Args;
use serde::Serialize;
use tokio::net::UnixStream;

use super::{Context, service};
use crate::{
    channel::{Client, quoted},
    error::Error,
    exit::Exit,
    output::text::{BAD, DIM, GOOD, NEXT, WARN, count, escape, size, styled},
    program,
    start::Runner,
};

/// Look whether everything is well, and say what helps where it is not
///
/// Looks at versions, the daemon's socket, the configuration, the state folder and who can reach
/// it, the store and the ledger, clocks, the gateway's port and who holds it, each provider (one
/// harmless look each, ten seconds at most), the watcher, room, memory, alerts, and what waits:
/// deletions, rotations, leaks. It changes nothing. Without a daemon it looks as far as that goes.
///
/// Exit codes: 0 all is well; 9 something is not; 10 nothing is wrong, but not everything could be
/// looked at.
///
/// Examples:
///   bascule doctor
///   bascule doctor --offline
///   bascule doctor --json | jq '.checks[] | select(.standing != "ok")'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Ask no provider
    #[arg(long)]
    offline: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    checks: &'a [Line],
    problems: usize,
    warnings: usize,
    not_checked: usize,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Line {
    area: String,
    standing: &'static str,
    told: String,
    /// `null` where there is nothing to mend.
    remedy: Option<String>,
}

const OK: &str = "ok";
const WARNING: &str = "warning";
const PROBLEM: &str = "problem";
const NOT_CHECKED: &str = "not-checked";

impl Line {
    fn new(area: &str, standing: &'static str, told: impl Into<String>) -> Self {
        Self {
            area: area.to_owned(),
            standing,
            told: told.into(),
            remedy: None,
        }
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into()).filter(|remedy| !remedy.is_empty());
        self
    }
}

impl From<v1::Check> for Line {
    fn from(wire: v1::Check) -> Self {
        Self {
            standing: match wire.standing() {
                Standing::Ok => OK,
                Standing::Warning => WARNING,
                Standing::Problem => PROBLEM,
                Standing::NotChecked | Standing::Unspecified => NOT_CHECKED,
            },
            area: wire.area,
            told: wire.told,
            remedy: Some(wire.remedy).filter(|remedy| !remedy.is_empty()),
        }
    }
}

/// A daemon answers at once; a provider that does not is waited for ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let socket = context.socket.clone().or_else(location::socket);
    let mut lines = vec![Line::new(
        "client",
        OK,
        format!("version {}", env!("CARGO_PKG_VERSION")),
    )];
    lines.extend(match Client::connect(context.socket.as_deref()).await {
        Ok(client) => {
            let asked = with_daemon(&client, socket.as_deref(), arguments.offline);
            match tokio::time::timeout(PATIENCE, asked).await {
                Ok(answer) => answer.unwrap_or_else(|error| vec![no_daemon(&error)]),
                Err(_) => vec![
                    Line::new("daemon", PROBLEM, "it does not answer")
                        .remedy(runner(socket.as_deref()).restart()),
                ],
            }
        }
        Err(error) => without_daemon(&error, socket.as_deref()).await,
    });
    let number = |standing| {
        lines
            .iter()
            .filter(|line| line.standing == standing)
            .count()
    };
    let document = Document {
        checks: &lines,
        problems: number(PROBLEM),
        warnings: number(WARNING),
        not_checked: number(NOT_CHECKED),
    };
    context.output.result(&document, || rendered(&document))?;
    Ok(match document {
        Document {
            problems: 0,
            warnings: 0,
            not_checked: 0,
            ..
        } => Exit::Ok,
        Document {
            problems: 0,
            warnings: 0,
            ..
        } => Exit::Incomplete,
        _ => Exit::Findings,
    })
}

fn no_daemon(error: &Error) -> Line {
    let next = error.next.clone().unwrap_or_default();
    Line::new("daemon", PROBLEM, error.message.clone()).remedy(next)
}

async fn with_daemon(
    client: &Client,
    socket: Option<&Path>,
    offline: bool,
) -> Result<Vec<Line>, Error> {
    let status = client.system().status(v1::StatusRequest {}).await?;
    let status = status.into_inner();
    let mut lines = vec![versions(&status, runner(socket))];
    if let Some(path) = socket {
        lines.extend(socket_lines(path).await);
    }
    match client
        .system()
        .examine(v1::ExamineRequest { offline })
        .await
    {
        Ok(examined) => lines.extend(examined.into_inner().checks.into_iter().map(Line::from)),
        Err(refused) => {
            let error = Error::from(refused);
            // A daemon of an older release still tells its troubles.
            let told = format!("the daemon looked at nothing: {}", error.message);
            lines.push(
                Line::new("daemon", NOT_CHECKED, told).remedy(error.next.unwrap_or_default()),
            );
            let troubles = status.troubles.into_iter();
            lines.extend(troubles.map(|told| Line::new("daemon", PROBLEM, told)));
        }
    }
    Ok(lines)
}

/// What runs the daemon that was dialled.
fn runner(socket: Option<&Path>) -> Runner {
    socket.map_or_else(Runner::here, Runner::of)
}

fn versions(status: &v1::StatusResponse, runner: Runner) -> Line {
    let (ours, theirs) = (env!("CARGO_PKG_VERSION"), status.version.as_str());
    let told = format!("runs: version {theirs}, process {}", status.pid);
    if ours == theirs {
        return Line::new("daemon", OK, told);
    }
    let told = format!("{told}; this command is of version {ours}");
    Line::new("daemon", WARNING, told).remedy(runner.restart())
}

/// The socket, its folder, and who listens.
async fn socket_lines(path: &Path) -> Vec<Line> {
    let mut lines = vec![match std::fs::symlink_metadata(path) {
        Err(error) => Line::new(
            "socket",
            NOT_CHECKED,
            format!("{}: {error}", path.display()),
        ),
        Ok(found) => socket_line(path, &found),
    }];
    let folder = path
        .parent()
        .and_then(|folder| Some((folder, folder.metadata().ok()?)));
    if let Some((folder, found)) = folder
        && found.mode() & 0o022 != 0
    {
        let told = format!(
            "the folder {} has mode {:04o}: others could put a socket of their own there",
            folder.display(),
            found.mode() & 0o7777
        );
        lines.push(
            Line::new("socket", PROBLEM, told).remedy(format!("chmod go-w {}", quoted(folder))),
        );
    }
    lines
}

fn socket_line(path: &Path, found: &std::fs::Metadata) -> Line {
    let shown = path.display();
    let mode = found.mode() & 0o7777;
    if !found.file_type().is_socket() {
        return Line::new("socket", PROBLEM, format!("{shown} is no socket"))
            .remedy(format!("ls -l {}", quoted(path)));
    }
    if mode & 0o007 != 0 {
        return Line::new(
            "socket",
            PROBLEM,
            format!("{shown} has mode {mode:04o}: everybody may dial it"),
        )
        .remedy(format!("chmod o= {}", quoted(path)));
    }
    let whose = match found.uid() {
        uid if uid == bascule_os::effective_uid() => "this user's".to_owned(),
        uid => format!("user {uid}'s"),
    };
    Line::new("socket", OK, format!("{shown} is {whose}, mode {mode:04o}"))
}

async fn without_daemon(error: &Error, socket: Option<&Path>) -> Vec<Line> {
    let mut lines = vec![no_daemon(error)];
    if let Some(path) = socket.filter(|path| path.symlink_metadata().is_ok()) {
        lines.extend(socket_lines(path).await);
        lines.extend(listener(path).await);
    }
    let place = Place::here();
    if let Some((well, told, next)) = service::told(place.runner).await {
        let standing = if well { OK } else { PROBLEM };
        lines.push(Line::new("service", standing, told).remedy(next.unwrap_or_default()));
    }
    lines.push(configuration(&place).await);
    match &place.state {
        Some(state) => lines.extend(state_lines(state, place.owner(state))),
        None => lines.push(Line::new(
            "files",
            NOT_CHECKED,
            "there is no home folder to look in",
        )),
    }
    lines.push(port());
    lines.push(Line::new(
        "daemon",
        NOT_CHECKED,
        "store, ledger, clocks, providers, watcher, alerts, deletions and rotations: only a running daemon tells",
    ));
    lines
}

/// Who is behind a socket at which nobody of ours answers.
async fn listener(path: &Path) -> Option<Line> {
    let stream = UnixStream::connect(path).await.ok()?;
    let peer = stream.peer_cred().ok()?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    let name = pid.and_then(bascule_os::command_of);
    let told = format!(
        "{} of user {} listens there (process {})",
        name.as_deref().unwrap_or("a program"),
        peer.uid(),
        pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
    );
    Some(Line::new("socket", WARNING, told).remedy("bascule status"))
}

/// Where the daemon that does not answer keeps its things.
struct Place {
    runner: Runner,
    config: Option<PathBuf>,
    state: Option<PathBuf>,
}

impl Place {
    /// Root, where the machine's service is installed, asks about that.
    fn here() -> Self {
        match Runner::here() {
            Runner::Machine if bascule_os::effective_uid() == 0 => Self {
                runner: Runner::Machine,
                config: Some(Path::new(location::SYSTEM_CONFIGURATION).join("config.toml")),
                state: Some(location::SYSTEM_STATE.into()),
            },
            runner => Self {
                runner: match runner {
                    Runner::Machine => Runner::Nobody,
                    runner => runner,
                },
                config: location::config_file(),
                state: location::state_dir(),
            },
        }
    }

    /// Whose everything in the state folder has to be.
    fn owner(&self, state: &Path) -> u32 {
        match self.runner {
            Runner::Machine => state.metadata().map(|state| state.uid()).ok(),
            Runner::User | Runner::Nobody => None,
        }
        .unwrap_or_else(bascule_os::effective_uid)
    }

    /// Shows what is wrong with the settings.
    fn check_config(&self) -> String {
        match self.config.as_ref().filter(|file| file.exists()) {
            Some(file) => format!("basculed --config {} check-config", quoted(file)),
            None => "basculed check-config".to_owned(),
        }
    }
}

/// Asks the daemon's program, which knows what a setting may be.
async fn configuration(place: &Place) -> Line {
    const AREA: &str = "config";
    let program = match program::basculed() {
        Ok(program) => program,
        Err(error) => {
            return Line::new(AREA, NOT_CHECKED, error.message)
                .remedy(error.next.unwrap_or_default());
        }
    };
    let mut command = tokio::process::Command::new(program);
    if place.runner == Runner::Machine {
        command.envs(service::MACHINE_FOLDERS);
    }
    command.arg("check-config").stdin(Stdio::null());
    match command.output().await {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let first = text.lines().next().unwrap_or_default();
            Line::new(AREA, OK, first.trim_start_matches("# "))
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            let mistakes: Vec<_> = text.lines().skip(1).map(str::trim).collect();
            Line::new(AREA, PROBLEM, mistakes.join("; ")).remedy(place.check_config())
        }
        Err(error) => Line::new(AREA, NOT_CHECKED, format!("basculed: {error}")),
    }
}

fn state_lines(state: &Path, owner: u32) -> Vec<Line> {
    if !state.exists() {
        let told = format!("there is no state folder {} yet", state.display());
        return vec![Line::new("files", OK, told)];
    }
    let mut lines = Vec::new();
    match bascule_os::exposures_of(state, owner) {
        Err(error) => lines.push(Line::new(
            "files",
            NOT_CHECKED,
            format!("{}: {error}", state.display()),
        )),
        Ok(found) if found.is_empty() => lines.push(Line::new(
            "files",
            OK,
            match owner == bascule_os::effective_uid() {
                true => format!("only this user can reach what is in {}", state.display()),
                false => format!(
                    "only user {owner} and root can reach what is in {}",
                    state.display()
                ),
            },
        )),
        Ok(found) => lines.extend(found.iter().map(|found| {
            let told = format!(
                "{} has mode {:04o} and belongs to user {}: others can reach it",
                found.path.display(),
                found.mode,
                found.owner
            );
            Line::new("files", PROBLEM, told).remedy(format!("chmod go= {}", quoted(&found.path)))
        })),
    }
    let key: PathBuf = state.join("root.key");
    lines.push(match key.symlink_metadata() {
        Ok(_) => Line::new("root-key", OK, format!("it is {}", key.display())),
        Err(_) if state.join("root.key.place").exists() => Line::new(
            "root-key",
            OK,
            "it is kept elsewhere: a keychain or a credential, which the daemon asks",
        ),
        Err(_) if state.join("store.redb").exists() => {
            let told = format!("{} is gone: the store can't be opened", key.display());
            Line::new("root-key", PROBLEM, told).remedy(format!(
                "put it back from a copy of that folder; or: mv {0} {0}.aside && bascule restore FILE --passphrase-stdin < PASSPHRASE",
                quoted(state)
            ))
        }
        Err(_) => Line::new("root-key", OK, "none yet"),
    });
    lines.push(match bascule_os::space(state) {
        Err(error) => Line::new("space", NOT_CHECKED, error.to_string()),
        Ok(space) => {
            let told = format!("{} of {} free", size(space.free), size(space.whole));
            match space.free < 64 << 20 {
                true => {
                    Line::new("space", PROBLEM, told).remedy(format!("df -h {}", quoted(state)))
                }
                false => Line::new("space", OK, told),
            }
        }
    });
    lines
}

/// Only the store knows the gateway's port; most have the first.
fn port() -> Line {
    const FIRST: u16 = 8642;
    match bascule_os::port_holder(FIRST) {
        None => Line::new(
            "gateway",
            OK,
            format!("nobody listens on port {FIRST}, which a daemon tries first"),
        ),
        Some(holder) => {
            let who = holder
                .command
                .unwrap_or_else(|| format!("a process of user {}", holder.uid));
            let told = format!(
                "{who} listens on port {FIRST}; if tools were given that port, a daemon would not start"
            );
            Line::new("gateway", WARNING, told).remedy(format!("ss -tlnp sport = :{FIRST}"))
        }
    }
}

fn rendered(document: &Document<'_>) -> String {
    let widest = document.checks.iter().map(|line| line.area.len()).max();
    let widest = widest.unwrap_or(0);
    let mut text = String::new();
    for line in document.checks {
        let (mark, style) = match line.standing {
            OK => ("ok         ", GOOD),
            WARNING => ("warning    ", WARN),
            PROBLEM => ("problem    ", BAD),
            _ => ("not checked", DIM),
        };
        let (area, told) = (escape(&line.area), escape(&line.told));
        text.push_str(&format!(
            "{}  {area:widest$}  {told}\n",
            styled(style, mark)
        ));
        if let Some(remedy) = &line.remedy {
            let indent = " ".repeat(mark.len() + widest + 4);
            text.push_str(&format!("{indent}{}\n", styled(NEXT, &escape(remedy))));
        }
    }
    let mut sums = Vec::new();
    for (number, what) in [
        (document.problems, "problem"),
        (document.warnings, "warning"),
    ] {
        if number > 0 {
            sums.push(count(number as u64, what));
        }
    }
    if document.not_checked > 0 {
        sums.push(format!("{} not checked", document.not_checked));
    }
    let sum = match sums.is_empty() {
        true => "All is well.".to_owned(),
        false => format!("{}.", sums.join(", ")),
    };
    text.push_str(&format!("\n{sum}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: &str) -> v1::StatusResponse {
        v1::StatusResponse {
            version: version.into(),
            ..v1::StatusResponse::default()
        }
    }

    #[test]
    fn another_version_of_the_daemon_is_a_warning_with_both_numbers() {
        assert_eq!(
            versions(&status(env!("CARGO_PKG_VERSION")), Runner::Nobody).standing,
            OK
        );
        let line = versions(&status("9.9.9"), Runner::Machine);
        assert_eq!(line.standing, WARNING);
        assert!(line.told.contains("9.9.9") && line.told.contains(env!("CARGO_PKG_VERSION")));
        assert!(
            line.remedy
                .unwrap()
                .contains("restart the machine's service")
        );
    }

    #[test]
    fn each_line_that_is_not_well_is_followed_by_what_helps() {
        let checks = [
            Line::new("clock", OK, "agrees"),
            Line::new("files", PROBLEM, "a\u{1b}[2Jb is open").remedy("chmod go= x"),
        ];
        let text = rendered(&Document {
            checks: &checks,
            problems: 1,
            warnings: 0,
            not_checked: 0,
        });
        assert!(!text.contains("\u{1b}[2J"), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[1].contains("is open") && lines[2].contains("chmod go= x"),
            "{text}"
        );
        assert!(text.ends_with("1 problem.\n"), "{text}");
    }

    #[tokio::test]
    async fn a_socket_or_folder_that_others_can_use_is_a_problem() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bascule.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let open = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        open(0o600);
        assert!(
            socket_lines(&path)
                .await
                .iter()
                .all(|line| line.standing == OK)
        );
        open(0o666);
        assert_eq!(socket_lines(&path).await[0].standing, PROBLEM);
        open(0o600);
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(socket_lines(&path).await[1].standing, PROBLEM);
    }
}
