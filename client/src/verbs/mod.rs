//! The verbs, one file each: its arguments, its help, and what it does. A verb calls the daemon
//! and renders the answer; rules live in the daemon.

mod activate;
mod adopt;
mod alerts;
mod audit;
mod backup;
mod check;
mod completions;
mod connect;
mod consent;
mod credentials;
mod delete;
mod deletion;
mod demo;
mod doctor;
mod eject;
mod findings;
pub(crate) mod follow;
mod help;
mod key;
mod leak;
mod limit;
mod list;
mod ls;
mod man;
mod metrics;
mod pause;
mod receipt;
mod reconnect_card;
mod reload;
mod rename;
mod repair;
mod reset;
mod restore;
mod root_key;
mod scan;
mod service;
mod show;
mod source;
mod status;
mod usage;
mod watch;
mod who;

use std::path::PathBuf;

use clap::Subcommand;

pub(crate) use adopt::tell_moved;
pub(crate) use scan::{judged, look, machine};
pub(crate) use source::provider as provider_of_rclone;

use crate::{channel::Client, error::Error, exit::Exit, output::Output};

pub(crate) use help::topics;

/// What every verb needs.
#[derive(Debug)]
pub(crate) struct Context {
    /// From `--socket`.
    pub(crate) socket: Option<PathBuf>,
    /// Where to print.
    pub(crate) output: Output,
}

impl Context {
    pub(crate) async fn client(&self) -> Result<Client, Error> {
        Client::connect(self.socket.as_deref()).await
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Connect(Box<connect::Arguments>),
    Credentials(credentials::Arguments),
    List(list::Arguments),
    Show(show::Arguments),
    Rename(rename::Arguments),
    Limit(limit::Arguments),
    Ls(ls::Arguments),
    ReconnectCard(reconnect_card::Arguments),
    Key(key::Arguments),
    Leak(leak::Arguments),
    Pause(pause::PauseArguments),
    Resume(pause::ResumeArguments),
    Delete(delete::Arguments),
    Deletion(deletion::Arguments),
    Receipt(receipt::Arguments),
    Scan(scan::Arguments),
    Check(check::Arguments),
    Who(who::Arguments),
    Adopt(Box<adopt::Arguments>),
    Repair(repair::Arguments),
    Eject(eject::Arguments),
    Usage(usage::Arguments),
    Watch(watch::Arguments),
    Findings(findings::Arguments),
    Alerts(alerts::Arguments),
    Audit(audit::Arguments),
    Status(status::Arguments),
    Doctor(doctor::Arguments),
    Reload(reload::Arguments),
    Metrics(metrics::Arguments),
    Service(service::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Activate(activate::Arguments),
    RootKey(root_key::Arguments),
    Demo(demo::Arguments),
    Reset(reset::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
    Help(help::Arguments),
}

/// Runs one verb.
pub(crate) async fn run(verb: Verb, context: &Context) -> Result<Exit, Error> {
    match verb {
        Verb::Connect(arguments) => connect::run(*arguments, context).await,
        Verb::Credentials(arguments) => credentials::run(arguments, context).await,
        Verb::List(arguments) => list::run(arguments, context).await,
        Verb::Show(arguments) => show::run(arguments, context).await,
        Verb::Rename(arguments) => rename::run(arguments, context).await,
        Verb::Limit(arguments) => limit::run(arguments, context).await,
        Verb::Ls(arguments) => ls::run(arguments, context).await,
        Verb::ReconnectCard(arguments) => reconnect_card::run(arguments, context).await,
        Verb::Key(arguments) => key::run(arguments, context).await,
        Verb::Leak(arguments) => leak::run(arguments, context).await,
        Verb::Pause(arguments) => pause::pause(arguments, context).await,
        Verb::Resume(arguments) => pause::resume(arguments, context).await,
        Verb::Delete(arguments) => delete::run(arguments, context).await,
        Verb::Deletion(arguments) => deletion::run(arguments, context).await,
        Verb::Receipt(arguments) => receipt::run(arguments, context).await,
        Verb::Scan(arguments) => scan::run(arguments, context).await,
        Verb::Check(arguments) => check::run(arguments, context).await,
        Verb::Who(arguments) => who::run(arguments, context).await,
        Verb::Adopt(arguments) => adopt::run(*arguments, context).await,
        Verb::Repair(arguments) => repair::run(arguments, context).await,
        Verb::Eject(arguments) => eject::run(arguments, context).await,
        Verb::Usage(arguments) => usage::run(arguments, context).await,
        Verb::Watch(arguments) => watch::run(arguments, context).await,
        Verb::Findings(arguments) => findings::run(arguments, context).await,
        Verb::Alerts(arguments) => alerts::run(arguments, context).await,
        Verb::Audit(arguments) => audit::run(arguments, context).await,
        Verb::Status(arguments) => status::run(arguments, context).await,
        Verb::Doctor(arguments) => doctor::run(arguments, context).await,
        Verb::Reload(arguments) => reload::run(arguments, context).await,
        Verb::Metrics(arguments) => metrics::run(arguments, context).await,
        Verb::Service(arguments) => service::run(arguments, context).await,
        Verb::Backup(arguments) => backup::run(arguments, context).await,
        Verb::Restore(arguments) => restore::run(arguments, context).await,
        Verb::RootKey(arguments) => root_key::run(arguments, context).await,
        Verb::Activate(arguments) => activate::run(arguments, context).await,
        Verb::Demo(arguments) => demo::run(arguments, context).await,
        Verb::Reset(arguments) => reset::run(arguments, context).await,
        Verb::Completions(arguments) => completions::run(&arguments, context),
        Verb::Man(arguments) => man::run(arguments, context),
        Verb::Help(arguments) => help::run(&arguments, context),
    }
}
