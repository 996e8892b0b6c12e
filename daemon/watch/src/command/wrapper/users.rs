//! Wrappers that run something as somebody else: whose home and variables count.

use super::{Command, Inner, assignments, options, rest};
use crate::{
    environment::Environment,
    found::Place,
    machine::{Machine, User},
};

/// The command as another user runs it, who keeps the variables.
pub(super) fn as_user(command: &Command, machine: &Machine, user: &str) -> Command {
    let mut command = command.clone();
    let user = named(machine, user);
    let bare = machine.bare_environment(&user);
    command.environment.home.clone_from(&bare.home);
    for name in ["HOME", "USER", "LOGNAME"] {
        match bare.set_variable(name) {
            Some(value) => command.environment.set(name, value.to_owned()),
            None => command.environment.unset(name),
        }
    }
    command
}

/// The user of a name; one without a home where the machine's list does not know it.
pub(super) fn named(machine: &Machine, user: &str) -> User {
    let user = user.strip_prefix('#').unwrap_or(user);
    machine.user(user).cloned().unwrap_or_else(|| User {
        name: user.to_owned(),
        uid: u32::MAX,
        home: None,
    })
}

fn bare(machine: &Machine, user: &str, command: &Command) -> Environment {
    let mut environment = machine.bare_environment(&named(machine, user));
    environment
        .current_folder
        .clone_from(&command.environment.current_folder);
    environment
}

pub(super) fn sudo(command: &Command, machine: &Machine, place: Option<&Place>) -> Option<Inner> {
    let valued = [
        "-u", "--user", "-g", "--group", "-h", "--host", "-p", "--prompt", "-C", "-r", "-t", "-T",
        "-U", "-D", "--chdir", "-R",
    ];
    let (mut user, mut keeps, mut login, mut folder) = ("root".to_owned(), false, false, None);
    let mut kept: Vec<String> = Vec::new();
    let at = options(&command.arguments, &valued, |name, value| {
        match (name, value) {
            ("-u" | "--user", Some(value)) => user = value.to_owned(),
            ("-E" | "--preserve-env", None) => keeps = true,
            ("--preserve-env", Some(names)) => {
                kept.extend(names.split(',').map(ToOwned::to_owned));
            }
            ("-i" | "--login", _) => login = true,
            ("-D" | "--chdir", Some(value)) => folder = Some(command.path(value)),
            _ => {}
        }
    });
    let keeps = keeps && command.program() == "sudo";
    let mut inner = Command {
        arguments: command.arguments.clone(),
        environment: bare(machine, &user, command),
    };
    if keeps {
        inner.environment = as_user(command, machine, &user).environment;
    }
    inner
        .environment
        .take(kept.iter().map(String::as_str), &command.environment);
    if login && let Some(home) = inner.environment.home.clone() {
        inner.environment.current_folder = home;
    }
    if let Some(folder) = folder {
        inner.environment.current_folder = folder;
    }
    let at = assignments(&mut inner, at, place);
    rest(&inner, at)
}

pub(super) fn su(command: &Command, machine: &Machine) -> Option<Inner> {
    let valued = [
        "-c",
        "--command",
        "-s",
        "--shell",
        "-g",
        "-G",
        "-u",
        "--user",
        "-w",
        "-T",
    ];
    let mut seen: Vec<(String, Option<String>)> = Vec::new();
    let mut read = |arguments: &[String]| {
        options(arguments, &valued, |name, value| {
            seen.push((name.to_owned(), value.map(ToOwned::to_owned)));
        })
    };
    let mut at = read(&command.arguments);
    let dash = command
        .arguments
        .get(at)
        .is_some_and(|argument| argument == "-");
    at += usize::from(dash);
    // Options may stand behind the user too.
    let behind = read(command.arguments.get(at..).unwrap_or_default());
    let value = |names: [&str; 2]| {
        let mut all = seen.iter().rev();
        all.find_map(|(name, value)| value.clone().filter(|_| names.contains(&name.as_str())))
    };
    if let Some(user) = value(["-u", "--user"]) {
        return rest(&as_user(command, machine, &user), at);
    }
    let user = command.arguments.get(at).map_or("root", String::as_str);
    let login = dash
        || seen
            .iter()
            .any(|(name, _)| ["-l", "--login"].contains(&name.as_str()));
    let environment = if login {
        let mut environment = bare(machine, user, command);
        if let Some(home) = environment.home.clone() {
            environment.current_folder = home;
        }
        environment
    } else {
        as_user(command, machine, user).environment
    };
    let mut arguments = vec!["sh".to_owned()];
    arguments.extend_from_slice(command.arguments.get(at + behind..).unwrap_or_default());
    Some(Inner::Script {
        text: value(["-c", "--command"])?,
        arguments,
        environment,
    })
}

pub(super) fn chpst(command: &Command, machine: &Machine) -> Option<Inner> {
    let valued = [
        "-u", "-U", "-e", "-/", "-n", "-l", "-L", "-m", "-d", "-o", "-p", "-f", "-c", "-r", "-t",
    ];
    let mut user = None;
    let at = options(&command.arguments, &valued, |name, value| {
        if ["-u", "--reuid"].contains(&name) {
            user = value
                .and_then(|value| value.split(':').next())
                .map(ToOwned::to_owned);
        }
    });
    // Neither of them sets variables; only who it is changes where a home is looked for.
    let mut inner = command.clone();
    if inner.environment.set_variable("HOME").is_none()
        && let Some(user) = user
    {
        inner.environment.home = named(machine, &user).home;
    }
    rest(&inner, at)
}
