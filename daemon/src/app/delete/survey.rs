//! Takes the two surveys: lists each bucket through the read-only witness, keeps the first as a
//! sealed manifest, and compares the second with it as it streams. Memory does not grow with the
//! bucket. Nothing here can write to a provider.

use std::time::Duration;

use aws_lc_rs::digest;
use bascule_adapters::{Witness, WitnessError};
use bascule_domain::{
    deletion::{Deletion, Findings},
    names::BucketName,
    survey::{
        BucketOutcome, BucketSurvey, ChangeKind, Difference, Differences, Digest, Entry as Object,
        Step, compare,
    },
};
use bascule_store::{ManifestError, ManifestReader};
use tokio::time::Instant;

use super::running::Progress;
use crate::app::{App, blocking, registry::Entry};

/// How often followers hear of a survey's progress.
const PROGRESS: Duration = Duration::from_millis(200);

/// Why a survey did not come about, in fixed words: no bucket, no endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) enum Failure {
    /// It may work later.
    Away(&'static str),
    /// It never will.
    Impossible(&'static str),
}

impl Failure {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Away(reason) | Self::Impossible(reason) => reason,
        }
    }
}

impl From<WitnessError> for Failure {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::Away(_) => Self::Away("the provider can't be reached"),
            WitnessError::Refused(_) => {
                Self::Away("the provider refuses the connection's credentials")
            }
            WitnessError::Gone(_) => Self::Away("the bucket does not exist"),
            WitnessError::NotOrdered(_) => {
                Self::Impossible("the provider lists objects out of order")
            }
            WitnessError::Malformed(_) => Self::Away("the provider's answers can't be read"),
        }
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a manifest could not be kept"
        );
        Self::Away("the manifest could not be written or read")
    }
}

/// Tells followers how far a survey is, not too often.
struct Meter<'a> {
    app: &'a App,
    deletion: &'a Deletion,
    findings: &'a Findings,
    after: bool,
    started: Instant,
    told: Instant,
}

impl<'a> Meter<'a> {
    fn new(app: &'a App, deletion: &'a Deletion, findings: &'a Findings, after: bool) -> Self {
        let now = Instant::now();
        Self {
            app,
            deletion,
            findings,
            after,
            started: now,
            told: now,
        }
    }

    fn tell(&mut self, bucket: &BucketName, objects: u64, bytes: u64, last: bool) {
        if !last && self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let rate = objects as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let progress = Progress::Survey {
            after: self.after,
            bucket: bucket.clone(),
            objects,
            bytes,
            rate,
        };
        self.app
            .deletions
            .publish(self.deletion, self.findings, progress);
    }
}

/// The first survey: every bucket, kept as sealed manifests.
pub(super) async fn before(
    app: &App,
    deletion: &Deletion,
    findings: &Findings,
    entry: &Entry,
) -> Result<Vec<BucketOutcome>, Failure> {
    let witness = witness(app, entry)?;
    let mut outcomes = Vec::new();
    for bucket in entry.connection.buckets.iter() {
        let mut meter = Meter::new(app, deletion, findings, false);
        outcomes.push(
            match keep(app, deletion, &witness, bucket, &mut meter).await {
                Err(Listing::Gone) => BucketOutcome::Gone {
                    bucket: bucket.clone(),
                },
                Err(Listing::Failed(failure)) => return Err(failure),
                Ok(survey) => BucketOutcome::Surveyed(survey),
            },
        );
    }
    Ok(outcomes)
}

/// The second survey, compared with the first where there is one.
pub(super) async fn after(
    app: &App,
    deletion: &Deletion,
    findings: &mut Findings,
    entry: &Entry,
) -> Result<(Vec<BucketOutcome>, Differences), Failure> {
    let witness = witness(app, entry)?;
    let mut outcomes = Vec::new();
    let mut differences = Differences::default();
    let mut unreadable = false;
    for bucket in entry.connection.buckets.iter() {
        let surveyed = matches!(&findings.before, Ok(before)
            if before.iter().any(|o| o.bucket() == bucket && matches!(o, BucketOutcome::Surveyed(_))));
        let reader = if surveyed {
            let (store, id, connection, name) = (
                app.store.clone(),
                deletion.id,
                deletion.connection,
                bucket.clone(),
            );
            match blocking(move || store.manifest_reader(connection, id, &name)).await {
                Ok(reader) => Some(reader),
                // Short of descriptors or memory: it is still there.
                Err(ManifestError::Path(_)) => {
                    return Err(Failure::Away("the manifest could not be opened"));
                }
                Err(_) => {
                    unreadable = true;
                    None
                }
            }
        } else {
            None
        };
        let comparison = Comparison::new(bucket.clone(), reader);
        let mut meter = Meter::new(app, deletion, findings, true);
        match again(app, &witness, bucket, comparison, &mut meter).await {
            Err(Listing::Gone) => outcomes.push(BucketOutcome::Gone {
                bucket: bucket.clone(),
            }),
            Err(Listing::Failed(failure)) => return Err(failure),
            Ok((survey, comparison)) => {
                unreadable |= comparison.unreadable;
                differences.add(comparison.differences);
                outcomes.push(BucketOutcome::Surveyed(survey));
            }
        }
    }
    if unreadable {
        findings.before = Err("the manifest of the first survey can't be read any more".into());
    }
    Ok((outcomes, differences))
}

fn witness(app: &App, entry: &Entry) -> Result<Witness, Failure> {
    let storage = app
        .storage(entry)
        .map_err(|_| Failure::Away("the provider can't be opened"))?;
    Ok(storage.witness((*entry.credentials).clone()))
}

/// Why a listing has no end.
enum Listing {
    Gone,
    Failed(Failure),
}

impl From<WitnessError> for Listing {
    fn from(error: WitnessError) -> Self {
        match error {
            WitnessError::Gone(_) => Self::Gone,
            other => Self::Failed(other.into()),
        }
    }
}

impl From<ManifestError> for Listing {
    fn from(error: ManifestError) -> Self {
        Self::Failed(error.into())
    }
}

async fn keep(
    app: &App,
    deletion: &Deletion,
    witness: &Witness,
    bucket: &BucketName,
    meter: &mut Meter<'_>,
) -> Result<BucketSurvey, Listing> {
    let identity = witness.identity(bucket).await?;
    let (store, id, connection, name) = (
        app.store.clone(),
        deletion.id,
        deletion.connection,
        bucket.clone(),
    );
    let mut writer = blocking(move || store.manifest_writer(connection, id, &name)).await?;
    let mut lister = witness.list(bucket);
    let (mut objects, mut bytes) = (0, 0_u64);
    while let Some(page) = lister.next_page().await? {
        objects += page.len() as u64;
        bytes = page
            .iter()
            .fold(bytes, |sum, object| sum.saturating_add(object.size));
        writer = blocking(move || {
            for object in &page {
                writer.push(object)?;
            }
            Ok::<_, ManifestError>(writer)
        })
        .await?;
        meter.tell(bucket, objects, bytes, false);
    }
    let manifest = blocking(move || writer.finish()).await?;
    meter.tell(bucket, objects, bytes, true);
    Ok(BucketSurvey {
        bucket: bucket.clone(),
        identity,
        objects: manifest.objects,
        bytes: manifest.bytes,
        digest: manifest.digest,
        taken_at: app.clock.now(),
    })
}

async fn again(
    app: &App,
    witness: &Witness,
    bucket: &BucketName,
    mut comparison: Comparison,
    meter: &mut Meter<'_>,
) -> Result<(BucketSurvey, Comparison), Listing> {
    let mut lister = witness.list(bucket);
    while let Some(page) = lister.next_page().await? {
        comparison = blocking(move || {
            for object in &page {
                comparison.take(object);
            }
            comparison
        })
        .await;
        meter.tell(bucket, comparison.objects, comparison.bytes, false);
    }
    let (digest, comparison) = blocking(move || comparison.finish()).await;
    // Asked after the listing, as the first survey's is before its own: equal identities then
    // enclose both listings.
    let identity = witness.identity(bucket).await?;
    meter.tell(bucket, comparison.objects, comparison.bytes, true);
    let survey = BucketSurvey {
        bucket: bucket.clone(),
        identity,
        objects: comparison.objects,
        bytes: comparison.bytes,
        digest,
        taken_at: app.clock.now(),
    };
    Ok((survey, comparison))
}

/// Compares a listing with a kept manifest as it streams.
struct Comparison {
    bucket: BucketName,
    reader: Option<ManifestReader>,
    head: Option<Object>,
    differences: Differences,
    unreadable: bool,
    digest: digest::Context,
    scratch: Vec<u8>,
    objects: u64,
    bytes: u64,
}

impl Comparison {
    fn new(bucket: BucketName, reader: Option<ManifestReader>) -> Self {
        let mut comparison = Self {
            bucket,
            reader,
            head: None,
            differences: Differences::default(),
            unreadable: false,
            digest: digest::Context::new(&digest::SHA256),
            scratch: Vec::new(),
            objects: 0,
            bytes: 0,
        };
        comparison.advance();
        comparison
    }

    fn advance(&mut self) {
        self.head = match self.reader.as_mut().and_then(Iterator::next) {
            Some(Ok(object)) => Some(object),
            Some(Err(_)) => {
                self.unreadable = true;
                self.reader = None;
                None
            }
            None => None,
        };
    }

    fn take(&mut self, object: &Object) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(object.size);
        self.scratch.clear();
        object.encode(&mut self.scratch);
        self.digest.update(&self.scratch);
        if self.reader.is_none() {
            return;
        }
        loop {
            match compare(self.head.as_ref(), Some(object)) {
                Step::Removed => self.removed(),
                Step::Added => return self.record(object, ChangeKind::Added),
                Step::Replaced => {
                    self.advance();
                    return self.record(object, ChangeKind::Replaced);
                }
                Step::Same | Step::End => return self.advance(),
            }
        }
    }

    fn finish(mut self) -> (Digest, Self) {
        while self.head.is_some() {
            self.removed();
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.clone().finish().as_ref());
        (Digest(digest), self)
    }

    fn removed(&mut self) {
        if let Some(object) = self.head.take() {
            self.record(&object, ChangeKind::Removed);
        }
        self.advance();
    }

    fn record(&mut self, object: &Object, kind: ChangeKind) {
        self.differences.record(Difference {
            bucket: self.bucket.clone(),
            key: object.key.clone(),
            kind,
        });
    }
}
