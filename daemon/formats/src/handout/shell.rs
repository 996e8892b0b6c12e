//! Lines that a POSIX shell takes.

use bascule_domain::names::{BucketName, Prefix};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::{HandOut, Unwritable, line};

/// restic decodes the path of a repository's URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl HandOut<'_> {
    pub(super) fn env(&self) -> Zeroizing<String> {
        let mut text = self.begin();
        let endpoint = self.endpoint.to_string();
        self.keys_and_region(&mut text);
        export(&mut text, "AWS_ENDPOINT_URL", &endpoint);
        // boto3 and the first AWS CLI know only the other one.
        export(&mut text, "AWS_REGION", self.region.as_str());
        text
    }

    /// Any version of restic reads these; its repository's password is none of ours.
    pub(super) fn restic(&self) -> Result<Zeroizing<String>, Unwritable> {
        let repository = self.repository()?;
        let mut text = self.begin();
        text.reserve(repository.len() * 4);
        line(
            &mut text,
            &[
                "# restic asks for the repository's password, or reads the file that RESTIC_PASSWORD_FILE names",
            ],
        );
        self.keys_and_region(&mut text);
        export(&mut text, "RESTIC_REPOSITORY", &repository);
        Ok(text)
    }

    /// In the first bucket: restic knows one place.
    fn repository(&self) -> Result<String, Unwritable> {
        let folder = utf8_percent_encode(folder(self.prefixes)?, PATH);
        let bucket = self.buckets.first().map_or("BUCKET", BucketName::as_str);
        Ok(format!("s3:{}/{bucket}/{folder}", self.endpoint))
    }

    fn keys_and_region(&self, text: &mut String) {
        export(text, "AWS_ACCESS_KEY_ID", self.access_key_id.as_str());
        export(text, "AWS_SECRET_ACCESS_KEY", self.secret.expose());
        export(text, "AWS_DEFAULT_REGION", self.region.as_str());
    }
}

/// The repository's folder: the first prefix, if there is one.
pub(super) fn folder(prefixes: &[Prefix]) -> Result<&str, Unwritable> {
    let Some(prefix) = prefixes.first().map(Prefix::as_str) else {
        return Ok("restic");
    };
    let folder = prefix.strip_suffix('/').unwrap_or(prefix);
    // restic folds such paths, and would then look outside the prefix.
    if folder.split('/').any(str::is_empty) {
        Err(Unwritable::ResticPrefix)
    } else {
        Ok(folder)
    }
}

fn export(text: &mut String, name: &str, value: &str) {
    line(text, &["export ", name, "=", &word(value)]);
}

/// A text as one word of a POSIX shell.
#[must_use]
pub fn word(value: &str) -> Zeroizing<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:+@%".contains(&b);
    Zeroizing::new(if value.bytes().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    })
}
