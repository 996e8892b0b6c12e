//! `bascule connect`: adds a connection.

use std::path::{Path, PathBuf};

use bascule_domain::{connection::ReconnectCard, provider::ProviderKind};
use bascule_proto::v1;
use clap::{Args, builder::PossibleValuesParser};

use super::{
    Context,
    audit::Why,
    source::{self, Source},
};
use crate::{
    credentials::to_wire,
    error::{Error, Kind},
    exit::Exit,
    output::{
        document,
        table::{Cell, Facts},
        text::{DIM, GOOD, WARN, escape, styled},
    },
};

/// Add a connection to buckets at a provider
///
/// The provider is probed first: whether it answers, takes the credentials, has the buckets, and
/// which rights are held. Nothing is kept when that fails. Credentials are never taken from the
/// command line.
///
/// Examples:
///   bascule connect photos --provider minio --endpoint http://127.0.0.1:9000 --allow-http \
///       --bucket pics --credentials-stdin < key.txt
///   bascule connect photos --provider s3 --bucket pics --region eu-central-1 --aws-profile me
///   bascule connect photos --rclone-remote r2 --provider r2 --bucket pics
///   bascule connect scratch --provider local --path ~/buckets --bucket test
///   bascule connect photos --card photos.card --credentials-stdin < key.txt
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// What to call it
    pub(crate) name: String,
    /// Who keeps the buckets; from an rclone remote it can be told
    #[arg(long, value_parser = PossibleValuesParser::new(ProviderKind::ALL.map(ProviderKind::as_str)),
          required_unless_present_any = ["card", "rclone_remote"])]
    pub(crate) provider: Option<String>,
    /// A bucket to reach; may be given several times
    #[arg(
        long = "bucket",
        value_name = "BUCKET",
        required_unless_present = "card"
    )]
    pub(crate) buckets: Vec<String>,
    /// The server's address, such as https://minio.example.com:9000
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The region that requests are signed for
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// The Cloudflare account id, for r2
    #[arg(long, value_name = "ID")]
    pub(crate) account_id: Option<String>,
    /// The folder whose folders are buckets, for local
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// A reconnect card, in place of provider, buckets and address
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "provider", "buckets", "endpoint", "region", "account_id", "path", "extra_ca", "allow_http",
        "allow_link_local", "addressing", "rclone_remote",
    ])]
    pub(crate) card: Option<PathBuf>,
    /// A certificate authority (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE", alias = "ca-file")]
    pub(crate) extra_ca: Option<PathBuf>,
    /// Allow an unencrypted http:// endpoint
    #[arg(long)]
    pub(crate) allow_http: bool,
    /// Allow an endpoint at a link-local or metadata address
    #[arg(long)]
    pub(crate) allow_link_local: bool,
    /// How buckets are addressed; the provider has a default
    #[arg(long, value_parser = ["path", "virtual-host"])]
    pub(crate) addressing: Option<String>,
    #[command(flatten)]
    pub(crate) source: Source,
    /// Take keys, endpoint and region of an rclone remote
    #[arg(long, value_name = "REMOTE", conflicts_with_all = ["credentials_stdin", "aws_profile"])]
    pub(crate) rclone_remote: Option<String>,
    /// Take a pair of which a leak was reported
    #[arg(long)]
    pub(crate) allow_leaked: bool,
    #[command(flatten)]
    pub(crate) why: Why,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = request(arguments)?;
    let response = context
        .client()
        .await?
        .connections()
        .connect(request)
        .await?
        .into_inner();
    let name = response
        .connection
        .as_ref()
        .map(|connection| connection.name.clone());
    print(context, response.connection, response.probe, "connected")?;
    context.output.status(&format!(
        "{} bascule key issue {} --label TOOL",
        styled(DIM, "give a tool its own key:"),
        escape(&name.unwrap_or_default())
    ));
    Ok(Exit::Ok)
}

/// Everything that can be said wrong is said before the daemon is asked.
pub(super) fn request(arguments: Arguments) -> Result<v1::ConnectRequest, Error> {
    let mut request = v1::ConnectRequest {
        name: arguments.name,
        buckets: arguments.buckets,
        endpoint: arguments.endpoint.unwrap_or_default(),
        region: arguments.region.unwrap_or_default(),
        account_id: arguments.account_id.unwrap_or_default(),
        path: absolute("--path", arguments.path.as_deref())?,
        extra_ca: absolute("--extra-ca", arguments.extra_ca.as_deref())?,
        allow_http: arguments.allow_http,
        allow_link_local: arguments.allow_link_local,
        addressing: arguments.addressing.unwrap_or_default(),
        allow_leaked: arguments.allow_leaked,
        reason: arguments.why.text(),
        ..v1::ConnectRequest::default()
    };
    let mut provider: Option<ProviderKind> = arguments.provider.and_then(|name| name.parse().ok());
    if let Some(path) = &arguments.card {
        let (card, text) = read_card(path)?;
        provider = Some(card.provider);
        request.card = text;
    }
    let found = match &arguments.rclone_remote {
        Some(remote) => Some(source::rclone(remote)?),
        // A folder needs no credentials, so nobody is asked for them.
        None if provider == Some(ProviderKind::Local) && !arguments.source.is_named() => None,
        None => Some(
            arguments
                .source
                .take()?
                .ok_or_else(|| source::missing("connect"))?,
        ),
    };
    if let Some(found) = found {
        request.credentials = Some(to_wire(&found.credentials));
        provider = provider.or(found.provider);
        if request.card.is_empty() && provider != Some(ProviderKind::Local) {
            // With an account id the endpoint of r2 follows from it.
            if request.endpoint.is_empty() && request.account_id.is_empty() {
                request.endpoint = found.endpoint.unwrap_or_default();
            }
            if request.region.is_empty() {
                request.region = found.region.unwrap_or_default();
            }
        }
    }
    if request.card.is_empty() {
        request.provider = match provider {
            Some(ProviderKind::Minio) => v1::Provider::Minio,
            Some(ProviderKind::S3) => v1::Provider::S3,
            Some(ProviderKind::R2) => v1::Provider::R2,
            Some(ProviderKind::S3Compatible) => v1::Provider::S3Compatible,
            Some(ProviderKind::Local) => v1::Provider::Local,
            None => {
                return Err(Error::new(
                    Kind::Invalid,
                    "the rclone remote does not tell the provider",
                )
                .next("add --provider minio|s3|r2|s3-compatible"));
            }
        }
        .into();
    }
    Ok(request)
}

/// The card, checked, and its text.
fn read_card(path: &Path) -> Result<(ReconnectCard, String), Error> {
    const LIMIT: u64 = 1024 * 1024;
    let shown = path.display();
    let failed = |why: String| {
        Error::new(
            Kind::Invalid,
            format!("the reconnect card {shown} can't be used: {why}"),
        )
        .next("bascule reconnect-card NAME > FILE writes one")
    };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    let size = std::io::Read::read_to_string(&mut std::io::Read::take(file, LIMIT + 1), &mut text)
        .map_err(|error| failed(error.to_string()))?;
    if size as u64 > LIMIT {
        return Err(failed("it is longer than any card".to_owned()));
    }
    let card = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    Ok((card, text))
}

/// The daemon has another working folder, so paths go to it whole.
fn absolute(option: &str, path: Option<&Path>) -> Result<String, Error> {
    let Some(path) = path else {
        return Ok(String::new());
    };
    let invalid =
        |why: &str| Error::new(Kind::Invalid, format!("{option} {}: {why}", path.display()));
    let path = std::path::absolute(path).map_err(|error| invalid(&error.to_string()))?;
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| invalid("the path is not UTF-8"))
}

/// Shows a connection with what its probe found.
pub(crate) fn print(
    context: &Context,
    connection: Option<v1::Connection>,
    probe: Option<v1::Probe>,
    done: &str,
) -> Result<(), Error> {
    let connection = connection.unwrap_or_default();
    let buckets = probe.unwrap_or_default().buckets;
    let document = document::Probed {
        connection: (&connection).into(),
        probe: buckets.iter().map(Into::into).collect(),
    };
    context.output.result(&document, || {
        let mut text = format!("{} {}\n", styled(GOOD, done), escape(&connection.name));
        for bucket in &buckets {
            let mut facts = Facts::default();
            facts
                .add("  Bucket", bucket.bucket.as_str())
                .add("  Identity", bucket.identity.as_str())
                .add("  Rights seen", bucket.rights.join(", "));
            for gap in &bucket.not_checked {
                facts.add("  Not checked", Cell::new(gap).style(WARN));
            }
            text.push_str(&facts.render());
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Arguments {
        use clap::Parser;
        #[derive(Parser)]
        struct Only {
            #[command(flatten)]
            arguments: Arguments,
        }
        Only::parse_from([&["connect"], words].concat()).arguments
    }

    #[test]
    fn a_folder_needs_no_credentials_and_its_path_goes_whole() {
        let request = request(arguments(&[
            "x",
            "--provider",
            "local",
            "--bucket",
            "test",
            "--path",
            "some/dir",
        ]))
        .unwrap();
        assert!(Path::new(&request.path).is_absolute());
        assert!(request.path.ends_with("some/dir"));
        assert!(request.credentials.is_none());
        assert_eq!(request.provider(), v1::Provider::Local);
    }

    #[test]
    fn a_card_that_is_none_is_refused_before_the_daemon_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card");
        std::fs::write(&path, "{\"bascule_card\": 1}").unwrap();
        let error = request(arguments(&["x", "--card", path.to_str().unwrap()])).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.next.unwrap().contains("reconnect-card"));
    }

    #[test]
    fn a_local_card_connects_without_credentials() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card");
        let card = r#"{"bascule_card":1,"name":"x","provider":"local","buckets":["test"],"location":{"folder":{"path":"/srv"}}}"#;
        std::fs::write(&path, card).unwrap();
        let request = request(arguments(&["x", "--card", path.to_str().unwrap()])).unwrap();
        assert_eq!(request.card, card);
        assert_eq!(request.provider, 0);
    }
}
