//! `bascule receipt verify`: surveys the buckets of a receipt again, with credentials that are
//! given and not kept, and says what has changed since.

use std::{
    fs::File,
    io::{BufRead, BufReader, Lines},
    path::{Path, PathBuf},
};

use bascule_domain::{
    manifest::{Entry, Step, compare},
    names::BucketName,
    provider::ProviderKind,
    receipt::Receipt,
    since::{Sameness, Since},
    survey::{BucketOutcome, ChangeKind, Difference, Differences},
};
use bascule_proto::v1::{self, verify_event::Event};
use clap::Args;
use serde::Serialize;

use crate::{
    error::{Error, Kind},
    exit::Exit,
    output::{
        progress::Progress,
        text::{BAD, GOOD, WARN, count, escape, styled},
    },
    verbs::{Context, audit::Why, connect, delete::manifest_files, source::Source},
};

/// No receipt is longer.
const LIMIT: u64 = 64 << 20;
/// How many differences are shown; the document has the rest.
const SHOWN: usize = 20;

/// Survey the buckets of a receipt again, and say what has changed since
///
/// Whether the contents are the same is told by the digest in the receipt; which objects are not,
/// by the manifests that `bascule delete --keep-manifests DIR` kept. The credentials are used once
/// and not kept. What changed may have been changed by anybody: this proves no cause.
///
/// Examples:
///   bascule receipt verify photos-receipt.json --aws-profile me
///   bascule receipt verify photos-receipt.json --card photos.card --credentials-stdin < key.txt
///   bascule receipt verify photos-receipt.json --rclone-remote r2 --manifests kept/
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The receipt, as --receipt or `bascule --json receipt show ID` wrote it
    file: PathBuf,
    /// The folder of --keep-manifests, to name the objects that differ
    #[arg(long, value_name = "DIR")]
    manifests: Option<PathBuf>,
    /// The connection's reconnect card, in place of what follows about the place
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "endpoint", "region", "extra_ca", "allow_http", "allow_link_local", "addressing",
        "rclone_remote",
    ])]
    card: Option<PathBuf>,
    /// The server's address, if it is not the one in the receipt
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region that requests are signed for
    #[arg(long)]
    region: Option<String>,
    /// A certificate authority (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE", alias = "ca-file")]
    extra_ca: Option<PathBuf>,
    /// Allow an unencrypted http:// endpoint
    #[arg(long)]
    allow_http: bool,
    /// Allow an endpoint at a link-local or metadata address
    #[arg(long)]
    allow_link_local: bool,
    /// How buckets are addressed; the provider has a default
    #[arg(long, value_parser = ["path", "virtual-host"])]
    addressing: Option<String>,
    #[command(flatten)]
    source: Source,
    /// Take keys and region of an rclone remote
    #[arg(long, value_name = "REMOTE", conflicts_with_all = ["credentials_stdin", "aws_profile"])]
    rclone_remote: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    receipt: String,
    /// unchanged, changed, cannot-tell.
    result: &'static str,
    buckets: &'a [Found],
}

/// What was found in one bucket.
#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    since: Since,
    /// Which objects differ; absent without kept manifests.
    differences: Option<Differences>,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let (receipt, text) = read(&arguments.file)?;
    let id = receipt.id.to_string();
    let manifests = arguments.manifests.clone();
    let request = v1::VerifyRequest {
        receipt: text,
        manifests: manifests.is_some(),
        place: Some(place(arguments, &receipt)?),
    };
    let client = context.client().await?;
    let mut events = client.deletions().verify(request).await?.into_inner();
    let mut progress = Progress::new(context.output);
    let mut found: Vec<Found> = Vec::new();
    let mut comparison: Option<Comparison> = None;
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Survey(survey)) => progress.survey(&survey),
            Some(Event::Since(json)) => {
                finish(comparison.take(), &mut found)?;
                let since: Since = serde_json::from_str(&json).map_err(|error| {
                    Error::new(
                        Kind::Failed,
                        format!("the daemon's answer is not understood: {error}"),
                    )
                })?;
                comparison = match &manifests {
                    Some(folder) => Comparison::open(folder, &id, &since)?,
                    None => None,
                };
                found.push(Found {
                    since,
                    differences: None,
                });
            }
            Some(Event::Manifest(part)) => {
                if let Some(comparison) = &mut comparison {
                    for line in part.lines.lines() {
                        comparison.take(line)?;
                    }
                }
            }
            None => {}
        }
    }
    finish(comparison, &mut found)?;
    progress.clear();
    let result = found
        .iter()
        .map(|found| found.since.result)
        .reduce(Sameness::and)
        .unwrap_or(Sameness::CannotTell);
    let document = Document {
        receipt: id,
        result: result.as_str(),
        buckets: &found,
    };
    context
        .output
        .result(&document, || render(result, &found))?;
    Ok(match result {
        Sameness::Unchanged => Exit::Ok,
        Sameness::Changed | Sameness::CannotTell => Exit::NotIntact,
    })
}

fn finish(comparison: Option<Comparison>, found: &mut [Found]) -> Result<(), Error> {
    if let (Some(comparison), Some(last)) = (comparison, found.last_mut()) {
        last.differences = Some(comparison.finish()?);
    }
    Ok(())
}

fn read(path: &Path) -> Result<(Receipt, String), Error> {
    let failed = |why: String| {
        let message = format!("the receipt {} can't be used: {why}", path.display());
        Error::new(Kind::Invalid, message).next("bascule --json receipt show ID > FILE writes one")
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let size = std::io::Read::read_to_string(&mut std::io::Read::take(file, LIMIT + 1), &mut text)
        .map_err(|error| failed(error.to_string()))?;
    if size as u64 > LIMIT {
        return Err(failed("it is longer than any receipt".to_owned()));
    }
    let receipt = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    Ok((receipt, text))
}

/// Where the receipt's buckets are, as for `connect`.
fn place(arguments: Arguments, receipt: &Receipt) -> Result<v1::ConnectRequest, Error> {
    let severed = &receipt.connection;
    let said = arguments.card.is_none();
    let local = severed.provider == ProviderKind::Local;
    let endpoint = arguments
        .endpoint
        .or_else(|| Some(severed.location.clone()));
    connect::request(connect::Arguments {
        name: severed.name.to_string(),
        provider: said.then(|| severed.provider.as_str().to_owned()),
        buckets: match said {
            true => severed.buckets.iter().map(ToString::to_string).collect(),
            false => Vec::new(),
        },
        endpoint: endpoint.filter(|_| said && !local),
        region: arguments.region,
        account_id: None,
        path: (said && local).then(|| PathBuf::from(&severed.location)),
        card: arguments.card,
        extra_ca: arguments.extra_ca,
        allow_http: arguments.allow_http,
        allow_link_local: arguments.allow_link_local,
        addressing: arguments.addressing,
        source: arguments.source,
        rclone_remote: arguments.rclone_remote,
        allow_leaked: false,
        why: Why::default(),
    })
}

/// Compares a kept manifest with the one of now, line by line.
struct Comparison {
    bucket: BucketName,
    path: PathBuf,
    kept: Lines<BufReader<File>>,
    head: Option<Entry>,
    differences: Differences,
}

impl Comparison {
    /// With the manifest that was kept of the survey in the receipt; `None` when none was.
    fn open(folder: &Path, id: &str, since: &Since) -> Result<Option<Self>, Error> {
        let bucket = &since.bucket;
        for after in [true, false] {
            let path = manifest_files::path(folder, id, bucket.as_str(), after);
            match File::open(&path) {
                Ok(file) => {
                    let mut comparison = Self {
                        bucket: bucket.clone(),
                        path,
                        kept: BufReader::new(file).lines(),
                        head: None,
                        differences: Differences::default(),
                    };
                    comparison.advance()?;
                    return Ok(Some(comparison));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    let message = format!("{} can't be read: {error}", path.display());
                    return Err(Error::new(Kind::Failed, message));
                }
            }
        }
        Err(Error::new(
            Kind::NotFound,
            format!(
                "{} holds no manifest of {bucket} for {id}",
                folder.display()
            ),
        ))
    }

    fn bad(&self, why: &str) -> Error {
        let message = format!(
            "the kept manifest {} can't be used: {why}",
            self.path.display()
        );
        Error::new(Kind::Invalid, message)
    }

    fn advance(&mut self) -> Result<(), Error> {
        let line = self.kept.next().transpose();
        let line = line.map_err(|error| self.bad(&error.to_string()))?;
        let entry = line.map(|line| serde_json::from_str(&line)).transpose();
        self.head = entry.map_err(|error| self.bad(&error.to_string()))?;
        Ok(())
    }

    fn take(&mut self, line: &str) -> Result<(), Error> {
        let now: Entry = serde_json::from_str(line)
            .map_err(|_| Error::new(Kind::Failed, "the daemon's answer is not understood"))?;
        loop {
            match compare(self.head.as_ref(), Some(&now)) {
                Step::Removed => self.removed()?,
                Step::Added => {
                    self.record(now, ChangeKind::Added);
                    return Ok(());
                }
                Step::Replaced => {
                    self.record(now, ChangeKind::Replaced);
                    return self.advance();
                }
                Step::Same | Step::End => return self.advance(),
            }
        }
    }

    fn finish(mut self) -> Result<Differences, Error> {
        while self.head.is_some() {
            self.removed()?;
        }
        Ok(self.differences)
    }

    fn removed(&mut self) -> Result<(), Error> {
        if let Some(entry) = self.head.take() {
            self.record(entry, ChangeKind::Removed);
        }
        self.advance()
    }

    fn record(&mut self, entry: Entry, kind: ChangeKind) {
        self.differences.record(Difference {
            bucket: self.bucket.clone(),
            subject: entry.into(),
            kind,
        });
    }
}

fn render(result: Sameness, found: &[Found]) -> String {
    let style = match result {
        Sameness::Unchanged => GOOD,
        Sameness::Changed => BAD,
        Sameness::CannotTell => WARN,
    };
    let words = |sameness| match sameness {
        Sameness::Unchanged => "as it was",
        Sameness::Changed => "changed",
        Sameness::CannotTell => "can't be told",
    };
    let mut text = format!("since the receipt: {}\n", styled(style, words(result)));
    for Found { since, differences } in found {
        let bucket = &since.bucket;
        let BucketOutcome::Surveyed(now) = &since.now else {
            text.push_str(&format!("{bucket}: there is no such bucket any more\n"));
            continue;
        };
        text.push_str(&format!(
            "{bucket}: identity {}, contents {} ({} then, {} now)\n",
            words(since.identity),
            words(since.contents),
            count(since.then.objects, "object"),
            now.objects
        ));
        for change in &since.settings {
            let (kind, setting) = (change.kind.as_str(), change.setting.as_str());
            text.push_str(&format!("  {kind}  the setting {setting}\n"));
        }
        if let Some(differences) = differences {
            for difference in differences.named.iter().take(SHOWN) {
                let line = format!("{}  {}", difference.kind.as_str(), difference.subject);
                text.push_str(&format!("  {}\n", escape(&line)));
            }
            let shown = SHOWN.min(differences.named.len()) as u64;
            if differences.total > shown {
                text.push_str(&format!("  and {} more\n", differences.total - shown));
            }
        }
        for gap in &since.not_compared {
            text.push_str(&format!("  {}\n", styled(WARN, &escape(gap))));
        }
    }
    text
}
