//! Hands out the manifests of a deletion: what there is while its verdict is pending, and all while it
//! waits for that before the erasure. It waits only as long as whoever asked for them is there, and never
//! longer than an hour.

use std::time::Duration;

use bascule_domain::{deletion::Phase, ids::DeletionId, names::BucketName, survey::Round};
use bascule_store::{ManifestError, ManifestReader};
use tokio::sync::mpsc;

use super::running::HeldBy;
use crate::app::{
    App, blocking,
    error::{Error, Kind, Result},
};

/// Longer than it takes to write the lines of a hundred million objects.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(3600);
/// Lines that go out at once.
const PIECE: usize = 256 << 10;

/// Whole lines of one bucket's manifest.
pub(crate) struct ManifestPart {
    pub bucket: BucketName,
    pub round: Round,
    pub lines: String,
}

/// Sends a manifest in pieces, until it ends or nobody takes them. One that was never kept has none.
pub(in crate::app) fn send_manifest(
    reader: std::result::Result<ManifestReader, ManifestError>,
    bucket: &BucketName,
    round: Round,
    mut send: impl FnMut(ManifestPart) -> bool,
) -> Result<()> {
    let failed = |error: ManifestError| {
        Error::new(
            Kind::Storage,
            format!("a manifest of {bucket} can't be read: {error}"),
        )
    };
    let mut reader = match reader {
        Err(ManifestError::Absent) => return Ok(()),
        reader => reader.map_err(failed)?,
    };
    let no_form = |error| Error::new(Kind::Storage, format!("an entry has no JSON form: {error}"));
    let mut lines = String::new();
    loop {
        let entry = reader.next().transpose().map_err(failed)?;
        let ended = entry.is_none();
        if let Some(entry) = entry {
            lines.push_str(&serde_json::to_string(&entry).map_err(no_form)?);
            lines.push('\n');
        }
        if ended || lines.len() >= PIECE {
            // Also an empty piece: it tells that there is a manifest.
            let part = ManifestPart {
                bucket: bucket.clone(),
                round,
                lines: std::mem::take(&mut lines),
            };
            if !send(part) || ended {
                return Ok(());
            }
        }
    }
}

impl App {
    /// Sends the manifests that there are: of both surveys while the erasure waits for that, of the first
    /// one while the verdict is pending. Nothing is erased until they are sent. One of those who follow it
    /// and wait for the manifests is not waited for any more, if it is them.
    pub(crate) async fn take_manifests(
        &self,
        id: DeletionId,
        following: bool,
        to: mpsc::Sender<Result<ManifestPart>>,
    ) -> Result<()> {
        let waits = self.deletions.held(id).is_some();
        // Before the phase is looked at: an erasure that has not begun then waits.
        let _own = self.deletions.hold(id, HeldBy::Taker);
        let (deletion, findings) = self.deletion(id)?;
        let surveyed = findings.is_some_and(|findings| findings.before.is_ok());
        let rounds: &[Round] = match deletion.phase {
            Phase::Judged if waits => &[Round::Before, Round::After],
            // The second one is not whole yet, or is taken again.
            Phase::Surveyed | Phase::Revoked if surveyed => &[Round::Before],
            phase => return Err(no_manifests(id, phase)),
        };
        let _released = (following && deletion.phase == Phase::Judged)
            .then(|| self.deletions.claim_hold(id))
            .flatten();
        let entry = self.registry.get(deletion.connection);
        let buckets = entry.map(|entry| entry.connection.buckets);
        let store = self.store.clone();
        blocking(move || {
            for bucket in buckets.iter().flat_map(|buckets| buckets.iter()) {
                for round in rounds {
                    let reader = store.manifest_reader(deletion.connection, id, bucket, *round);
                    send_manifest(reader, bucket, *round, |part| {
                        to.blocking_send(Ok(part)).is_ok()
                    })?;
                }
            }
            Ok(())
        })
        .await
    }
}

fn no_manifests(id: DeletionId, phase: Phase) -> Error {
    let why = match phase {
        Phase::Listening | Phase::Requested | Phase::Drained => {
            "there is no manifest yet: the first survey is not taken"
        }
        Phase::Surveyed | Phase::Revoked => "there is no manifest: no first survey was taken",
        Phase::Judged | Phase::Finished => "the manifests are erased",
        Phase::Cancelled => "the deletion was called off, and its manifests are gone",
    };
    Error::new(Kind::Refused, why).next(format!("bascule deletion show {id}"))
}
