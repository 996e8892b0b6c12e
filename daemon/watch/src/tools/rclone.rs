//! rclone: its command line, its mount helper, and paths on its remotes that other tools name.

use std::path::Path;

use bascule_formats::rclone::{Reference, Target};

use crate::{
    aws::{Question, Sdk},
    command::Command,
    environment::Environment,
    found::NotUsable,
    machine::Machine,
    picture::{Picture, Trail},
    rclone::{Configuration, End, Lead, Remotes, locate},
};

const KIND: &str = "rclone";

/// Adds the keys that a run of `rclone` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let path = match command.option("--config") {
        Some(path) => Some(command.path(path)),
        None => locate(&command.environment),
    };
    let environment = &command.environment;
    with_remotes(
        path.as_deref(),
        environment,
        Some(command),
        trail,
        picture,
        |remotes, picture| {
            let mut named = false;
            let mut behind_flag = false;
            for argument in &command.arguments[1..] {
                let flag = argument.starts_with('-');
                let text = match argument.split_once('=') {
                    Some((_, value)) if flag => value,
                    _ => argument,
                };
                let positional = !flag && !behind_flag;
                behind_flag = flag && !argument.contains('=');
                let Some(reference) = Reference::parse(text) else {
                    continue;
                };
                let known = match reference.target {
                    Target::Named(name) => remotes.has(name),
                    Target::Backend(_) => true,
                };
                // `https://…` and `--addr :5572` are no remotes.
                if known || positional && !reference.path.starts_with("//") {
                    named = true;
                    tell(
                        remotes.leads(&reference),
                        environment,
                        machine,
                        trail,
                        picture,
                    );
                }
            }
            let serves_all = command.arguments.iter().any(|argument| argument == "rcd");
            if serves_all && !named {
                all(remotes, environment, machine, trail, picture);
            }
        },
    );
}

/// Adds the keys of a run of `mount.rclone SOURCE FOLDER -o OPTIONS`, which is how mount(8) and fstab
/// start it: options are flags, and `env.NAME=VALUE` sets a variable.
pub(super) fn mount_uses(
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let mut run = Command {
        arguments: vec!["rclone".into(), "mount".into()],
        environment: command.environment.clone(),
    };
    let mut arguments = command.arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        if argument != "-o" {
            run.arguments.push(argument.clone());
            continue;
        }
        for option in arguments.next().map_or("", String::as_str).split(',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            match name.strip_prefix("env.") {
                Some(variable) => run.environment.set(variable, value),
                None if option.contains('=') => {
                    let flag = name.replace('_', "-");
                    run.arguments.push(format!("--{flag}={value}"));
                }
                None => {}
            }
        }
    }
    uses(&run, machine, trail, picture);
}

/// Adds the keys behind a path on a remote that another tool hands to rclone.
pub fn reference(
    text: &str,
    command: &Command,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let environment = &command.environment;
    let path = locate(environment);
    with_remotes(
        path.as_deref(),
        environment,
        None,
        trail,
        picture,
        |remotes, picture| {
            if let Some(reference) = Reference::parse(text) {
                tell(
                    remotes.leads(&reference),
                    environment,
                    machine,
                    trail,
                    picture,
                );
            }
        },
    );
}

/// Adds every remote of the configuration that a run without arguments would read.
pub(crate) fn configured(
    machine: &Machine,
    environment: &Environment,
    trail: &Trail,
    picture: &mut Picture,
) {
    let path = locate(environment);
    with_remotes(
        path.as_deref(),
        environment,
        None,
        trail,
        picture,
        |remotes, picture| {
            picture.files_read += u64::from(remotes.file().is_some());
            all(remotes, environment, machine, trail, picture);
        },
    );
}

/// Adds every remote of one configuration file, for itself.
pub fn configured_in(path: &Path, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let mut environment = Environment::of(machine.user.home.clone(), machine.root.clone());
    environment.root.clone_from(&machine.root);
    let environment = &environment;
    with_remotes(
        Some(path),
        environment,
        None,
        trail,
        picture,
        |remotes, picture| {
            picture.files_read += 1;
            all(remotes, environment, machine, trail, picture);
        },
    );
}

fn all(
    remotes: &Remotes<'_>,
    environment: &Environment,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    for name in remotes.names() {
        let reference = Reference {
            target: Target::Named(&name),
            options: Vec::new(),
            path: "",
        };
        let mut leads = remotes.leads(&reference);
        // A remote that leads nowhere uses no key.
        leads.retain(|lead| {
            !matches!(
                lead.end,
                End::Refused(NotUsable::NoSuchName { .. } | NotUsable::Circle(_))
            )
        });
        tell(leads, environment, machine, trail, picture);
    }
}

fn with_remotes(
    path: Option<&Path>,
    environment: &Environment,
    command: Option<&Command>,
    trail: &Trail,
    picture: &mut Picture,
    then: impl FnOnce(&Remotes<'_>, &mut Picture),
) {
    let shown = path.as_ref().map_or_else(
        || "rclone's configuration".into(),
        |path| path.display().to_string(),
    );
    let configuration = match Configuration::load(path, environment) {
        Ok(configuration) => configuration,
        Err(error) => return picture.unusable(trail, shown, &error),
    };
    match configuration.remotes(environment, command) {
        Ok(remotes) => then(&remotes, picture),
        Err(error) => picture.unusable(trail, shown, &error),
    }
}

fn tell(
    leads: Vec<Lead>,
    environment: &Environment,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    for lead in leads {
        let what = lead
            .chain
            .last()
            .map_or_else(|| "a remote".to_owned(), |link| link.name.clone());
        let mut trail = trail.clone();
        trail.chain.extend(lead.chain);
        match lead.end {
            End::Key(s3) => {
                for (key, standing) in s3.held() {
                    picture.add(KIND, &trail, key, standing, lead.bucket.clone());
                }
            }
            End::Surroundings {
                profile,
                file,
                server,
                ..
            } => {
                let question = Question {
                    sdk: Sdk::Go,
                    kind: KIND,
                    machine,
                    environment,
                    profile: profile.as_deref(),
                    file: file.as_deref(),
                    bucket: lead.bucket,
                };
                let before = picture.uses.len();
                question.answer(&trail, picture);
                for found in &mut picture.uses[before..] {
                    server.tell(&mut found.key);
                }
            }
            End::Anonymous(_) | End::Local(_) | End::Elsewhere(_) => {}
            End::Refused(error) => picture.unusable(&trail, what, &error),
        }
    }
}
