//! `bascule alerts`: how people hear of findings, and whether that works.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document::given,
        text::{BAD, DIM, GOOD, HEAD, NEXT, WARN, escape, styled},
        time::{ago, human, rfc3339},
    },
};

/// List the channels that tell of findings, and whether they work
///
/// Each finding is told once, again when it changes, and when it is resolved: in the daemon's log,
/// as a notification on the desktop, to a webhook, and to a command of yours. What is set under
/// [alerts] in the daemon's settings is in force with: bascule reload. Copies that no tool reads
/// and what you acknowledged are never told.
///
/// Examples:
///   bascule alerts
///   bascule alerts test
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
}

/// What to do with channels.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Send a test through every channel in force, and tell what came of each
    ///
    /// Example:
    ///   bascule alerts test
    #[command(verbatim_doc_comment)]
    Test,
}

#[derive(Serialize)]
struct ListDocument {
    channels: Vec<Channel>,
}

#[derive(Serialize)]
struct Channel {
    channel: String,
    to: Option<String>,
    off: Option<String>,
    waiting: u32,
    lost: u64,
    last_success_at: Option<String>,
    last_failure: Option<Failure>,
}

#[derive(Serialize)]
struct Failure {
    at: Option<String>,
    why: String,
    next: String,
}

#[derive(Serialize)]
struct TestDocument {
    tests: Vec<Test>,
}

#[derive(Serialize)]
struct Test {
    channel: String,
    to: Option<String>,
    delivered: bool,
    failure: Option<Failure>,
}

impl From<&v1::AlertFailure> for Failure {
    fn from(wire: &v1::AlertFailure) -> Self {
        Self {
            at: rfc3339(wire.at.as_ref()),
            why: wire.why.clone(),
            next: wire.next.clone(),
        }
    }
}

impl From<&v1::AlertChannel> for Channel {
    fn from(wire: &v1::AlertChannel) -> Self {
        Self {
            channel: wire.channel.clone(),
            to: given(&wire.to),
            off: given(&wire.off),
            waiting: wire.waiting,
            lost: wire.lost,
            last_success_at: rfc3339(wire.last_success_at.as_ref()),
            last_failure: wire.last_failure.as_ref().map(Into::into),
        }
    }
}

impl From<&v1::AlertTest> for Test {
    fn from(wire: &v1::AlertTest) -> Self {
        Self {
            channel: wire.channel.clone(),
            to: given(&wire.to),
            delivered: wire.failure.is_none(),
            failure: wire.failure.as_ref().map(Into::into),
        }
    }
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        None => list(context).await,
        Some(Action::Test) => test(context).await,
    }
}

async fn list(context: &Context) -> Result<Exit, Error> {
    let client = context.client().await?;
    let request = v1::ListAlertsRequest {};
    let channels = client.alerts().list(request).await?.into_inner().channels;
    let document = ListDocument {
        channels: channels.iter().map(Into::into).collect(),
    };
    let now = clock::now();
    context.output.result(&document, || {
        channels.iter().map(|channel| shown(channel, now)).collect()
    })?;
    Ok(Exit::Ok)
}

fn shown(channel: &v1::AlertChannel, now: Timestamp) -> String {
    let name = format!("{:<9}", channel.channel);
    if !channel.off.is_empty() {
        let off = format!("off: {}", escape(&channel.off));
        return format!("{}{}\n", styled(DIM, &name), styled(DIM, &off));
    }
    let mut text = format!("{}{}\n", styled(HEAD, &name), escape(&channel.to));
    let mut line = |style, words: &str| {
        text.push_str(&format!("         {}\n", styled(style, words)));
    };
    if channel.last_success_at.is_some() {
        let when = human(channel.last_success_at.as_ref(), now);
        line(GOOD, &format!("last delivered {when}"));
    }
    if channel.waiting > 0 {
        line(WARN, &format!("{} waiting", channel.waiting));
    }
    if channel.lost > 0 {
        line(BAD, &format!("{} given up", channel.lost));
    }
    if let Some(failure) = &channel.last_failure {
        let when = ago(failure.at.as_ref(), now);
        line(BAD, &format!("failed {when}: {}", escape(&failure.why)));
        line(NEXT, &format!("next: {}", escape(&failure.next)));
    }
    text
}

async fn test(context: &Context) -> Result<Exit, Error> {
    let client = context.client().await?;
    let request = v1::TestAlertsRequest {};
    let tests = client.alerts().test(request).await?.into_inner().tests;
    let document = TestDocument {
        tests: tests.iter().map(Into::into).collect(),
    };
    context
        .output
        .result(&document, || tests.iter().map(told).collect())?;
    let failed = tests.iter().any(|test| test.failure.is_some());
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn told(test: &v1::AlertTest) -> String {
    let name = format!("{:<9}", test.channel);
    let (name, to) = (styled(HEAD, &name), escape(&test.to));
    match &test.failure {
        None => format!("{name}{}  {to}\n", styled(GOOD, "delivered")),
        Some(failure) => format!(
            "{name}{}  {to}\n         {}\n         {} {}\n",
            styled(BAD, "failed"),
            escape(&failure.why),
            styled(NEXT, "next:"),
            escape(&failure.next)
        ),
    }
}
