//! Takes the two surveys: asks each bucket for its identity and settings, lists it through the
//! read-only witness into a sealed manifest, and compares the two manifests. Memory does not grow
//! with the bucket. A listing that breaks off goes on where it was. Nothing here can write to a
//! provider.

mod comparison;

use std::{collections::BTreeMap, time::Duration};

use bascule_adapters::{About, Witness, WitnessError};
use bascule_domain::{
    connection::BucketIdentity,
    deletion::{Deletion, Findings},
    ids::{ConnectionId, DeletionId},
    manifest::{Entry as Object, Gap, Item, Stretch},
    names::BucketName,
    survey::{
        Aspect, BucketOutcome, BucketSurvey, Contents, Differences, Digest, Extent, Part, Round,
        Setting,
    },
};
use bascule_store::{Manifest, ManifestError, ManifestReader, ManifestWriter, Wholeness};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::comparison::Unreadable;
use super::running::{Progress, SurveyProgress};
use crate::{
    app::{App, blocking, registry::Entry},
    random,
};

/// How often followers hear of a survey's progress.
const PROGRESS: Duration = Duration::from_millis(200);
/// How many stretches, of about a thousand entries each, a sample draws.
const DRAWN: usize = 64;
/// A first survey that had begun well waits so often, each time twice as long, for a provider
/// that has gone away.
const WAITS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// SHA-256 of nothing: where contents are not listed.
const OF_NOTHING: Digest = Digest([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// Why a survey did not come about, in fixed words: no bucket, no endpoint.
#[derive(Debug, Clone, Copy)]
pub(in crate::app) enum Failure {
    /// It may work later.
    Away(&'static str),
    /// It never will.
    Impossible(&'static str),
}

impl Failure {
    pub(in crate::app) const fn reason(self) -> &'static str {
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
            WitnessError::TooManyVersions => {
                Self::Impossible("one object has more versions than can be compared")
            }
            WitnessError::TooManyUploads => {
                Self::Impossible("there are more unfinished uploads than can be compared")
            }
            WitnessError::StartIgnored => {
                Self::Away("the provider can't go on with a listing in its middle")
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

/// Whose manifests are written, how much is surveyed, and who hears of the progress.
#[derive(Clone, Copy)]
pub(in crate::app) struct Task<'a> {
    pub(in crate::app) app: &'a App,
    pub(in crate::app) connection: ConnectionId,
    pub(in crate::app) deletion: DeletionId,
    pub(in crate::app) extent: Extent,
    pub(in crate::app) tell: &'a (dyn Fn(SurveyProgress) + Send + Sync),
}

/// Tells followers how far a survey is, not too often.
struct Meter<'a> {
    tell: &'a (dyn Fn(SurveyProgress) + Send + Sync),
    round: Round,
    bucket: &'a BucketName,
    started: Instant,
    told: Instant,
    /// What was there already when it started to count.
    base: u64,
}

impl Meter<'_> {
    fn tell(&mut self, (objects, bytes): (u64, u64), expected: Option<u64>, last: bool) {
        if !last && self.told.elapsed() < PROGRESS {
            return;
        }
        self.told = Instant::now();
        let since = objects.saturating_sub(self.base);
        let rate = since as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        (self.tell)(SurveyProgress {
            round: self.round,
            bucket: self.bucket.clone(),
            objects,
            bytes,
            rate,
            expected: if last { Some(objects) } else { expected },
        });
    }
}

/// What is known of a bucket when its first listing begins. It stands in the manifest, so that a
/// listing which goes on after a restart still lies behind it.
#[derive(Serialize, Deserialize)]
struct Beginning {
    identity: BucketIdentity,
    settings: BTreeMap<Aspect, Setting>,
    contents: Contents,
    unlisted: BTreeMap<Part, String>,
}

/// The survey of one bucket.
struct Survey<'a> {
    task: Task<'a>,
    witness: &'a Witness,
    bucket: &'a BucketName,
    round: Round,
}

/// What was counted of everything, where a sample keeps only a part of it.
#[derive(Clone, Copy, Default)]
struct Counted {
    objects: u64,
    bytes: u64,
    versions: u64,
    markers: u64,
}

impl Counted {
    fn take(&mut self, stretch: &Stretch) {
        self.objects += stretch.objects;
        self.bytes = self.bytes.saturating_add(stretch.bytes);
        for entry in &stretch.entries {
            match entry.item {
                Item::Version(_) => self.versions += 1,
                Item::Marker(_) => self.markers += 1,
                Item::Object | Item::Upload(_) => {}
            }
        }
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
    let tell = |survey| {
        let progress = Progress::Survey(survey);
        app.deletions.publish(deletion, findings, progress);
    };
    let task = task(app, deletion, &tell);
    let mut outcomes = Vec::new();
    for bucket in entry.connection.buckets.iter() {
        let survey = Survey {
            task,
            witness: &witness,
            bucket,
            round: Round::Before,
        };
        outcomes.push(outcome(bucket, survey.first().await)?);
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
    let known: &Findings = findings;
    let tell = |survey| {
        let progress = Progress::Survey(survey);
        app.deletions.publish(deletion, known, progress);
    };
    let task = task(app, deletion, &tell);
    let mut outcomes = Vec::new();
    let mut differences = Differences::default();
    let mut unreadable = false;
    for bucket in entry.connection.buckets.iter() {
        let survey = Survey {
            task,
            witness: &witness,
            bucket,
            round: Round::After,
        };
        let first = surveyed(known, bucket);
        let second = outcome(bucket, survey.second(first).await)?;
        if let (Some(first), BucketOutcome::Surveyed(second)) = (first, &second) {
            match survey.compare(first, second).await? {
                Some(found) => differences.add(found),
                None => unreadable = true,
            }
        }
        outcomes.push(second);
    }
    if unreadable {
        findings.before = Err("the manifest of the first survey can't be read any more".into());
    }
    Ok((outcomes, differences))
}

fn task<'a>(
    app: &'a App,
    deletion: &Deletion,
    tell: &'a (dyn Fn(SurveyProgress) + Send + Sync),
) -> Task<'a> {
    Task {
        app,
        connection: deletion.connection,
        deletion: deletion.id,
        extent: deletion.survey,
        tell,
    }
}

/// Surveys a bucket again, as it was surveyed then.
pub(in crate::app) async fn again(
    task: Task<'_>,
    witness: &Witness,
    then: &BucketSurvey,
) -> Result<BucketOutcome, Failure> {
    let survey = Survey {
        task,
        witness,
        bucket: &then.bucket,
        round: Round::After,
    };
    outcome(&then.bucket, survey.second(Some(then)).await)
}

fn witness(app: &App, entry: &Entry) -> Result<Witness, Failure> {
    let storage = app
        .storage(entry)
        .map_err(|_| Failure::Away("the provider can't be opened"))?;
    Ok(storage.witness((*entry.credentials).clone()))
}

fn outcome(
    bucket: &BucketName,
    survey: Result<BucketSurvey, Listing>,
) -> Result<BucketOutcome, Failure> {
    match survey {
        Ok(survey) => Ok(BucketOutcome::Surveyed(survey)),
        Err(Listing::Gone) => Ok(BucketOutcome::Gone {
            bucket: bucket.clone(),
        }),
        Err(Listing::Failed(failure)) => Err(failure),
    }
}

/// The first survey of a bucket, if there is one.
fn surveyed<'a>(findings: &'a Findings, bucket: &BucketName) -> Option<&'a BucketSurvey> {
    let before = findings.before.as_ref().ok()?;
    before.iter().find_map(|outcome| match outcome {
        BucketOutcome::Surveyed(survey) if survey.bucket == *bucket => Some(survey),
        _ => None,
    })
}

impl Beginning {
    fn of(identity: BucketIdentity, about: About) -> Self {
        Self {
            identity,
            settings: about.settings,
            contents: about.contents,
            unlisted: about.unlisted,
        }
    }

    fn read(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }
}

impl Survey<'_> {
    /// Identity and settings, then the listing.
    async fn first(&self) -> Result<BucketSurvey, Listing> {
        let identity = self.witness.identity(self.bucket).await?;
        let extent = self.task.extent;
        if extent == Extent::Identity {
            let (settings, _) = self.witness.settings(self.bucket).await?;
            return Ok(self.without_contents(identity, settings));
        }
        let mut writer = self.writer().await?;
        let noted = writer.beginning().and_then(Beginning::read);
        let beginning = match noted.filter(|noted| noted.identity == identity) {
            // A sample is drawn from a whole listing, so it begins again.
            Some(noted) if extent == Extent::Full => noted,
            _ => {
                let noted = Beginning::of(identity, self.witness.about(self.bucket).await?);
                writer = begin(writer, &noted).await?;
                noted
            }
        };
        let drawn = match extent {
            Extent::Sample => {
                let (filled, counted) = self.draw(writer, &beginning).await?;
                writer = filled;
                counted
            }
            Extent::Full | Extent::Identity => {
                writer = self.list_patiently(writer, &beginning).await?;
                None
            }
        };
        let wholeness = match drawn {
            None => Wholeness::Whole,
            Some(_) => Wholeness::Parts,
        };
        let uploads = self.uploads(&beginning).await?;
        let manifest = blocking(move || writer.finish(uploads, wholeness)).await?;
        Ok(self.survey(beginning, manifest, drawn))
    }

    /// The listing, then settings and identity: those of the first survey were asked before its
    /// listing, so equal ones enclose both listings.
    async fn second(&self, first: Option<&BucketSurvey>) -> Result<BucketSurvey, Listing> {
        let extent = self.task.extent;
        if extent == Extent::Identity {
            let (settings, _) = self.witness.settings(self.bucket).await?;
            let identity = self.witness.identity(self.bucket).await?;
            return Ok(self.without_contents(identity, settings));
        }
        let about = match first {
            // What the first survey did not see can't be compared.
            Some(first) => About {
                settings: BTreeMap::new(),
                contents: first.contents,
                unlisted: first.unlisted.clone(),
            },
            None => self.witness.about(self.bucket).await?,
        };
        let mut beginning = Beginning::of(BucketIdentity::NotTold, about);
        let windows = match first {
            Some(first) if first.sampled.is_some() => Some(self.windows().await?),
            _ => None,
        };
        let mut writer = self.writer().await?;
        let noted = writer.beginning().and_then(Beginning::read);
        let goes_on = noted.is_some_and(|noted| noted.contents == beginning.contents);
        if windows.is_some() || !goes_on {
            writer = begin(writer, &beginning).await?;
        }
        let wholeness = match &windows {
            Some(_) => Wholeness::Parts,
            None => Wholeness::Whole,
        };
        let expected = first.map(|first| first.sampled.unwrap_or(first.objects));
        writer = self.list(writer, &beginning, windows, expected).await?;
        let uploads = self.uploads(&beginning).await?;
        (beginning.settings, _) = self.witness.settings(self.bucket).await?;
        beginning.identity = self.witness.identity(self.bucket).await?;
        // Last: what failed before it is asked again without listing again.
        let manifest = blocking(move || writer.finish(uploads, wholeness)).await?;
        let mut survey = self.survey(beginning, manifest, None);
        survey.sampled = (wholeness == Wholeness::Parts).then_some(survey.objects);
        Ok(survey)
    }

    /// What differs; `None` when the first manifest can't be read any more.
    async fn compare(
        &self,
        first: &BucketSurvey,
        second: &BucketSurvey,
    ) -> Result<Option<Differences>, Failure> {
        if first.extent == Extent::Identity {
            return Ok(Some(Differences::default()));
        }
        let before = match self.reader(Round::Before).await {
            Ok(before) => before,
            // Short of descriptors or memory: it is still there.
            Err(ManifestError::Path(_)) => {
                return Err(Failure::Away("the manifest could not be opened"));
            }
            Err(_) => return Ok(None),
        };
        let after = self.reader(Round::After).await?;
        let bucket = self.bucket.clone();
        let uploads = [first, second]
            .iter()
            .all(|survey| !survey.unlisted.contains_key(&Part::Uploads));
        let compared =
            blocking(move || comparison::differences(&bucket, before, after, uploads)).await;
        match compared {
            Ok(found) => Ok(Some(found)),
            Err(Unreadable::Before) => Ok(None),
            Err(Unreadable::After(error)) => Err(error.into()),
        }
    }

    /// [`Self::list`], with waits while a provider that had begun to answer is away.
    async fn list_patiently(
        &self,
        mut writer: ManifestWriter,
        beginning: &Beginning,
    ) -> Result<ManifestWriter, Listing> {
        let mut waits = 0;
        loop {
            let listed = writer.listed();
            let error = match self.list(writer, beginning, None, None).await {
                Ok(writer) => return Ok(writer),
                Err(error) => error,
            };
            writer = self.writer().await?;
            if writer.listed() != listed {
                waits = 0;
            }
            let away = matches!(error, Listing::Failed(Failure::Away(_)));
            if !away || writer.listed() == (0, 0) || waits == WAITS {
                return Err(error);
            }
            tokio::time::sleep(FIRST_WAIT * 2_u32.pow(waits)).await;
            waits += 1;
        }
    }

    /// Lists what the manifest still lacks, or parts of it.
    async fn list(
        &self,
        mut writer: ManifestWriter,
        beginning: &Beginning,
        parts: Option<Vec<Gap>>,
        expected: Option<u64>,
    ) -> Result<ManifestWriter, Listing> {
        let partly = parts.is_some();
        let mut gaps = parts.unwrap_or_else(|| writer.gaps());
        let mut meter = self.meter(writer.listed().0);
        loop {
            let asked = gaps.clone();
            let mut listing = self
                .witness
                .stretches(self.bucket, beginning.contents, asked);
            loop {
                let stretch = match listing.next().await {
                    Ok(Some(stretch)) => stretch,
                    Ok(None) => {
                        meter.tell(writer.listed(), None, true);
                        return Ok(writer);
                    }
                    Err(WitnessError::StartIgnored) if partly => {
                        return Err(Listing::Failed(Failure::Impossible(
                            "the provider can't list parts of a bucket, so no sample can be compared",
                        )));
                    }
                    // It can only be listed from its beginning.
                    Err(WitnessError::StartIgnored) if gaps != [Gap::default()] => break,
                    Err(error) => return Err(error.into()),
                };
                writer = blocking(move || {
                    writer.push(&stretch)?;
                    Ok::<_, ManifestError>(writer)
                })
                .await?;
                let estimate = || Some(listing.estimate()? + meter.base);
                let expected = expected.or_else(estimate);
                meter.tell(writer.listed(), expected, false);
            }
            writer = begin(writer, beginning).await?;
            gaps = vec![Gap::default()];
        }
    }

    /// Lists everything, counts it, and keeps stretches drawn by lot. A bucket that fits is kept
    /// whole, and then nothing is returned beside the manifest.
    async fn draw(
        &self,
        mut writer: ManifestWriter,
        beginning: &Beginning,
    ) -> Result<(ManifestWriter, Option<Counted>), Listing> {
        let mut meter = self.meter(0);
        let whole = vec![Gap::default()];
        let mut listing = self
            .witness
            .stretches(self.bucket, beginning.contents, whole);
        let mut counted = Counted::default();
        let mut drawn: Vec<Stretch> = Vec::new();
        let mut seen = 0_u64;
        while let Some(stretch) = listing.next().await? {
            counted.take(&stretch);
            seen += 1;
            // Each is as likely to be among the drawn as any other.
            if drawn.len() < DRAWN {
                drawn.push(stretch);
            } else if let Ok(place) = usize::try_from(u64::from_be_bytes(random::bytes()) % seen)
                && let Some(kept) = drawn.get_mut(place)
            {
                *kept = stretch;
            }
            meter.tell((counted.objects, counted.bytes), listing.estimate(), false);
        }
        meter.tell((counted.objects, counted.bytes), None, true);
        let partly = seen > drawn.len() as u64;
        writer = blocking(move || {
            for stretch in &drawn {
                writer.push(stretch)?;
            }
            Ok::<_, ManifestError>(writer)
        })
        .await?;
        Ok((writer, partly.then_some(counted)))
    }

    async fn uploads(&self, beginning: &Beginning) -> Result<Vec<Object>, WitnessError> {
        match beginning.unlisted.contains_key(&Part::Uploads) {
            true => Ok(Vec::new()),
            false => self.witness.uploads(self.bucket).await,
        }
    }

    /// Where the stretches lie that the first survey has drawn.
    async fn windows(&self) -> Result<Vec<Gap>, ManifestError> {
        let mut reader = self.reader(Round::Before).await?;
        blocking(move || reader.gaps()).await
    }

    async fn writer(&self) -> Result<ManifestWriter, ManifestError> {
        let (store, bucket) = (self.task.app.store.clone(), self.bucket.clone());
        let (connection, id, round) = (self.task.connection, self.task.deletion, self.round);
        blocking(move || store.manifest_writer(connection, id, &bucket, round)).await
    }

    async fn reader(&self, round: Round) -> Result<ManifestReader, ManifestError> {
        let (store, bucket) = (self.task.app.store.clone(), self.bucket.clone());
        let (connection, id) = (self.task.connection, self.task.deletion);
        blocking(move || store.manifest_reader(connection, id, &bucket, round)).await
    }

    fn meter(&self, base: u64) -> Meter<'_> {
        let now = Instant::now();
        Meter {
            tell: self.task.tell,
            round: self.round,
            bucket: self.bucket,
            started: now,
            told: now,
            base,
        }
    }

    fn survey(
        &self,
        beginning: Beginning,
        manifest: Manifest,
        drawn: Option<Counted>,
    ) -> BucketSurvey {
        let all = drawn.unwrap_or(Counted {
            objects: manifest.objects,
            bytes: manifest.bytes,
            versions: manifest.versions,
            markers: manifest.markers,
        });
        BucketSurvey {
            bucket: self.bucket.clone(),
            identity: beginning.identity,
            extent: self.task.extent,
            contents: beginning.contents,
            objects: all.objects,
            bytes: all.bytes,
            versions: all.versions,
            markers: all.markers,
            uploads: manifest.uploads,
            without_etag: manifest.without_etag,
            sampled: drawn.map(|_| manifest.objects),
            settings: beginning.settings,
            unlisted: beginning.unlisted,
            digest: manifest.digest,
            taken_at: self.task.app.clock.now(),
        }
    }

    fn without_contents(
        &self,
        identity: BucketIdentity,
        settings: BTreeMap<Aspect, Setting>,
    ) -> BucketSurvey {
        let beginning = Beginning {
            identity,
            settings,
            contents: Contents::Objects,
            unlisted: BTreeMap::new(),
        };
        let nothing = Manifest {
            digest: OF_NOTHING,
            objects: 0,
            bytes: 0,
            versions: 0,
            markers: 0,
            uploads: 0,
            without_etag: 0,
        };
        self.survey(beginning, nothing, None)
    }
}

async fn begin(
    mut writer: ManifestWriter,
    beginning: &Beginning,
) -> Result<ManifestWriter, Listing> {
    let note = serde_json::to_vec(beginning)
        .map_err(|_| Listing::Failed(Failure::Impossible("a survey has no written form")))?;
    blocking(move || {
        writer.begin(&note)?;
        Ok(writer)
    })
    .await
    .map_err(|error: ManifestError| error.into())
}
