//! `bascule scan`: every S3 key of this machine and what uses it. Works without a daemon.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

use bascule_domain::access_key::AccessKeyId;
use bascule_proto::v1;
use bascule_watch::{
    Machine, Picture, Use,
    scan::{self, Scope},
    sweep,
};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Context, source};
use crate::{
    clock,
    error::{Error, Kind},
    exit::Exit,
    moving::encrypted::{self, unlock},
    output::{
        self, Output,
        text::{GOOD, NEXT, WARN, count, size, styled},
        uses::{self, GapDocument, KeyDocument, LeftDocument},
    },
};

/// Find every S3 key on this machine, and the jobs behind it
///
/// Looks at the configurations of your tools, at jobs and at processes, and searches your home,
/// /etc, /opt and /srv for what none of them explains. Tells each key (masked) with what leads to
/// it: job → command → entry → file and line. Nothing is sent anywhere, no other program is run,
/// and no daemon is needed; if one runs, it is asked which keys are dead. With PATHs, only these
/// are searched.
///
/// Examples:
///   bascule scan
///   bascule scan ~/projects /srv
///   bascule scan --skip search
///   RCLONE_PASSWORD_COMMAND='pass show rclone' bascule scan --unlock
///   bascule scan --json
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// Files and folders to search instead
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Leave out: jobs, processes, or the search through folders
    #[arg(long, value_name = "WHAT", value_enum, conflicts_with = "paths")]
    skip: Vec<Part>,
    /// The configurations of every user whose home may be entered, too
    #[arg(long, conflicts_with = "paths")]
    all_users: bool,
    /// Open an encrypted rclone configuration: runs your RCLONE_PASSWORD_COMMAND to get its password
    #[arg(long)]
    unlock: bool,
}

/// A part of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Jobs,
    Processes,
    Search,
}

#[derive(Serialize)]
struct Document {
    keys: Vec<KeyDocument>,
    not_checked: Vec<GapDocument>,
    /// What was left out on purpose.
    skipped: Vec<LeftDocument>,
    summary: Summary,
}

#[derive(Serialize)]
struct Summary {
    keys: usize,
    uses: usize,
    /// Keys that are dead, paused or retiring, and used.
    findings: usize,
    not_checked: usize,
    files_read: u64,
    /// Whether a daemon said which keys are dead.
    daemon_asked: bool,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let mut machine = machine();
    if arguments.unlock {
        unlock(&machine.environment)?;
        machine = self::machine();
    }
    let home = machine.user.home.clone();
    let scope = Scope {
        jobs: !arguments.skip.contains(&Part::Jobs),
        processes: !arguments.skip.contains(&Part::Processes),
        everyone: arguments.all_users,
    };
    let searches = !arguments.skip.contains(&Part::Search);
    let paths = arguments.paths;
    let mut told = Searching::new(context.output);
    let picture = look(move || {
        let picture = if !paths.is_empty() {
            scan::paths(&machine, &paths, |progress| told.tell(progress))
        } else if searches {
            scan::everything(&machine, scope, |progress| told.tell(progress))
        } else {
            scan::known(&machine, scope)
        };
        told.progress.clear();
        picture
    })
    .await?;
    let states = judged(&picture.uses, context).await;
    let document = Document::of(&picture, states.as_ref());
    context.output.result(&document, || {
        let now = clock::now();
        let mut text = String::new();
        for key in &document.keys {
            text.push_str(&uses::render(key, home.as_deref(), now));
            text.push('\n');
        }
        text.push_str(&uses::render_gaps(&document.not_checked, home.as_deref()));
        text.push_str(&uses::render_left(&document.skipped, home.as_deref()));
        text.push_str(&document.summary.told());
        text
    })?;
    Ok(document.exit())
}

/// Tells how far a search is, once it takes long enough to wonder.
struct Searching {
    began: Instant,
    progress: output::progress::Progress,
}

impl Searching {
    fn new(output: Output) -> Self {
        Self {
            began: Instant::now(),
            progress: output::progress::Progress::new(output),
        }
    }

    fn tell(&mut self, progress: &sweep::Progress<'_>) -> ControlFlow<()> {
        if self.began.elapsed() >= WONDER {
            self.progress.figures(&format!(
                "searching: {}, {}",
                count(progress.files, "file"),
                size(progress.bytes)
            ));
        }
        ControlFlow::Continue(())
    }
}

/// So long nobody wonders.
const WONDER: Duration = Duration::from_secs(1);

/// This machine, as whoever asks sees it.
pub(crate) fn machine() -> Machine {
    let uid = bascule_os::effective_uid();
    let mut environment = source::environment();
    if let Some(password) = encrypted::password() {
        environment.set(encrypted::PASSWORD, password.as_str());
    }
    Machine::local(environment, uid, clock::now())
}

/// Runs a look, which reads many files, beside the client's own loop.
pub(crate) async fn look<T: Send + 'static>(
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(look)
        .await
        .map_err(|_| Error::new(Kind::Failed, "the look at this machine broke off"))
}

/// What the daemon knows of the keys; `None` when there is none to ask.
pub(crate) async fn judged(
    uses: &[Use],
    context: &Context,
) -> Option<BTreeMap<AccessKeyId, v1::Judgement>> {
    let ids: std::collections::BTreeSet<_> = uses.iter().map(|found| &found.key.id).collect();
    let client = context.client().await.ok()?;
    let request = v1::JudgeRequest {
        access_key_ids: ids.iter().map(ToString::to_string).collect(),
    };
    let response = client.findings().judge(request).await.ok()?.into_inner();
    let ids = ids.into_iter().cloned();
    Some(ids.zip(response.judgements).collect())
}

impl Document {
    fn of(picture: &Picture, states: Option<&BTreeMap<AccessKeyId, v1::Judgement>>) -> Self {
        let none = BTreeMap::new();
        let keys = uses::by_key(&picture.uses, states.unwrap_or(&none));
        Self {
            summary: Summary {
                keys: keys.len(),
                uses: picture.uses.len(),
                findings: keys.iter().filter(|key| key.finding).count(),
                not_checked: picture.gaps.len(),
                files_read: picture.files_read,
                daemon_asked: states.is_some(),
            },
            keys,
            not_checked: picture.gaps.iter().map(Into::into).collect(),
            skipped: picture.skipped.iter().map(Into::into).collect(),
        }
    }

    fn exit(&self) -> Exit {
        if self.summary.findings > 0 {
            Exit::Findings
        } else if self.not_checked.is_empty() {
            Exit::Ok
        } else {
            Exit::Incomplete
        }
    }
}

impl Summary {
    fn told(&self) -> String {
        let keys = match self.keys {
            0 => "no S3 key was found".to_owned(),
            keys => format!(
                "{}, {}",
                count(keys as u64, "key"),
                count(self.uses as u64, "use")
            ),
        };
        let mut text = format!(
            "{} in {}",
            styled(GOOD, &keys),
            count(self.files_read, "file")
        );
        if self.not_checked > 0 {
            let told = format!("{} not checked", self.not_checked);
            text.push_str(&format!(", {}", styled(WARN, &told)));
        }
        text.push('\n');
        if self.keys > 0 && !self.daemon_asked {
            text.push_str(&format!(
                "{} which of them still work: bascule check --all\n",
                styled(NEXT, "next:")
            ));
        }
        text
    }
}
