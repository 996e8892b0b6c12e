//! The service under systemd.

use std::{
    collections::BTreeMap,
    io::Write,
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Output as Ended, Stdio},
};

use bascule_proto::v1::{
    Adoption, ListAdoptionsRequest, RootKeyPlace, ShowRootKeyRequest, StatusRequest, StatusResponse,
};
use tokio::process::Command;

use super::{
    AskedAs, Change, Condition, Context, Installed, MACHINE_FOLDERS, Opens, Touched, Uninstalled,
    daemon_program,
    files::{
        self, GATEWAY_UNIT, OPERATORS, Plan, SERVICE_UNIT, SOCKETS, Scope, UNITS, WHOLE_MACHINE,
    },
    finish, own_program, remove, user_home, whereabouts, write,
};
use crate::{
    channel::Client,
    error::{Error, Kind},
    exit::Exit,
    output::text::{count, escape},
};

/// What moves a user's folders; systemd does not hear of a shell's variables.
const USER_FOLDERS: [&str; 3] = ["XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"];

impl Scope {
    const fn flag(self) -> &'static str {
        match self {
            Self::User => "--user",
            Self::System => "--system",
        }
    }

    /// Where an administrator's or a user's own units are.
    pub(super) fn folder(self) -> Result<PathBuf, Error> {
        match self {
            Self::System => Ok("/etc/systemd/system".into()),
            Self::User => {
                let base = std::env::var_os("XDG_CONFIG_HOME")
                    .map(PathBuf::from)
                    .filter(|base| base.is_absolute());
                let base = base.map_or_else(|| user_home().map(|home| home.join(".config")), Ok)?;
                Ok(base.join("systemd/user"))
            }
        }
    }

    /// Where a package puts its units.
    fn packaged(self) -> &'static Path {
        Path::new(match self {
            Self::User => "/usr/lib/systemd/user",
            Self::System => "/usr/lib/systemd/system",
        })
    }

    const fn undo(self) -> &'static str {
        match self {
            Self::User => "bascule service uninstall",
            Self::System => "bascule service uninstall --system",
        }
    }
}

async fn systemctl(scope: Scope, arguments: &[&str]) -> Result<Ended, Error> {
    let mut command = Command::new("systemctl");
    command.arg(scope.flag()).args(arguments);
    finish(command).await
}

/// Runs systemctl, which must succeed.
pub(super) async fn order(scope: Scope, arguments: &[&str]) -> Result<(), Error> {
    let ended = systemctl(scope, arguments).await?;
    if ended.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&ended.stderr);
    Err(Error::new(
        Kind::Failed,
        format!("systemctl {} failed: {}", arguments.join(" "), told.trim()),
    )
    .next(scope.logs()))
}

/// As sd_booted(3).
fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether there is a systemd to ask.
async fn present(scope: Scope) -> Result<(), Error> {
    if !is_booted() {
        return Err(Error::new(
            Kind::NotAvailable,
            "this machine was not booted with systemd, so there is nobody to run a service",
        )
        .next("have whatever starts programs here start: basculed"));
    }
    let asked = systemctl(scope, &["show-environment"]).await?;
    if asked.status.success() {
        return Ok(());
    }
    Err(match scope {
        Scope::User => Error::new(
            Kind::NotAvailable,
            "no systemd of yours can be reached: it runs in a login session, which su and sudo don't make",
        )
        .next("log in as this user, or, from elsewhere: loginctl enable-linger and XDG_RUNTIME_DIR=/run/user/$(id -u)"),
        Scope::System => Error::new(
            Kind::NotAvailable,
            format!("systemd can't be reached: {}", String::from_utf8_lossy(&asked.stderr).trim()),
        ),
    })
}

/// What systemd knows of a unit.
async fn show(scope: Scope, unit: &str) -> Result<BTreeMap<String, String>, Error> {
    const ASKED: &str =
        "--property=LoadState,ActiveState,UnitFileState,MainPID,StatusText,NRestarts";
    let ended = systemctl(scope, &["show", ASKED, unit]).await?;
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    };
    Ok(text.lines().filter_map(pair).collect())
}

async fn is_active(scope: Scope, unit: &str) -> Result<bool, Error> {
    let shown = show(scope, unit).await?;
    let state = shown.get("ActiveState").map(String::as_str);
    Ok(matches!(state, Some("active" | "activating" | "reloading")))
}

/// Without a wish the machine stays in sight as far as it is.
pub(super) async fn install(scope: Scope, whole_machine: Option<bool>) -> Result<Installed, Error> {
    present(scope).await?;
    let program = daemon_program()?;
    let asked = asked_as(scope).await?;
    let folder = scope.folder()?;
    let is_in_sight = || scope == Scope::System && folder.join(WHOLE_MACHINE).exists();
    let whole_machine = whole_machine.unwrap_or_else(is_in_sight);
    let (runs, listens) = (
        is_active(scope, SERVICE_UNIT).await?,
        is_active(scope, GATEWAY_UNIT).await?,
    );
    let told = if runs || listens {
        None
    } else {
        Some(whereabouts(&program, &asked).await?)
    };
    if let Some(told) = told.as_ref().filter(|told| told.running) {
        return Err(Error::new(
            Kind::Refused,
            format!("a daemon that is no service runs already on {}", told.state_dir),
        )
        .next("end it (Ctrl-C, or kill its process: bascule status), then again: bascule service install"));
    }
    let closed = told.as_ref().and_then(|told| told.closed.as_ref());
    if let Some(closed) = closed {
        closed.refuse_unless_it_opens(scope)?;
    }
    let gateway = match (told.as_ref().and_then(|told| told.gateway), closed) {
        (Some(gateway), _) => gateway,
        (None, Some(closed)) => installed_address(scope, &folder)
            .await?
            .ok_or_else(|| closed.port_unknown(scope))?,
        // What systemd holds can't be tried out; it is where it was.
        (None, None) => present_address(scope, &folder)?,
    };
    let environment = match scope {
        Scope::User => asked.environment.clone(),
        Scope::System => Vec::new(),
    };
    // A service of one user has no operators. Where the settings can't be asked, it stays as it is.
    let operators = match (scope, &told) {
        (Scope::User, _) => None,
        (Scope::System, Some(told)) => Some(told.operators.clone()),
        (Scope::System, None) => {
            let told = whereabouts(&program, &asked).await.ok();
            told.map(|told| told.operators)
        }
    };
    let client = own_program()?;
    let plan = Plan {
        scope,
        program: &program,
        client: &client,
        gateway,
        environment: &environment,
        whole_machine,
        operators: operators.as_ref().and_then(Option::as_deref),
    };
    let mut touched = Vec::new();
    for file in files::units(&plan) {
        let (path, packaged) = (folder.join(file.name), scope.packaged().join(file.name));
        // A packaged unit that says the same is not hidden by a copy.
        let same = std::fs::read_to_string(packaged).is_ok_and(|text| text == file.text);
        if same && !path.exists() {
            continue;
        }
        touched.push(write(&path, &file.text)?);
    }
    if !whole_machine && let Some(gone) = remove(&folder.join(WHOLE_MACHINE))? {
        touched.push(gone);
    }
    if operators == Some(None)
        && let Some(gone) = remove(&folder.join(OPERATORS))?
    {
        touched.push(gone);
    }
    order(scope, &["daemon-reload"]).await?;
    let mut restarted = Vec::new();
    for unit in SOCKETS {
        if is_active(scope, unit).await? && has_changed(scope, unit, &folder, &touched).await? {
            restarted.push(unit);
        }
    }
    let changed = touched.iter().any(|file| file.change != Change::Unchanged);
    order(scope, &["enable", UNITS[0], UNITS[1], UNITS[2]]).await?;
    order(scope, &["reset-failed", UNITS[0], UNITS[1], UNITS[2]])
        .await
        .ok();
    if !restarted.is_empty() {
        // In one go, which ends the service before, since that keeps the sockets that it was started with:
        // systemd binds again at once what it gives up, and a socket that stays the same is never given up.
        order(scope, &[&["restart"], &restarted[..]].concat()).await?;
    }
    order(scope, &["start", UNITS[0], UNITS[1]]).await?;
    let done = Installed {
        installed: true,
        system: scope == Scope::System,
        files: touched,
        program: program.display().to_string(),
        gateway: format!("http://{gateway}"),
        socket: socket(scope)?.display().to_string(),
        state_dir: told.as_ref().map(|told| told.state_dir.clone()),
        restarted,
        waits_for: None,
        lingers: lingers(scope),
        undo: scope.undo(),
    };
    if let Some(closed) = closed.filter(|closed| closed.opens == Opens::Later) {
        // Nobody knows when it will serve.
        order(scope, &["start", "--no-block", SERVICE_UNIT]).await?;
        return Ok(Installed {
            waits_for: Some(closed.cause.clone()),
            ..done
        });
    }
    // With its sockets it has been started anew. Comes back when the daemon serves.
    let verb = if changed && runs && done.restarted.is_empty() {
        "restart"
    } else {
        "start"
    };
    order(scope, &[verb, SERVICE_UNIT]).await?;
    let mut status = state_of(scope).await?;
    if status.version != env!("CARGO_PKG_VERSION") {
        // It was started before its program was replaced.
        order(scope, &["restart", SERVICE_UNIT]).await?;
        status = state_of(scope).await?;
    }
    Ok(Installed {
        gateway: status.gateways.join(", "),
        state_dir: Some(status.state_dir),
        ..done
    })
}

/// Whether a socket that is there was bound before what its unit says now: that takes effect only once it
/// begins anew.
async fn has_changed(
    scope: Scope,
    unit: &str,
    folder: &Path,
    touched: &[Touched],
) -> Result<bool, Error> {
    let own = folder.join(unit);
    let drop_ins = folder.join(format!("{unit}.d"));
    // A drop-in that was taken away, with its folder, is none that systemd could name.
    let makes_it_up = |path: &Path| path == own || path.starts_with(&drop_ins);
    if touched
        .iter()
        .any(|file| makes_it_up(Path::new(&file.path)) && file.change != Change::Unchanged)
    {
        return Ok(true);
    }
    const ASKED: &str = "--property=ActiveEnterTimestamp,FragmentPath,DropInPaths";
    // One that is too old for that way of telling the time has nothing to compare.
    let asked = systemctl(scope, &["show", "--timestamp=us+utc", ASKED, unit]).await?;
    Ok(is_older_than_its_files(
        &String::from_utf8_lossy(&asked.stdout),
        |path| {
            let file = std::fs::metadata(path).ok()?;
            jiff::Timestamp::new(file.mtime(), i32::try_from(file.mtime_nsec()).ok()?).ok()
        },
    ))
}

/// Whether a unit was started before the files that make it up were last written, which a package has done
/// long before they come here. A setting that was taken away has changed its folder.
fn is_older_than_its_files(
    shown: &str,
    modified: impl Fn(&Path) -> Option<jiff::Timestamp>,
) -> bool {
    let value = |name: &str| {
        let lines = shown.lines().filter_map(|line| line.split_once('='));
        lines
            .filter(|(is, _)| *is == name)
            .map(|(_, value)| value)
            .next()
            .unwrap_or_default()
    };
    let began = value("ActiveEnterTimestamp");
    let Ok(began) = jiff::civil::DateTime::strptime("%a %Y-%m-%d %H:%M:%S%.f UTC", began) else {
        return false;
    };
    let Ok(began) = jiff::tz::Offset::UTC.to_timestamp(began) else {
        return false;
    };
    let files = value("DropInPaths").split(' ').map(Path::new);
    let folders = files.clone().filter_map(Path::parent);
    let all = files
        .chain(folders)
        .chain([Path::new(value("FragmentPath"))]);
    all.filter(|path| path.is_absolute())
        .any(|path| modified(path).is_some_and(|modified| modified > began))
}

/// As whom the daemon's program is asked, with the folders that its service will have.
async fn asked_as(scope: Scope) -> Result<AskedAs, Error> {
    if scope == Scope::User {
        let set = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
        return Ok(AskedAs {
            user: None,
            environment: USER_FOLDERS.iter().filter_map(set).collect(),
        });
    }
    make_user().await?;
    let (user, group) = (id("-u").await?, id("-g").await?);
    let own = |(name, path): (&str, &str)| (name.to_owned(), path.to_owned());
    Ok(AskedAs {
        user: Some((user, group)),
        environment: MACHINE_FOLDERS.into_iter().map(own).collect(),
    })
}

/// Makes the user that the system's daemon runs as, if it is not there.
async fn make_user() -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        Error::new(
            Kind::Failed,
            format!("systemd-sysusers could not be run: {error}"),
        )
        .next("useradd --system --home-dir /var/lib/bascule --shell /usr/sbin/nologin bascule")
    };
    if id("-u").await.is_ok() {
        return Ok(());
    }
    let mut child = std::process::Command::new("systemd-sysusers")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(files::SYSUSERS.as_bytes())
            .map_err(failed)?;
    }
    match child.wait().map_err(failed)?.success() {
        true => Ok(()),
        false => Err(failed(std::io::Error::other("it made no user bascule"))),
    }
}

async fn id(flag: &str) -> Result<u32, Error> {
    let mut command = Command::new("id");
    command.args([flag, "bascule"]);
    let ended = finish(command).await?;
    String::from_utf8_lossy(&ended.stdout)
        .trim()
        .parse()
        .map_err(|_| Error::new(Kind::Failed, "there is no user bascule"))
}

/// The address in the unit that is there, if it was in use: one that a package brings and nobody has enabled
/// says nothing of the port that tools have.
async fn installed_address(scope: Scope, folder: &Path) -> Result<Option<SocketAddr>, Error> {
    let own = folder.join(GATEWAY_UNIT).exists();
    let state = show(scope, GATEWAY_UNIT).await?;
    let enabled = state
        .get("UnitFileState")
        .is_some_and(|state| state == "enabled");
    Ok((own || enabled).then(|| address(scope, folder)).flatten())
}

/// The address in the unit that is there.
fn address(scope: Scope, folder: &Path) -> Option<SocketAddr> {
    let read = |folder: &&Path| std::fs::read_to_string(folder.join(GATEWAY_UNIT)).ok();
    let unit = [folder, scope.packaged()].iter().find_map(read)?;
    files::address_in(&unit)
}

/// The address in the unit that runs.
fn present_address(scope: Scope, folder: &Path) -> Result<SocketAddr, Error> {
    address(scope, folder).ok_or_else(|| {
        Error::new(
            Kind::Refused,
            format!("a {GATEWAY_UNIT} runs that names no address of the gateway"),
        )
        .next("systemctl stop it, then again: bascule service install")
    })
}

fn socket(scope: Scope) -> Result<PathBuf, Error> {
    match scope {
        Scope::System => Ok(bascule_proto::location::SYSTEM_SOCKET.into()),
        Scope::User => bascule_proto::location::own_socket()
            .ok_or_else(|| Error::new(Kind::Failed, "there is no home folder").next("set HOME")),
    }
}

/// Whether a user's services run while the user is logged out.
fn lingers(scope: Scope) -> Option<bool> {
    if scope == Scope::System {
        return None;
    }
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()?;
    // A name that were a path would be another file's.
    (!user.is_empty() && !user.contains('/'))
        .then(|| Path::new("/var/lib/systemd/linger").join(user).exists())
}

pub(super) async fn uninstall(
    scope: Scope,
    force: bool,
    keep_files: bool,
) -> Result<Uninstalled, Error> {
    present(scope).await?;
    let folder = scope.folder()?;
    let known = show(scope, SERVICE_UNIT).await?;
    let installed = known
        .get("LoadState")
        .is_some_and(|state| state != "not-found");
    if installed && !force {
        // A service that was stopped is asked, too.
        order(scope, &["start", UNITS[0]]).await.ok();
    }
    let packaged = scope.packaged().join(SERVICE_UNIT).exists();
    let told = match (installed, force) {
        (false, _) => None,
        (true, true) => state_of(scope).await.ok(),
        (true, false) => Some(state_of(scope).await.map_err(|error| {
            Error::new(
                Kind::Refused,
                format!("the daemon does not answer, so what depends on it is not known: {error}"),
            )
            .next(format!(
                "bascule service logs; or, whatever depends on it: {} --force",
                scope.undo()
            ))
        })?),
    };
    if let (Some(_), false) = (&told, force) {
        refuse_while_adopted(scope).await?;
        // A package's removal leaves the credential and its settings where they are for the next one.
        if !packaged {
            refuse_while_lent(scope).await?;
        }
    }
    if installed {
        order(scope, &["disable", "--now", UNITS[0], UNITS[1], UNITS[2]]).await?;
    }
    let mut touched = Vec::new();
    if !keep_files {
        for name in UNITS.into_iter().chain([WHOLE_MACHINE, OPERATORS]) {
            touched.extend(remove(&folder.join(name))?);
        }
        // Somebody else's settings of the unit may be in it.
        for drop_in in [WHOLE_MACHINE, OPERATORS] {
            std::fs::remove_dir(folder.join(drop_in).with_file_name("")).ok();
        }
    }
    order(scope, &["daemon-reload"]).await?;
    order(scope, &["reset-failed", UNITS[0], UNITS[1], UNITS[2]])
        .await
        .ok();
    Ok(Uninstalled {
        installed: false,
        system: scope == Scope::System,
        files: touched,
        packaged,
        living_keys: told.as_ref().map(|told| u64::from(told.living_keys)),
        state_dir: told.map(|told| told.state_dir),
    })
}

/// Tools whose own settings were changed for the gateway fail without it, and have a way back.
async fn refuse_while_adopted(scope: Scope) -> Result<(), Error> {
    let client = Client::connect(Some(&socket(scope)?)).await?;
    let all = client
        .adoptions()
        .list(ListAdoptionsRequest::default())
        .await?
        .into_inner();
    check_adopted(&all.adoptions, scope)
}

/// Without the service nobody lends the root key, and the store opens no more.
async fn refuse_while_lent(scope: Scope) -> Result<(), Error> {
    let client = Client::connect(Some(&socket(scope)?)).await?;
    let at = client.system().show_root_key(ShowRootKeyRequest {}).await?;
    if at.into_inner().kept_in() != RootKeyPlace::Credential {
        return Ok(());
    }
    Err(Error::new(
        Kind::Refused,
        "the root key is a credential that only the service is lent, so nothing could be opened without it",
    )
    .next(format!(
        "{}, then again: {}",
        match scope {
            Scope::User => "bascule root-key move file",
            Scope::System => "sudo bascule root-key move file --system",
        },
        scope.undo()
    )))
}

fn check_adopted(all: &[Adoption], scope: Scope) -> Result<(), Error> {
    let open = all.iter().filter(|one| one.state == "adopted");
    let consumers: Vec<_> = open.map(|one| one.consumer.as_str()).collect();
    if consumers.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Refused,
        format!(
            "{} still use the gateway by settings that Bascule wrote, and would fail: {}",
            count(consumers.len() as u64, "consumer"),
            consumers.join(", ")
        ),
    )
    .next(format!(
        "give them their own keys back: bascule eject --all; or leave them broken: {} --force",
        scope.undo()
    )))
}

/// What the daemon tells of itself.
async fn state_of(scope: Scope) -> Result<StatusResponse, Error> {
    let client = Client::connect(Some(&socket(scope)?)).await?;
    Ok(client.system().status(StatusRequest {}).await?.into_inner())
}

pub(super) async fn condition(scope: Scope) -> Result<Condition, Error> {
    present(scope).await?;
    let service = show(scope, SERVICE_UNIT).await?;
    let listening = is_active(scope, UNITS[0]).await? && is_active(scope, GATEWAY_UNIT).await?;
    let value = |name: &str| service.get(name).map(String::as_str).unwrap_or_default();
    let state = value("ActiveState").to_owned();
    let mut masked = Vec::new();
    for unit in UNITS {
        let shown = show(scope, unit).await?;
        if shown
            .get("LoadState")
            .is_some_and(|state| state == "masked")
        {
            masked.push(unit);
        }
    }
    Ok(Condition {
        installed: ["loaded", "masked"].contains(&value("LoadState")),
        masked,
        system: scope == Scope::System,
        running: ["active", "reloading"].contains(&state.as_str()),
        listening,
        enabled: value("UnitFileState") == "enabled",
        says: Some(value("StatusText").to_owned()).filter(|says| !says.is_empty()),
        pid: value("MainPID").parse().ok().filter(|pid| *pid != 0),
        restarts: value("NRestarts").parse().ok(),
        state,
    })
}

pub(super) async fn logs(
    scope: Scope,
    lines: u32,
    follow: bool,
    context: &Context,
) -> Result<Exit, Error> {
    if !is_booted() {
        return Err(Error::new(
            Kind::NotAvailable,
            "this machine was not booted with systemd, so there is no journal of a service",
        )
        .next("the daemon logs to its standard error: whatever starts it here has that"));
    }
    let mut command = Command::new("journalctl");
    command.arg(match scope {
        Scope::User => "--user-unit=bascule.service",
        Scope::System => "--unit=bascule.service",
    });
    command.args(["--no-pager", "--quiet", &format!("--lines={lines}")]);
    if follow {
        // The terminal is journalctl's until somebody has seen enough.
        let ended = command.arg("--follow").status().await;
        let ended = ended.map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("journalctl could not be run: {error}"),
            )
        })?;
        return Ok(if ended.success() {
            Exit::Ok
        } else {
            Exit::Failed
        });
    }
    if context.output.is_json() {
        command.arg("--output=json");
    }
    let ended = finish(command).await?;
    if !ended.status.success() {
        let told = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        return Err(Error::new(Kind::Failed, told));
    }
    let text = String::from_utf8_lossy(&ended.stdout);
    if !context.output.is_json() {
        let escaped: String = text
            .lines()
            .map(|line| format!("{}\n", escape(line)))
            .collect();
        context.output.raw(&escaped)?;
        return Ok(Exit::Ok);
    }
    let entries: Vec<serde_json::Value> = text.lines().filter_map(entry).collect();
    context
        .output
        .document(&serde_json::json!({ "entries": entries }))?;
    Ok(Exit::Ok)
}

/// What a program wants to know of a journal entry.
fn entry(line: &str) -> Option<serde_json::Value> {
    let entry: serde_json::Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| entry.get(name).and_then(serde_json::Value::as_str);
    let at = field("__REALTIME_TIMESTAMP")
        .and_then(|at| at.parse().ok())
        .and_then(|at| jiff::Timestamp::from_microsecond(at).ok());
    Some(serde_json::json!({
        "at": at.map(|at| at.to_string()),
        "level": field("PRIORITY"),
        "pid": field("_PID"),
        "message": field("MESSAGE"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_older_than_its_files_once_one_of_them_was_written_or_taken_away() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        let shown = "FragmentPath=/u/bascule.socket\nDropInPaths=/u/bascule.socket.d/a.conf /v/b.conf\n\
            ActiveEnterTimestamp=Thu 2026-11-26 13:31:03.500000 UTC\n";
        let (before, after) = (at("2026-11-26T13:31:03.4Z"), at("2026-11-26T13:31:03.6Z"));
        let with = |changed: &str| {
            is_older_than_its_files(shown, |path| {
                Some(if path == Path::new(changed) {
                    after
                } else {
                    before
                })
            })
        };
        assert!(!with(""));
        for changed in [
            "/u/bascule.socket",
            "/u/bascule.socket.d/a.conf",
            "/v/b.conf",
            "/u/bascule.socket.d",
        ] {
            assert!(with(changed), "{changed}");
        }
        // One that never ran, or a systemd that tells it in another way.
        let unknown = shown.replace("Thu 2026-11-26 13:31:03.500000 UTC", "");
        assert!(!is_older_than_its_files(&unknown, |_| Some(after)));
    }

    #[test]
    fn consumers_that_are_adopted_and_no_others_stand_in_the_way_of_uninstalling() {
        let adoption = |consumer: &str, state: &str| Adoption {
            consumer: consumer.to_owned(),
            state: state.to_owned(),
            ..Adoption::default()
        };
        let over = ["prepared", "replaced", "rolled-back", "undone", "ejected"];
        let mut all: Vec<_> = over.map(|state| adoption("rclone:old", state)).into();
        assert!(check_adopted(&all, Scope::User).is_ok());
        all.push(adoption("rclone:r2", "adopted"));
        let refused = check_adopted(&all, Scope::User).unwrap_err();
        assert_eq!(refused.kind, Kind::Refused);
        assert!(refused.message.contains("rclone:r2"), "{refused}");
        assert!(!refused.message.contains("rclone:old"), "{refused}");
        let next = refused.next.unwrap();
        assert!(
            next.contains("bascule eject --all") && next.contains("--force"),
            "{next}"
        );
    }
}
