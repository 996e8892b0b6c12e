//! What a plan tells of multipart uploads that are under way: how many each key has begun here, and what
//! the provider lists, whoever began it. A deletion leaves them where they are, so it looks only.

use bascule_adapters::OpenUploads;
use bascule_domain::{connection::Location, names::BucketName};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::PATIENCE;
use crate::app::{App, registry::Entry};

/// Pages of a bucket's uploads that are looked at, a thousand each.
const MOST_PAGES: usize = 10;
/// Buckets that are looked at at once; a connection may have a thousand.
const AT_ONCE: usize = 8;
/// Uploads of a bucket that are named.
const NAMED: usize = 5;

/// The unfinished uploads of a connection's buckets.
pub(crate) struct Uploads {
    /// Label and number of each key that began some here, since the daemon started.
    pub through_keys: Vec<(String, usize)>,
    pub buckets: Vec<BucketUploads>,
}

/// Those of one bucket.
pub(crate) struct BucketUploads {
    pub bucket: BucketName,
    /// Or why nobody looked.
    pub seen: std::result::Result<OpenUploads, String>,
    /// What lists and aborts them, with the provider's own credentials.
    pub commands: Vec<String>,
}

impl App {
    pub(super) async fn open_uploads(&self, entry: &Entry, emergency: bool) -> Uploads {
        let connection = &entry.connection;
        let begun = self.keyring.open_uploads_of(connection.id);
        let keys = self.registry.keys_of(connection.id);
        let through_keys = keys
            .iter()
            .filter_map(|key| Some((key.label.to_string(), *begun.get(&key.id)?)))
            .collect();
        let until = Instant::now() + PATIENCE;
        let looks = stream::iter(connection.buckets.iter().cloned()).map(|bucket| async move {
            let seen = match emergency {
                true => Err("an emergency does not wait".to_owned()),
                false => self.uploads_in(entry, &bucket, until).await,
            };
            BucketUploads {
                commands: commands(&connection.location, &bucket, seen.as_ref().ok()),
                bucket,
                seen,
            }
        });
        Uploads {
            through_keys,
            buckets: looks.buffered(AT_ONCE).collect().await,
        }
    }

    async fn uploads_in(
        &self,
        entry: &Entry,
        bucket: &BucketName,
        until: Instant,
    ) -> std::result::Result<OpenUploads, String> {
        if Instant::now() >= until {
            return Err("the buckets before it had taken all the time that a plan has".to_owned());
        }
        let storage = self.storage(entry)?;
        let witness = storage.witness((*entry.credentials).clone());
        let looked = witness.open_uploads(bucket, MOST_PAGES, NAMED);
        match timeout_at(until, looked).await {
            Ok(seen) => seen.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} seconds", PATIENCE.as_secs())),
        }
    }
}

/// Lists all, and aborts the oldest. In a folder of this machine only a connection to it can.
fn commands(location: &Location, bucket: &BucketName, seen: Option<&OpenUploads>) -> Vec<String> {
    let Location::Server { endpoint, .. } = location else {
        return Vec::new();
    };
    let oldest = match seen {
        Some(seen) => match seen.some.first() {
            Some(oldest) => Some(oldest),
            None => return Vec::new(),
        },
        None => None,
    };
    let place = format!("--bucket {bucket} --endpoint-url {endpoint}");
    let abort = oldest.map(|upload| {
        format!(
            "aws s3api abort-multipart-upload {place} --key={} --upload-id={}",
            quoted(upload.key.as_str()),
            quoted(&upload.id)
        )
    });
    let list = format!("aws s3api list-multipart-uploads {place}");
    std::iter::once(list).chain(abort).collect()
}

/// As one word of a shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_key_stays_one_word_of_a_shell() {
        assert_eq!(quoted("a'; rm -rf $HOME"), r"'a'\''; rm -rf $HOME'");
    }
}
