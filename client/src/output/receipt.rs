//! A receipt for people. It is read leniently: a receipt of a newer release is still shown, as
//! JSON.

use bascule_domain::{
    Timestamp,
    backup::Found,
    moment::span,
    receipt::Receipt,
    survey::{BucketOutcome, BucketSurvey, Extent, Subject},
    verdict::Verdict,
};
use clap::builder::styling::Style;

use super::{
    table::{Cell, Facts},
    text::{BAD, GOOD, HEAD, WARN, count, escape, size, styled},
    time::absolute_and_relative,
};

/// How many differences are shown; the document has the rest.
const SHOWN: usize = 20;

/// The style of a verdict's word.
pub(crate) fn verdict_style(verdict: &str) -> Style {
    match verdict {
        "intact" => GOOD,
        "missing" => BAD,
        _ => WARN,
    }
}

/// The whole receipt.
pub(crate) fn full(json: &str, now: Timestamp) -> String {
    match serde_json::from_str::<Receipt>(json) {
        Ok(receipt) => render(&receipt, now, true),
        Err(_) => format!("{}\n", super::text::escape_json(json)),
    }
}

/// Its main figures, for the end of a deletion.
pub(crate) fn summary(json: &str, now: Timestamp) -> String {
    match serde_json::from_str::<Receipt>(json) {
        Ok(receipt) => render(&receipt, now, false),
        Err(_) => format!("{}\n", super::text::escape_json(json)),
    }
}

fn render(receipt: &Receipt, now: Timestamp, whole: bool) -> String {
    let when = |time: Option<Timestamp>| {
        time.map_or_else(String::new, |time| absolute_and_relative(time, now))
    };
    let mut facts = Facts::default();
    facts
        .add("Receipt", receipt.id.to_string())
        .add(
            "Connection",
            format!(
                "{} ({}, {})",
                receipt.connection.name, receipt.connection.provider, receipt.connection.location
            ),
        )
        .add(
            "Buckets",
            receipt
                .connection
                .buckets
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
        )
        .add(
            "Emergency",
            if receipt.emergency {
                "yes: keys died before any survey"
            } else {
                ""
            },
        )
        .add(
            "Scream test",
            receipt.scream.as_ref().map_or_else(String::new, |scream| {
                format!(
                    "nobody knocked for {}{}",
                    span(scream.silent),
                    match scream.knocks {
                        0 => String::new(),
                        n => format!(", after {} had stopped it", count(n.into(), "knock")),
                    }
                )
            }),
        )
        .add(
            "Vouched for",
            match whole {
                true => receipt
                    .vouched_for
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", "),
                false => String::new(),
            },
        )
        .add(
            "Requested",
            if whole {
                when(Some(receipt.requested_at))
            } else {
                String::new()
            },
        )
        .add("Revoked", when(receipt.revoked_at))
        .add(
            "Judged",
            if whole {
                when(receipt.judged_at)
            } else {
                String::new()
            },
        )
        .add(
            "Erased",
            receipt
                .erased_at
                .map_or_else(|| "not yet".to_owned(), |time| when(Some(time))),
        )
        .add("Keys", count(receipt.keys.len() as u64, "dead key"));
    let word = receipt.verdict.as_str();
    facts.add(
        "Verdict",
        Cell::new(sentence(&receipt.verdict)).style(verdict_style(word)),
    );
    let mut text = facts.render();

    section(
        &mut text,
        whole,
        "Dead keys",
        receipt
            .keys
            .iter()
            .map(|key| format!("{}  {}  ({})", key.access_key, key.label, key.checked)),
    );
    section(&mut text, true, "Surveys", surveys(receipt));
    let differences = receipt.differences.iter().take(SHOWN).map(|difference| {
        let (kind, bucket) = (difference.kind.as_str(), &difference.bucket);
        match &difference.subject {
            Subject::Object { key } => format!("{kind}  {bucket}/{key}"),
            other => format!("{kind}  {other}, in {bucket}"),
        }
    });
    let hidden = receipt
        .differences_total
        .saturating_sub(SHOWN.min(receipt.differences.len()) as u64);
    let more = (hidden > 0).then(|| format!("and {hidden} more, see the JSON receipt"));
    section(&mut text, true, "Differences", differences.chain(more));
    section(
        &mut text,
        true,
        "Own requests between the surveys or in doubt",
        receipt.own_changes.iter().map(|change| {
            let key = change
                .key
                .as_ref()
                .map(|key| format!("/{key}"))
                .unwrap_or_default();
            let doubt = if change.in_doubt { ", in doubt" } else { "" };
            let sibling = change
                .sibling
                .as_ref()
                .map(|name| format!(", through {name}"))
                .unwrap_or_default();
            format!("{} {}{key}{doubt}{sibling}", change.action, change.bucket)
        }),
    );
    section(
        &mut text,
        true,
        "Gap in the journal",
        receipt.journal_gap.iter().cloned(),
    );
    section(
        &mut text,
        true,
        "Backups that hold this connection, wherever they and their copies are",
        receipt.backups.iter().map(|backup| {
            let opens = match backup.portable {
                true => "opens with its passphrase",
                false => "opens here only",
            };
            let file = match &backup.path {
                Some(path) => path.as_str(),
                None => backup.file.as_str(),
            };
            let seen = match &backup.last_look {
                None => "nobody has looked whether its file exists".to_owned(),
                Some(look) => {
                    let found = match look.found {
                        Found::Present => "its file was there",
                        Found::Gone => "its file was not there any more",
                        Found::Changed => "something else was there",
                    };
                    format!("{found} on {}", absolute_and_relative(look.at, now))
                }
            };
            format!(
                "{}  {file}  {}  ({opens}; {seen})",
                backup.id,
                absolute_and_relative(backup.made_at, now)
            )
        }),
    );
    section(
        &mut text,
        true,
        "Stays valid at the provider",
        receipt.stays_valid.iter().cloned(),
    );
    section(
        &mut text,
        whole,
        "Not checked",
        receipt.not_checked.iter().cloned(),
    );
    text
}

fn sentence(verdict: &Verdict) -> String {
    let explanation = verdict.explanation();
    if explanation.is_empty() {
        verdict.as_str().to_owned()
    } else {
        format!("{}: {explanation}", verdict.as_str())
    }
}

fn surveys(receipt: &Receipt) -> Vec<String> {
    let surveys = &receipt.surveys;
    let mut lines = Vec::new();
    for (when, outcomes, missing) in [
        ("before", &surveys.before, &surveys.before_missing),
        ("after", &surveys.after, &surveys.after_missing),
    ] {
        for outcome in outcomes {
            lines.push(match outcome {
                BucketOutcome::Surveyed(survey) => {
                    format!("{when:6}  {}: {}", survey.bucket, figures(survey))
                }
                BucketOutcome::Gone { bucket } => {
                    format!("{when:6}  {bucket}: there is no such bucket")
                }
            });
        }
        if let Some(why) = missing {
            lines.push(format!("{when:6}  none: {why}"));
        }
    }
    lines
}

fn figures(survey: &BucketSurvey) -> String {
    if survey.extent == Extent::Identity {
        return "identity and settings only".to_owned();
    }
    let mut parts = vec![count(survey.objects, "object"), size(survey.bytes)];
    for (number, what) in [
        (survey.versions, "version"),
        (survey.markers, "delete marker"),
        (survey.uploads, "unfinished upload"),
    ] {
        if number > 0 {
            parts.push(count(number, what));
        }
    }
    if let Some(compared) = survey.sampled {
        parts.push(format!("{} drawn by lot", count(compared, "object")));
    }
    parts.push(survey.digest.to_string());
    parts.join(", ")
}

fn section(
    text: &mut String,
    wanted: bool,
    heading: &str,
    lines: impl IntoIterator<Item = String>,
) {
    let mut lines = lines.into_iter().peekable();
    if !wanted || lines.peek().is_none() {
        return;
    }
    text.push_str(&format!("{}\n", styled(HEAD, heading)));
    for line in lines {
        text.push_str(&format!("  {}\n", escape(&line)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(verdict: &serde_json::Value) -> String {
        let mut receipt = serde_json::json!({
            "bascule_receipt": 1,
            "id": "del_aaaaaaaaaaaaaaaa",
            "connection": {"name": "photos", "provider": "minio", "location": "http://127.0.0.1:9000", "buckets": ["pics"]},
            "emergency": false,
            "requested_at": "2026-01-01T00:00:00Z",
            "revoked_at": "2026-01-01T00:00:01Z",
            "judged_at": "2026-01-01T00:00:02Z",
            "erased_at": null,
            "keys": [{"id": "key_aaaaaaaaaaaaaaaa", "label": "cron", "access_key": "…7F3Q", "checked": "committed"}],
            "surveys": {"covers": "", "before": [], "before_missing": "it was away", "after": [], "after_missing": null},
            "differences_total": 30,
            "differences": [{"bucket": "pics", "of": "object", "key": "a\u{1b}[2Jb", "kind": "removed"}],
            "own_changes": [],
            "journal_gap": null,
            "backups": [
                {"id": "bak_aaaaaaaaaaaaaaaa", "made_at": "2026-01-01T00:00:00Z", "file": "a", "portable": true,
                 "path": "/mnt/a", "last_look": {"at": "2026-01-02T00:00:00Z", "found": "gone"}},
                {"id": "bak_baaaaaaaaaaaaaaa", "made_at": "2026-01-01T00:00:00Z", "file": "b", "portable": false},
            ],
            "stays_valid": ["the key …7F3Q"],
            "not_checked": ["snapshots"],
        });
        receipt
            .as_object_mut()
            .unwrap()
            .extend(verdict.as_object().unwrap().clone());
        receipt.to_string()
    }

    #[test]
    fn a_receipt_shows_verdict_figures_and_what_differs_escaped() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let json =
            receipt(&serde_json::json!({"verdict": "changed-by-others", "siblings": ["other"]}));
        let text = anstream::adapter::strip_str(&full(&json, now)).to_string();
        for expected in [
            "changed-by-others: ",
            "other",
            "removed  pics/a\\u{1b}[2Jb",
            "and 29 more",
            "before  none: it was away",
            "not yet",
            "…7F3Q  cron",
            "/mnt/a  2026-01-01",
            "its file was not there any more on 2026-01-02",
            "opens here only; nobody has looked whether its file exists",
            "snapshots",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!summary(&json, now).contains("snapshots"));
    }

    #[test]
    fn a_receipt_of_a_newer_release_is_still_shown() {
        let now = Timestamp::from_second(0).unwrap();
        assert!(full("{\"verdict\":\"new\"}", now).contains("\"verdict\":\"new\""));
    }
}
