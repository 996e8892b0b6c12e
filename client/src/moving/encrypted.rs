//! Changes settings of a remote in an encrypted rclone.conf. Only rclone itself writes such a file: it is
//! started for that, told over a socket of its own in a private folder, so that no secret is in argv, and
//! ended again. Its password is the one that the user's surroundings hold (`RCLONE_CONFIG_PASS`), or that the
//! user's own command says, which runs only where that was asked for.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use bascule_formats::{
    Dialect, Document,
    rclone::{self, is_encrypted},
    revise::{self, Scope, Syntax},
};
use bascule_watch::Environment;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::{
    net::UnixStream,
    process::{Child, Command},
};
use zeroize::Zeroizing;

use crate::error::{Error, Kind};

/// So long rclone may take until it listens, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(20);

/// Of a file whose password is not known: what to do.
pub(crate) const LOCKED: &str = "it is encrypted: give its password in RCLONE_CONFIG_PASS, or have your RCLONE_PASSWORD_COMMAND print it with --unlock";

/// The variable that rclone takes the password from.
pub(crate) const PASSWORD: &str = "RCLONE_CONFIG_PASS";
/// What prints it, to rclone.
const PASSWORD_COMMAND: &str = "RCLONE_PASSWORD_COMMAND";

/// What the user's password command has said, once in a run of this program.
static SAID: OnceLock<Zeroizing<String>> = OnceLock::new();

/// Has the password command of the user's own surroundings say the password, as rclone itself would:
/// without a shell, words between blanks, double quotes around those that hold some.
pub(crate) fn unlock(environment: &Environment) -> Result<(), Error> {
    let Some(line) = environment.variable(PASSWORD_COMMAND) else {
        if environment.variable(PASSWORD).is_some() {
            return Ok(());
        }
        return Err(Error::new(
            Kind::Invalid,
            "--unlock needs RCLONE_PASSWORD_COMMAND or RCLONE_CONFIG_PASS, as rclone does",
        )
        .next("RCLONE_PASSWORD_COMMAND='pass show rclone' bascule … --unlock"));
    };
    let words = rclone::list(line);
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::new(
            Kind::Invalid,
            "RCLONE_PASSWORD_COMMAND is empty",
        ));
    };
    let failed = |why: String| {
        Error::new(
            Kind::Failed,
            format!("RCLONE_PASSWORD_COMMAND ({program}) gave no password: {why}"),
        )
    };
    let output = std::process::Command::new(program.as_ref())
        .args(arguments.iter().map(AsRef::<str>::as_ref))
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    let password = String::from_utf8(output.stdout).map(Zeroizing::new);
    let password = password.map_err(|_| failed("what it printed is no text".into()))?;
    SAID.set(Zeroizing::new(password.trim_end().to_owned()))
        .ok();
    Ok(())
}

/// The password of encrypted files, if it is known.
pub(crate) fn password() -> Option<Zeroizing<String>> {
    let set = || std::env::var(PASSWORD).ok().map(Zeroizing::new);
    SAID.get().cloned().or_else(set)
}

/// What an encrypted file holds; `None` for one that is not encrypted. The text says why it stays locked.
pub(crate) fn opened(text: &str) -> Option<Result<Zeroizing<String>, String>> {
    if !is_encrypted(text) {
        return None;
    }
    let Some(password) = password() else {
        return Some(Err(LOCKED.into()));
    };
    Some(rclone::unlock(text, &password).map_err(|why| why.to_string()))
}

/// How two encrypted files differ, in words: the names of settings, none of what they hold.
pub(crate) fn difference(before: &str, after: &str) -> String {
    let open = |text: &str| match opened(text) {
        Some(text) => text,
        None => Ok(Zeroizing::new(text.to_owned())),
    };
    let (before, after) = match (open(before), open(after)) {
        (Ok(before), Ok(after)) => (before, after),
        (Err(why), _) | (_, Err(why)) => return format!("it was written anew since; {why}"),
    };
    let settings = |text: &str| -> BTreeMap<String, Zeroizing<String>> {
        let Ok(document) = Document::parse(text, Dialect::Rclone) else {
            return BTreeMap::new();
        };
        let sections = document.sections().iter();
        let settings = sections.flat_map(|section| {
            section.entries.iter().map(|entry| {
                let name = format!("[{}] {}", section.name, entry.key);
                (name, Zeroizing::new(entry.value.to_string()))
            })
        });
        settings.collect()
    };
    let (before, after) = (settings(&before), settings(&after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let names = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name));
    match names.cloned().collect::<Vec<_>>() {
        names if names.is_empty() => {
            "every setting is as before the adoption, but the file was written anew since"
                .to_owned()
        }
        names => format!("what differs: {}", names.join(", ")),
    }
}

/// Has rclone set settings of a remote; `None` leaves one blank, which to rclone is not set.
pub(crate) async fn set(
    path: &Path,
    remote: &str,
    settings: &[(&str, Option<&str>)],
) -> Result<(), Error> {
    let failed = |why: String| {
        let message = format!("rclone did not change {}: {why}", path.display());
        Error::new(Kind::Failed, message)
    };
    let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let socket = folder.path().join("rc");
    let mut rclone = start(path, &socket).map_err(&failed)?;
    let asked = async {
        let stream = reach(&socket, &mut rclone).await?;
        let parameters: Map<String, Value> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value.unwrap_or_default())))
            .collect();
        let request = json!({
            "name": remote,
            "parameters": parameters,
            "opt": { "nonInteractive": true, "noObscure": true },
        });
        ask(stream, "/config/update", &request).await
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    // It has no state besides the file, which it writes before it answers.
    rclone.kill().await.ok();
    answer
        .map_err(|_| failed("it did not answer".into()))?
        .map_err(&failed)?;
    let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let text = opened(&text).unwrap_or_else(|| Err("it is not encrypted any more".into()));
    let text = text.map_err(&failed)?;
    for (name, wanted) in settings {
        let now = revise::read(&text, Syntax::Rclone, &Scope::Section(remote), name);
        let now = now.map_err(|why| failed(why.to_string()))?;
        if now.as_deref().map(String::as_str) != *wanted {
            return Err(failed(format!("{name} does not read back")));
        }
    }
    Ok(())
}

fn start(path: &Path, socket: &Path) -> Result<Child, String> {
    let mut rclone = Command::new("rclone");
    rclone
        .arg("rcd")
        .arg("--config")
        .arg(path)
        .args(["--ask-password=false", "--rc-no-auth", "--rc-addr"])
        .arg(format!("unix://{}", socket.display()))
        // Run only with the user's consent, and then not by rclone.
        .env_remove(PASSWORD_COMMAND)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    if let Some(password) = password() {
        rclone.env(PASSWORD, password.as_str());
    }
    rclone
        .spawn()
        .map_err(|error| format!("rclone can't be started: {error}"))
}

/// Waits until it listens; that it ends instead is told at once. It is asked again and again: of a socket rclone
/// writes no line, at any level, and the socket lies in the folder before it is listened to.
async fn reach(socket: &Path, rclone: &mut Child) -> Result<UnixStream, String> {
    loop {
        if let Ok(stream) = UnixStream::connect(socket).await {
            return Ok(stream);
        }
        if let Ok(Some(status)) = rclone.try_wait() {
            return Err(format!(
                "rclone rcd ended with {status}; it takes unix:// addresses since 1.65"
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(stream: UnixStream, path: &str, request: &Value) -> Result<(), String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driving = tokio::spawn(connection);
    let request = http::Request::post(path)
        .header(http::header::HOST, "rclone")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(bytes::Bytes::from(request.to_string())))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status();
    let body = answer.into_body().collect().await;
    drop(sender);
    driving.abort();
    if status.is_success() {
        return Ok(());
    }
    // What it answers repeats the request, secrets too; only its own words are told.
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let why = body["error"].as_str().unwrap_or("no reason was given");
    Err(format!("{status}: {why}"))
}
