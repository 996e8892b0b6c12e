//! `bascule audit`: who changed what, when and why. Entries are printed as they come; none is kept.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::Args;
use prost_types::Timestamp as WireTime;

use super::Context;
use crate::{
    error::Error,
    exit::Exit,
    moment,
    output::{
        self, Output, document,
        text::{DIM, HEAD, escape, styled},
        time::{absolute, parsed},
    },
};

/// Show who changed what, when and why, the oldest first
///
/// Of a deleted connection only ids and times are left: names, labels, rights and reasons were
/// sealed with its key and are erased.
///
/// Examples:
///   bascule audit
///   bascule audit photos --since 30d
///   bascule audit photos/laptop-rclone
///   bascule audit --since 2027-01-01 --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A connection, a key (access key id or CONNECTION/LABEL) or a deletion; everything if left out
    #[arg(value_name = "NAME|KEY_ID")]
    subject: Option<String>,
    /// Only what came since: 30d, 12h, 2027-01-01 (local time) or RFC 3339
    #[arg(long, value_name = "WHEN", value_parser = moment::back)]
    since: Option<Timestamp>,
}

/// Why a change is asked for.
#[derive(Debug, Default, Args)]
pub(crate) struct Why {
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Why {
    /// Empty when none was given.
    pub(crate) fn text(&self) -> String {
        self.reason.clone().unwrap_or_default()
    }
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::ReadAuditRequest {
        subject: arguments.subject.clone().unwrap_or_default(),
        since: arguments.since.map(|since| WireTime {
            seconds: since.as_second(),
            nanos: since.subsec_nanosecond(),
        }),
    };
    let mut audit = context.client().await?.audit();
    let mut pages = audit.read(request).await?.into_inner();
    let mut printed = Printed {
        output: context.output,
        entries: 0,
    };
    while let Some(page) = pages.message().await? {
        printed.page(&page.entries)?;
    }
    if printed.entries == 0 && !context.output.is_json() {
        let nothing = nothing(arguments.subject.as_deref(), arguments.since);
        context.output.status(&nothing);
    }
    printed.end()?;
    Ok(Exit::Ok)
}

/// What was printed so far.
struct Printed {
    output: Output,
    entries: u64,
}

impl Printed {
    fn page(&mut self, entries: &[v1::AuditEntry]) -> Result<(), Error> {
        let mut text = String::new();
        for entry in entries {
            if self.output.is_json() {
                text.push_str(match self.entries {
                    0 => "{\n  \"entries\": [\n",
                    _ => ",\n",
                });
                text.push_str(&output::json(&document::AuditEntry::from(entry))?);
            } else {
                text.push_str(&words(entry));
            }
            self.entries += 1;
        }
        self.output.raw(&text)
    }

    fn end(&self) -> Result<(), Error> {
        match (self.output.is_json(), self.entries) {
            (true, 0) => self.output.raw("{\n  \"entries\": []\n}\n"),
            (true, _) => self.output.raw("\n  ]\n}\n"),
            (false, _) => Ok(()),
        }
    }
}

/// What was looked for in vain.
fn nothing(subject: Option<&str>, since: Option<Timestamp>) -> String {
    let subject = subject.map_or_else(String::new, |subject| format!(" of {}", escape(subject)));
    let since = since.map_or_else(String::new, |since| format!(" since {}", absolute(since)));
    format!("no changes{subject} are recorded{since}")
}

fn words(entry: &v1::AuditEntry) -> String {
    let at = parsed(entry.at.as_ref()).map(absolute).unwrap_or_default();
    let mut text = format!(
        "{at}  {}  {}  {}\n",
        styled(HEAD, &escape(&what(entry))),
        escape(&subject(entry)),
        styled(DIM, &escape(&who(entry.by.as_ref())))
    );
    if !entry.successor_id.is_empty() {
        text.push_str(&format!("    new key: {}\n", escape(&entry.successor_id)));
    }
    if !entry.adoption_id.is_empty() {
        text.push_str(&format!("    adoption: {}\n", escape(&entry.adoption_id)));
    }
    if !entry.consumer.is_empty() {
        text.push_str(&format!("    for: {}\n", escape(&entry.consumer)));
    }
    for difference in &entry.differences {
        text.push_str(&format!("    {}\n", escape(&change(entry, difference))));
    }
    if !entry.reason.is_empty() {
        text.push_str(&format!("    reason: {}\n", escape(&entry.reason)));
    }
    text
}

fn what(entry: &v1::AuditEntry) -> String {
    match entry.phase() {
        v1::Phase::Unspecified => entry.change.replace('-', " "),
        phase => format!("{} {}", entry.change, document::phase(phase)),
    }
}

/// What the entry is about: by the names it had then, and by the ids that stay.
fn subject(entry: &v1::AuditEntry) -> String {
    if !entry.foreign_key.is_empty() {
        return format!("key {}, which Bascule did not issue", entry.foreign_key);
    }
    if !entry.backup_id.is_empty() {
        return entry.backup_id.clone();
    }
    if !entry.finding_id.is_empty() && entry.connection_id.is_empty() {
        return entry.finding_id.clone();
    }
    let ids = [
        &entry.finding_id,
        &entry.deletion_id,
        &entry.key_id,
        &entry.connection_id,
    ];
    let id = ids.into_iter().find(|id| !id.is_empty());
    let id = id.map_or("", |id| id.as_str());
    let connection = match (entry.erased, &*entry.connection) {
        (true, _) => format!("{} (erased)", entry.connection_id),
        (false, "") => entry.connection_id.clone(),
        (false, name) => name.to_owned(),
    };
    match &*entry.label {
        _ if entry.erased && id == entry.connection_id => connection,
        _ if entry.erased => format!("{id} of {connection}"),
        "" => format!("{connection} ({id})"),
        label => format!("{connection}/{label} ({id})"),
    }
}

fn who(by: Option<&v1::Caller>) -> String {
    let Some(by) = by else {
        return "by the daemon".to_owned();
    };
    let program = match &*by.program {
        "" => "an unknown program",
        program => program,
    };
    let mut facts = vec![format!("uid {}", by.uid)];
    if by.pid != 0 {
        facts.push(format!("process {}", by.pid));
    }
    if !by.parent.is_empty() {
        facts.push(format!("started by {}", by.parent));
    }
    format!("by {program} ({})", facts.join(", "))
}

fn change(entry: &v1::AuditEntry, difference: &v1::Difference) -> String {
    let none = match &*difference.part {
        "buckets" | "prefixes" => "all",
        "addresses" => "this machine only",
        "expiry" => "never",
        _ => "none",
    };
    let list = |values: &[String]| match values {
        [] => none.to_owned(),
        values => values.join(", "),
    };
    let part = difference.part.replace('-', " ");
    let to = list(&difference.to);
    match &*entry.change {
        // Nothing was before.
        "connected" | "key-issued" | "deletion" => format!("{part}: {to}"),
        _ => format!("{part}: {} → {to}", list(&difference.from)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> v1::AuditEntry {
        v1::AuditEntry {
            at: Some(WireTime {
                seconds: 1_800_000_000,
                nanos: 0,
            }),
            by: Some(v1::Caller {
                uid: 1000,
                pid: 42,
                program: "bascule".into(),
                parent: "cron".into(),
            }),
            change: "key-restricted".into(),
            connection_id: "conn_a".into(),
            key_id: "key_b".into(),
            connection: "photos".into(),
            label: "viewer".into(),
            differences: vec![v1::Difference {
                part: "prefixes".into(),
                from: vec![],
                to: vec!["a/\u{1b}[2J".into(), "b/".into()],
            }],
            reason: "a reason\nforged".into(),
            ..v1::AuditEntry::default()
        }
    }

    #[test]
    fn an_entry_tells_who_what_and_why_and_can_not_control_the_terminal() {
        let text = anstream::adapter::strip_str(&words(&entry())).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "2027-01-15 08:00:00 UTC  key restricted  photos/viewer (key_b)  by bascule (uid 1000, process 42, started by cron)",
                "    prefixes: all → a/\\u{1b}[2J, b/",
                "    reason: a reason\\nforged",
            ]
        );
    }

    #[test]
    fn an_entry_about_a_backup_names_it() {
        let restored = v1::AuditEntry {
            change: "backup-forgotten".into(),
            backup_id: "bak_a".into(),
            ..v1::AuditEntry::default()
        };
        let text = anstream::adapter::strip_str(&words(&restored)).to_string();
        assert!(
            text.ends_with("backup forgotten  bak_a  by the daemon\n"),
            "{text}"
        );
    }

    #[test]
    fn what_was_looked_for_in_vain_is_said() {
        let since = Timestamp::from_second(1_800_000_000).ok();
        assert_eq!(
            nothing(Some("photos"), since),
            "no changes of photos are recorded since 2027-01-15 08:00:00 UTC"
        );
        assert_eq!(nothing(None, None), "no changes are recorded");
    }

    #[test]
    fn of_an_erased_connection_only_ids_are_shown() {
        let erased = v1::AuditEntry {
            erased: true,
            by: None,
            connection: String::new(),
            label: String::new(),
            differences: Vec::new(),
            reason: String::new(),
            ..entry()
        };
        let text = anstream::adapter::strip_str(&words(&erased)).to_string();
        let expected = "key restricted  key_b of conn_a (erased)  by the daemon\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
