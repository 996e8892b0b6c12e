//! `key issue --write`: puts a key into the tool's own configuration. Whatever can stand in the way
//! is found before the key is issued, since a key without a place is a key for nothing.

use std::path::{Path, PathBuf};

use bascule_domain::names::BucketName;
use bascule_formats::{Format, HandOut, NoRoom, SectionName, Target, insert, shell_word};
use bascule_watch::{Environment, aws, places, rclone};
use clap::Args;
use serde::Serialize;

use crate::{
    edit,
    error::{Error, Kind},
    verbs::source::environment,
};

/// Where the key goes, and under which name.
#[derive(Debug, Args)]
pub(crate) struct Writing {
    /// Put it into the tool's own configuration, as a new section; the secret is not shown
    #[arg(long, requires = "format")]
    pub(crate) write: bool,
    /// The remote's, profile's or alias's name; connection and label if left out
    #[arg(long = "as", value_name = "NAME", requires = "format")]
    pub(crate) alias: Option<SectionName>,
    /// With --write: this file instead of the tool's own
    #[arg(long, value_name = "FILE", requires = "write")]
    pub(crate) file: Option<PathBuf>,
}

/// A file that holds the key now.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    /// What the file held before.
    pub(super) backup: Option<PathBuf>,
    /// The file's former mode, if others could read it.
    #[serde(skip)]
    pub(super) narrowed: Option<u32>,
}

/// Which files a key will go into.
#[derive(Debug)]
pub(super) struct Plan {
    format: Format,
    name: SectionName,
    files: Vec<(Target, PathBuf)>,
    /// Whether the tool has to be told where the file is.
    named: bool,
}

impl Writing {
    /// The files, each looked at. `None` without `--write`.
    pub(super) fn plan(&self, format: Format, name: &SectionName) -> Result<Option<Plan>, Error> {
        if !self.write {
            return Ok(None);
        }
        let environment = environment();
        let plan = Plan {
            format,
            name: name.clone(),
            files: self.files(format, name, &environment)?,
            named: self.file.is_some(),
        };
        if format == Format::Rclone
            && let Some(variable) = rclone::variable_of(name.as_str(), &environment)
        {
            let message = format!("a remote {name} exists already, by the variable {variable}");
            return Err(Error::new(Kind::AlreadyExists, message).next(OTHER_NAME));
        }
        for (target, path) in &plan.files {
            edit::check(path, |text| {
                insert::insert(*target, text, name, "")
                    .map(|edit| vec![edit])
                    .map_err(|why| no_room(&why, path, &plan))
            })?;
        }
        Ok(Some(plan))
    }

    fn files(
        &self,
        format: Format,
        name: &SectionName,
        environment: &Environment,
    ) -> Result<Vec<(Target, PathBuf)>, Error> {
        let invalid = |message: String, next: &str| Error::new(Kind::Invalid, message).next(next);
        let targets = format.targets();
        let tool = format.as_str();
        match (targets, &self.file) {
            ([], _) => Err(invalid(
                format!("no tool has a file that holds --format {tool}"),
                "leave --write out: the key goes to stdout",
            )),
            ([target], Some(file)) => Ok(vec![(*target, environment.absolute(file))]),
            (_, Some(_)) => Err(invalid(
                format!("--format {tool} goes into two files, so --file can't name them"),
                "name them with AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE",
            )),
            (_, None) if format == Format::Env => Err(invalid(
                "variables have no file of their own".to_owned(),
                "name one: --write --file FILE",
            )),
            (targets, None) => {
                let usual = |target| usual(format, target, name, environment);
                let paths: Option<Vec<_>> = targets
                    .iter()
                    .map(|target| Some((*target, usual(*target)?)))
                    .collect();
                paths.ok_or_else(|| {
                    let message = format!("{tool} keeps its configuration in no file here");
                    invalid(message, "name one: --write --file FILE")
                })
            }
        }
    }
}

/// Where the tool itself would look.
fn usual(
    format: Format,
    target: Target,
    name: &SectionName,
    environment: &Environment,
) -> Option<PathBuf> {
    match target {
        Target::Rclone => rclone::file(environment),
        Target::AwsCredentials => aws::credentials_file(environment),
        Target::AwsConfig => aws::config_file(environment),
        Target::McConfig => places::mc(environment),
        Target::WholeFile => match format {
            Format::S3cmd => places::s3cmd(environment),
            Format::Restic => Some(places::restic(environment)?.join(format!("{name}.env"))),
            // Cyberduck renames it when it first sees it.
            Format::Cyberduck => {
                Some(places::cyberduck_bookmarks(environment)?.join(format!("{name}.duck")))
            }
            _ => None,
        },
    }
}

const OTHER_NAME: &str = "choose --as NAME or another --label";

fn no_room(why: &NoRoom, path: &Path, plan: &Plan) -> Error {
    let shown = path.display();
    let refused = |message: String, next: &str| Error::new(Kind::Refused, message).next(next);
    let another = "repair it, or name another file: --file FILE";
    match why {
        NoRoom::Exists(_) if plan.files.iter().any(|(t, _)| *t == Target::WholeFile) => {
            let next = match plan.format {
                Format::Restic | Format::Cyberduck if !plan.named => OTHER_NAME,
                _ => "name a file that is not there yet: --file FILE",
            };
            Error::new(Kind::AlreadyExists, format!("{shown} exists already")).next(next)
        }
        NoRoom::Exists(_) => {
            Error::new(Kind::AlreadyExists, format!("{why} in {shown}")).next(OTHER_NAME)
        }
        NoRoom::Heir(_) => refused(format!("{why}, in {shown}"), OTHER_NAME),
        NoRoom::Encrypted => refused(
            format!("{shown} is encrypted, and Bascule never asks for its password"),
            "issue with --format json and enter it with: rclone config; or use a file beside it: --file FILE, and rclone --config FILE",
        ),
        NoRoom::Ini(source) => refused(format!("{shown}: {why}: {source}"), another),
        NoRoom::Json { .. } => refused(format!("{shown}: {why}"), another),
        NoRoom::McVersion => refused(
            format!("{shown}: {why}"),
            "let mc bring it up to date: mc alias list",
        ),
    }
}

impl Plan {
    pub(super) const fn format(&self) -> Format {
        self.format
    }

    /// Writes the key into every file. What was written before a failure comes with it.
    pub(super) fn carry_out(
        &self,
        key: &HandOut<'_>,
    ) -> Result<Vec<Written>, (Vec<Written>, Error)> {
        let mut written = Vec::with_capacity(self.files.len());
        for (target, path) in &self.files {
            match self.write(*target, path, key) {
                Ok(one) => written.push(one),
                Err(error) => return Err((written, error)),
            }
        }
        Ok(written)
    }

    fn write(&self, target: Target, path: &Path, key: &HandOut<'_>) -> Result<Written, Error> {
        let entry = key
            .entry(self.format, target)
            .map_err(|error| Error::new(Kind::Failed, error.to_string()))?;
        let replaced = edit::make(path, |text| {
            insert::insert(target, text, &self.name, &entry)
                .map(|edit| vec![edit])
                .map_err(|why| no_room(&why, path, self))
        })?;
        Ok(Written {
            path: path.to_owned(),
            backup: replaced.backup,
            narrowed: replaced.narrowed,
        })
    }

    /// What is called what in the tool, for people.
    pub(super) fn what(&self) -> String {
        match self.format {
            Format::Mc => format!("alias {}", self.name),
            Format::Rclone => format!("remote {}", self.name),
            Format::Aws | Format::S5cmd | Format::Boto3 => format!("profile {}", self.name),
            _ => self.format.as_str().to_owned(),
        }
    }

    /// What to try first.
    pub(super) fn command(&self, key: &HandOut<'_>) -> String {
        let file = self.files.first().map(|(_, path)| word(path));
        let file = file.unwrap_or_default();
        let option = |option: &str| match self.named {
            true => format!("{option} {file} "),
            false => String::new(),
        };
        let bucket = key.buckets.first().map_or("", BucketName::as_str);
        let prefix = key.prefixes.first().map_or("", |prefix| prefix.as_str());
        let at = |before: &str| shell_word(&format!("{before}{bucket}/{prefix}")).to_string();
        let (name, endpoint) = (&self.name, key.endpoint);
        match self.format {
            Format::Rclone if prefix.is_empty() => {
                format!("rclone {}lsd {name}:", option("--config"))
            }
            Format::Rclone => format!(
                "rclone {}lsf {}",
                option("--config"),
                at(&format!("{name}:"))
            ),
            Format::Aws => format!("aws --profile {name} s3 ls {}", at("s3://")),
            Format::S3cmd => format!("s3cmd {}ls {}", option("-c"), at("s3://")),
            Format::Mc => format!("mc ls {}", at(&format!("{name}/"))),
            Format::S5cmd => format!(
                "s5cmd {}--profile {name} --endpoint-url {endpoint} ls {}",
                option("--credentials-file"),
                at("s3://")
            ),
            Format::Restic => format!(". {file} && restic init"),
            Format::Env => format!(". {file}"),
            Format::Boto3 => format!("boto3.Session(profile_name=\"{name}\").client(\"s3\")"),
            Format::Cyberduck => format!("open the bookmark \"{}\"", key.title()),
            Format::Json => String::new(),
        }
    }
}

fn word(path: &Path) -> String {
    shell_word(&path.display().to_string()).to_string()
}
