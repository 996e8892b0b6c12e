//! Programs that run another one: what they run, as whom, and with which variables.

mod plain;
mod users;

use bascule_formats::{shell, unit::exec};

use super::{Command, assign};
use crate::{environment::Environment, found::Place, machine::Machine};
use plain::PLAIN;
use users::{as_user, chpst, named, su, sudo};

/// What a wrapper runs.
pub(super) enum Inner {
    /// A program with its arguments.
    Command(Command),
    /// A text for a shell, with the arguments that it gets: `$0` first.
    Script {
        text: String,
        arguments: Vec<String>,
        environment: Environment,
    },
    /// A script's file with its arguments, whatever its first line says.
    File(Command),
    /// Every script of a folder.
    Folder(String),
}

const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "busybox"];

/// Whether a program reads POSIX-like scripts.
pub(super) fn is_shell(program: &str) -> bool {
    SHELLS.contains(&program.rsplit('/').next().unwrap_or(program))
}

/// What a command runs, if it is a wrapper. The place is where the command stands.
pub(super) fn unwrap(command: &Command, machine: &Machine, place: Option<&Place>) -> Option<Inner> {
    let program = command.program();
    let arguments = &command.arguments;
    if let Some(plain) = PLAIN.iter().find(|plain| plain.name == program) {
        let mut at = options(arguments, plain.valued, |_, _| {});
        // `taskset MASK` has a word in front, `taskset -c LIST` none.
        if program == "taskset" && !arguments.iter().any(|argument| argument == "-c") {
            at += 1;
        }
        return rest(command, at + plain.words);
    }
    match program {
        "env" => env(command, place),
        "sudo" | "doas" => sudo(command, machine, place),
        "su" | "runuser" => su(command, machine),
        "gosu" | "su-exec" | "setuidgid" => {
            let user = arguments.get(1)?.split(':').next()?;
            rest(&as_user(command, machine, user), 2)
        }
        "chpst" | "setpriv" => chpst(command, machine),
        "flock" => flock(command),
        "systemd-run" => systemd_run(command, machine, place),
        "run-parts" => {
            let at = options(arguments, &["-a", "-u"], |_, _| {});
            Some(Inner::Folder(arguments.get(at)?.clone()))
        }
        "eval" => Some(Inner::Script {
            text: arguments.get(1..)?.join(" "),
            arguments: vec!["sh".into()],
            environment: command.environment.clone(),
        }),
        _ if is_shell(program) => shell_text(command),
        _ => None,
    }
}

/// Passes over options, tells each with its value, and returns where the rest begins.
pub(super) fn options(
    arguments: &[String],
    valued: &[&str],
    mut option: impl FnMut(&str, Option<&str>),
) -> usize {
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        if argument == "--" {
            return at + 1;
        }
        if !argument.starts_with('-') || argument == "-" {
            return at;
        }
        if valued.contains(&argument.as_str()) {
            option(argument, arguments.get(at + 1).map(String::as_str));
            at += 2;
            continue;
        }
        at += 1;
        if argument.starts_with("--") {
            match argument.split_once('=') {
                Some((name, value)) => option(name, Some(value)),
                None => option(argument, None),
            }
            continue;
        }
        // `-nu ann` and `-uann`: short options that are joined.
        for (letter, c) in argument.char_indices().skip(1) {
            let name = format!("-{c}");
            if !valued.contains(&name.as_str()) {
                option(&name, None);
                continue;
            }
            let joined = argument
                .get(letter + c.len_utf8()..)
                .filter(|text| !text.is_empty());
            option(&name, joined.or(arguments.get(at).map(String::as_str)));
            at += usize::from(joined.is_none());
            break;
        }
    }
    at
}

fn rest(command: &Command, at: usize) -> Option<Inner> {
    let arguments = command.arguments.get(at..)?.to_vec();
    (!arguments.is_empty()).then(|| {
        Inner::Command(Command {
            arguments,
            environment: command.environment.clone(),
        })
    })
}

/// Takes `NAME=value` words as variables, and returns where the command begins.
fn assignments(command: &mut Command, from: usize, place: Option<&Place>) -> usize {
    let mut at = from;
    while let Some((name, value)) = command
        .arguments
        .get(at)
        .and_then(|argument| argument.split_once('='))
        .filter(|(name, _)| exec::is_variable(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    {
        assign(&mut command.environment, &name, &value, place);
        at += 1;
    }
    at
}

fn env(command: &Command, place: Option<&Place>) -> Option<Inner> {
    let mut inner = command.clone();
    let mut split = None;
    let valued = ["-u", "--unset", "-C", "--chdir", "-S", "--split-string"];
    let at = options(&command.arguments, &valued, |name, value| {
        match (name, value) {
            ("-i" | "--ignore-environment", _) => inner.environment.clear(),
            ("-u" | "--unset", Some(value)) => inner.environment.unset(value),
            ("-C" | "--chdir", Some(value)) => {
                inner.environment.current_folder = command.path(value);
            }
            ("-S" | "--split-string", Some(value)) => split = Some(value.to_owned()),
            _ => {}
        }
    });
    let mut arguments = vec![command.arguments.first()?.clone()];
    if command
        .arguments
        .get(at)
        .is_some_and(|argument| argument == "-")
    {
        inner.environment.clear();
    }
    let at = at
        + usize::from(
            command
                .arguments
                .get(at)
                .is_some_and(|argument| argument == "-"),
        );
    if let Some(split) = split {
        arguments.extend(exec::words(&split).ok()?.into_iter().map(|word| word.text));
    }
    arguments.extend_from_slice(command.arguments.get(at..)?);
    inner.arguments = arguments;
    let at = assignments(&mut inner, 1, place);
    rest(&inner, at)
}

fn flock(command: &Command) -> Option<Inner> {
    let valued = ["-w", "--wait", "--timeout", "-E", "--conflict-exit-code"];
    let at = options(&command.arguments, &valued, |_, _| {});
    let behind = command.arguments.get(at + 1)?;
    if behind == "-c" || behind == "--command" {
        return Some(Inner::Script {
            text: command.arguments.get(at + 2)?.clone(),
            arguments: vec!["sh".into()],
            environment: command.environment.clone(),
        });
    }
    rest(command, at + 1)
}

fn systemd_run(command: &Command, machine: &Machine, place: Option<&Place>) -> Option<Inner> {
    let valued = [
        "-u",
        "--unit",
        "-p",
        "--property",
        "-E",
        "--setenv",
        "--uid",
        "--gid",
        "--nice",
        "--slice",
        "--description",
        "--on-active",
        "--on-boot",
        "--on-startup",
        "--on-unit-active",
        "--on-unit-inactive",
        "--on-calendar",
        "--timer-property",
        "--path-property",
        "--socket-property",
        "--working-directory",
        "-M",
        "--machine",
        "-H",
        "--host",
        "--service-type",
        "--job-mode",
    ];
    let (mut user, mut own, mut folder) = ("root".to_owned(), false, None);
    let mut set: Vec<String> = Vec::new();
    let at = options(&command.arguments, &valued, |name, value| {
        match (name, value) {
            ("--user" | "--scope", _) => own = true,
            ("--uid", Some(value)) => user = value.to_owned(),
            ("-E" | "--setenv", Some(value)) => set.push(value.to_owned()),
            ("--working-directory", Some(value)) => folder = Some(command.path(value)),
            ("-p" | "--property", Some(value)) => match value.split_once('=') {
                Some(("Environment", value)) => {
                    set.extend(
                        exec::words(value)
                            .into_iter()
                            .flatten()
                            .map(|word| word.text),
                    );
                }
                Some(("User", value)) => user = value.to_owned(),
                _ => {}
            },
            _ => {}
        }
    });
    let environment = if own {
        command.environment.clone()
    } else {
        let mut environment = machine.bare_environment(&named(machine, &user));
        environment.current_folder.clone_from(&machine.root);
        environment
    };
    let mut inner = Command {
        arguments: command.arguments.clone(),
        environment,
    };
    inner.environment.current_folder = folder.unwrap_or(inner.environment.current_folder);
    for variable in set {
        match variable.split_once('=') {
            Some((name, value)) => assign(&mut inner.environment, name, value, place),
            None => inner
                .environment
                .take(std::iter::once(&*variable), &command.environment),
        }
    }
    rest(&inner, at)
}

/// `sh -c TEXT NAME ARGUMENTS`.
/// Whether a command is a shell that is told neither a script nor a text.
pub(super) fn reads_input(command: &Command) -> bool {
    let is_option = |argument: &String| argument.starts_with('-');
    is_shell(command.program()) && command.arguments.iter().skip(1).all(is_option)
}

fn shell_text(command: &Command) -> Option<Inner> {
    let mut at = 1;
    if command.program() == "busybox" {
        at += 1;
    }
    let mut text = false;
    while let Some(argument) = command.arguments.get(at) {
        if argument == "--" {
            at += 1;
            break;
        }
        if !argument.starts_with(['-', '+']) || argument.len() < 2 {
            break;
        }
        text |= !argument.starts_with("--") && argument.starts_with('-') && argument.contains('c');
        // `-o pipefail` and `--rcfile FILE`.
        let takes = argument.ends_with('o') && !argument.starts_with("--");
        at += 1 + usize::from(takes || argument == "--rcfile" || argument == "--init-file");
    }
    if text {
        let text = command.arguments.get(at)?.clone();
        let mut arguments = command.arguments.get(at + 1..).unwrap_or_default().to_vec();
        if arguments.is_empty() {
            arguments.push(command.program().to_owned());
        }
        return Some(Inner::Script {
            text,
            arguments,
            environment: command.environment.clone(),
        });
    }
    // A script's file; which interpreter its first line names does not count.
    let script = command.arguments.get(at)?;
    let mut arguments = command.arguments.get(at..)?.to_vec();
    if !script.contains('/') {
        arguments[0] = format!("./{script}");
    }
    Some(Inner::File(Command {
        arguments,
        environment: command.environment.clone(),
    }))
}

/// Whether a text's first line gives it to a POSIX-like shell; `None` if it has no such line.
pub(super) fn given_to_shell(text: &str) -> Option<bool> {
    let words = shell::interpreter(text)?;
    let mut words = words.into_iter();
    let first = words.next()?;
    let program = if first.ends_with("/env") {
        words.find(|word| !word.starts_with('-') && !word.contains('='))?
    } else {
        first
    };
    Some(is_shell(program))
}
