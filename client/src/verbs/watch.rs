//! `bascule watch`: what happens, as it happens.

use bascule_proto::v1::{self, usage_event::Event};
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{
    error::{Error, Kind},
    exit::Exit,
    interruption::Interruption,
    output::{
        self, Output, document,
        text::{BAD, DIM, GOOD, HEAD, WARN, count, escape, styled},
        time::{parsed, rfc3339},
        usage::{self, operation, process},
    },
    start::Runner,
};

/// Follow what happens: requests, refusals, and changes of keys and connections
///
/// Requests are summed up for about a second. End it with Ctrl-C. With --json each event is one
/// document on a line of its own.
///
/// Examples:
///   bascule watch
///   bascule watch photos
///   bascule watch BSC… --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A connection, a key (access key id or CONNECTION/LABEL) or a deletion; everything if left out
    #[arg(value_name = "NAME|KEY_ID")]
    of: Option<String>,
}

#[derive(Serialize)]
struct Document {
    at: Option<String>,
    /// watching, requests, finding, change, missed.
    event: &'static str,
    key: Option<String>,
    label: Option<String>,
    connection: Option<String>,
    requests: Option<Passed>,
    finding: Option<document::Finding>,
    change: Option<Change>,
    /// So many events this reader was too slow for.
    missed: Option<u64>,
}

#[derive(Serialize)]
struct Passed {
    tool: String,
    user_agent: Option<String>,
    address: String,
    process: Option<usage::Process>,
    operations: Vec<usage::Operation>,
    refused: Vec<usage::Refusal>,
}

#[derive(Serialize)]
struct Change {
    what: String,
    phase: Option<String>,
    uid: Option<u32>,
    pid: Option<u32>,
    connection_id: Option<String>,
    key_id: Option<String>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let mut interruption = Interruption::listen();
    let output = context.output;
    let request = v1::WatchUsageRequest {
        of: arguments.of.unwrap_or_default(),
    };
    let client = context.client().await?;
    let mut stream = client.usage().watch(request).await?.into_inner();
    loop {
        let event = tokio::select! {
            event = stream.message() => event?,
            // The way it is meant to end.
            () = interruption.asked() => return Ok(Exit::Interrupted),
        };
        let Some(event) = event else {
            return Err(
                Error::new(Kind::Stopping, "the daemon stopped telling what happens")
                    .next(Runner::here().start()),
            );
        };
        show(&event, output)?;
    }
}

fn show(event: &v1::UsageEvent, output: Output) -> Result<(), Error> {
    if output.is_json() {
        let line = serde_json::to_string(&document(event)).map_err(|error| {
            Error::new(Kind::Failed, format!("the event has no JSON form: {error}"))
        })?;
        return output.raw(&format!("{}\n", output::text::escape_json(&line)));
    }
    match &event.event {
        Some(Event::Begun(begun)) => {
            output.status(&styled(DIM, "watching; end it with Ctrl-C"));
            if begun.without_requests {
                output.status(&format!(
                    "{} requests: the usage ledger is switched off",
                    styled(WARN, "not shown:")
                ));
            }
            Ok(())
        }
        Some(told) => output.raw(&format!("{}\n", line(event, told))),
        None => Ok(()),
    }
}

fn document(event: &v1::UsageEvent) -> Document {
    let mut document = Document {
        at: rfc3339(event.at.as_ref()),
        event: "unknown",
        key: document::given(&event.key),
        label: document::given(&event.label),
        connection: document::given(&event.connection),
        requests: None,
        finding: None,
        change: None,
        missed: None,
    };
    match &event.event {
        None => {}
        Some(Event::Begun(_)) => document.event = "watching",
        Some(Event::Passed(passed)) => {
            document.event = "requests";
            document.requests = Some(Passed {
                tool: passed.tool.clone(),
                user_agent: document::given(&passed.user_agent),
                address: passed.address.clone(),
                process: passed.process.as_ref().map(Into::into),
                operations: passed.operations.iter().map(Into::into).collect(),
                refused: passed.refused.iter().map(Into::into).collect(),
            });
        }
        Some(Event::Finding(finding)) => {
            document.event = "finding";
            document.finding = Some(finding.into());
        }
        Some(Event::Change(change)) => {
            document.event = "change";
            document.change = Some(Change {
                what: change.what.clone(),
                phase: document::given(&change.phase),
                uid: change.uid,
                pid: change.pid,
                connection_id: document::given(&change.connection_id),
                key_id: document::given(&change.key_id),
            });
        }
        Some(Event::Missed(missed)) => {
            document.event = "missed";
            document.missed = Some(*missed);
        }
    }
    document
}

fn line(event: &v1::UsageEvent, told: &Event) -> String {
    let at = parsed(event.at.as_ref())
        .map(|at| at.strftime("%H:%M:%SZ").to_string())
        .unwrap_or_default();
    let subject = [&event.connection, &event.label]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| escape(text).into_owned())
        .collect::<Vec<_>>()
        .join("/");
    let subject = styled(HEAD, &subject);
    let rest = match told {
        Event::Begun(_) => String::new(),
        Event::Passed(passed) => format!("{subject}  {}", requests(passed)),
        Event::Finding(finding) if finding.sense == "knock" => {
            let caller = finding.callers.first();
            let again = caller.is_some_and(|caller| caller.keeps_trying);
            let refused = if again {
                "keeps being refused"
            } else {
                "refused"
            };
            let (reason, id) = (escape(&finding.reason), escape(&finding.id));
            format!(
                "{subject}  {} {reason}  {}: run: bascule findings show {id}",
                styled(BAD, refused),
                escape(&super::findings::from(finding))
            )
        }
        Event::Finding(finding) => {
            let news = match finding.news.as_str() {
                "resolved" => styled(GOOD, "resolved"),
                news => styled(BAD, &escape(news)),
            };
            let (reason, id) = (escape(&finding.reason), escape(&finding.id));
            format!("{subject}  {news} {reason}: run: bascule findings show {id}")
        }
        Event::Change(change) => format!("{subject}  {}", changed(change)),
        Event::Missed(missed) => format!(
            "{} {}, because this reader was too slow",
            styled(WARN, "missed"),
            count(*missed, "event")
        ),
    };
    format!("{}  {rest}", styled(DIM, &at))
}

fn requests(passed: &v1::UsagePassed) -> String {
    let served = passed.operations.iter().map(operation);
    let refused = passed.refused.iter().map(|refusal| {
        let text = format!("{} ×{}", escape(&refusal.reason), refusal.requests);
        format!("{} {text}", styled(BAD, "refused"))
    });
    let all: Vec<_> = served.chain(refused).collect();
    let seen = match &passed.process {
        Some(seen) => format!("  {}", escape(&process(seen))),
        None => String::new(),
    };
    format!(
        "{}  {}  from {}{seen}",
        escape(&passed.tool),
        all.join(", "),
        escape(&passed.address)
    )
}

fn changed(change: &v1::UsageChange) -> String {
    let phase = match change.phase.as_str() {
        "" => String::new(),
        phase => format!(": {phase}"),
    };
    let by = match (change.uid, change.pid) {
        (Some(uid), Some(pid)) => format!(", by user {uid}, process {pid}"),
        (Some(uid), None) => format!(", by user {uid}"),
        _ => String::new(),
    };
    let what = format!("{}{phase}", escape(&change.what));
    format!(
        "{}{by}  {}",
        styled(GOOD, &what),
        styled(
            DIM,
            &escape(if change.key_id.is_empty() {
                &change.connection_id
            } else {
                &change.key_id
            })
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_client_sends_can_control_the_terminal() {
        let told = Event::Passed(v1::UsagePassed {
            tool: "rclone\x1b[2J".into(),
            address: "127.0.0.1".into(),
            operations: vec![v1::UsageOperation {
                operation: "GetObject".into(),
                requests: 12,
                bytes_in: 0,
                bytes_out: 4_096,
            }],
            refused: vec![v1::UsageRefusal {
                reason: "NOT-PERMITTED".into(),
                requests: 2,
            }],
            process: Some(v1::Process {
                command: "rclone\rsync".into(),
                ..v1::Process::default()
            }),
            ..v1::UsagePassed::default()
        });
        let event = v1::UsageEvent {
            connection: "photos".into(),
            label: "lap\ntop".into(),
            event: Some(told.clone()),
            ..v1::UsageEvent::default()
        };
        let text = anstream::adapter::strip_str(&line(&event, &told)).to_string();
        assert_eq!(
            text,
            "  photos/lap\\ntop  rclone\\u{1b}[2J  GetObject ×12 (4.0 KiB out), \
             refused NOT-PERMITTED ×2  from 127.0.0.1  rclone\\rsync"
        );
    }

    #[test]
    fn a_slow_reader_reads_how_much_it_missed() {
        let event = v1::UsageEvent::default();
        let text = line(&event, &Event::Missed(41));
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("missed 41 events"), "{text}");
    }
}
