//! Use as people and programs read it: documents, sparklines, spans of time, processes.

pub(crate) use bascule_proto::document::Process;
use bascule_proto::v1;
use serde::Serialize;

use super::{
    document::given,
    text::{escape, size},
    time::rfc3339,
};

/// Characters of a process that fit into a row.
const LONGEST_PROCESS: usize = 60;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NONE: char = '·';
const UNKNOWN: char = '?';

/// Requests of one kind.
#[derive(Debug, Serialize)]
pub(crate) struct Operation {
    pub(crate) operation: String,
    pub(crate) requests: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl From<&v1::UsageOperation> for Operation {
    fn from(wire: &v1::UsageOperation) -> Self {
        Self {
            operation: wire.operation.clone(),
            requests: wire.requests,
            bytes_in: wire.bytes_in,
            bytes_out: wire.bytes_out,
        }
    }
}

/// Requests that were refused for one reason.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) requests: u64,
}

impl From<&v1::UsageRefusal> for Refusal {
    fn from(wire: &v1::UsageRefusal) -> Self {
        Self {
            reason: wire.reason.clone(),
            requests: wire.requests,
        }
    }
}

/// Requests in a cell of the period.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    pub(crate) requests: u64,
    /// More may have been.
    pub(crate) unknown: bool,
}

/// One row of a report.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) label: String,
    pub(crate) connection: String,
    pub(crate) dead: bool,
    pub(crate) who: Option<String>,
    pub(crate) process: Option<Process>,
    pub(crate) first_at: Option<String>,
    pub(crate) last_at: Option<String>,
    pub(crate) requests: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) refusals: u64,
    pub(crate) operations: Vec<Operation>,
    pub(crate) refused: Vec<Refusal>,
    pub(crate) tools: Vec<String>,
    pub(crate) longest_interval_seconds: Option<f64>,
    pub(crate) at_most: bool,
    pub(crate) activity: Vec<Cell>,
}

impl From<&v1::UsageRow> for Row {
    fn from(wire: &v1::UsageRow) -> Self {
        Self {
            key: wire.key.clone(),
            label: wire.label.clone(),
            connection: wire.connection.clone(),
            dead: wire.dead,
            who: given(&wire.who),
            process: wire.process.as_ref().map(Into::into),
            first_at: rfc3339(wire.first_at.as_ref()),
            last_at: rfc3339(wire.last_at.as_ref()),
            requests: wire.requests,
            bytes_in: wire.bytes_in,
            bytes_out: wire.bytes_out,
            refusals: wire.refusals,
            operations: wire.operations.iter().map(Into::into).collect(),
            refused: wire.refused.iter().map(Into::into).collect(),
            tools: wire.tools.clone(),
            longest_interval_seconds: wire.longest_interval.as_ref().map(seconds),
            at_most: wire.at_most,
            activity: wire
                .activity
                .iter()
                .map(|cell| Cell {
                    requests: cell.requests,
                    unknown: cell.unknown,
                })
                .collect(),
        }
    }
}

/// A period that is not known.
#[derive(Debug, Serialize)]
pub(crate) struct Gap {
    /// `null`: nothing before is known.
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) cause: String,
    pub(crate) lost: u64,
}

impl From<&v1::UsageGap> for Gap {
    fn from(wire: &v1::UsageGap) -> Self {
        Self {
            from: rfc3339(wire.from.as_ref()),
            to: rfc3339(wire.to.as_ref()),
            cause: wire.cause.clone(),
            lost: wire.lost,
        }
    }
}

/// As a fraction.
pub(crate) fn seconds(wire: &prost_types::Duration) -> f64 {
    wire.seconds as f64 + f64::from(wire.nanos) / 1e9
}

/// Activity in signs: bars up to the highest cell, and others for none and unknown.
pub(crate) fn sparkline(cells: &[v1::UsageCell]) -> String {
    let highest = cells.iter().map(|cell| cell.requests).max().unwrap_or(0);
    cells
        .iter()
        .map(|cell| match (cell.requests, cell.unknown) {
            (0, true) => UNKNOWN,
            (0, false) => NONE,
            (requests, _) => {
                // From the lowest bar for one request to the highest for the most.
                let share = requests as f64 / highest as f64 * BARS.len() as f64;
                BARS[(share.ceil() as usize).clamp(1, BARS.len()) - 1]
            }
        })
        .collect()
}

/// A process in a few words: its unit or container, and its command line.
pub(crate) fn process(wire: &v1::Process) -> String {
    let command = [&wire.command, &wire.exe]
        .into_iter()
        .find(|text| !text.is_empty());
    let place = [&wire.unit, &wire.container]
        .into_iter()
        .find(|text| !text.is_empty());
    let text = match (place, command) {
        (Some(place), Some(command)) => format!("{place}: {command}"),
        (Some(text), None) | (None, Some(text)) => text.clone(),
        (None, None) => format!("process {}", wire.pid),
    };
    if text.chars().count() <= LONGEST_PROCESS {
        return text;
    }
    let cut: String = text.chars().take(LONGEST_PROCESS - 1).collect();
    format!("{cut}…")
}

/// A process by its program: `rclone (pid 42, backup.service)`.
pub(crate) fn program(wire: &v1::Process) -> String {
    let exe = wire.exe.rsplit('/').next().unwrap_or_default();
    let command = || wire.command.split(' ').next().unwrap_or_default();
    let name = [exe, command(), "a process"]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default();
    let place = [&wire.unit, &wire.container]
        .into_iter()
        .find(|text| !text.is_empty());
    match place {
        Some(place) => format!("{name} (pid {}, {place})", wire.pid),
        None => format!("{name} (pid {})", wire.pid),
    }
}

/// `GetObject ×12 (4.0 KiB out)`.
pub(crate) fn operation(wire: &v1::UsageOperation) -> String {
    let mut text = escape(&wire.operation).into_owned();
    if wire.requests > 0 {
        text.push_str(&format!(" ×{}", wire.requests));
    }
    let moved: Vec<_> = [(wire.bytes_in, "in"), (wire.bytes_out, "out")]
        .into_iter()
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, way)| format!("{} {way}", size(bytes)))
        .collect();
    if !moved.is_empty() {
        text.push_str(&format!(" ({})", moved.join(", ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(cells: &[(u64, bool)]) -> Vec<v1::UsageCell> {
        let cell = |&(requests, unknown): &(u64, bool)| v1::UsageCell { requests, unknown };
        cells.iter().map(cell).collect()
    }

    #[test]
    fn one_request_shows_beside_many_and_a_gap_is_no_pause() {
        let line = sparkline(&cells(&[
            (0, false),
            (1, false),
            (500, false),
            (1_000, true),
            (0, true),
        ]));
        assert_eq!(line, "·▁▄█?");
        assert_eq!(sparkline(&cells(&[(0, false); 3])), "···");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn a_process_is_told_by_where_it_runs_and_what_it_is() {
        let mut wire = v1::Process {
            pid: 7,
            exe: "/usr/bin/rclone".into(),
            ..v1::Process::default()
        };
        assert_eq!(process(&wire), "/usr/bin/rclone");
        wire.command = format!("rclone sync {}", "x".repeat(100));
        wire.unit = "backup.service".into();
        let text = process(&wire);
        assert!(text.starts_with("backup.service: rclone sync xxx"));
        assert!(text.ends_with('…') && text.chars().count() == LONGEST_PROCESS);
        assert_eq!(
            process(&v1::Process {
                pid: 7,
                ..Default::default()
            }),
            "process 7"
        );
    }
}
