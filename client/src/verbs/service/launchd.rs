//! The service under launchd. It starts with the session or the machine; launchd keeps no socket for
//! it.

use std::path::PathBuf;

use tokio::process::Command;

use super::{
    AskedAs, Change, Condition, Context, Installed, Uninstalled, daemon_program,
    files::{self, LABEL, Plan, Scope},
    finish, own_program, remove, user_home, whereabouts, write,
};
use crate::{
    error::{Error, Kind},
    exit::Exit,
    output::text::escape,
};

impl Scope {
    fn property_list(self) -> Result<PathBuf, Error> {
        let file = format!("{LABEL}.plist");
        Ok(match self {
            Self::User => user_home()?.join("Library/LaunchAgents").join(file),
            Self::System => PathBuf::from("/Library/LaunchDaemons").join(file),
        })
    }

    fn log(self) -> Result<PathBuf, Error> {
        Ok(match self {
            Self::User => user_home()?.join("Library/Logs/bascule.log"),
            Self::System => "/var/log/bascule.log".into(),
        })
    }

    fn domain(self) -> String {
        match self {
            Self::User => format!("gui/{}", bascule_os::effective_uid()),
            Self::System => "system".to_owned(),
        }
    }

    fn target(self) -> String {
        format!("{}/{LABEL}", self.domain())
    }
}

async fn launchctl(arguments: &[&str]) -> Result<std::process::Output, Error> {
    let mut command = Command::new("launchctl");
    command.args(arguments);
    finish(command).await
}

async fn is_loaded(scope: Scope) -> Result<bool, Error> {
    Ok(launchctl(&["print", &scope.target()])
        .await?
        .status
        .success())
}

pub(super) async fn install(scope: Scope) -> Result<Installed, Error> {
    let program = daemon_program()?;
    let asked = AskedAs {
        user: None,
        environment: Vec::new(),
    };
    let loaded = is_loaded(scope).await?;
    let told = whereabouts(&program, &asked).await?;
    if told.running && !loaded {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "a daemon that is no service runs already on {}",
                told.state_dir
            ),
        )
        .next("end it, then again: bascule service install"));
    }
    if let Some(closed) = &told.closed {
        closed.refuse_unless_it_opens(scope)?;
    }
    let path = scope.property_list()?;
    let client = own_program()?;
    let plan = Plan {
        scope,
        program: &program,
        client: &client,
        gateway: told.gateway.unwrap_or(([127, 0, 0, 1], 0).into()),
        environment: &[],
        whole_machine: false,
    };
    let file = write(&path, &files::property_list(&plan, &scope.log()?))?;
    if loaded && file.change == Change::Written {
        launchctl(&["bootout", &scope.target()]).await?;
    }
    if !loaded || file.change == Change::Written {
        let ended = launchctl(&["bootstrap", &scope.domain(), &path.to_string_lossy()]).await?;
        if !ended.status.success() {
            let told = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
            return Err(
                Error::new(Kind::Failed, format!("launchctl bootstrap failed: {told}"))
                    .next("bascule service logs"),
            );
        }
    }
    Ok(Installed {
        installed: true,
        system: scope == Scope::System,
        files: vec![file],
        program: program.display().to_string(),
        gateway: told
            .gateway
            .map(|gateway| gateway.to_string())
            .unwrap_or_default(),
        socket: told.socket,
        state_dir: Some(told.state_dir),
        restarted: Vec::new(),
        waits_for: told.closed.map(|closed| closed.cause),
        lingers: None,
        undo: match scope {
            Scope::User => "bascule service uninstall",
            Scope::System => "bascule service uninstall --system",
        },
    })
}

pub(super) async fn uninstall(scope: Scope) -> Result<Uninstalled, Error> {
    if is_loaded(scope).await? {
        launchctl(&["bootout", &scope.target()]).await?;
    }
    Ok(Uninstalled {
        installed: false,
        system: scope == Scope::System,
        files: remove(&scope.property_list()?)?.into_iter().collect(),
        packaged: false,
        living_keys: None,
        state_dir: bascule_proto::location::state_dir().map(|state| state.display().to_string()),
    })
}

pub(super) async fn condition(scope: Scope) -> Result<Condition, Error> {
    let printed = launchctl(&["print", &scope.target()]).await?;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    let field = |name: &str| {
        let stated = |line: &str| {
            Some(
                line.trim()
                    .strip_prefix(name)?
                    .strip_prefix(" = ")?
                    .to_owned(),
            )
        };
        text.lines().find_map(stated)
    };
    let state = field("state").unwrap_or_else(|| "not loaded".to_owned());
    Ok(Condition {
        installed: scope.property_list()?.exists(),
        system: scope == Scope::System,
        running: state == "running",
        listening: false,
        enabled: printed.status.success(),
        says: None,
        pid: field("pid").and_then(|pid| pid.parse().ok()),
        restarts: None,
        state,
    })
}

pub(super) async fn logs(
    scope: Scope,
    lines: u32,
    follow: bool,
    context: &Context,
) -> Result<Exit, Error> {
    let mut command = Command::new("tail");
    command.arg("-n").arg(lines.to_string());
    if follow {
        command.arg("-F");
    }
    command.arg(scope.log()?);
    if follow {
        let ended = command.status().await;
        return Ok(if ended.is_ok_and(|ended| ended.success()) {
            Exit::Ok
        } else {
            Exit::Failed
        });
    }
    let ended = finish(command).await?;
    let text = String::from_utf8_lossy(&ended.stdout);
    if context.output.is_json() {
        let entries: Vec<_> = text
            .lines()
            .map(|line| serde_json::json!({ "message": line }))
            .collect();
        context
            .output
            .document(&serde_json::json!({ "entries": entries }))?;
    } else {
        let escaped: String = text
            .lines()
            .map(|line| format!("{}\n", escape(line)))
            .collect();
        context.output.raw(&escaped)?;
    }
    Ok(Exit::Ok)
}
