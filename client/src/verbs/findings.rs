//! `bascule findings`: keys that do not work and are used all the same.

use bascule_domain::Timestamp;
use bascule_proto::v1::{self, finding_caller::Who, next_run::When};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Context;
use crate::{
    clock,
    error::Error,
    exit::Exit,
    output::{
        document,
        sweep::{self, SweepDocument},
        table::{Cell, Facts, Table},
        text::{BAD, DIM, NEXT, WARN, count, escape, styled},
        time::{absolute_and_relative, ago, human, parsed},
        usage::program,
    },
};

/// List what uses a key that does not work, and what to do about each
///
/// Two senses: the configurations, jobs and processes of this machine that would use a dead, paused
/// or retiring key (W…), and requests with one that the gateway refused (F…), wherever they came
/// from. A tool that is refused shows the id of its finding where it shows the host id or the message
/// of an error. Which process was refused is looked for, and told where the system shows it.
/// Refusals are kept until the daemon restarts.
///
/// What no rule about a tool leads to is found by the daemon's full sweep of homes, /etc, /opt and
/// /srv, which runs after a key died and once a day as long as one is dead.
///
/// Examples:
///   bascule findings
///   bascule findings photos --look
///   bascule findings --sweep
///   bascule findings show F12
///   bascule findings ack W0123456789abcdef --why 'replaced next week'
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,
    #[command(subcommand)]
    action: Option<Action>,
}

/// Which findings.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// A connection, or a key: CONNECTION/LABEL or its access key id; all if left out
    #[arg(value_name = "NAME|KEY_ID")]
    of: Option<String>,
    /// Look at this machine again first, at processes too
    #[arg(long)]
    look: bool,
    /// Sweep all folders first, and look again: that may take minutes
    #[arg(long)]
    sweep: bool,
}

/// What to do with findings.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// List the findings of a connection or key, or all
    ///
    /// Example:
    ///   bascule findings list photos
    #[command(verbatim_doc_comment)]
    List(Which),
    /// Show one finding: the whole chain, and what to do next
    ///
    /// Example:
    ///   bascule findings show F12
    #[command(verbatim_doc_comment)]
    Show {
        /// Its id, F12 or W0123456789abcdef; of the latter the beginning may do
        id: String,
    },
    /// Note that you know of a consumer, and hear no more of it until it changes
    ///
    /// Example:
    ///   bascule findings ack W0123456789abcdef --why archived
    #[command(verbatim_doc_comment)]
    Ack {
        /// Its id, W0123456789abcdef; the beginning may do
        id: String,
        /// Why it may stay as it is
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}

#[derive(Serialize)]
struct ListDocument<'a> {
    findings: Vec<document::Finding>,
    not_checked: &'a [String],
    sweep: Option<SweepDocument>,
}

#[derive(Serialize)]
struct ShowDocument {
    finding: document::Finding,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    match arguments.action {
        None => list(arguments.which, context).await?,
        Some(Action::List(which)) => list(which, context).await?,
        Some(Action::Show { id }) => {
            let request = v1::ShowFindingRequest { id };
            let client = context.client().await?;
            let response = client.findings().show(request).await?;
            show(response.into_inner(), context)?;
        }
        Some(Action::Ack { id, why }) => {
            let request = v1::AcknowledgeFindingRequest { id, why };
            let client = context.client().await?;
            let response = client.findings().acknowledge(request).await?;
            show(response.into_inner(), context)?;
        }
    }
    Ok(Exit::Ok)
}

async fn list(which: Which, context: &Context) -> Result<(), Error> {
    let client = context.client().await?;
    if which.look || which.sweep {
        let request = v1::LookRequest { sweep: which.sweep };
        client.findings().look(request).await?;
    }
    let request = v1::ListFindingsRequest {
        of: which.of.unwrap_or_default(),
    };
    let response = client.findings().list(request).await?.into_inner();
    let document = ListDocument {
        findings: response.findings.iter().map(Into::into).collect(),
        not_checked: &response.not_checked,
        sweep: response.sweep.as_ref().map(Into::into),
    };
    if response.findings.is_empty() {
        context
            .output
            .status("nothing is known to use a key that does not work");
    }
    for gap in &response.not_checked {
        context
            .output
            .status(&format!("{} {}", styled(WARN, "not checked:"), escape(gap)));
    }
    let sweep = response.sweep.as_ref();
    if let Some(words) = sweep.and_then(|sweep| sweep::words(sweep, clock::now())) {
        let told = format!("{} {words}", styled(DIM, "full sweep:"));
        context.output.status(&told);
    }
    if response.findings.is_empty() && !context.output.is_json() {
        return Ok(());
    }
    context
        .output
        .result(&document, || render(&response.findings, clock::now()))
}

fn show(response: v1::ShowFindingResponse, context: &Context) -> Result<(), Error> {
    let finding = response.finding.unwrap_or_default();
    let document = ShowDocument {
        finding: (&finding).into(),
    };
    context
        .output
        .result(&document, || words(&finding, clock::now()))
}

/// Consumers, two lines each, then what was refused.
pub(super) fn render(findings: &[v1::Finding], now: Timestamp) -> String {
    let mut text = String::new();
    let (consumers, refused): (Vec<_>, Vec<_>) = findings
        .iter()
        .partition(|finding| finding.sense == "consumer");
    for finding in consumers {
        text.push_str(&consumer(finding, now));
    }
    if !refused.is_empty() {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&table(&refused));
        for finding in refused {
            for caller in finding.callers.iter().filter(|caller| caller.keeps_trying) {
                text.push_str(&format!(
                    "{}  {}\n",
                    escape(&finding.id),
                    tries(caller, now)
                ));
            }
        }
    }
    text
}

fn consumer(finding: &v1::Finding, now: Timestamp) -> String {
    let known = finding.state == "acknowledged";
    let style = if known { DIM } else { BAD };
    let mut about = vec![finding.rank.clone()];
    about.extend(next_run(finding.next_run.as_ref(), now));
    if known {
        about.push(format!("acknowledged: {}", finding.acknowledged_why));
    }
    format!(
        "{}  {}  {} {}  {}\n    {}\n",
        escape(&finding.id),
        styled(style, &escape(&finding.reason)),
        escape(&finding.key),
        escape(&owner(finding)),
        styled(DIM, &escape(&about.join(", "))),
        escape(&finding.chain.join(" → "))
    )
}

/// `photos/laptop`; empty for a key that Bascule did not issue.
fn owner(finding: &v1::Finding) -> String {
    let parts = [&finding.connection, &finding.label];
    let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    let parts: Vec<_> = parts.into_iter().map(String::as_str).collect();
    parts.join("/")
}

/// When a job runs next, in words.
pub(super) fn next_run(next: Option<&v1::NextRun>, now: Timestamp) -> Option<String> {
    Some(match next?.when.as_ref()? {
        When::At(at) => format!("next run {}", absolute_and_relative(parsed(Some(at))?, now)),
        When::On(event) => format!("runs {event}"),
        When::Never(why) => format!("does not run by itself: {why}"),
        When::Unknown(why) => format!("next run not known: {why}"),
    })
}

fn table(findings: &[&v1::Finding]) -> String {
    let now = clock::now();
    let mut table = Table::new([
        "ID",
        "REASON",
        "KEY",
        "LABEL",
        "CONNECTION",
        "TIMES",
        "LAST",
        "FROM",
        "TOOL",
    ]);
    for finding in findings {
        table.row([
            Cell::new(&finding.id),
            Cell::new(&finding.reason).style(BAD),
            Cell::new(&finding.key),
            Cell::new(&finding.label),
            Cell::new(&finding.connection),
            finding.count.to_string().into(),
            ago(finding.last_at.as_ref(), now).into(),
            Cell::new(from(finding)),
            Cell::new(&finding.user_agent),
        ]);
    }
    table.render()
}

/// Who was refused last: the process, if it is known, else the address.
pub(super) fn from(finding: &v1::Finding) -> String {
    match finding
        .callers
        .first()
        .and_then(|caller| caller.who.as_ref())
    {
        Some(Who::Process(process)) => program(process),
        Some(Who::Address(_) | Who::Unknown(_)) | None => finding.address.clone(),
    }
}

/// `rclone (pid 42, backup.service) has tried 14 times since …`.
fn tries(caller: &v1::FindingCaller, now: Timestamp) -> String {
    let times = count(caller.count, "time");
    let since = human(caller.first_at.as_ref(), now);
    match caller.who.as_ref() {
        Some(Who::Process(process)) => {
            format!(
                "{} has tried {times} since {since}",
                escape(&program(process))
            )
        }
        Some(Who::Address(address)) => {
            format!("{} has tried {times} since {since}", escape(address))
        }
        Some(Who::Unknown(why)) => format!("unknown ({}): {times} since {since}", escape(why)),
        None => format!("unknown: {times} since {since}"),
    }
}

/// Everybody who was refused, and what is known of them.
fn callers(finding: &v1::Finding, now: Timestamp) -> String {
    let mut text = String::new();
    for caller in &finding.callers {
        text.push_str(&format!("  {}", tries(caller, now)));
        if caller.count > 1 {
            let last = ago(caller.last_at.as_ref(), now);
            text.push_str(&format!(", last {}", escape(&last)));
        }
        if caller.keeps_trying {
            text.push_str(&format!(": {}", styled(WARN, "it keeps trying")));
        }
        text.push('\n');
        if let Some(Who::Process(process)) = &caller.who {
            let command = [&process.command, &process.exe];
            let command = command.into_iter().find(|text| !text.is_empty());
            let user = process.uid.map(|uid| format!("user {uid}"));
            let facts: Vec<_> = user.iter().chain(command).map(String::as_str).collect();
            if !facts.is_empty() {
                let facts = facts.join(": ");
                text.push_str(&format!("    {}\n", styled(DIM, &escape(&facts))));
            }
        }
    }
    if finding.other_callers > 0 {
        let times = count(finding.other_callers, "time");
        text.push_str(&format!("  others, who are not kept: {times}\n"));
    }
    text
}

fn words(finding: &v1::Finding, now: Timestamp) -> String {
    let key = match finding.label.as_str() {
        "" => finding.key.clone(),
        label => format!("{} ({label})", finding.key),
    };
    let times = match finding.count {
        0 => String::new(),
        count => count.to_string(),
    };
    let state = match finding.acknowledged_why.as_str() {
        "" => finding.state.clone(),
        why => format!("{}: {why}", finding.state),
    };
    let mut facts = Facts::default();
    facts
        .add("Finding", finding.id.as_str())
        .add("Reason", Cell::new(&finding.reason).style(BAD))
        .add("State", state)
        .add("Key", key)
        .add("Connection", finding.connection.as_str())
        .add(
            "Tool",
            [&finding.kind, &finding.user_agent]
                .map(String::as_str)
                .concat(),
        )
        .add("Rank", finding.rank.as_str())
        .add(
            "Next run",
            next_run(finding.next_run.as_ref(), now).unwrap_or_default(),
        )
        .add("User", finding.user.as_str())
        .add("First", human(finding.found_at.as_ref(), now))
        .add("Changed", human(finding.changed_at.as_ref(), now))
        .add("Last", human(finding.last_at.as_ref(), now))
        .add("Times", times)
        .add("From", finding.address.as_str())
        .add("Wanted", finding.operation.as_str())
        .add(
            if finding.sense == "consumer" {
                "Because"
            } else {
                "Was told"
            },
            finding.message.as_str(),
        );
    let mut text = facts.render();
    text.push_str(&callers(finding, now));
    text.push_str(&chain(&finding.steps));
    for next in &finding.next {
        text.push_str(&format!("{} {}\n", styled(NEXT, "next:"), escape(next)));
    }
    text
}

/// The chain, a step on each line, each with why the one before leads there.
fn chain(steps: &[v1::ChainStep]) -> String {
    let mut text = String::new();
    for (depth, step) in steps.iter().enumerate() {
        let place = match (step.path.as_str(), step.line) {
            ("", _) => String::new(),
            (path, _) if step.name.starts_with(path) => String::new(),
            (path, 0) => format!("  {path}"),
            (path, line) => format!("  {path}:{line}"),
        };
        let why = if depth == 0 || step.why.is_empty() {
            String::new()
        } else {
            format!("─ {} → ", step.why)
        };
        text.push_str(&format!(
            "  {}{}{}{}\n",
            "  ".repeat(depth),
            styled(DIM, &escape(&why)),
            escape(&step.name),
            styled(DIM, &escape(&place))
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_user_agent_can_not_control_the_terminal() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let finding = v1::Finding {
            id: "F12".into(),
            reason: "KEY-REVOKED".into(),
            user_agent: "rclone\x1b[2J\r\nnext: rm".into(),
            callers: vec![v1::FindingCaller {
                who: Some(Who::Process(v1::Process {
                    pid: 42,
                    exe: "/opt/r\x1b[2Jclone".into(),
                    unit: "backup\r.service".into(),
                    ..v1::Process::default()
                })),
                count: 14,
                keeps_trying: true,
                ..v1::FindingCaller::default()
            }],
            next: vec!["bascule key list".into()],
            ..v1::Finding::default()
        };
        for text in [words(&finding, now), render(&[finding], now)] {
            let text = anstream::adapter::strip_str(&text).to_string();
            assert!(text.contains("rclone\\u{1b}[2J\\r\\nnext: rm"), "{text}");
            let who = "r\\u{1b}[2Jclone (pid 42, backup\\r.service) has tried 14 times";
            assert!(text.contains(who), "{text}");
        }
    }
}
