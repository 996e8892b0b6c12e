//! Writes an issued key in the form that a tool takes as it is. The text holds the secret: it is
//! wiped when dropped, shown once, and must never be logged or kept.

use std::{fmt::Write as _, str::FromStr};

use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::{Endpoint, Region},
    names::{BucketName, ConnectionName, Label},
    secret::SecretKey,
};
use zeroize::Zeroizing;

/// Longer than anything below, so that the text is written without being moved.
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
    /// One JSON object.
    Json,
}

/// The name of a format is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the format is one of rclone, aws, env, json")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "rclone" => Ok(Self::Rclone),
            "aws" => Ok(Self::Aws),
            "env" => Ok(Self::Env),
            "json" => Ok(Self::Json),
            _ => Err(UnknownFormat),
        }
    }
}

/// The key holds characters that the tool's file would change. Issued keys never do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key holds characters that this format cannot express; use --format env or json")]
pub struct Unwritable;

/// A key with all that a tool needs to use it through the gateway.
#[derive(Debug, Clone, Copy)]
pub struct HandOut<'a> {
    /// The remote's or profile's name; see [`section_name`].
    pub section_name: &'a str,
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
}

/// A name for the remote or profile: the connection and the label, in the characters that rclone,
/// AWS tools, shells and environment variables all take. A label that loses something gets the
/// end of the key's id, so that two labels do not become one name.
#[must_use]
pub fn section_name(
    connection: &ConnectionName,
    label: &Label,
    access_key_id: &AccessKeyId,
) -> String {
    let mut name = String::new();
    let mut lost = false;
    for c in connection
        .as_str()
        .chars()
        .chain(['-'])
        .chain(label.as_str().chars())
    {
        match c {
            _ if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
            // A dot would make rclone read missing keys from another section.
            _ => {
                lost |= c != '-' || name.ends_with('-');
                if !name.ends_with('-') {
                    name.push('-');
                }
            }
        }
    }
    let mut name = name.trim_matches('-').to_owned();
    if lost || name.len() < 3 {
        let id = access_key_id.as_str();
        let end: String = id
            .chars()
            .rev()
            .take(4)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect();
        name = format!(
            "{name}-{}",
            end.to_ascii_lowercase()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "x")
        );
    }
    name.trim_start_matches('-').to_owned()
}

impl HandOut<'_> {
    /// Writes the key, ending with a line break.
    pub fn write(&self, format: Format) -> Result<Zeroizing<String>, Unwritable> {
        match format {
            Format::Rclone => self.rclone(),
            Format::Aws => self.aws(),
            Format::Env => Ok(self.env()),
            Format::Json => Ok(self.json()),
        }
    }

    fn rclone(&self) -> Result<Zeroizing<String>, Unwritable> {
        self.plain()?;
        let mut text = self.begin("# ");
        line(&mut text, &["[", self.section_name, "]"]);
        line(&mut text, &["type = s3"]);
        line(&mut text, &["provider = Other"]);
        line(
            &mut text,
            &["access_key_id = ", self.access_key_id.as_str()],
        );
        line(&mut text, &["secret_access_key = ", self.secret.expose()]);
        line(&mut text, &["endpoint = ", &self.endpoint.to_string()]);
        line(&mut text, &["region = ", self.region.as_str()]);
        line(&mut text, &["force_path_style = true"]);
        line(&mut text, &["no_check_bucket = true"]);
        Ok(text)
    }

    fn aws(&self) -> Result<Zeroizing<String>, Unwritable> {
        self.plain()?;
        let mut text = self.begin("# ");
        line(&mut text, &["# for ~/.aws/credentials"]);
        line(&mut text, &["[", self.section_name, "]"]);
        line(
            &mut text,
            &["aws_access_key_id = ", self.access_key_id.as_str()],
        );
        line(
            &mut text,
            &["aws_secret_access_key = ", self.secret.expose()],
        );
        line(&mut text, &[""]);
        line(&mut text, &["# for ~/.aws/config"]);
        line(&mut text, &["[profile ", self.section_name, "]"]);
        line(&mut text, &["region = ", self.region.as_str()]);
        line(&mut text, &["endpoint_url = ", &self.endpoint.to_string()]);
        line(&mut text, &["s3 ="]);
        line(&mut text, &["  addressing_style = path"]);
        Ok(text)
    }

    fn env(&self) -> Zeroizing<String> {
        let mut text = self.begin("# ");
        let endpoint = self.endpoint.to_string();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", self.access_key_id.as_str()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.expose()),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_REGION", self.region.as_str()),
            // boto3 and the first AWS CLI know only this one.
            ("AWS_DEFAULT_REGION", self.region.as_str()),
        ] {
            line(&mut text, &["export ", name, "=", &shell_word(value)]);
        }
        text
    }

    fn json(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(CAPACITY));
        line(&mut text, &["{"]);
        for (name, value) in [
            ("name", self.section_name),
            ("access_key_id", self.access_key_id.as_str()),
            ("secret_access_key", self.secret.expose()),
            ("endpoint", &self.endpoint.to_string()),
            ("region", self.region.as_str()),
        ] {
            line(&mut text, &["  \"", name, "\": ", &json(value), ","]);
        }
        line(&mut text, &["  \"path_style\": true,"]);
        let buckets: Vec<&str> = self.buckets.iter().map(BucketName::as_str).collect();
        line(&mut text, &["  \"buckets\": ", &json(&buckets)]);
        line(&mut text, &["}"]);
        text
    }

    /// A comment line that names the buckets, if there are any.
    fn begin(&self, comment: &str) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(CAPACITY));
        if !self.buckets.is_empty() {
            let mut names = String::new();
            // A connection may have a thousand; the first ones show which it is.
            for (at, bucket) in self.buckets.iter().take(8).enumerate() {
                // Writing to a String cannot fail.
                let _ = write!(names, "{}{bucket}", if at > 0 { ", " } else { "" });
            }
            if self.buckets.len() > 8 {
                names.push_str(", …");
            }
            line(&mut text, &[comment, "buckets: ", &names]);
        }
        text
    }

    /// Quotes, `%` and the like would be changed by one of the INI readers.
    fn plain(&self) -> Result<(), Unwritable> {
        let plain = |text: &str| {
            text.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-' | b'_' | b'.')
            })
        };
        if plain(self.access_key_id.as_str()) && plain(self.secret.expose()) {
            Ok(())
        } else {
            Err(Unwritable)
        }
    }
}

fn line(text: &mut String, parts: &[&str]) {
    for part in parts {
        text.push_str(part);
    }
    text.push('\n');
}

#[expect(
    clippy::expect_used,
    reason = "texts and lists of texts always have a JSON form"
)]
fn json<T: serde::Serialize + ?Sized>(value: &T) -> Zeroizing<String> {
    Zeroizing::new(serde_json::to_string(value).expect("a JSON form"))
}

/// A word for a POSIX shell.
fn shell_word(value: &str) -> Zeroizing<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:+@%".contains(&b);
    Zeroizing::new(if value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    })
}

#[cfg(test)]
mod tests;
