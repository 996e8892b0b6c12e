//! One alert: what happened, as a document for programs and as words for people. No secret and no whole
//! access key id is in either.

use bascule_domain::{Timestamp, finding::News};
use bascule_proto::{document, v1};
use serde_json::{Value, json};

use crate::random;

/// Findings that a summary names.
const NAMED: usize = 50;
/// Processes that an alert names.
const CALLERS: usize = 3;
/// Bytes of the words for people: what services for short messages take.
const LONGEST_TEXT: usize = 3_500;

/// What is told through the channels.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    /// The same however often it is sent.
    pub id: String,
    pub at: Timestamp,
    /// Consumers' findings that want attention, when it was made.
    pub open: usize,
    pub told: Told,
}

/// What happened.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// News of one finding.
    Finding(News, Box<v1::Finding>),
    /// News of many at once.
    Summary(Summary),
    /// Nothing; somebody wants to see whether alerts arrive.
    Test,
}

/// Much news in one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    pub opened: usize,
    pub changed: usize,
    pub resolved: usize,
    /// Whether there was more, which nobody counted.
    pub missed: bool,
    pub first: Vec<Named>,
}

/// One of the findings of a summary.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub id: String,
    pub news: News,
    pub reason: String,
    pub key: String,
}

impl Summary {
    pub(crate) fn add(&mut self, named: Named) {
        match named.news {
            News::Opened => self.opened += 1,
            News::Changed => self.changed += 1,
            News::Resolved => self.resolved += 1,
            News::Acknowledged => return,
        }
        if self.first.len() < NAMED {
            self.first.push(named);
        }
    }

    const fn count(&self) -> usize {
        self.opened + self.changed + self.resolved
    }
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    Low,
    Normal,
    High,
}

impl Alert {
    pub(super) fn new(at: Timestamp, open: usize, told: Told) -> Self {
        let id = random::bytes::<8>()
            .map(|byte| format!("{byte:02x}"))
            .concat();
        Self { id, at, open, told }
    }

    /// The word for programs.
    pub(crate) const fn event(&self) -> &'static str {
        match &self.told {
            Told::Finding(news, _) => news.as_str(),
            Told::Summary(_) => "summary",
            Told::Test => "test",
        }
    }

    /// Whether people are to hear of it. What they did themselves they know.
    pub(crate) const fn wakes(&self) -> bool {
        !matches!(&self.told, Told::Finding(News::Acknowledged, _))
    }

    pub(crate) fn urgency(&self) -> Urgency {
        match &self.told {
            Told::Finding(News::Resolved | News::Acknowledged, _) => Urgency::Low,
            Told::Finding(_, finding)
                if ["process", "scheduled"].contains(&&*finding.rank) || keeps_trying(finding) =>
            {
                Urgency::High
            }
            Told::Summary(summary) if summary.resolved == summary.count() && !summary.missed => {
                Urgency::Low
            }
            Told::Finding(..) | Told::Summary(_) | Told::Test => Urgency::Normal,
        }
    }

    /// A line in ASCII.
    pub(crate) fn title(&self) -> String {
        match &self.told {
            Told::Finding(News::Resolved, _) => "Resolved: a dead key is not used any more".into(),
            Told::Finding(News::Acknowledged, _) => "A use of a dead key is acknowledged".into(),
            Told::Finding(news, finding) => {
                let what = match (finding.sense.as_str(), finding.rank.as_str()) {
                    ("knock", _) if keeps_trying(finding) => {
                        "A tool keeps trying with a key that does not work"
                    }
                    ("knock", _) => "A tool is refused",
                    (_, "process") => "A running program uses a key that does not work",
                    (_, "scheduled") => "A job will fail: its key does not work",
                    _ => "A key that does not work is still used",
                };
                match news {
                    News::Changed => format!("Changed: {what}"),
                    _ => what.to_owned(),
                }
            }
            Told::Summary(summary) => {
                let more = if summary.missed { "more than " } else { "" };
                match (summary.opened + summary.changed, summary.resolved) {
                    (0, 0) => "There may be news of keys that do not work".into(),
                    (0, resolved) if !summary.missed => format!("{resolved} findings are resolved"),
                    (news, 0) => format!("{more}{news} uses of keys that do not work"),
                    (news, resolved) => {
                        format!("{more}{news} uses of keys that do not work, {resolved} resolved")
                    }
                }
            }
            Told::Test => "This is a test of Bascule's alerts".into(),
        }
    }

    /// Some lines.
    pub(crate) fn text(&self) -> String {
        let text = match &self.told {
            Told::Finding(news, finding) => finding_text(*news, finding),
            Told::Summary(summary) => {
                let mut lines: Vec<_> = summary
                    .first
                    .iter()
                    .map(|one| {
                        format!(
                            "{} {} {} {}",
                            one.news.as_str(),
                            one.id,
                            one.reason,
                            one.key
                        )
                    })
                    .collect();
                let left_out = summary.count() - summary.first.len();
                if left_out > 0 || summary.missed {
                    lines.push(match left_out {
                        0 => "and more".to_owned(),
                        more => format!("and {more} more"),
                    });
                }
                lines.insert(0, format!("Open now: {}. See: bascule findings", self.open));
                lines.join("\n")
            }
            Told::Test => "If you can read this, this channel works.".into(),
        };
        shortened(&text)
    }

    /// The document for programs.
    pub(crate) fn document(&self, machine: &str) -> Value {
        let (finding, summary) = match &self.told {
            Told::Finding(_, finding) => (json!(document::Finding::from(&**finding)), Value::Null),
            Told::Summary(summary) => {
                let first = summary.first.iter().map(|one| {
                    json!({"id": one.id, "event": one.news.as_str(), "reason": one.reason, "key": one.key})
                });
                let summary = json!({
                    "opened": summary.opened,
                    "changed": summary.changed,
                    "resolved": summary.resolved,
                    "missed": summary.missed,
                    "first": first.collect::<Vec<_>>(),
                });
                (Value::Null, summary)
            }
            Told::Test => (Value::Null, Value::Null),
        };
        json!({
            "id": self.id,
            "event": self.event(),
            "finding": finding,
            "summary": summary,
            "open": self.open,
            "machine": machine,
            "at": self.at.to_string(),
        })
    }
}

fn finding_text(news: News, finding: &v1::Finding) -> String {
    use v1::next_run::When;
    let owner = [&finding.connection, &finding.label];
    let owner: Vec<_> = owner.iter().filter(|part| !part.is_empty()).collect();
    let owner: Vec<_> = owner.into_iter().map(|part| part.as_str()).collect();
    let key = match (finding.key.as_str(), owner.join("/")) {
        ("", _) => "It was gone when the daemon came back.".to_owned(),
        (key, owner) if owner.is_empty() => format!("{}: key {key}", finding.reason),
        (key, owner) => format!("{}: key {key} ({owner})", finding.reason),
    };
    let mut lines = vec![key];
    if !finding.chain.is_empty() {
        lines.push(finding.chain.join(" → "));
    }
    if !finding.address.is_empty() {
        lines.push(format!("from {} {}", finding.address, finding.user_agent));
    }
    lines.extend(finding.callers.iter().take(CALLERS).filter_map(caller));
    if news == News::Resolved {
        lines.push(format!("finding {}", finding.id));
        return lines.join("\n");
    }
    match finding
        .next_run
        .as_ref()
        .and_then(|next| next.when.as_ref())
    {
        Some(When::At(at)) => lines.extend(
            document::parsed(Some(at))
                .map(|at| format!("next run {}", at.strftime("%Y-%m-%d %H:%M UTC"))),
        ),
        Some(When::On(event)) => lines.push(format!("runs {event}")),
        Some(When::Never(_) | When::Unknown(_)) | None => {}
    }
    lines.push(format!("bascule findings show {}", finding.id));
    lines.join("\n")
}

fn keeps_trying(finding: &v1::Finding) -> bool {
    finding.callers.iter().any(|caller| caller.keeps_trying)
}

/// `rclone (pid 42, backup.service) has tried 14 times since …`, if the process is known.
fn caller(caller: &v1::FindingCaller) -> Option<String> {
    let Some(v1::finding_caller::Who::Process(process)) = &caller.who else {
        return None;
    };
    let name = process.exe.rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() { "a process" } else { name };
    let place = [&process.unit, &process.container];
    let place = place.into_iter().find(|text| !text.is_empty());
    let place = place.map_or_else(String::new, |place| format!(", {place}"));
    let since = document::parsed(caller.first_at.as_ref())
        .map(|at| format!(" since {}", at.strftime("%Y-%m-%d %H:%M UTC")));
    let times = match caller.count {
        0 | 1 => String::new(),
        count => format!(" has tried {count} times{}", since.unwrap_or_default()),
    };
    let command = match process.command.as_str() {
        "" => String::new(),
        command => format!(": {command}"),
    };
    let pid = process.pid;
    Some(format!("{name} (pid {pid}{place}){times}{command}"))
}

/// Without what could control a terminal or a message's layout, and not too long.
fn shortened(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() && c != '\n' {
            '\u{fffd}'
        } else {
            c
        }
    };
    let mut text: String = text.chars().map(plain).collect();
    if text.len() > LONGEST_TEXT {
        let end = text.floor_char_boundary(LONGEST_TEXT);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::alerts) fn finding(news: News) -> Alert {
        let finding = v1::Finding {
            id: "W0123456789abcdef".into(),
            reason: "KEY-REVOKED".into(),
            connection: "photos".into(),
            label: "nas".into(),
            key: "…7F3Q".into(),
            sense: "consumer".into(),
            rank: "scheduled".into(),
            chain: vec!["backup.timer".into(), "rclone.conf:12".into()],
            ..v1::Finding::default()
        };
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        Alert::new(at, 1, Told::Finding(news, finding.into()))
    }

    #[test]
    fn words_tell_the_key_the_way_to_it_and_the_command() {
        let alert = finding(News::Opened);
        assert_eq!(
            alert.text(),
            "KEY-REVOKED: key …7F3Q (photos/nas)\nbackup.timer → rclone.conf:12\n\
             bascule findings show W0123456789abcdef"
        );
        assert!(alert.title().is_ascii());
        assert_eq!(alert.urgency(), Urgency::High);
        let document = alert.document("attic");
        assert_eq!(document["event"], "opened");
        assert_eq!(document["finding"]["reason"], "KEY-REVOKED");
        assert_eq!(document["machine"], "attic");
        assert_eq!(document["at"], "2027-01-15T08:00:00Z");
    }

    #[test]
    fn what_others_wrote_can_not_control_a_terminal_nor_fill_a_message() {
        let mut alert = finding(News::Opened);
        if let Told::Finding(_, finding) = &mut alert.told {
            finding.chain = vec!["\x1b[2J".into(), "é".repeat(9_000)];
        }
        let text = alert.text();
        assert!(
            !text.contains('\x1b') && text.len() <= LONGEST_TEXT + 3,
            "{text}"
        );
    }

    #[test]
    fn a_summary_counts_all_and_names_the_first() {
        let mut summary = Summary::default();
        for n in 0..60 {
            summary.add(Named {
                id: format!("W{n}"),
                news: if n % 2 == 0 {
                    News::Opened
                } else {
                    News::Resolved
                },
                reason: "KEY-REVOKED".into(),
                key: "…7F3Q".into(),
            });
        }
        let alert = Alert {
            told: Told::Summary(summary),
            ..finding(News::Opened)
        };
        let document = alert.document("attic");
        assert_eq!(document["summary"]["opened"], 30);
        assert_eq!(
            document["summary"]["first"].as_array().unwrap().len(),
            NAMED
        );
        assert!(alert.text().ends_with("and 10 more"), "{}", alert.text());
        assert_eq!(
            alert.title(),
            "30 uses of keys that do not work, 30 resolved"
        );
    }
}
