//! What a shell may complete besides verbs and flags: names that only the daemon knows, and those of tools
//! in their own files. It must never keep anybody waiting for a daemon or a disk that does not answer, start
//! one, print an error into a line that is being typed, or offer a secret.

use std::{ffi::OsStr, path::PathBuf, sync::mpsc, time::Duration};

use bascule_proto::{location, v1};
use bascule_watch::{
    adopt::consumers,
    scan::{self, Scope},
};
use clap::{Command, CommandFactory};
use clap_complete::{
    CompleteEnv, Shell,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};

use crate::{
    channel::Client,
    cli::Arguments,
    error::{Error, Kind},
};

/// Names the shell in the environment of a call that is to complete something.
const VARIABLE: &str = "BASCULE_COMPLETE";
/// A daemon that is well answers in a hundredth of that.
const PATIENCE: Duration = Duration::from_millis(300);

/// Bash takes a colon for the end of a word, and would put a whole name behind what stands before it. The
/// word is put together again here, and only what follows its last colon is offered.
const WITH_COLONS: &str = r#"
_bascule_with_colons() {
    local line=${COMP_LINE:0:COMP_POINT}
    local typed=${line##*[[:space:]]}
    if [[ $typed != *:* || $typed == *[\"\'\\]* || $COMP_WORDBREAKS != *:* ]]; then
        _clap_complete_bascule "$@"
    else
        local -a COMP_WORDS
        read -r -a COMP_WORDS <<< "${line%"$typed"}"
        local COMP_CWORD=${#COMP_WORDS[@]}
        COMP_WORDS+=("$typed")
        _clap_complete_bascule "$1" "$typed" "$3"
        local before=${typed%:*}:
        local at
        for at in "${!COMPREPLY[@]}"; do
            COMPREPLY[at]=${COMPREPLY[at]#"$before"}
        done
    fi
    local index
    for index in "${!COMPREPLY[@]}"; do
        # An old bash is told by a space that the word is complete.
        local word=${COMPREPLY[index]% }
        local end=${COMPREPLY[index]#"$word"}
        COMPREPLY[index]=$(printf %q "$word")$end
    done
}
complete -o nospace -o bashdefault -F _bascule_with_colons bascule
"#;

/// What an argument names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    Connection,
    Key,
    /// A connection, or a key as an id or CONNECTION/LABEL.
    Either,
    /// A finding's id.
    Finding,
    /// A tool with a key, as `adopt` names it.
    Consumer,
    /// What may be repaired: such a tool, a finding, or a key.
    Repairable,
    /// A tool, or a connection, whose tools are meant.
    Ejectable,
    /// A deletion's id.
    Deletion,
    /// A deletion's id that has a receipt.
    Receipt,
    Backup,
    Topic,
}

/// Which arguments of which verbs name something.
const ARGUMENTS: &[(&str, &str, Names)] = &[
    ("credentials", "name", Names::Connection),
    ("show", "name", Names::Connection),
    ("rename", "old", Names::Connection),
    ("limit", "name", Names::Connection),
    ("ls", "place", Names::Connection),
    ("reconnect-card", "name", Names::Connection),
    ("pause", "name", Names::Connection),
    ("resume", "name", Names::Connection),
    ("delete", "name", Names::Connection),
    ("leak", "id", Names::Key),
    ("key issue", "name", Names::Connection),
    ("key list", "name", Names::Connection),
    ("key show", "id", Names::Key),
    ("key restrict", "id", Names::Key),
    ("key pause", "id", Names::Key),
    ("key resume", "id", Names::Key),
    ("key revoke", "id", Names::Key),
    ("key rotate", "id", Names::Key),
    ("key rotation", "id", Names::Key),
    ("usage", "of", Names::Either),
    ("watch", "of", Names::Either),
    ("audit", "subject", Names::Either),
    ("who", "key", Names::Either),
    ("findings", "of", Names::Either),
    ("findings list", "of", Names::Either),
    ("findings show", "id", Names::Finding),
    ("findings ack", "id", Names::Finding),
    ("adopt", "consumers", Names::Consumer),
    ("repair", "subjects", Names::Repairable),
    ("eject", "consumers", Names::Ejectable),
    ("deletion show", "id", Names::Deletion),
    ("deletion manifests", "id", Names::Deletion),
    ("deletion go-on", "id", Names::Deletion),
    ("deletion cancel", "id", Names::Deletion),
    ("deletion finish-unverified", "id", Names::Deletion),
    ("receipt show", "id", Names::Receipt),
    ("backup forget", "id", Names::Backup),
    ("help", "words", Names::Topic),
];

/// Answers a shell that asks for completions, and exits then. Returns if none does.
pub(crate) fn answer_a_shell() {
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .bin("bascule")
        .complete();
}

/// What makes a shell ask.
pub(crate) fn script(shell: Shell) -> Result<String, Error> {
    let shells = Shells::builtins();
    let name = shell.to_string();
    let mut script = Vec::new();
    let written = shells.completer(&name).map(|known| {
        known.write_registration(VARIABLE, "bascule", "bascule", "bascule", &mut script)
    });
    match written {
        Some(Ok(())) => {
            let mut script = String::from_utf8_lossy(&script).into_owned();
            if shell == Shell::Bash {
                script.push_str(WITH_COLONS);
            }
            Ok(script)
        }
        _ => Err(Error::new(
            Kind::Invalid,
            format!("there are no completions for {name}; there are for bash, zsh and fish"),
        )),
    }
}

/// The command line with what may be completed.
pub(crate) fn command() -> Command {
    ARGUMENTS
        .iter()
        .fold(Arguments::command(), |command, (verb, argument, names)| {
            within(
                command,
                &verb.split(' ').collect::<Vec<_>>(),
                argument,
                *names,
            )
        })
}

fn within(command: Command, path: &[&str], argument: &'static str, names: Names) -> Command {
    match path {
        [] => command.mut_arg(argument, |found| {
            found.add(ArgValueCompleter::new(move |typed: &OsStr| {
                offered(typed, names)
            }))
        }),
        [verb, rest @ ..] => {
            let (verb, rest) = ((*verb).to_owned(), rest.to_owned());
            command.mut_subcommand(verb, |inner| within(inner, &rest, argument, names))
        }
    }
}

/// What begins as it was typed.
fn offered(typed: &OsStr, names: Names) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let all = match names {
        Names::Topic => crate::verbs::topics()
            .map(|(name, about)| (name.to_owned(), about.to_owned()))
            .collect(),
        Names::Consumer => found(),
        Names::Repairable | Names::Ejectable => {
            let mut all = found();
            all.extend(asked(names).unwrap_or_default());
            all
        }
        _ => asked(names).unwrap_or_default(),
    };
    all.into_iter()
        .filter(|(name, _)| name.starts_with(typed))
        .map(|(name, about)| {
            CompletionCandidate::new(name).help((!about.is_empty()).then(|| about.into()))
        })
        .collect()
}

/// The tools that the usual files of whoever asks give a key, or nothing if they can't be read at once.
fn found() -> Vec<(String, String)> {
    // Jobs are left out: there may be many, and a service manager is asked about them.
    const CONFIGURATIONS: Scope = Scope {
        jobs: false,
        processes: false,
        everyone: false,
    };
    let (done, outcome) = mpsc::sync_channel(1);
    // Left to itself when it does not come back: the process ends with its answer.
    let started = std::thread::Builder::new().spawn(move || {
        let machine = crate::verbs::machine();
        let picture = scan::known(&machine, CONFIGURATIONS);
        let consumers = consumers(&picture, machine.user.home.as_deref());
        let movable = consumers.into_iter().filter(|one| one.movable().is_ok());
        let named = movable.map(|one| (one.name, String::new()));
        done.send(named.collect()).ok()
    });
    started
        .ok()
        .and_then(|_| outcome.recv_timeout(PATIENCE).ok())
        .unwrap_or_default()
}

/// Every name with a word about it, or nothing if the daemon does not answer at once.
fn asked(names: Names) -> Option<Vec<(String, String)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let socket = std::env::var_os("BASCULE_SOCKET").map(PathBuf::from);
    let socket = socket.or_else(location::socket)?;
    let answer = runtime.block_on(async {
        let asked = async {
            let client = Client::connect(Some(&socket)).await.ok()?;
            all(&client, names).await.ok()
        };
        tokio::time::timeout(PATIENCE, asked).await.ok().flatten()
    });
    runtime.shutdown_background();
    answer
}

async fn all(client: &Client, names: Names) -> Result<Vec<(String, String)>, tonic::Status> {
    let mut found = Vec::new();
    if matches!(names, Names::Connection | Names::Either | Names::Ejectable) {
        let request = v1::ListConnectionsRequest {};
        let answer = client.connections().list(request).await?.into_inner();
        let connections = answer.connections.into_iter();
        found.extend(
            connections.map(|c| (c.name, format!("connection to {}", c.buckets.join(", ")))),
        );
    }
    if matches!(names, Names::Finding | Names::Repairable) {
        let request = v1::ListFindingsRequest::default();
        let answer = client.findings().list(request).await?.into_inner();
        found.extend(
            answer
                .findings
                .into_iter()
                .map(|finding| (finding.id, String::new())),
        );
    }
    match names {
        Names::Repairable => {
            let request = v1::ListKeysRequest::default();
            let keys = client.keys().list(request).await?.into_inner().keys;
            found.extend(keys.into_iter().map(|key| {
                let labelled = format!("{}/{}", key.connection, key.label);
                (key.access_key_id, labelled)
            }));
        }
        Names::Key | Names::Either => {
            let request = v1::ListKeysRequest::default();
            let keys = client.keys().list(request).await?.into_inner().keys;
            // Of a dead one only the end of its id is left.
            for key in keys
                .into_iter()
                .filter(|key| key.state() != v1::KeyState::Dead)
            {
                let labelled = format!("{}/{}", key.connection, key.label);
                found.push((labelled.clone(), format!("key {}", key.access_key_id)));
                found.push((key.access_key_id, labelled));
            }
        }
        Names::Deletion => {
            let request = v1::ListDeletionsRequest {};
            let answer = client.deletions().list(request).await?.into_inner();
            found.extend(answer.deletions.into_iter().map(|d| (d.id, d.connection)));
        }
        Names::Receipt => {
            let request = v1::ListReceiptsRequest {};
            let answer = client
                .deletions()
                .list_receipts(request)
                .await?
                .into_inner();
            found.extend(answer.receipts.into_iter().map(|r| (r.id, r.connection)));
        }
        Names::Backup => {
            let request = v1::ListBackupsRequest {};
            let answer = client.system().list_backups(request).await?.into_inner();
            found.extend(
                answer
                    .backups
                    .into_iter()
                    .map(|backup| (backup.id, backup.file)),
            );
        }
        Names::Connection | Names::Finding | Names::Consumer | Names::Ejectable | Names::Topic => {}
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every argument that stands for something by its place.
    fn positional(command: &Command, path: &str, found: &mut Vec<(String, String)>) {
        for argument in command.get_positionals() {
            found.push((path.to_owned(), argument.get_id().to_string()));
        }
        for verb in command.get_subcommands() {
            positional(verb, format!("{path} {}", verb.get_name()).trim(), found);
        }
    }

    #[test]
    fn every_argument_that_names_something_is_completed() {
        // Those that are new names, files or texts of other tools.
        const OTHERS: &[(&str, &str)] = &[("connect", "name"), ("rename", "new")];
        let mut found = Vec::new();
        positional(&Arguments::command(), "", &mut found);
        for (verb, argument) in &found {
            let is_listed = ARGUMENTS.iter().any(|(v, a, _)| v == verb && a == argument);
            let is_name = matches!(
                argument.as_str(),
                "name" | "id" | "key" | "of" | "old" | "words" | "consumers" | "subjects"
            );
            let is_other = OTHERS.contains(&(verb.as_str(), argument.as_str()));
            // Its argument is a key that is not ours.
            let is_foreign = verb.contains("mark-dead") || verb == "check";
            assert!(
                is_listed || !is_name || is_other || is_foreign,
                "{verb} {argument}"
            );
        }
        for (verb, argument, _) in ARGUMENTS {
            let exists = found.iter().any(|(v, a)| v == verb && a == argument);
            assert!(exists, "there is no {verb} {argument}");
        }
        command().debug_assert();
    }

    #[test]
    fn each_shell_gets_a_script_that_calls_back() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell).unwrap();
            assert!(
                script.contains(VARIABLE) && script.contains("bascule"),
                "{script}"
            );
        }
    }

    #[test]
    fn bash_gets_words_that_it_takes_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let complete = |typed: &str, answers: &str| {
            let script = format!(
                "bascule() {{ printf {answers}; }}\n{}\nCOMP_LINE='bascule key show {typed}'; \
                 COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(bascule key show '{typed}'); COMP_CWORD=3\n\
                 _bascule_with_colons bascule '{typed}' show\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
                super::script(Shell::Bash).unwrap()
            );
            let mut bash = std::process::Command::new("bash");
            bash.arg("-c").arg(script).current_dir(folder.path());
            let output = bash.output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(
            complete("photos/l", r"'photos/lap top\vphotos/laptop'"),
            "photos/lap\\ top\nphotos/laptop\n"
        );
        // What is before a colon is a word of its own to bash.
        assert_eq!(complete("rclone:m", "'rclone:my remote'"), "my\\ remote\n");
    }

    #[test]
    fn topics_are_offered_by_how_they_begin() {
        let offered = offered(OsStr::new("del"), Names::Topic);
        assert_eq!(offered.len(), 1);
        assert_eq!(offered[0].get_value(), "deletion");
    }
}
