//! A key with its secret, as the daemon has just made it, and the ways to show it. It is shown once,
//! and kept nowhere.

use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::{Endpoint, Region},
    names::{BucketName, ConnectionName, Label, Prefix},
    secret::SecretKey,
};
use bascule_formats::{Format, HandOut, SectionName};
use bascule_proto::v1;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{Context, rights, write::Written};
use crate::{
    clock,
    error::{Error, Kind},
    output::{
        Output, document,
        table::{Cell, Facts},
        text::{WARN, styled},
    },
};

/// A key as it is handed out.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    key: document::Key,
    /// Not with `--write`, unless the tool has to be told.
    secret_access_key: Option<&'a str>,
    endpoint: &'a str,
    region: &'a str,
    buckets: &'a [String],
    /// With `--format`: the text for the tool.
    pub(super) handed_out: Option<&'a str>,
    /// With `--format`: what it is called in the tool.
    name: Option<&'a str>,
    /// With `--write`: the files that hold it.
    pub(super) written: &'a [Written],
    /// With `--write`: what to try first.
    pub(super) command: Option<&'a str>,
}

/// The one answer that holds a secret.
pub(super) struct Issued {
    pub(super) key: v1::Key,
    pub(super) secret: Zeroizing<String>,
    endpoint: String,
    region: String,
    buckets: Vec<String>,
    /// What it is limited to within them.
    prefixes: Vec<String>,
    /// What it is called in the tool; from connection and label if nobody said.
    pub(super) name: Option<SectionName>,
}

impl From<v1::IssueKeyResponse> for Issued {
    fn from(response: v1::IssueKeyResponse) -> Self {
        let key = response.key.unwrap_or_default();
        Self {
            prefixes: key.prefixes.clone(),
            key,
            secret: Zeroizing::new(response.secret_access_key),
            endpoint: response.endpoint,
            region: response.region,
            buckets: response.buckets,
            name: None,
        }
    }
}

impl Issued {
    pub(super) fn hand_out(&self, format: Format) -> Result<Zeroizing<String>, Error> {
        self.with_hand_out(|key| key.write(format))?
            .map_err(|error| Error::new(Kind::Failed, error.to_string()))
    }

    pub(super) fn with_hand_out<T>(
        &self,
        use_it: impl FnOnce(&HandOut<'_>) -> T,
    ) -> Result<T, Error> {
        let access_key_id: AccessKeyId = parsed("key id", &self.key.access_key_id)?;
        let connection: ConnectionName = parsed("connection name", &self.key.connection)?;
        let label: Label = parsed("label", &self.key.label)?;
        let secret = SecretKey::parse(&self.secret).map_err(|error| {
            Error::new(
                Kind::Failed,
                format!("the daemon's answer is no key: {error}"),
            )
        })?;
        let endpoint: Endpoint = parsed("endpoint", &self.endpoint)?;
        let region: Region = parsed("region", &self.region)?;
        let buckets: Vec<BucketName> = all_parsed("bucket", &self.buckets)?;
        let prefixes: Vec<Prefix> = all_parsed("prefix", &self.prefixes)?;
        let name = self.name.clone();
        Ok(use_it(&HandOut {
            name: &name.unwrap_or_else(|| SectionName::of(&connection, &label)),
            connection: &connection,
            label: &label,
            access_key_id: &access_key_id,
            secret: &secret,
            endpoint: &endpoint,
            region: &region,
            buckets: &buckets,
            prefixes: &prefixes,
        }))
    }

    pub(super) fn document<'a>(&'a self, secret: Option<&'a str>) -> Document<'a> {
        Document {
            key: (&self.key).into(),
            secret_access_key: secret,
            endpoint: &self.endpoint,
            region: &self.region,
            buckets: &self.buckets,
            handed_out: None,
            name: self.name.as_ref().map(SectionName::as_str),
            written: &[],
            command: None,
        }
    }

    fn block(&self) -> Zeroizing<String> {
        let mut facts = Facts::default();
        facts
            .add("Access key id", self.key.access_key_id.as_str())
            .add("Secret access key", Cell::new(&*self.secret).style(WARN))
            .add("Endpoint", self.endpoint.as_str())
            .add("Region", self.region.as_str())
            .add("Label", self.key.label.as_str());
        rights::facts(&mut facts, &self.key, clock::now());
        Zeroizing::new(facts.render())
    }
}

fn all_parsed<T>(what: &str, texts: &[String]) -> Result<Vec<T>, Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    texts.iter().map(|text| parsed(what, text)).collect()
}

fn parsed<T>(what: &str, text: &str) -> Result<T, Error>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| {
        Error::new(
            Kind::Failed,
            format!("the daemon's answer has no valid {what}: {error}"),
        )
    })
}

pub(super) fn show(
    issued: &Issued,
    format: Option<Format>,
    context: &Context,
) -> Result<(), Error> {
    let handed_out = format.map(|format| issued.hand_out(format)).transpose()?;
    let output = context.output;
    if output.is_json() {
        let mut document = issued.document(Some(&issued.secret));
        document.handed_out = handed_out.as_ref().map(|text| text.as_str());
        return output.document(&document);
    }
    match &handed_out {
        Some(text) => output.raw(text)?,
        None => output.raw(&issued.block())?,
    }
    output.status("The secret is shown once: Bascule will not show it again.");
    match (format, &issued.name) {
        (None, _) => output.status(&format!(
            "Ready to paste: --format {}",
            Format::ALL.map(Format::as_str).join("|")
        )),
        (Some(format), _) if format.asks_for_secret() => tell_secret(&issued.secret, output),
        (Some(Format::Mc), Some(name)) => {
            output.status(&format!("mc takes it on stdin: mc alias import {name}"));
        }
        _ => {}
    }
    Ok(())
}

/// For a tool whose file holds no secret.
pub(super) fn tell_secret(secret: &str, output: Output) {
    output.status(&format!(
        "Secret access key, which Cyberduck asks for when it first connects: {}",
        styled(WARN, secret)
    ));
    output.status("Without HTTPS it needs the profile S3 (HTTP): Preferences, Profiles.");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issued() -> Issued {
        Issued::from(v1::IssueKeyResponse {
            key: Some(v1::Key {
                access_key_id: AccessKeyId::issue(*b"fifteen random.").to_string(),
                connection: "photos".into(),
                label: "nightly".into(),
                permission: v1::Permission::Read.into(),
                ..v1::Key::default()
            }),
            secret_access_key: "s".repeat(40),
            endpoint: "http://127.0.0.1:8642".into(),
            region: "auto".into(),
            buckets: vec!["pics".into()],
        })
    }

    #[test]
    fn every_format_holds_what_a_tool_needs() {
        let issued = issued();
        for format in Format::ALL {
            let text = issued.hand_out(format).unwrap();
            for needed in [&issued.key.access_key_id, "127.0.0.1", "8642"] {
                assert!(text.contains(needed), "{format:?} without {needed}");
            }
            let holds = text.contains(&*issued.secret);
            assert_eq!(holds, !format.asks_for_secret(), "{format:?}");
        }
        let block = issued.block();
        assert!(block.contains(&*issued.secret) && block.contains("Endpoint"));
    }

    #[test]
    fn an_answer_that_is_no_key_is_an_error_without_the_secret() {
        let mut issued = issued();
        issued.secret = Zeroizing::new("hunter2 hunter2".into());
        let error = issued.hand_out(Format::Env).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}
