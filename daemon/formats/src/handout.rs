//! Writes an issued key in the form that a tool takes as it is. The text holds the secret: it is
//! wiped when dropped, shown once, and must never be logged or kept.

mod document;
mod ini;
mod name;
mod shell;
#[cfg(test)]
mod tests;

use std::{fmt::Write as _, str::FromStr};

use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::{Endpoint, Region},
    names::{BucketName, ConnectionName, Label, Prefix},
    secret::SecretKey,
};
use zeroize::Zeroizing;

pub use name::{InvalidName, SectionName};
pub use shell::word as shell_word;

use crate::insert::Target;

/// Longer than anything that is written from the secret on, so that it is never moved.
const CAPACITY: usize = 4096;

/// A form of handing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A section for `rclone.conf`.
    Rclone,
    /// Sections for `~/.aws/credentials` and `~/.aws/config`.
    Aws,
    /// `export` lines for a POSIX shell.
    Env,
    /// A whole `.s3cfg`, since s3cmd knows no sections.
    S3cmd,
    /// What `mc alias import NAME` reads; the value of an alias in `config.json`.
    Mc,
    /// A section for `~/.aws/credentials`; s5cmd takes the address from its command line.
    S5cmd,
    /// `export` lines for a POSIX shell, with a repository.
    Restic,
    /// A bookmark (`.duck`). It holds no secret: Cyberduck asks for it, and keeps it by itself.
    Cyberduck,
    /// Lines of Python that make a client.
    Boto3,
    /// One JSON object.
    Json,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 10] = [
        Self::Rclone,
        Self::Aws,
        Self::Env,
        Self::S3cmd,
        Self::Mc,
        Self::S5cmd,
        Self::Restic,
        Self::Cyberduck,
        Self::Boto3,
        Self::Json,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rclone => "rclone",
            Self::Aws => "aws",
            Self::Env => "env",
            Self::S3cmd => "s3cmd",
            Self::Mc => "mc",
            Self::S5cmd => "s5cmd",
            Self::Restic => "restic",
            Self::Cyberduck => "cyberduck",
            Self::Boto3 => "boto3",
            Self::Json => "json",
        }
    }

    /// The files of the tool that the key goes into, in the order of writing: what holds the
    /// secret comes last. boto3 reads the files of the AWS tools. Empty: no tool reads it.
    #[must_use]
    pub const fn targets(self) -> &'static [Target] {
        match self {
            Self::Rclone => &[Target::Rclone],
            Self::Aws | Self::Boto3 => &[Target::AwsConfig, Target::AwsCredentials],
            Self::S5cmd => &[Target::AwsCredentials],
            Self::Mc => &[Target::McConfig],
            Self::Env | Self::S3cmd | Self::Restic | Self::Cyberduck => &[Target::WholeFile],
            Self::Json => &[],
        }
    }

    /// Whether the tool's file holds no secret, because the tool asks for it and keeps it itself.
    #[must_use]
    pub const fn asks_for_secret(self) -> bool {
        matches!(self, Self::Cyberduck)
    }

    /// Whether any issued key that is limited to these prefixes can be written in it.
    pub fn takes(self, prefixes: &[Prefix]) -> Result<(), Unwritable> {
        match self {
            Self::Restic => shell::folder(prefixes).map(|_| ()),
            _ => Ok(()),
        }
    }
}

/// The name of a format is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the format is one of rclone, aws, env, s3cmd, mc, s5cmd, restic, cyberduck, boto3, json")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or(UnknownFormat)
    }
}

/// Why a key has no form that the tool would read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// Issued keys never hold such characters.
    #[error("the key holds characters that this format cannot express; use --format env or json")]
    Key,
    /// restic tidies the paths of its repositories.
    #[error(
        "restic can't keep a repository below a prefix that is empty between two '/' or starts with one; choose another --prefix"
    )]
    ResticPrefix,
}

/// A key with all that a tool needs to use it through the gateway.
#[derive(Debug, Clone, Copy)]
pub struct HandOut<'a> {
    /// The remote's, profile's or alias's name.
    pub name: &'a SectionName,
    /// The connection that the key opens.
    pub connection: &'a ConnectionName,
    /// What the key is for.
    pub label: &'a Label,
    /// The public half.
    pub access_key_id: &'a AccessKeyId,
    /// The secret half.
    pub secret: &'a SecretKey,
    /// The gateway.
    pub endpoint: &'a Endpoint,
    /// The region to sign for; `auto` keeps botocore from Signature Version 2 (gateway.md 20).
    pub region: &'a Region,
    /// The buckets that the key opens.
    pub buckets: &'a [BucketName],
    /// What the key is limited to within them; empty is no limit.
    pub prefixes: &'a [Prefix],
}

impl HandOut<'_> {
    /// Writes the key as it is pasted, ending with a line break.
    pub fn write(&self, format: Format) -> Result<Zeroizing<String>, Unwritable> {
        match format {
            Format::Rclone => self.rclone(),
            Format::Aws => self.aws(),
            Format::Env => Ok(self.env()),
            Format::S3cmd => self.s3cmd(),
            Format::Mc => Ok(self.mc()),
            Format::S5cmd => self.s5cmd(),
            Format::Restic => self.restic(),
            Format::Cyberduck => Ok(self.cyberduck()),
            Format::Boto3 => Ok(self.boto3()),
            Format::Json => Ok(self.json()),
        }
    }

    /// What goes into one of [`Format::targets`].
    pub fn entry(&self, format: Format, target: Target) -> Result<Zeroizing<String>, Unwritable> {
        match (format, target) {
            (Format::Aws | Format::Boto3, Target::AwsCredentials) => self.aws_credentials(),
            (Format::Aws | Format::Boto3, Target::AwsConfig) => Ok(self.aws_config()),
            _ => self.write(format),
        }
    }

    /// Comment lines that name the buckets and prefixes, and room for what follows.
    fn begin(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        let names = self.buckets.iter().map(BucketName::as_str);
        comment(&mut text, "buckets: ", names.map(str::to_owned));
        // A prefix may hold anything, also line breaks.
        let quoted = self.prefixes.iter().map(|p| format!("{:?}", p.as_str()));
        comment(&mut text, "only below: ", quoted);
        text.reserve(CAPACITY);
        text
    }
}

/// One line; a connection may have a thousand buckets, and the first ones show which it is.
fn comment(text: &mut String, what: &str, names: impl ExactSizeIterator<Item = String>) {
    const SHOWN: usize = 8;
    let all = names.len();
    if all == 0 {
        return;
    }
    let mut shown = String::new();
    for (at, name) in names.take(SHOWN).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(shown, "{}{name}", if at > 0 { ", " } else { "" });
    }
    if all > SHOWN {
        shown.push_str(", …");
    }
    line(text, &["# ", what, &shown]);
}

fn line(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
    text.push('\n');
}
