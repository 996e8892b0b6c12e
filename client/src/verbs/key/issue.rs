//! `bascule key issue`: makes a key and shows its secret, once.

use bascule_domain::{
    access_key::AccessKeyId,
    endpoint::{Endpoint, Region},
    names::{BucketName, ConnectionName, Label},
    secret::SecretKey,
};
use bascule_formats::{Format, HandOut, section_name};
use bascule_proto::v1;
use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Context,
    rights::{self, Limits, PERMISSIONS, permission, wire_time},
};
use crate::{
    clock,
    error::{Error, Kind},
    output::{
        document,
        table::{Cell, Facts},
        text::WARN,
    },
};

/// Issue a key for one tool. Its secret is shown once.
///
/// The key goes to stdout, ready to paste or to append to a file; everything else goes to stderr.
///
/// Examples:
///   bascule key issue photos --label nightly-rclone --format rclone >> ~/.config/rclone/rclone.conf
///   bascule key issue photos --label viewer --permission read --format env
///   bascule key issue photos --label ci --prefix builds/ --allow-ip 192.0.2.0/24 --expires 30d
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    pub(crate) name: String,
    /// What the key is for: usually the tool's name
    #[arg(long)]
    pub(crate) label: String,
    /// What it may do with objects
    #[arg(long, default_value = "read-write", value_parser = PERMISSIONS)]
    pub(crate) permission: String,
    /// The form in which it is handed out; a readable block if left out
    #[arg(long, value_parser = ["rclone", "aws", "env", "json"])]
    pub(crate) format: Option<String>,
    #[command(flatten)]
    pub(crate) limits: Limits,
}

/// A key as it is handed out.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    key: document::Key,
    secret_access_key: &'a str,
    endpoint: &'a str,
    region: &'a str,
    buckets: &'a [String],
    /// With `--format`: the text for the tool.
    handed_out: Option<&'a str>,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), Error> {
    let format: Option<Format> = arguments.format.and_then(|name| name.parse().ok());
    let request = v1::IssueKeyRequest {
        connection: arguments.name,
        label: arguments.label,
        permission: permission(&arguments.permission).into(),
        buckets: arguments.limits.buckets,
        prefixes: arguments.limits.prefixes,
        addresses: arguments.limits.addresses,
        expires_at: arguments.limits.expires.map(wire_time),
    };
    let issued = Issued::from(
        context
            .client()
            .await?
            .keys()
            .issue(request)
            .await?
            .into_inner(),
    );
    let id = issued.key.access_key_id.clone();
    show(&issued, format, context).map_err(|error| {
        // The secret is lost, so the key is of no use to anybody.
        let closed = Error::new(
            Kind::Failed,
            format!("the key {id} was issued, but it could not be shown: {error}"),
        );
        closed.next(format!("bascule key revoke {id}"))
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
        return output.document(&issued.document(handed_out.as_ref()));
    }
    match &handed_out {
        Some(text) => output.raw(text)?,
        None => output.raw(&issued.block())?,
    }
    output.status("The secret is shown once: Bascule will not show it again.");
    if handed_out.is_none() {
        output.status("Ready to paste: --format rclone|aws|env|json");
    }
    Ok(())
}

/// The one answer that holds a secret.
pub(super) struct Issued {
    pub(super) key: v1::Key,
    secret: Zeroizing<String>,
    endpoint: String,
    region: String,
    buckets: Vec<String>,
}

impl From<v1::IssueKeyResponse> for Issued {
    fn from(response: v1::IssueKeyResponse) -> Self {
        Self {
            key: response.key.unwrap_or_default(),
            secret: Zeroizing::new(response.secret_access_key),
            endpoint: response.endpoint,
            region: response.region,
            buckets: response.buckets,
        }
    }
}

impl Issued {
    pub(super) fn document<'a>(
        &'a self,
        handed_out: Option<&'a Zeroizing<String>>,
    ) -> Document<'a> {
        Document {
            key: (&self.key).into(),
            secret_access_key: &self.secret,
            endpoint: &self.endpoint,
            region: &self.region,
            buckets: &self.buckets,
            handed_out: handed_out.map(|text| text.as_str()),
        }
    }

    pub(super) fn hand_out(&self, format: Format) -> Result<Zeroizing<String>, Error> {
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
        let buckets = self
            .buckets
            .iter()
            .map(|bucket| parsed("bucket", bucket))
            .collect::<Result<Vec<BucketName>, Error>>()?;
        let hand_out = HandOut {
            section_name: &section_name(&connection, &label, &access_key_id),
            access_key_id: &access_key_id,
            secret: &secret,
            endpoint: &endpoint,
            region: &region,
            buckets: &buckets,
        };
        hand_out
            .write(format)
            .map_err(|error| Error::new(Kind::Failed, error.to_string()))
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
        for format in [Format::Rclone, Format::Aws, Format::Env, Format::Json] {
            let text = issued.hand_out(format).unwrap();
            for needed in [
                &issued.key.access_key_id,
                &*issued.secret,
                "http://127.0.0.1:8642",
            ] {
                assert!(text.contains(needed), "{format:?} without {needed}");
            }
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
