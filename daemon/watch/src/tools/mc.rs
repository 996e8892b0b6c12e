//! mc: the aliases that a command names, from variables, a file of such variables or mc's own
//! configuration (consumers.md 3).

use super::{listed, order::Order};
use crate::{
    catalogue::{Catalogue, Row},
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
};

/// Options whose value is the next argument.
const VALUES: [&str; 4] = ["--config-dir", "-C", "--limit-upload", "--limit-download"];

/// Adds the keys that a run of `mc` would use.
pub(super) fn uses(command: &Command, _: &Machine, trail: &Trail, picture: &mut Picture) {
    let catalogue = Catalogue::builtin();
    let (Some(mc), Some(hosts)) = (catalogue.row("mc"), catalogue.row("mc-hosts")) else {
        return;
    };
    let mut arguments = command.arguments.iter().skip(1).peekable();
    let mut aliases: Vec<&str> = Vec::new();
    while let Some(argument) = arguments.next() {
        if VALUES.contains(&&**argument) {
            arguments.next();
        } else if !argument.starts_with(['-', '/', '.']) {
            let alias = argument.split(['/', '\\']).next().unwrap_or_default();
            if !aliases.contains(&alias) {
                aliases.push(alias);
            }
        }
    }
    for alias in aliases {
        of_alias(mc, hosts, alias, command, trail, picture);
    }
}

fn of_alias(
    mc: &Row,
    hosts: &Row,
    alias: &str,
    command: &Command,
    trail: &Trail,
    picture: &mut Picture,
) {
    let mut order = Order::new(picture);
    let variable = format!("MC_HOST_{alias}");
    let environment = &command.environment;
    if let Some((key, standing)) = Row::of_variable(&variable, environment) {
        order.then(|picture| picture.add(mc.id.clone(), trail, key, standing, None));
    }
    if let Some(path) = environment.variable("MC_CONFIG_ENV_FILE") {
        let path = command.path(path);
        order.then(|picture| match hosts.read(&path, environment) {
            Ok(Some(mut reading)) => {
                reading
                    .entries
                    .retain(|entry| entry.name.as_deref() == Some(alias));
                reading.tell(&mc.id, trail, picture, |standing| standing);
            }
            Ok(None) => {}
            Err(error) => picture.unusable(trail, path.display().to_string(), &error),
        });
    }
    let program = command.program();
    let mut run = command.clone();
    if program != "mc" && run.option("--config-dir").is_none() && run.option("-C").is_none() {
        // The folder is named after the program.
        if run.environment.variable("MC_CONFIG_DIR").is_none() {
            run.environment
                .set("MC_CONFIG_DIR", format!("~/.{program}"));
        }
    }
    order.then(|picture| listed::files(mc, &run, Some(alias), trail, picture));
}
