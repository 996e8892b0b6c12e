//! `bascule limit`: what a connection's keys may take together.

use bascule_domain::limits::Bandwidth;
use bascule_proto::v1;
use clap::Args;
use serde::Serialize;

use super::{Context, audit::Why};
use crate::{
    error::{Error, Kind},
    exit::Exit,
    output::{document, text::escape},
};

/// Limit what all keys of a connection may take together, or show the limits
///
/// A request over the limit on requests is answered 503 SlowDown, which tools take as a wish to
/// wait; the provider is not asked. Bodies flow no faster than the bandwidth, in each direction.
/// Both are in force at once, for running transfers too.
///
/// Examples:
///   bascule limit photos --requests 8 --bandwidth 10MiB
///   bascule limit photos --bandwidth none
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The connection
    name: String,
    /// Requests open at once, or none for no limit
    #[arg(long, value_name = "N|none", value_parser = requests)]
    requests: Option<u32>,
    /// Bytes a second in each direction, such as 500KiB or 10MiB, or none for no limit
    #[arg(long, value_name = "RATE|none", value_parser = bandwidth)]
    bandwidth: Option<u64>,
    #[command(flatten)]
    why: Why,
}

/// 0 is how the wire says "no limit".
fn requests(text: &str) -> Result<u32, String> {
    if text == "none" {
        return Ok(0);
    }
    text.parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| "expected a number from 1, or none".to_owned())
}

fn bandwidth(text: &str) -> Result<u64, String> {
    if text == "none" {
        return Ok(0);
    }
    text.parse::<Bandwidth>()
        .map(Bandwidth::bytes)
        .map_err(|error| format!("{error}, or none"))
}

#[derive(Serialize)]
struct Document {
    connection: document::Connection,
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let request = v1::LimitRequest {
        name: arguments.name,
        requests: arguments.requests,
        bandwidth: arguments.bandwidth,
        reason: arguments.why.text(),
    };
    if !request.reason.is_empty() && request.requests.is_none() && request.bandwidth.is_none() {
        return Err(Error::new(
            Kind::Invalid,
            "--reason is for --requests or --bandwidth",
        ));
    }
    let response = context
        .client()
        .await?
        .connections()
        .limit(request)
        .await?
        .into_inner();
    let connection = response.connection.unwrap_or_default();
    let document = Document {
        connection: (&connection).into(),
    };
    context.output.result(&document, || {
        let words = words(connection.limits.as_ref());
        let words = if words.is_empty() {
            "no limits"
        } else {
            &words
        };
        format!("{}: {words}\n", escape(&connection.name))
    })?;
    Ok(Exit::Ok)
}

/// Limits in words; empty when there are none.
pub(crate) fn words(limits: Option<&v1::Limits>) -> String {
    let mut words = Vec::new();
    if let Some(limits) = limits {
        match limits.requests {
            0 => {}
            1 => words.push("1 request at once".to_owned()),
            number => words.push(format!("{number} requests at once")),
        }
        if let Ok(bandwidth) = Bandwidth::try_from(limits.bandwidth) {
            words.push(format!("{bandwidth} each way"));
        }
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_in_words() {
        let words = |requests, bandwidth| {
            words(Some(&v1::Limits {
                requests,
                bandwidth,
            }))
        };
        assert_eq!(words(8, 10 << 20), "8 requests at once, 10MiB/s each way");
        assert_eq!(words(1, 0), "1 request at once");
        assert_eq!(words(0, 2000), "2KB/s each way");
        assert_eq!(words(0, 0), "");
    }

    #[test]
    fn none_takes_a_limit_away_and_nothing_else_does() {
        assert_eq!((requests("none"), bandwidth("none")), (Ok(0), Ok(0)));
        assert_eq!((requests("8"), bandwidth("1MiB")), (Ok(8), Ok(1 << 20)));
        for text in ["0", "-1", "", "many"] {
            assert!(
                requests(text).is_err() && bandwidth(text).is_err(),
                "{text}"
            );
        }
    }
}
