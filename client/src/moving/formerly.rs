//! Where the buckets of a deleted connection were, as its receipt says: another server may have a bucket of
//! the same name.

use bascule_proto::v1;
use serde::Deserialize;

use super::adopted::Known;
use crate::{channel::Client, error::Error};

/// A name may have been many connections'.
const MOST_RECEIPTS: usize = 50;

/// What a connection reached.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Formerly {
    /// Its endpoint, or the folder of a local one.
    pub(crate) location: String,
    pub(crate) buckets: Vec<String>,
}

#[derive(Deserialize)]
struct Receipt {
    connection: Formerly,
    #[serde(default)]
    keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    label: String,
    access_key: String,
}

impl Formerly {
    /// Of the connection that a dead key belonged to. `None` if no receipt says so beyond doubt.
    pub(crate) async fn of(
        client: &Client,
        known: &Known,
        masked: &str,
    ) -> Result<Option<Self>, Error> {
        let request = v1::ListReceiptsRequest {};
        let listed = client.deletions().list_receipts(request).await?;
        let mut receipts = Vec::new();
        let of_name = listed.into_inner().receipts.into_iter();
        let of_name = of_name.filter(|receipt| receipt.connection == known.connection);
        for receipt in of_name.take(MOST_RECEIPTS) {
            let request = v1::GetReceiptRequest { id: receipt.id };
            let answer = client.deletions().get_receipt(request).await?.into_inner();
            // One of another release tells nothing.
            receipts.extend(serde_json::from_str::<Receipt>(&answer.receipt).ok());
        }
        Ok(decide(receipts, &known.label, masked))
    }
}

/// The receipt that names the key, else all that there are agree.
fn decide(receipts: Vec<Receipt>, label: &str, masked: &str) -> Option<Formerly> {
    let names = |receipt: &Receipt| {
        let mut keys = receipt.keys.iter();
        keys.any(|key| key.label == label && key.access_key == masked)
    };
    let (naming, others): (Vec<_>, Vec<_>) = receipts.into_iter().partition(names);
    let candidates = if naming.is_empty() { others } else { naming };
    let mut places = candidates.into_iter().map(|receipt| receipt.connection);
    let first = places.next()?;
    places.all(|place| place == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(location: &str, access_key: &str) -> Receipt {
        let text = format!(
            r#"{{"connection":{{"name":"nas","provider":"minio","location":"{location}","buckets":["b"]}},
                "keys":[{{"id":"key_a","label":"l","access_key":"{access_key}","checked":""}}]}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_receipt_that_names_the_key_tells_the_server_and_what_is_in_doubt_does_not() {
        let (one, other) = ("http://127.0.0.1:9000", "https://s3.example.com");
        let both = || vec![receipt(one, "…AAAA"), receipt(other, "…BBBB")];
        let found = decide(both(), "l", "…BBBB").unwrap();
        assert_eq!(found.location, other);
        assert_eq!(decide(both(), "l", "…CCCC"), None);
        assert_eq!(decide(Vec::new(), "l", "…AAAA"), None);
        let alone = decide(vec![receipt(one, "…AAAA")], "l", "…CCCC").unwrap();
        assert_eq!(alone.location, one);
    }
}
