//! Programs that run another one: what they run, as whom, and with which variables.

use bascule_formats::{shell, unit::exec};

use super::{Command, assign};
use crate::{
    environment::Environment,
    found::Place,
    machine::{Machine, User},
};

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

/// A wrapper whose arguments are its own options, some words, and then the command.
struct Plain {
    name: &'static str,
    /// Options that take the next word.
    valued: &'static [&'static str],
    /// Words between the options and the command.
    words: usize,
}

const fn plain(name: &'static str, valued: &'static [&'static str], words: usize) -> Plain {
    Plain {
        name,
        valued,
        words,
    }
}

const PLAIN: [Plain; 29] = [
    plain("builtin", &[], 0),
    plain("caffeinate", &["-t", "-w"], 0),
    plain("chronic", &[], 0),
    plain("chrt", &["-T", "-P", "-D"], 1),
    plain("command", &[], 0),
    plain("cpulimit", &["-l", "-p", "-e", "--limit"], 0),
    plain("dbus-run-session", &["--config-file", "--dbus-daemon"], 0),
    plain("eatmydata", &[], 0),
    plain("exec", &["-a"], 0),
    plain("fakeroot", &["-l", "-s", "-i", "-b"], 0),
    plain("firejail", &[], 0),
    plain("ionice", &["-c", "-n", "--class", "--classdata"], 0),
    plain("nice", &["-n", "--adjustment"], 0),
    plain("nohup", &[], 0),
    plain("proxychains", &["-f"], 0),
    plain("runitor", &["-uuid", "-slug", "-ping-key", "-api-url"], 0),
    plain("setsid", &[], 0),
    plain(
        "stdbuf",
        &["-i", "-o", "-e", "--input", "--output", "--error"],
        0,
    ),
    plain("strace", &["-o", "-e", "-p", "-s", "-u"], 0),
    plain(
        "systemd-cat",
        &["-t", "-p", "--identifier", "--priority"],
        0,
    ),
    plain(
        "systemd-inhibit",
        &["--what", "--who", "--why", "--mode"],
        0,
    ),
    plain("taskset", &["-c"], 0),
    plain("time", &["-f", "-o", "--format", "--output"], 0),
    plain("timeout", &["-k", "-s", "--kill-after", "--signal"], 1),
    plain("tini", &["-p", "-e"], 0),
    plain("trickle", &["-u", "-d"], 0),
    plain("unbuffer", &[], 0),
    plain("xargs", XARGS, 0),
    plain("gxargs", XARGS, 0),
];

const XARGS: &[&str] = &[
    "-I",
    "-n",
    "-P",
    "-d",
    "-L",
    "-a",
    "-s",
    "-E",
    "--max-args",
    "--max-procs",
    "--delimiter",
    "--arg-file",
    "--replace",
];

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
fn options(
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

/// The command as another user runs it, who keeps the variables.
fn as_user(command: &Command, machine: &Machine, user: &str) -> Command {
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
fn named(machine: &Machine, user: &str) -> User {
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

fn sudo(command: &Command, machine: &Machine, place: Option<&Place>) -> Option<Inner> {
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

fn su(command: &Command, machine: &Machine) -> Option<Inner> {
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

fn chpst(command: &Command, machine: &Machine) -> Option<Inner> {
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
