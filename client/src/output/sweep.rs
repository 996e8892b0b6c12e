//! How full sweeps stand, in words and as a document.

use bascule_domain::Timestamp;
use bascule_proto::v1;
use serde::Serialize;

use super::{
    text::{count, size},
    time::{human, rfc3339},
};

/// As `bascule.v1.Sweep`.
#[derive(Debug, Serialize)]
pub(crate) struct SweepDocument {
    /// daily, off
    schedule: String,
    running: Option<SweepRun>,
    last: Option<SweepRun>,
    due_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct SweepRun {
    began_at: Option<String>,
    ended_at: Option<String>,
    files: u64,
    bytes: u64,
}

impl From<&v1::Sweep> for SweepDocument {
    fn from(wire: &v1::Sweep) -> Self {
        Self {
            schedule: wire.schedule.clone(),
            running: wire.running.as_ref().map(Into::into),
            last: wire.last.as_ref().map(Into::into),
            due_at: rfc3339(wire.due_at.as_ref()),
        }
    }
}

impl From<&v1::SweepRun> for SweepRun {
    fn from(wire: &v1::SweepRun) -> Self {
        Self {
            began_at: rfc3339(wire.began_at.as_ref()),
            ended_at: rfc3339(wire.ended_at.as_ref()),
            files: wire.files,
            bytes: wire.bytes,
        }
    }
}

/// One line; `None` when there is nothing to tell.
pub(crate) fn words(sweep: &v1::Sweep, now: Timestamp) -> Option<String> {
    let read = |run: &v1::SweepRun| format!("{}, {}", count(run.files, "file"), size(run.bytes));
    if let Some(running) = &sweep.running {
        let since = human(running.began_at.as_ref(), now);
        return Some(format!("under way since {since}: {}", read(running)));
    }
    let mut parts = Vec::new();
    if let Some(last) = &sweep.last {
        let ended = human(last.ended_at.as_ref(), now);
        parts.push(format!("last ended {ended}: {}", read(last)));
    }
    if sweep.due_at.is_some() {
        parts.push(format!("next {}", human(sweep.due_at.as_ref(), now)));
    } else if sweep.schedule == "off" {
        parts.push("off but for bascule findings --sweep".into());
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_what_ended_and_what_is_due_is_told() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let run = v1::SweepRun {
            files: 2,
            bytes: 1024,
            ..v1::SweepRun::default()
        };
        let mut sweep = v1::Sweep {
            schedule: "daily".into(),
            ..v1::Sweep::default()
        };
        assert_eq!(words(&sweep, now), None);
        sweep.last = Some(run);
        let told = words(&sweep, now).unwrap();
        assert!(told.contains("2 files, 1.0 KiB"), "{told}");
        sweep.running = Some(run);
        assert!(words(&sweep, now).unwrap().starts_with("under way"));
        let off = v1::Sweep {
            schedule: "off".into(),
            ..v1::Sweep::default()
        };
        assert!(words(&off, now).unwrap().starts_with("off"));
    }
}
