//! `bascule leak`: what to do about a key that has leaked, at two in the morning. On a terminal it
//! walks through it; without one it does what can be done, prints what remains, and can be run
//! again after each step.

use std::io::{self, BufRead, IsTerminal};

use bascule_domain::access_key::ShownId;
use bascule_proto::v1::{self, report_leak_response::Leaked};
use bascule_watch::holders;
use clap::Args;
use serde::Serialize;

use super::{Context, audit::Why, key::rotate, scan};
use crate::{
    channel::Client,
    clock,
    credentials::{self, to_wire},
    error::{Error, Kind},
    exit::Exit,
    output::{
        document,
        text::{BAD, GOOD, HEAD, NEXT, WARN, escape, styled},
        time::{human, rfc3339},
    },
};

/// A key has leaked: make it worthless
///
/// Give it as it stands in the alarm; start and end, or the last four characters, may do.
///
/// A key that Bascule issued dies at once, and a new one is handed out. For the provider's own key
/// of a connection: the connection is paused, you revoke the key at the provider (how, is said) and
/// hand a new pair over, the connection is resumed, and the provider is asked whether it refuses the
/// old pair. Then the files that still hold the key are named.
///
/// Without a terminal it does what can be done and prints the rest; exit code 8 says that something
/// remains. Run it again after each step.
///
/// Examples:
///   bascule leak BSCQ…
///   bascule leak AKIA…7F3Q
///   bascule leak minio-root --connection photos
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The access key id
    #[arg(value_name = "ACCESS_KEY_ID")]
    id: String,
    /// A connection whose key it is, where several servers have a key with this id
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    #[command(flatten)]
    why: Why,
}

#[derive(Serialize)]
struct Document {
    /// dead, provider
    outcome: &'static str,
    key: Option<document::Key>,
    /// Why a key that lived until now got no successor.
    no_successor: Option<String>,
    connection: Option<document::Connection>,
    reported_at: Option<String>,
    seen_dead_at: Option<String>,
    /// What the provider answered about the old pair, if it was asked.
    proof: Option<Proof>,
    /// What is left to do, in order.
    remaining: Vec<Step>,
    also_used_by: Vec<String>,
    /// Connections to other servers, whose key merely has the same id.
    same_id_elsewhere: Vec<String>,
    holders: Holders,
}

#[derive(Serialize)]
struct Proof {
    /// dead, alive, not-known
    result: &'static str,
    evidence: String,
}

#[derive(Serialize)]
struct Step {
    /// pause, replace, resume, prove
    step: &'static str,
    what: String,
    commands: Vec<String>,
}

/// What is said of an issued key beside its rotation.
#[derive(Serialize)]
struct Found<'a> {
    holders: &'a Holders,
}

/// Which files hold the key.
#[derive(Serialize)]
struct Holders {
    found: Vec<String>,
    searched: Vec<String>,
    not_checked: Vec<String>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let client = context.client().await?;
    let reason = arguments.why.text();
    let request = v1::ReportLeakRequest {
        access_key_id: arguments.id,
        connection: arguments.connection.unwrap_or_default(),
        reason: reason.clone(),
    };
    let reported = client.leaks().report(request).await?.into_inner();
    let id = reported.access_key_id;
    match reported.leaked {
        Some(Leaked::Replaced(response)) => {
            let holders = search(&id);
            rotate::show_response(response, &Found { holders: &holders }, context)?;
            if !context.output.is_json() {
                context.output.stderr(&told(&holders));
            }
            Ok(Exit::Ok)
        }
        Some(Leaked::Dead(key)) => {
            let no_successor = document::given(&reported.no_successor);
            dead(&key, &id, no_successor, context)
        }
        Some(Leaked::Provider(leak)) => {
            let walk = Walk {
                client: &client,
                reason: &reason,
                context,
            };
            walk.provider(leak).await
        }
        None => Err(
            Error::new(Kind::Failed, "the daemon did not say what it did").next("bascule status"),
        ),
    }
}

fn dead(
    key: &v1::Key,
    id: &str,
    no_successor: Option<String>,
    context: &Context,
) -> Result<Exit, Error> {
    let found = search(id);
    let (head, more) = match &no_successor {
        Some(why) => (
            "dead now:",
            format!(" No new key was made: {}.", escape(why)),
        ),
        None => ("dead already:", String::new()),
    };
    let text = format!(
        "{} {} ({}, {}) is dead since {}: {}. Nothing can be done with it.{more}\n{}",
        styled(GOOD, head),
        escape(&key.access_key_id),
        escape(&key.label),
        escape(&key.connection),
        human(key.died_at.as_ref(), clock::now()),
        escape(&key.cause),
        told(&found)
    );
    let document = Document {
        outcome: "dead",
        key: Some(key.into()),
        no_successor,
        connection: None,
        reported_at: None,
        seen_dead_at: rfc3339(key.died_at.as_ref()),
        proof: None,
        remaining: Vec::new(),
        also_used_by: Vec::new(),
        same_id_elsewhere: Vec::new(),
        holders: found,
    };
    context.output.result(&document, || text)?;
    Ok(Exit::Ok)
}

/// The way through the leak of a provider's key.
struct Walk<'a> {
    client: &'a Client,
    /// For the audit of each step.
    reason: &'a str,
    context: &'a Context,
}

impl Walk<'_> {
    /// Does what is due as far as it can be done now.
    async fn provider(&self, mut leak: v1::ProviderLeak) -> Result<Exit, Error> {
        let output = self.context.output;
        let walks = !output.is_json() && credentials::can_ask() && io::stderr().is_terminal();
        let due = |leak: &v1::ProviderLeak, step| leak.remaining().any(|due| due == step);
        output.status(&format!(
            "{} is the provider's key of the connection {}.",
            escape(&leak.access_key_id),
            escape(name(&leak))
        ));
        if due(&leak, v1::LeakStep::Replace) {
            output.status(&format!(
                "{} No request is admitted through it any more.",
                styled(GOOD, "paused.")
            ));
            // A key of several connections is replaced in each.
            while walks && due(&leak, v1::LeakStep::Replace) {
                leak = self.hand_over(leak).await?;
            }
        }
        while !due(&leak, v1::LeakStep::Replace) && due(&leak, v1::LeakStep::Resume) {
            let request = v1::ResumeConnectionRequest {
                name: name(&leak).to_owned(),
                reason: self.reason.to_owned(),
            };
            self.client.connections().resume(request).await?;
            output.status(&format!(
                "{} Requests go to the provider with the new pair.",
                styled(GOOD, "resumed.")
            ));
            leak = self.report(&leak).await?;
        }
        let mut proof = None;
        while !due(&leak, v1::LeakStep::Replace) && due(&leak, v1::LeakStep::Prove) {
            let request = v1::ProveLeakRequest {
                access_key_id: leak.access_key_id.clone(),
                connection: name(&leak).to_owned(),
                reason: self.reason.to_owned(),
            };
            let response = self.client.leaks().prove(request).await?.into_inner();
            let (result, style) = match response.proof() {
                v1::LeakProof::Dead => ("dead", GOOD),
                v1::LeakProof::Alive => ("alive", BAD),
                v1::LeakProof::NotKnown | v1::LeakProof::Unspecified => ("not-known", WARN),
            };
            output.status(&format!(
                "{} {}",
                styled(style, &format!("the old pair: {result}.")),
                escape(&response.evidence)
            ));
            proof = Some(Proof {
                result,
                evidence: response.evidence,
            });
            if result != "dead" {
                leak = response.leak.unwrap_or(leak);
                break;
            }
            leak = self.report(&leak).await?;
        }
        let exit = if leak.remaining.is_empty() {
            Exit::Ok
        } else {
            Exit::StepsRemain
        };
        print(&leak, proof, self.context)?;
        Ok(exit)
    }

    /// Shows how the key is revoked, and takes the new pair.
    async fn hand_over(&self, leak: v1::ProviderLeak) -> Result<v1::ProviderLeak, Error> {
        let output = self.context.output;
        output.stderr(&format!(
            "\n{}\n",
            styled(
                HEAD,
                "Make a new key at the provider, and revoke the old one:"
            )
        ));
        for line in &leak.at_the_provider {
            output.stderr(&format!("  {}\n", escape(line)));
        }
        output.stderr(&format!(
            "\nPress Enter when you have the new pair (Ctrl-C leaves; {} stays paused): ",
            escape(name(&leak))
        ));
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("the terminal could not be read: {error}"),
            )
        })?;
        let credentials = credentials::from_stdin()?;
        let request = v1::ReplaceCredentialsRequest {
            name: name(&leak).to_owned(),
            credentials: Some(to_wire(&credentials)),
            allow_leaked: false,
            reason: self.reason.to_owned(),
        };
        self.client
            .connections()
            .replace_credentials(request)
            .await?;
        output.status(&format!(
            "{} The buckets are the same ones.",
            styled(GOOD, "replaced.")
        ));
        self.report(&leak).await
    }

    /// How it stands now.
    async fn report(&self, leak: &v1::ProviderLeak) -> Result<v1::ProviderLeak, Error> {
        let request = v1::ReportLeakRequest {
            access_key_id: leak.access_key_id.clone(),
            connection: name(leak).to_owned(),
            reason: self.reason.to_owned(),
        };
        match self
            .client
            .leaks()
            .report(request)
            .await?
            .into_inner()
            .leaked
        {
            Some(Leaked::Provider(leak)) => Ok(leak),
            _ => Err(
                Error::new(Kind::Failed, "the daemon does not know this leak any more")
                    .next("bascule status"),
            ),
        }
    }
}

fn name(leak: &v1::ProviderLeak) -> &str {
    leak.connection
        .as_ref()
        .map(|connection| connection.name.as_str())
        .unwrap_or_default()
}

fn print(leak: &v1::ProviderLeak, proof: Option<Proof>, context: &Context) -> Result<(), Error> {
    let found = search(&leak.access_key_id);
    let steps: Vec<_> = leak
        .remaining()
        .filter_map(|step| describe(step, leak))
        .collect();
    let mut text = String::new();
    if let Some(at) = &leak.seen_dead_at {
        text.push_str(&format!(
            "{} {}: the provider was seen to refuse it {}\n",
            styled(GOOD, "dead at the provider"),
            escape(&leak.access_key_id),
            human(Some(at), clock::now())
        ));
    }
    for (number, step) in steps.iter().enumerate() {
        text.push_str(&format!(
            "{} {}\n",
            styled(NEXT, &format!("{}.", number + 1)),
            escape(&step.what)
        ));
        for command in &step.commands {
            text.push_str(&format!("     {}\n", escape(command)));
        }
    }
    for other in &leak.also_used_by {
        text.push_str(&format!(
            "{} the connection {} has the same key and is stopped too; run this again for it\n",
            styled(WARN, "also:"),
            escape(other)
        ));
    }
    for other in &leak.same_id_elsewhere {
        text.push_str(&format!(
            "{} a key of another server has the same id, that of the connection {other}; if it has leaked too: bascule leak {} --connection {other}\n",
            styled(WARN, "not touched:"),
            escape(&leak.access_key_id),
            other = escape(other)
        ));
    }
    text.push_str(&told(&found));
    let document = Document {
        outcome: "provider",
        key: None,
        no_successor: None,
        connection: leak.connection.as_ref().map(Into::into),
        reported_at: rfc3339(leak.reported_at.as_ref()),
        seen_dead_at: rfc3339(leak.seen_dead_at.as_ref()),
        proof,
        remaining: steps,
        also_used_by: leak.also_used_by.clone(),
        same_id_elsewhere: leak.same_id_elsewhere.clone(),
        holders: found,
    };
    context.output.result(&document, || text)
}

fn describe(step: v1::LeakStep, leak: &v1::ProviderLeak) -> Option<Step> {
    let name = name(leak);
    let mut again = format!("bascule leak {}", leak.access_key_id);
    if !leak.same_id_elsewhere.is_empty() {
        again.push_str(&format!(" --connection {name}"));
    }
    let (step, what, commands) = match step {
        v1::LeakStep::Pause => (
            "pause",
            "stop everything that goes through the leaked key",
            vec![format!("bascule pause {name}")],
        ),
        v1::LeakStep::Replace => {
            let mut commands = leak.at_the_provider.clone();
            commands.push(format!(
                "bascule credentials {name} --credentials-stdin   # the new id and secret, a line each"
            ));
            (
                "replace",
                "make a new key at the provider, revoke the old one, and hand the new pair over",
                commands,
            )
        }
        v1::LeakStep::Resume => ("resume", "let requests through again", vec![again]),
        v1::LeakStep::Prove => (
            "prove",
            "ask the provider whether it refuses the old pair",
            vec![again],
        ),
        v1::LeakStep::Unspecified => return None,
    };
    Some(Step {
        step,
        what: what.to_owned(),
        commands,
    })
}

/// Looks for the key in the tools' files of whoever runs this.
fn search(id: &str) -> Holders {
    // Of a key that is long dead only the masked form is left.
    let shown = ShownId::new(id);
    let search = holders::search(|found| shown.fits(found), &scan::machine());
    Holders {
        found: search.found.iter().map(ToString::to_string).collect(),
        searched: search.searched,
        not_checked: search.not_checked,
    }
}

fn told(holders: &Holders) -> String {
    let mut text = String::new();
    for place in &holders.found {
        text.push_str(&format!(
            "{} {}\n",
            styled(WARN, "still holds it:"),
            escape(place)
        ));
    }
    if holders.found.is_empty() {
        text.push_str(&format!(
            "in none of: {}\n",
            escape(&holders.searched.join(", "))
        ));
    }
    text.push_str(&format!(
        "{} {}\n",
        styled(WARN, "not checked:"),
        escape(&holders.not_checked.join("; "))
    ));
    text
}
