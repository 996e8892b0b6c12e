//! `bascule usage`: who used which key, when, from where and with what.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use clap::{Args, ValueEnum};
use prost_types::Timestamp as WireTime;
use serde::Serialize;

use super::Context;
use crate::{
    clock, duration,
    error::Error,
    exit::Exit,
    moment,
    output::{
        table::{Cell, Table},
        text::{BAD, DIM, PLAIN, WARN, count, escape, size, styled},
        time::{absolute, ago, parsed, rfc3339},
        usage::{self, process, seconds, sparkline},
    },
};

/// Show who used which key: when, how much, from where and with what
///
/// Activity is drawn over the period: · is no request, ? is unknown. Tools are named as they name
/// themselves; processes as the system tells them, "unknown" where it does not.
///
/// Examples:
///   bascule usage
///   bascule usage photos --since 24h --by process
///   bascule usage BSC… --since 2026-11-01 --by address
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A connection, a key (access key id or CONNECTION/LABEL) or a deletion; everything if left out
    #[arg(value_name = "NAME|KEY_ID")]
    of: Option<String>,
    /// From when on: 30d, 12h, a date, or RFC 3339
    #[arg(long, default_value = "30d", value_parser = moment::back)]
    since: Timestamp,
    /// What makes a row, besides the key
    #[arg(long, value_enum, default_value_t = By::Key)]
    by: By,
}

/// What makes a row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Key,
    Tool,
    Process,
    Address,
}

#[derive(Serialize)]
struct Document {
    from: Option<String>,
    to: Option<String>,
    cell_seconds: Option<f64>,
    recorded_since: Option<String>,
    rows: Vec<usage::Row>,
    gaps: Vec<usage::Gap>,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let by = match arguments.by {
        By::Key => v1::UsageBy::Key,
        By::Tool => v1::UsageBy::Tool,
        By::Process => v1::UsageBy::Process,
        By::Address => v1::UsageBy::Address,
    };
    let request = v1::UsageReportRequest {
        of: arguments.of.unwrap_or_default(),
        since: Some(WireTime {
            seconds: arguments.since.as_second(),
            nanos: arguments.since.subsec_nanosecond(),
        }),
        by: by.into(),
        cells: 0,
    };
    let report = context
        .client()
        .await?
        .usage()
        .report(request)
        .await?
        .into_inner();
    let document = Document {
        from: rfc3339(report.from.as_ref()),
        to: rfc3339(report.to.as_ref()),
        cell_seconds: report.cell.as_ref().map(seconds),
        recorded_since: rfc3339(report.recorded_since.as_ref()),
        rows: report.rows.iter().map(Into::into).collect(),
        gaps: report.gaps.iter().map(Into::into).collect(),
    };
    if report.rows.is_empty() {
        context
            .output
            .status("no keys to tell about; issue one: bascule key issue --help");
    }
    context
        .output
        .result(&document, || words(&report, arguments.by, clock::now()))?;
    Ok(Exit::Ok)
}

fn words(report: &v1::UsageReportResponse, by: By, now: Timestamp) -> String {
    let mut text = String::new();
    if !report.rows.is_empty() {
        text.push_str(&table(report, by, now));
        text.push('\n');
        text.push_str(&styled(DIM, &legend(report)));
        text.push('\n');
    }
    for gap in &report.gaps {
        text.push_str(&format!("{} {}\n", styled(WARN, "unknown:"), unknown(gap)));
    }
    text
}

fn table(report: &v1::UsageReportResponse, by: By, now: Timestamp) -> String {
    let who = match by {
        By::Key => "TOOLS",
        By::Tool => "TOOL",
        By::Process => "PROCESS",
        By::Address => "ADDRESS",
    };
    let mut table = Table::new([
        "KEY",
        "LABEL",
        "CONNECTION",
        "ACTIVITY",
        "REQUESTS",
        "IN",
        "OUT",
        "REFUSED",
        "FIRST",
        "LAST",
        "LONGEST PAUSE",
        who,
    ]);
    for row in &report.rows {
        let used = row.last_at.is_some();
        let shown = |text: String| Cell::new(if used { text } else { String::new() });
        let refused = Cell::new(row.refusals.to_string());
        let last = if used {
            Cell::new(ago(row.last_at.as_ref(), now))
        } else {
            Cell::new("not used").style(WARN)
        };
        let pause = row.longest_interval.as_ref().map(|longest| {
            let at_most = if row.at_most { "at most " } else { "" };
            format!("{at_most}{}", duration::words(longest))
        });
        let who = match (&row.process, by) {
            (_, By::Key) => row.tools.join(", "),
            (Some(seen), _) => process(seen),
            (None, _) => row.who.clone(),
        };
        table.row([
            Cell::new(short(&row.key)).style(if row.dead { BAD } else { PLAIN }),
            Cell::new(&row.label),
            Cell::new(&row.connection),
            sparkline(&row.activity).into(),
            shown(row.requests.to_string()),
            shown(size(row.bytes_in)),
            shown(size(row.bytes_out)),
            if row.refusals > 0 {
                refused.style(BAD)
            } else {
                shown("0".to_owned())
            },
            ago(row.first_at.as_ref(), now).into(),
            last,
            pause.unwrap_or_default().into(),
            who.into(),
        ]);
    }
    table.render()
}

/// The end of a key's id, as findings and tools show it.
fn short(key: &str) -> String {
    let tail: Vec<char> = key.chars().rev().take(4).collect();
    let tail: String = tail.into_iter().rev().collect();
    format!("…{tail}")
}

fn legend(report: &v1::UsageReportResponse) -> String {
    let from = parsed(report.from.as_ref()).map(absolute);
    let cell = report.cell.as_ref().map(seconds).unwrap_or_default();
    let hours = (cell / 3_600.0).round() as u64;
    let cell = match hours {
        hours if hours % 24 == 0 => count(hours / 24, "day"),
        hours => count(hours, "hour"),
    };
    format!(
        "activity since {}, {cell} a sign: · none, ? unknown",
        from.unwrap_or_default()
    )
}

fn unknown(gap: &v1::UsageGap) -> String {
    let to = parsed(gap.to.as_ref()).map(absolute).unwrap_or_default();
    let period = match parsed(gap.from.as_ref()) {
        Some(from) => format!("{} to {to}", absolute(from)),
        None => format!("before {to}"),
    };
    let cause = match gap.cause.as_str() {
        "not-begun" => "there was no ledger yet",
        "damaged" => "the ledger was damaged and moved aside",
        "foreign" => "another file stood in the ledger's place and was moved aside",
        "missing" => "the ledger's file was removed",
        "killed" => "the daemon was ended before it had written its last requests",
        "overflow" => "more came than could be written",
        "failed" => "the ledger could not be written",
        "disabled" => "the ledger was switched off",
        other => other,
    };
    let lost = match gap.lost {
        0 => String::new(),
        lost => format!("; at least {} not counted", count(lost, "request")),
    };
    format!("{period}: {}{lost}", escape(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Option<WireTime> {
        Some(WireTime { seconds, nanos: 0 })
    }

    fn report() -> v1::UsageReportResponse {
        let day = 86_400;
        let now = 1_800_000_000;
        v1::UsageReportResponse {
            from: at(now - 3 * day),
            to: at(now),
            cell: Some(prost_types::Duration {
                seconds: day,
                nanos: 0,
            }),
            recorded_since: at(now - 2 * day),
            rows: vec![
                v1::UsageRow {
                    key: "BSCAAAAAAAAAAAAA7F3Q".into(),
                    label: "cron\x1b[2J".into(),
                    connection: "photos".into(),
                    first_at: at(now - 2 * day),
                    last_at: at(now - 60),
                    requests: 1_204,
                    bytes_out: 4_096,
                    refusals: 3,
                    tools: vec!["rclone".into()],
                    longest_interval: Some(prost_types::Duration {
                        seconds: day,
                        nanos: 0,
                    }),
                    activity: [(0, true), (4, false), (0, false), (1_200, false)]
                        .map(|(requests, unknown)| v1::UsageCell { requests, unknown })
                        .into(),
                    ..v1::UsageRow::default()
                },
                v1::UsageRow {
                    key: "BSCAAAAAAAAAAAAABBBB".into(),
                    label: "spare".into(),
                    connection: "photos".into(),
                    ..v1::UsageRow::default()
                },
            ],
            gaps: vec![v1::UsageGap {
                from: None,
                to: at(now - 2 * day),
                cause: "not-begun".into(),
                lost: 0,
            }],
        }
    }

    #[test]
    fn a_report_reads_at_a_glance_and_says_what_is_unknown() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let text = words(&report(), By::Key, now);
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<_> = text.lines().collect();
        let cron: Vec<_> = lines[1]
            .split("  ")
            .filter(|cell| !cell.is_empty())
            .collect();
        assert_eq!(
            cron.iter().map(|cell| cell.trim()).collect::<Vec<_>>(),
            [
                "…7F3Q",
                "cron\\u{1b}[2J",
                "photos",
                "?▁·█",
                "1204",
                "0 B",
                "4.0 KiB",
                "3",
                "2 days ago",
                "60 s ago",
                "1 d",
                "rclone",
            ]
        );
        assert!(
            lines[2].contains("…BBBB") && lines[2].ends_with("not used"),
            "{text}"
        );
        assert_eq!(
            lines[4],
            "activity since 2027-01-12 08:00:00 UTC, 1 day a sign: · none, ? unknown"
        );
        assert_eq!(
            lines[5],
            "unknown: before 2027-01-13 08:00:00 UTC: there was no ledger yet"
        );
    }

    #[test]
    fn what_a_group_stands_for_is_shown_and_a_bound_is_said_to_be_one() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut report = report();
        report.rows[0].at_most = true;
        report.rows[0].process = Some(v1::Process {
            command: "rclone\r\nnext: rm".into(),
            unit: "backup.service".into(),
            ..v1::Process::default()
        });
        let text = words(&report, By::Process, now);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(
            text.contains("backup.service: rclone\\r\\nnext: rm"),
            "{text}"
        );
        assert!(text.contains("at most 1 d"), "{text}");
    }
}
