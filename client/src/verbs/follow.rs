//! Follows a deletion: progress as it comes, the reply *revoked* at once, then the verdict and
//! the receipt. Leaving never stops the deletion, and whoever leaves is told so.

use std::path::PathBuf;

use bascule_domain::{SignedDuration, Timestamp, moment::span};
use bascule_proto::v1::{self, deletion_event::Event};
use tonic::Streaming;

use super::Context;
use crate::{
    channel::Client,
    clock,
    error::{Error, Kind},
    exit::Exit,
    interruption::Interruption,
    output::{
        Output, document,
        progress::{Progress, phase_line},
        receipt,
        text::{GOOD, HEAD, WARN, count, escape, escape_json, styled},
        time::{parsed, relative},
    },
    start::Runner,
    verbs::delete::{manifest_files::ManifestFiles, receipt_file::ReceiptFile},
};

/// Where a deletion was left.
struct Seen {
    deletion: v1::Deletion,
    parked: Option<String>,
    receipt: Option<String>,
    revoked_told: bool,
    /// The reconnect card, for whoever deleted.
    card: Option<String>,
    /// Where the manifests were kept, or why they were not.
    manifests: Option<Result<Vec<PathBuf>, Error>>,
}

/// What is kept before the erasure.
pub(crate) struct Keeping {
    pub(crate) client: Client,
    pub(crate) files: ManifestFiles,
}

impl Keeping {
    /// Takes what there is when the user leaves, and says how to get the rest.
    async fn what_there_is(&self, deletion: &v1::Deletion, left: Error, output: Output) -> Error {
        if deletion.phase() != v1::Phase::Revoked {
            return left;
        }
        match self.files.take(&self.client, &deletion.id, false).await {
            Ok(paths) => {
                for path in paths {
                    let path = path.display().to_string();
                    output.status(&format!("manifest written to {}", escape(&path)));
                }
            }
            Err(error) => output.status(&format!("no manifest was kept: {}", error.message)),
        }
        let folder = self.files.folder().display().to_string();
        left.next(format!(
            "to keep the second manifest too, stay until the verdict: bascule deletion show {} --watch --keep-manifests {}",
            deletion.id,
            escape(&folder)
        ))
    }
}

/// Follows until it ends, waits, or the user leaves.
pub(crate) async fn follow(
    mut stream: Streaming<v1::DeletionEvent>,
    context: &Context,
    file: Option<ReceiptFile>,
    card: Option<String>,
    keeping: Option<Keeping>,
    mut interruption: Interruption,
) -> Result<Exit, Error> {
    let output = context.output;
    let mut progress = Progress::new(output);
    let mut seen = Seen {
        deletion: v1::Deletion::default(),
        parked: None,
        receipt: None,
        revoked_told: false,
        card,
        manifests: None,
    };
    loop {
        let event = tokio::select! {
            event = stream.message() => event,
            () = interruption.asked() => {
                progress.clear();
                let error = left(&seen.deletion, "interrupted", Kind::Interrupted);
                let Some(keeping) = keeping.filter(|_| seen.manifests.is_none()) else {
                    return Err(error);
                };
                return Err(tokio::select! {
                    error = keeping.what_there_is(&seen.deletion, error, output) => error,
                    () = interruption.asked() => left(&seen.deletion, "interrupted", Kind::Interrupted),
                });
            }
        };
        match event {
            Ok(Some(event)) => {
                let waited = seen.parked.clone();
                seen.take(event, &mut progress, output);
                // Without manifests to keep, nobody waits.
                if keeping.is_some()
                    && seen.parked != waited
                    && let Some(why) = &seen.parked
                {
                    progress.line(&format!(
                        "waits: {}; it goes on by itself, and to leave (Ctrl-C) does not stop it",
                        escape(why)
                    ));
                }
                // It takes days; nobody waits here for that.
                if seen.deletion.phase() == v1::Phase::Listening {
                    break;
                }
                let waits = seen.deletion.phase() == v1::Phase::Judged;
                if let Some(keeping) = keeping
                    .as_ref()
                    .filter(|_| waits && seen.manifests.is_none())
                {
                    let id = &seen.deletion.id;
                    seen.manifests = Some(keeping.files.take(&keeping.client, id, true).await);
                }
            }
            Ok(None) => break,
            Err(status) => {
                progress.clear();
                let error = Error::from(status);
                return Err(left(&seen.deletion, &error.message, error.kind));
            }
        }
    }
    progress.clear();
    if keeping.is_some() && seen.deletion.phase() == v1::Phase::Finished {
        seen.manifests.get_or_insert_with(|| {
            Err(Error::new(
                Kind::Refused,
                "no manifest was kept: they were erased before they could be taken",
            ))
        });
    }
    conclude(seen, output, file)
}

impl Seen {
    /// The card, once the connection is gone for good.
    fn card_to_keep(&self) -> Option<&str> {
        self.card
            .as_deref()
            .filter(|_| keys_are_dead(&self.deletion))
    }

    fn take(&mut self, event: v1::DeletionEvent, progress: &mut Progress, output: Output) {
        let before = self.deletion.phase();
        if let Some(deletion) = event.deletion {
            self.deletion = deletion;
        }
        if keys_are_dead(&self.deletion) && !self.revoked_told {
            self.revoked_told = true;
            progress.clear();
            if !output.is_json() {
                // A reader that has left does not end the wait for the verdict: the exit code
                // still tells.
                output.raw(&revoked(&self.deletion)).ok();
            }
        }
        let first = before == v1::Phase::Unspecified;
        if (first || before != self.deletion.phase())
            && let Some(line) = phase_line(&self.deletion)
        {
            progress.line(&line);
        }
        match event.event {
            Some(Event::Survey(survey)) => progress.survey(&survey),
            Some(Event::Parked(reason)) => self.parked = Some(reason),
            Some(Event::Receipt(json)) => self.receipt = Some(json),
            Some(Event::Reached(_)) | None => {}
        }
    }
}

fn keys_are_dead(deletion: &v1::Deletion) -> bool {
    matches!(
        deletion.phase(),
        v1::Phase::Revoked | v1::Phase::Judged | v1::Phase::Finished
    )
}

fn revoked(deletion: &v1::Deletion) -> String {
    format!(
        "{}: {} of {} {} dead for good\n",
        styled(GOOD, "revoked"),
        count(deletion.keys.into(), "key"),
        escape(&deletion.connection),
        if deletion.keys == 1 { "is" } else { "are" }
    )
}

/// What it came to when the stream ended by itself: with a receipt, waiting, or called off.
fn ending(seen: &Seen) -> Result<(&'static str, Exit), Error> {
    let deletion = &seen.deletion;
    match (&seen.receipt, &seen.parked) {
        (Some(_), _) => Ok(("deleted", Exit::of_verdict(&deletion.verdict))),
        (None, _) if deletion.phase() == v1::Phase::Cancelled => Ok(("cancelled", Exit::Refused)),
        (None, Some(_)) if keys_are_dead(deletion) => {
            Ok(("revoked-verdict-pending", Exit::VerdictPending))
        }
        (None, _) if deletion.phase() == v1::Phase::Listening => Ok(("listening", Exit::Ok)),
        (None, Some(_)) => Ok(("waiting", Exit::Failed)),
        (None, None) => Err(left(
            deletion,
            "the daemon stopped telling how it goes on",
            Kind::Stopping,
        )),
    }
}

fn conclude(seen: Seen, output: Output, file: Option<ReceiptFile>) -> Result<Exit, Error> {
    let deletion = &seen.deletion;
    let (outcome, exit) = ending(&seen)?;
    // Written before anything is printed: a closed pipe must not cost the receipt.
    let mut file_name = None;
    let mut file_error = None;
    match (file, &seen.receipt) {
        (Some(file), Some(json)) => match file.write(json) {
            Ok(path) => file_name = Some(path),
            Err(error) => {
                file_error = Some(error.next(format!(
                    "bascule --json receipt show {} > FILE",
                    deletion.id
                )));
            }
        },
        // Nothing is left in its place, so that the same command line works later.
        (Some(file), None) => {
            drop(file);
            output.status(&format!(
                "no receipt yet; once there is one: bascule --json receipt show {} > FILE",
                escape(&deletion.id)
            ));
        }
        (None, _) => {}
    }
    if output.is_json() {
        output.document(&document::Outcome {
            outcome,
            deletion: deletion.into(),
            receipt: seen
                .receipt
                .as_deref()
                .and_then(|json| serde_json::from_str(json).ok()),
            receipt_file: file_name,
            reconnect_card: seen
                .card_to_keep()
                .and_then(|json| serde_json::from_str(json).ok()),
            manifests: match &seen.manifests {
                Some(Ok(paths)) => paths
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect(),
                _ => Vec::new(),
            },
        })?;
    } else {
        let text = words(&seen);
        // As above: the exit code tells more than a closed pipe.
        output.raw(&text).ok();
        if let Some(card) = seen.card_to_keep() {
            let kept = format!(
                "\n{}, with new keys: keep this card\n{}\n",
                styled(HEAD, "To connect again"),
                escape_json(card.trim_end())
            );
            output.raw(&kept).ok();
        }
        if let Some(path) = file_name {
            output.status(&format!("receipt written to {}", escape(&path)));
        }
        for path in seen.manifests.iter().flatten().flatten() {
            let path = path.display().to_string();
            output.status(&format!("manifest written to {}", escape(&path)));
        }
    }
    match file_error {
        Some(error) => Err(error),
        None => match seen.manifests {
            Some(Err(error)) => Err(error),
            _ => Ok(exit),
        },
    }
}

fn words(seen: &Seen) -> String {
    let deletion = &seen.deletion;
    let id = escape(&deletion.id);
    if let Some(json) = &seen.receipt {
        return format!(
            "{}\n\n{}",
            styled(
                receipt::verdict_style(&deletion.verdict),
                &format!("verdict: {}", escape(&deletion.verdict))
            ),
            receipt::summary(json, clock::now())
        );
    }
    if deletion.phase() == v1::Phase::Listening {
        return format!(
            "{}: {}\nSee how it stands: bascule deletion show {id}; bring everything back: bascule deletion cancel {id}\n",
            styled(GOOD, "listening"),
            escape(&heard(deletion, clock::now()))
        );
    }
    let Some(reason) = &seen.parked else {
        return String::new();
    };
    let watch = format!("watch it: bascule deletion show {id}");
    if keys_are_dead(deletion) {
        format!(
            "{}: {}\nIt completes by itself when the provider answers; {watch}, or end it unproven: bascule deletion finish-unverified {id}\n",
            styled(WARN, "revoked, verdict pending"),
            escape(reason)
        )
    } else {
        format!(
            "{}: {}\nThe keys are paused, not dead. It goes on by itself; {watch}, or call it off: bascule deletion cancel {id}\n",
            styled(WARN, "waiting"),
            escape(reason)
        )
    }
}

/// How a scream test stands, in words.
pub(super) fn heard(deletion: &v1::Deletion, now: Timestamp) -> String {
    let Some(scream) = &deletion.scream else {
        return String::new();
    };
    let length = |wire: Option<&prost_types::Duration>| {
        wire.map_or(SignedDuration::ZERO, |it| {
            SignedDuration::new(it.seconds, it.nanos)
        })
    };
    let whole = span(length(scream.length.as_ref()));
    if let Some(at) = parsed(scream.knocked_at.as_ref()) {
        return format!(
            "the countdown stands still: the key {} knocked {}; who it was: bascule findings show {}; count anew: bascule deletion go-on {}",
            scream.label,
            relative(at, now),
            scream.finding,
            deletion.id
        );
    }
    let since = parsed(scream.counting_since.as_ref());
    let since = since.map_or(SignedDuration::ZERO, |since| now.duration_since(since));
    let silent = length(scream.silent.as_ref()).saturating_add(since.max(SignedDuration::ZERO));
    format!("silent for {} of {whole}; then it is deleted", span(silent))
}

/// What to say when the command ends before the deletion does.
fn left(deletion: &v1::Deletion, why: &str, kind: Kind) -> Error {
    if deletion.id.is_empty() {
        return Error::new(
            kind,
            format!("{why}; whether the deletion has started is not known"),
        )
        .next("bascule deletion list");
    }
    let show = format!("bascule deletion show {}", deletion.id);
    let (goes_on, next) = match kind {
        Kind::NoDaemon | Kind::Stopping => (
            "goes on when the daemon runs again",
            format!("{}; then: {show}", Runner::here().start()),
        ),
        _ => ("goes on in the daemon", show),
    };
    if keys_are_dead(deletion) {
        Error::new(
            Kind::VerdictPending,
            format!("{why}; the keys are revoked, verdict pending: the deletion {goes_on}"),
        )
        .next(next)
    } else {
        Error::new(
            kind,
            format!(
                "{why}; the deletion {} {goes_on}, its keys are paused and not yet dead",
                deletion.id
            ),
        )
        .next(format!(
            "{next}, or call it off: bascule deletion cancel {}",
            deletion.id
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion(phase: v1::Phase, verdict: &str) -> v1::Deletion {
        v1::Deletion {
            id: "del_x".into(),
            connection: "photos".into(),
            keys: 2,
            verdict: verdict.into(),
            phase: phase.into(),
            ..v1::Deletion::default()
        }
    }

    fn ended(
        phase: v1::Phase,
        verdict: &str,
        parked: Option<&str>,
        receipt: Option<&str>,
    ) -> Result<Exit, Error> {
        let seen = Seen {
            deletion: deletion(phase, verdict),
            parked: parked.map(str::to_owned),
            receipt: receipt.map(str::to_owned),
            revoked_told: true,
            card: None,
            manifests: None,
        };
        ending(&seen).map(|(_, exit)| exit)
    }

    #[test]
    fn each_ending_has_an_exit_code_of_its_own() {
        use v1::Phase::{Cancelled, Finished, Revoked, Surveyed};
        assert_eq!(
            ended(Finished, "intact", None, Some("{}")).unwrap(),
            Exit::Ok
        );
        assert_eq!(
            ended(Finished, "changed-by-others", None, Some("{}")).unwrap(),
            Exit::NotIntact
        );
        assert_eq!(
            ended(Revoked, "", Some("away"), None).unwrap(),
            Exit::VerdictPending
        );
        assert_eq!(
            ended(Surveyed, "", Some("away"), None).unwrap(),
            Exit::Failed
        );
        assert_eq!(ended(Cancelled, "", None, None).unwrap(), Exit::Refused);
        assert_eq!(
            ended(Revoked, "", None, None).unwrap_err().kind,
            Kind::VerdictPending
        );
    }

    #[test]
    fn whoever_leaves_early_is_told_that_it_goes_on_and_how_to_watch() {
        let before = left(
            &deletion(v1::Phase::Drained, ""),
            "interrupted",
            Kind::Interrupted,
        );
        assert_eq!(before.kind.exit(), Exit::Interrupted);
        assert!(before.message.contains("goes on in the daemon"));
        assert!(
            before
                .next
                .unwrap()
                .starts_with("bascule deletion show del_x")
        );
        let after = left(
            &deletion(v1::Phase::Revoked, ""),
            "interrupted",
            Kind::Interrupted,
        );
        assert_eq!(after.kind.exit(), Exit::VerdictPending);
        let killed = left(&deletion(v1::Phase::Drained, ""), "closed", Kind::NoDaemon);
        assert!(killed.next.unwrap().contains("basculed"));
        let unknown = left(&v1::Deletion::default(), "interrupted", Kind::Interrupted);
        assert_eq!(unknown.next.unwrap(), "bascule deletion list");
    }

    #[test]
    fn a_pending_verdict_says_so_in_the_promised_words() {
        let seen = Seen {
            deletion: deletion(v1::Phase::Revoked, ""),
            parked: Some("connection refused".into()),
            receipt: None,
            revoked_told: true,
            card: None,
            manifests: None,
        };
        let text = words(&seen);
        assert!(text.contains("revoked, verdict pending"), "{text}");
        assert!(text.contains("bascule deletion show del_x"), "{text}");
    }
}
