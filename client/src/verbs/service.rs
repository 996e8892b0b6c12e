//! `bascule service`: sets the daemon up as a service of systemd or launchd. What the daemon would use
//! it asks `basculed whereabouts`; it must never open the store, and never remove what the daemon keeps.

pub(super) mod credential;
mod files;
mod launchd;
mod systemd;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Output as Ended, Stdio},
};

use bascule_proto::location;
use clap::{Args, Subcommand, builder::styling::Style};
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, process::Command};

use self::files::Scope;
use super::Context;
use crate::{
    error::{Error, Kind},
    exit::Exit,
    output::text::{BAD, GOOD, WARN, count, escape, styled},
    program,
    start::Runner,
};

/// Where the system's daemon keeps things: what its unit has systemd make.
pub(super) const MACHINE_FOLDERS: [(&str, &str); 4] = [
    ("STATE_DIRECTORY", location::SYSTEM_STATE),
    ("CACHE_DIRECTORY", "/var/cache/bascule"),
    ("CONFIGURATION_DIRECTORY", location::SYSTEM_CONFIGURATION),
    ("RUNTIME_DIRECTORY", "/run/bascule"),
];

/// Run the daemon as a service: installed, started, and started again when it fails
///
/// Without --system the service is yours: it runs as you while you are logged in, or always with
/// `loginctl enable-linger`. With --system (as root) it is the machine's and runs as the user
/// bascule. It begins with the first command or the first request, listens on loopback only, and is
/// watched: when it hangs it is started anew.
///
/// Examples:
///   bascule service install
///   bascule service status
///   bascule service logs --follow
///   sudo bascule service install --system
///   bascule service uninstall
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install it for this installation's programs, enable and start it; again: bring it up to date
    ///
    /// Examples:
    ///   bascule service install
    #[command(verbatim_doc_comment)]
    Install(Install),
    /// Stop and remove it; what the daemon keeps stays
    ///
    /// Examples:
    ///   bascule service uninstall
    #[command(verbatim_doc_comment)]
    Uninstall(Uninstall),
    /// Whether it is installed and runs
    ///
    /// Examples:
    ///   bascule service status
    #[command(verbatim_doc_comment)]
    Status(Which),
    /// What the daemon has logged
    ///
    /// Examples:
    ///   bascule service logs --follow
    #[command(verbatim_doc_comment)]
    Logs(Logs),
}

#[derive(Debug, Args)]
struct Which {
    /// The machine's service, not yours
    #[arg(long)]
    system: bool,
}

impl Which {
    const fn scope(&self) -> Scope {
        if self.system {
            Scope::System
        } else {
            Scope::User
        }
    }
}

#[derive(Debug, Args)]
struct Install {
    #[command(flatten)]
    which: Which,
    /// Let it look into everybody's files and processes, to name who uses a key and to find keys in
    /// homes (CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE); without this it stays as it is, =false ends it
    #[arg(
        long,
        requires = "system",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false"
    )]
    whole_machine: Option<bool>,
}

#[derive(Debug, Args)]
struct Uninstall {
    #[command(flatten)]
    which: Which,
    /// Also if the daemon can't be asked, or tools still depend on it
    #[arg(long)]
    force: bool,
    /// Leave what `install` wrote where it is: a package that is removed may come back
    #[arg(long, hide = true)]
    keep_files: bool,
}

#[derive(Debug, Args)]
struct Logs {
    #[command(flatten)]
    which: Which,
    /// How many of the last lines
    #[arg(long, short = 'n', default_value_t = 100)]
    lines: u32,
    /// Go on with what is logged from now on
    #[arg(long, short)]
    follow: bool,
}

/// What became of a file.
#[derive(Debug, Serialize, PartialEq, Eq, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Change {
    Written,
    Unchanged,
    Removed,
}

#[derive(Debug, Serialize)]
struct Touched {
    path: String,
    change: Change,
}

#[derive(Debug, Serialize)]
struct Installed {
    installed: bool,
    system: bool,
    files: Vec<Touched>,
    program: String,
    gateway: String,
    socket: String,
    /// `null` where it is not known.
    state_dir: Option<String>,
    /// Sockets that were there and have begun anew, since their units had changed.
    restarted: Vec<&'static str>,
    /// Why it does not serve yet; `null` where it does.
    waits_for: Option<String>,
    /// Whether it runs while its user is logged out; `null` where that is no question.
    lingers: Option<bool>,
    undo: &'static str,
}

#[derive(Debug, Serialize)]
struct Uninstalled {
    installed: bool,
    system: bool,
    files: Vec<Touched>,
    /// Whether its units are a package's, which keeps them, disabled.
    packaged: bool,
    /// Still there, with everything in it; `null` where it is not known.
    state_dir: Option<String>,
    /// Keys that work again only with a daemon; `null` where it is not known.
    living_keys: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Condition {
    installed: bool,
    /// Units that an administrator keeps from being started at all.
    masked: Vec<&'static str>,
    system: bool,
    running: bool,
    /// Whether a command or a request would start it.
    listening: bool,
    /// Whether it begins with the machine or the session.
    enabled: bool,
    /// As the service manager calls it.
    state: String,
    /// What the daemon says of itself.
    says: Option<String>,
    pid: Option<u32>,
    /// How often it was started again after a failure.
    restarts: Option<u32>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let launchd = cfg!(target_os = "macos");
    match arguments.verb {
        Verb::Install(wish) => {
            privileged(wish.which.scope())?;
            let done = if launchd {
                launchd::install(wish.which.scope()).await?
            } else {
                systemd::install(wish.which.scope(), wish.whole_machine).await?
            };
            context.output.result(&done, || installed(&done))?;
            if done.lingers == Some(false) {
                context.output.status("it runs while you are logged in; where jobs need it at other times: loginctl enable-linger");
            }
            Ok(Exit::Ok)
        }
        Verb::Uninstall(wish) => {
            let scope = wish.which.scope();
            privileged(scope)?;
            let done = if launchd {
                launchd::uninstall(scope).await?
            } else {
                systemd::uninstall(scope, wish.force, wish.keep_files).await?
            };
            context
                .output
                .result(&done, || uninstalled(&done, wish.keep_files))?;
            Ok(Exit::Ok)
        }
        Verb::Status(which) => {
            let condition = if launchd {
                launchd::condition(which.scope()).await?
            } else {
                systemd::condition(which.scope()).await?
            };
            context.output.result(&condition, || words(&condition))?;
            Ok(match (condition.installed, condition.state.as_str()) {
                (false, _) => Exit::NotFound,
                (true, "failed") => Exit::Failed,
                (true, _) if !condition.masked.is_empty() => Exit::Failed,
                (true, _) => Exit::Ok,
            })
        }
        Verb::Logs(wish) => {
            if wish.follow && context.output.is_json() {
                return Err(Error::new(
                    Kind::Invalid,
                    "what goes on has no end, so no JSON document can hold it",
                )
                .next("bascule service logs --follow, or without it"));
            }
            if launchd {
                launchd::logs(wish.which.scope(), wish.lines, wish.follow, context).await
            } else {
                systemd::logs(wish.which.scope(), wish.lines, wish.follow, context).await
            }
        }
    }
}

fn privileged(scope: Scope) -> Result<(), Error> {
    if scope == Scope::System && bascule_os::effective_uid() != 0 {
        return Err(
            Error::new(Kind::Refused, "the machine's service is root's to set up").next(
                "sudo bascule service … --system, or without --system for a service of your own",
            ),
        );
    }
    Ok(())
}

fn installed(done: &Installed) -> String {
    let mut text = format!("{} {}\n", styled(GOOD, "installed"), escape(&done.program));
    text.push_str(&touched(&done.files));
    text.push_str(&format!("gateway  {}\n", done.gateway));
    text.push_str(&format!("socket   {}\n", escape(&done.socket)));
    if let Some(state) = &done.state_dir {
        text.push_str(&format!("state    {}\n", escape(state)));
    }
    if !done.restarted.is_empty() {
        text.push_str(&format!(
            "restarted, since they had changed: {}\n",
            done.restarted.join(", ")
        ));
    }
    let begins = match &done.waits_for {
        None => "It is started".to_owned(),
        Some(cause) => format!(
            "{} ({}); it tries again by itself. It is started",
            styled(WARN, "It does not serve yet"),
            escape(cause)
        ),
    };
    text.push_str(&format!(
        "{begins}, and will be with every boot or login. To undo it: {}\n",
        done.undo
    ));
    text
}

fn uninstalled(done: &Uninstalled, keeps_files: bool) -> String {
    let mut text = match (done.files.is_empty(), done.packaged) {
        (true, false) => "there was no service to remove\n".to_owned(),
        (_, true) => format!(
            "{}; its units are a package's and stay\n",
            styled(GOOD, "stopped and disabled")
        ),
        (false, false) => format!("{}\n", styled(GOOD, "removed")),
    };
    text.push_str(&touched(&done.files));
    if let Some(keys) = done.living_keys.filter(|keys| *keys > 0) {
        let keys = count(keys, "key");
        let text_of_keys = format!(
            "{keys} of the gateway's: tools that have them fail until a daemon runs again\n"
        );
        text.push_str(&styled(WARN, &text_of_keys));
    }
    // A package says by itself what stays.
    if let Some(state) = done.state_dir.as_ref().filter(|_| !keeps_files) {
        let state = escape(state);
        let destroy = match (done.system, done.packaged) {
            (true, true) => "apt purge bascule".to_owned(),
            (true, false) => {
                format!("sudo -u bascule bascule reset --yes-lose-everything --state-dir {state}")
            }
            (false, _) => "bascule reset --yes-lose-everything".to_owned(),
        };
        text.push_str(&format!(
            "Connections, keys and receipts stay in {state}. To destroy them: {destroy}\n"
        ));
    }
    text
}

fn touched(files: &[Touched]) -> String {
    let line = |file: &Touched| {
        let change = match file.change {
            Change::Written => "written",
            Change::Unchanged => "unchanged",
            Change::Removed => "removed",
        };
        format!("  {change:<9}  {}\n", escape(&file.path))
    };
    files.iter().map(line).collect()
}

impl Condition {
    const fn scope(&self) -> Scope {
        if self.system {
            Scope::System
        } else {
            Scope::User
        }
    }

    /// What it is in a few words, and what helps where that is not well.
    fn standing(&self) -> (Style, String, Option<Help>) {
        let plain = |style, text: &str| (style, text.to_owned(), None);
        if !self.installed {
            let next = Help::WayOn(self.scope().install().to_owned());
            return (WARN, "not installed".to_owned(), Some(next));
        }
        if !self.masked.is_empty() {
            let units = self.masked.join(" ");
            let systemctl = match self.scope() {
                Scope::User => "systemctl --user",
                Scope::System => "sudo systemctl",
            };
            let next = format!(
                "{systemctl} unmask {units}, then: {}",
                self.scope().install()
            );
            let told = format!("masked, so that nothing starts it: {units}");
            return (BAD, told, Some(Help::WayOn(next)));
        }
        match (self.state.as_str(), self.listening) {
            _ if self.running => plain(GOOD, "running"),
            ("activating", _) => plain(GOOD, "starting"),
            ("deactivating", _) => plain(WARN, "stopping"),
            ("failed", listening) => {
                let told = match listening {
                    true => "failed; the next command or request starts it again",
                    false => "failed",
                };
                let next = Help::See(self.scope().logs());
                (BAD, told.to_owned(), Some(next))
            }
            (_, true) => plain(GOOD, "stopped; the next command or request starts it"),
            (_, false) => (
                WARN,
                "stopped".to_owned(),
                Some(Help::WayOn(self.scope().install().to_owned())),
            ),
        }
    }
}

/// A command for whoever reads how a service is.
enum Help {
    /// It tells more.
    See(&'static str),
    /// It mends that.
    WayOn(String),
}

impl Help {
    fn command(self) -> String {
        match self {
            Self::See(command) => command.to_owned(),
            Self::WayOn(command) => command,
        }
    }
}

/// Of the service that is installed, for whoever finds no daemon: what it is, what helps, and whether it may
/// be as it should.
pub(super) async fn told(runner: Runner) -> Option<(bool, String, Option<String>)> {
    let scope = match runner {
        Runner::Nobody => return None,
        Runner::User => Scope::User,
        Runner::Machine => Scope::System,
    };
    let asked = match cfg!(target_os = "macos") {
        true => launchd::condition(scope).await,
        false => systemd::condition(scope).await,
    };
    let (style, told, next) = asked.ok()?.standing();
    Some((style == GOOD, told, next.map(Help::command)))
}

fn words(condition: &Condition) -> String {
    let (style, state, next) = condition.standing();
    let mut text = styled(style, &state);
    match next {
        Some(Help::See(command)) => text.push_str(&format!("; see: {command}")),
        Some(Help::WayOn(command)) => text.push_str(&format!("; way on: {command}")),
        None => {}
    }
    if !condition.installed {
        text.push('\n');
        return text;
    }
    if let Some(pid) = condition.pid {
        text.push_str(&format!(", process {pid}"));
    }
    if let Some(says) = condition.says.as_deref().filter(|says| !says.is_empty()) {
        text.push_str(&format!(", {}", escape(says)));
    }
    if let Some(restarts) = condition.restarts.filter(|restarts| *restarts > 0) {
        text.push_str(&format!(
            "\nstarted again {restarts} times after a failure; see: {}",
            condition.scope().logs()
        ));
    }
    if !condition.enabled && condition.masked.is_empty() {
        text.push_str(&format!(
            "\nnot enabled: it does not begin by itself; {} enables it",
            condition.scope().install()
        ));
    }
    text.push('\n');
    text
}

/// What `basculed whereabouts` tells.
#[derive(Debug, Deserialize)]
struct Whereabouts {
    state_dir: String,
    socket: String,
    running: bool,
    gateway: Option<SocketAddr>,
    /// The group whose members may use the control socket.
    operators: Option<String>,
    /// Why its store can't be opened here and now.
    closed: Option<Closed>,
}

/// A store that does not open.
#[derive(Debug, Deserialize)]
struct Closed {
    cause: String,
    next: Option<String>,
    opens: Opens,
}

/// When the service itself will open it.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Opens {
    InService,
    Later,
    Mended,
}

impl Closed {
    /// A service that could not start either is not set up.
    fn refuse_unless_it_opens(&self, scope: Scope) -> Result<(), Error> {
        if self.opens != Opens::Mended {
            return Ok(());
        }
        let again = scope.install();
        let next = match &self.next {
            Some(next) => format!("{next}; then: {again}"),
            None => format!("once the cause is gone: {again}"),
        };
        Err(Error::new(Kind::Refused, self.cause.clone()).next(next))
    }

    /// Nobody else knows the port that tools have, and another one would be wrong.
    fn port_unknown(&self, scope: Scope) -> Error {
        let config = match scope {
            Scope::User => "~/.config/bascule/config.toml",
            Scope::System => "/etc/bascule/config.toml",
        };
        Error::new(
            Kind::Refused,
            format!(
                "which port the tools have for the gateway is not known, since the store can't be opened here: {}",
                self.cause
            ),
        )
        .next(format!(
            "write it into {config}, under [gateway]: listen = \"127.0.0.1:PORT\" (or have the root key where it can be read: unlock the keychain); then: {}",
            scope.install()
        ))
    }
}

/// Who asks the daemon's program: a service of the system's runs as its own user.
struct AskedAs {
    user: Option<(u32, u32)>,
    environment: Vec<(String, String)>,
}

/// Asks the daemon's program where it would be. A bad configuration is met here, and not in a log.
async fn whereabouts(program: &Path, asked: &AskedAs) -> Result<Whereabouts, Error> {
    let mut command = Command::new(program);
    command.arg("whereabouts");
    if let Some((user, group)) = asked.user {
        command.env_clear().current_dir("/").uid(user).gid(group);
    }
    command.envs(asked.environment.iter().cloned());
    let ended = finish(command).await?;
    if !ended.status.success() {
        let told = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        let told = told.strip_prefix("basculed: ").unwrap_or(&told).to_owned();
        return Err(Error::new(Kind::Refused, told)
            .next("correct that, then again: bascule service install"));
    }
    serde_json::from_slice(&ended.stdout).map_err(|error| {
        Error::new(
            Kind::Failed,
            format!("{} is of another release: {error}", program.display()),
        )
    })
}

/// The daemon's program with all links followed, so that a service outlives a change of PATH.
fn daemon_program() -> Result<PathBuf, Error> {
    let program = program::basculed()?;
    Ok(program.canonicalize().unwrap_or(program))
}

/// This program, likewise.
fn own_program() -> Result<PathBuf, Error> {
    let own = std::env::current_exe().and_then(|path| path.canonicalize());
    own.map_err(|error| {
        Error::new(
            Kind::Failed,
            format!("where this program is can't be told: {error}"),
        )
    })
}

/// Runs a program to its end, whatever comes of it.
async fn finish(mut command: Command) -> Result<Ended, Error> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let ended = command.output().await;
    ended.map_err(|error| not_run(&command, &error))
}

/// As [`finish`], with something to read that is shorter than a pipe holds.
async fn finish_with(mut command: Command, input: &[u8]) -> Result<Ended, Error> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ended = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not read it says why.
            stdin.write_all(input).await.ok();
        }
        child.wait_with_output().await
    };
    let ended = ended.await;
    ended.map_err(|error| not_run(&command, &error))
}

fn not_run(command: &Command, error: &std::io::Error) -> Error {
    let name = command.as_std().get_program().to_string_lossy();
    Error::new(Kind::Failed, format!("{name} could not be run: {error}"))
}

/// Writes a file where it differs: beside its place first, so that it is never half there.
fn write(path: &Path, text: &str) -> Result<Touched, Error> {
    let failed = |error: std::io::Error| {
        Error::new(
            Kind::Failed,
            format!("{} could not be written: {error}", path.display()),
        )
    };
    let shown = path.display().to_string();
    if path.is_symlink() {
        return Err(Error::new(
            Kind::Refused,
            format!("{shown} is a symbolic link: a masked unit, or somebody else's arrangement"),
        )
        .next("systemctl unmask bascule.service, or move it away"));
    }
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(Touched {
            path: shown,
            change: Change::Unchanged,
        });
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let mut new = tempfile::Builder::new()
        .prefix(".bascule")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(failed)?;
    std::io::Write::write_all(&mut new, text.as_bytes()).map_err(failed)?;
    new.persist(path).map_err(|refused| failed(refused.error))?;
    Ok(Touched {
        path: shown,
        change: Change::Written,
    })
}

/// Removes a file; `None` if there was none.
fn remove(path: &Path) -> Result<Option<Touched>, Error> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Some(Touched {
            path: path.display().to_string(),
            change: Change::Removed,
        })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(
            Kind::Failed,
            format!("{} could not be removed: {error}", path.display()),
        )),
    }
}

fn user_home() -> Result<PathBuf, Error> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
        .ok_or_else(|| {
            Error::new(
                Kind::Failed,
                "there is no home folder to install a service in",
            )
            .next("set HOME")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(state: &str) -> Condition {
        Condition {
            installed: true,
            masked: Vec::new(),
            system: true,
            running: state == "active",
            listening: false,
            enabled: true,
            state: state.to_owned(),
            says: None,
            pid: None,
            restarts: None,
        }
    }

    #[test]
    fn hints_are_about_the_service_that_was_asked_for() {
        let text = words(&condition("failed"));
        assert!(
            text.contains("; see: bascule service logs --system"),
            "{text}"
        );
        let absent = Condition {
            installed: false,
            ..condition("inactive")
        };
        let text = words(&absent);
        assert!(
            text.contains("sudo bascule service install --system"),
            "{text}"
        );
    }

    #[test]
    fn a_service_on_its_way_is_neither_stopped_nor_about_to_be_started() {
        for (state, word) in [("activating", "starting"), ("deactivating", "stopping")] {
            let text = words(&Condition {
                listening: true,
                ..condition(state)
            });
            assert!(
                text.contains(word) && !text.contains("the next command"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_masked_unit_is_said_to_be_masked() {
        let text = words(&Condition {
            masked: vec!["bascule.socket"],
            ..condition("inactive")
        });
        assert!(
            text.contains("masked") && text.contains("sudo systemctl unmask bascule.socket"),
            "{text}"
        );
    }
}
