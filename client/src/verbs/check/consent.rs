//! The consent to send requests with keys that were found. Some keys exist only to raise an alarm, so
//! nothing is sent before somebody agreed to what exactly is asked. What was agreed to on a terminal
//! is kept in `check-consent` in the state folder, without ids or secrets.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, IsTerminal},
    path::PathBuf,
};

use bascule_domain::access_key::AccessKeyId;
use bascule_formats::shell_word;
use bascule_os::{private_dir, read_private, write_private};
use bascule_proto::location;

use super::{super::consent::agreed, subject::Subject};
use crate::{
    credentials,
    error::{Error, Kind},
    output::{
        Output,
        text::{HEAD, WARN, count, escape, styled},
    },
};

/// Nobody agrees to more than that.
const LARGEST: u64 = 1024 * 1024;
const HEADING: &str = "# What `bascule check` may ask servers about without asking you again.\n\
                       # Remove a line, or this file, to be asked.\n";

/// What a consent is for.
#[derive(Debug, Clone)]
pub(super) enum Scope {
    /// Every key of this machine, those that come later included.
    All,
    /// Whatever this remote uses.
    Rclone(String),
    /// Whatever this profile uses.
    Aws(String),
    /// This key.
    Key(AccessKeyId),
}

/// As a line of the file and as the argument of the command.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str(location::CONSENT_TO_ALL),
            Self::Rclone(path) => {
                let remote = path.split(':').next().unwrap_or(path);
                write!(f, "rclone:{remote}")
            }
            Self::Aws(profile) => write!(f, "aws:{profile}"),
            Self::Key(id) => f.write_str(&id.masked()),
        }
    }
}

/// Returns when every request may be sent.
pub(super) async fn obtain(
    scope: &Scope,
    subjects: &[Subject],
    yes: bool,
    output: Output,
) -> Result<(), Error> {
    let asked: Vec<&Subject> = subjects
        .iter()
        .filter(|subject| subject.asks().is_some() && !subject.is_our_gateways())
        .collect();
    if yes || asked.is_empty() {
        return Ok(());
    }
    let file = location::state_dir().map(|folder| Remembered { folder });
    if file.as_ref().is_some_and(|file| file.covers(scope)) {
        return Ok(());
    }
    if output.is_json() || !credentials::can_ask() || !io::stderr().is_terminal() {
        return Err(unasked(scope, &asked));
    }
    output.stderr(&question(scope, &asked));
    if !agreed().await? {
        return Err(Error::new(Kind::Refused, "nothing was sent"));
    }
    let kept = match &file {
        Some(file) => file.add(scope),
        None => Err("there is no home folder".to_owned()),
    };
    if let Err(why) = kept {
        let told = format!("this is not remembered: {why}");
        output.status(&styled(WARN, &escape(&told)));
    }
    Ok(())
}

/// Which keys each server would be asked about.
fn servers(asked: &[&Subject]) -> BTreeMap<String, BTreeSet<String>> {
    let mut servers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for subject in asked {
        if let Some(endpoint) = subject.asks() {
            let keys = servers.entry(endpoint.to_string()).or_default();
            keys.insert(subject.id.masked());
        }
    }
    servers
}

fn question(scope: &Scope, asked: &[&Subject]) -> String {
    let mut text = String::from(
        "One signed request for each key (a listing of at most one object, which changes nothing) would go to:\n\n",
    );
    for (server, keys) in servers(asked) {
        let keys: Vec<_> = keys.into_iter().collect();
        text.push_str(&format!(
            "  {}  {}\n",
            styled(HEAD, &escape(&server)),
            escape(&keys.join(" "))
        ));
    }
    let later = match scope {
        Scope::All => "every key of this machine, those that come later included",
        _ => &scope.to_string(),
    };
    text.push_str(&format!(
        "\nKeys that exist to raise an alarm (canary keys) would raise it. Yes is remembered for {}.\n\
         Send the requests? [y/N] ",
        escape(later)
    ));
    text
}

fn unasked(scope: &Scope, asked: &[&Subject]) -> Error {
    let servers = servers(asked);
    let keys = servers.values().map(BTreeSet::len).sum::<usize>();
    let names: Vec<_> = servers.into_keys().collect();
    let message = format!(
        "nothing was sent: {} would be used at {}, which nobody has agreed to yet (keys that exist to raise an alarm would raise it)",
        count(keys as u64, "key"),
        names.join(", ")
    );
    let command = format!("bascule check {}", *shell_word(&scope.to_string()));
    Error::new(Kind::Refused, message).next(format!(
        "{command} --yes; or once on a terminal, which remembers it: {command}"
    ))
}

/// The file with what was agreed to.
struct Remembered {
    folder: PathBuf,
}

impl Remembered {
    /// Whether it was agreed to. A file that can't be read, or that others can, remembers nothing.
    fn covers(&self, scope: &Scope) -> bool {
        let (all, wanted) = (Scope::All.to_string(), scope.to_string());
        self.text()
            .lines()
            .any(|line| line == all || line == wanted)
    }

    fn text(&self) -> String {
        let bytes = read_private(&self.path(), LARGEST).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    }

    fn add(&self, scope: &Scope) -> Result<(), String> {
        let line = scope.to_string();
        if line.contains(char::is_control) {
            return Err("its name can't stand on one line".to_owned());
        }
        let old = self.text();
        let mut text = String::from(if old.is_empty() { HEADING } else { &old });
        text.push_str(&line);
        text.push('\n');
        let kept =
            private_dir(&self.folder).and_then(|()| write_private(&self.path(), text.as_bytes()));
        kept.map_err(|error| error.to_string())
    }

    fn path(&self) -> PathBuf {
        self.folder.join(location::CHECK_CONSENT)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_consent_covers_what_was_agreed_to_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let file = Remembered {
            folder: home.path().join("state/bascule"),
        };
        let remote = |name: &str| Scope::Rclone(name.into());
        assert!(!file.covers(&remote("r2")));
        file.add(&remote("r2:bucket/x")).unwrap();
        file.add(&Scope::Key("AKIAIOSFODNN7EXA7F3Q".parse().unwrap()))
            .unwrap();
        assert!(file.covers(&remote("r2")) && file.covers(&remote("r2:")));
        for other in [remote("r"), Scope::Aws("r2".into()), Scope::All] {
            assert!(!file.covers(&other), "{other}");
        }
        let mode = file.path().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains("AKIA"), "no whole id: {text}");

        file.add(&Scope::All).unwrap();
        assert!(file.covers(&Scope::Aws("r2".into())));
    }

    #[test]
    fn a_file_that_others_can_reach_remembers_nothing() {
        let home = tempfile::tempdir().unwrap();
        let file = Remembered {
            folder: home.path().join("bascule"),
        };
        file.add(&Scope::All).unwrap();
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(file.path(), open).unwrap();
        assert!(!file.covers(&Scope::All));
    }

    #[test]
    fn a_name_that_is_more_than_a_line_agrees_to_nothing() {
        let home = tempfile::tempdir().unwrap();
        let file = Remembered {
            folder: home.path().join("bascule"),
        };
        assert!(file.add(&Scope::Aws("x\n--all".into())).is_err());
        assert!(!file.covers(&Scope::All));
    }
}
