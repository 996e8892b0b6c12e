//! Surveys the buckets of a receipt again, with credentials that are not kept, and says what has
//! changed since. It reads buckets, and keeps nothing.

use std::sync::Arc;

use bascule_adapters::adapter;
use bascule_domain::{
    ids::DeletionId,
    receipt::Receipt,
    secret::Credentials,
    since::{self, Since},
    survey::{BucketOutcome, BucketSurvey, Extent, Round},
};
use tokio::sync::mpsc;

use super::{
    App, blocking,
    connect::{Place, credentials_for},
    delete::{ManifestPart, SurveyProgress, Task, again, send_manifest},
    error::{Error, Kind, Result},
};
use crate::random;

/// What is told meanwhile.
pub(crate) enum Told {
    Progress(SurveyProgress),
    Since(Box<Since>),
    Manifest(ManifestPart),
}

/// What to verify.
pub(crate) struct Wish {
    pub receipt: Receipt,
    pub place: Place,
    pub credentials: Option<Credentials>,
    /// Whether each bucket's manifest is to be told too.
    pub manifests: bool,
}

impl App {
    /// Verifies, and tells what it finds as long as somebody listens.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        wish: Wish,
        to: &mpsc::Sender<Result<Told>>,
    ) -> Result<()> {
        let surveys = last_surveys(&wish.receipt)?;
        let (provider, _, location) = wish.place.locate()?;
        let credentials = credentials_for(provider, wish.credentials)?;
        let storage = adapter(provider).open(&location, &self.surroundings)?;
        let witness = storage.witness(credentials);
        let store = self.store.clone();
        let connection = blocking(move || store.begin_scratch()).await?;
        let deletion = DeletionId::from_random(random::bytes());
        let work = async {
            // Whoever reads slowly misses some of the progress.
            let tell = |progress| drop(to.try_send(Ok(Told::Progress(progress))));
            for then in surveys {
                let task = Task {
                    app: self,
                    connection,
                    deletion,
                    extent: since::extent(then),
                    tell: &tell,
                };
                let now = again(task, &witness, then).await.map_err(|failure| {
                    let message = format!("{}: {}", then.bucket, failure.reason());
                    Error::new(Kind::Provider, message)
                })?;
                let has_manifest = matches!(&now, BucketOutcome::Surveyed(now)
                    if wish.manifests && now.extent == Extent::Full);
                let found = since::since(then, now);
                to.send(Ok(Told::Since(Box::new(found)))).await.ok();
                if has_manifest {
                    let (store, bucket, to) = (self.store.clone(), then.bucket.clone(), to.clone());
                    blocking(move || {
                        let read =
                            store.manifest_reader(connection, deletion, &bucket, Round::After);
                        send_manifest(read, &bucket, Round::After, |part| {
                            to.blocking_send(Ok(Told::Manifest(part))).is_ok()
                        })
                    })
                    .await?;
                }
            }
            Ok(())
        };
        let done = tokio::select! {
            done = work => done,
            () = to.closed() => Ok(()),
        };
        let store = self.store.clone();
        blocking(move || store.end_scratch(connection)).await?;
        done
    }
}

/// The surveys to compare with: those after the revocation, or before it where there is none.
fn last_surveys(receipt: &Receipt) -> Result<Vec<&BucketSurvey>> {
    let mut found = surveyed(&receipt.surveys.after);
    if found.is_empty() {
        found = surveyed(&receipt.surveys.before);
    }
    if found.is_empty() {
        return Err(Error::new(
            Kind::Refused,
            "the receipt holds no survey to compare with: none came about",
        ));
    }
    Ok(found)
}

fn surveyed(outcomes: &[BucketOutcome]) -> Vec<&BucketSurvey> {
    let surveys = outcomes.iter().filter_map(|outcome| match outcome {
        BucketOutcome::Surveyed(survey) => Some(survey),
        BucketOutcome::Gone { .. } => None,
    });
    surveys.collect()
}
