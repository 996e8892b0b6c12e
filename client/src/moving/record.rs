//! What the daemon keeps of a move, and the way back from one that was interrupted.

use std::{collections::BTreeMap, path::PathBuf};

use bascule_os::{InstanceLock, LockError, private_dir};
use bascule_proto::{location, v1};
use bascule_watch::adopt::{Layout, Plan};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::files::{self, digest_of};
use crate::{
    channel::Client,
    error::{Error, Kind},
    output::{
        Output,
        text::{WARN, escape, styled},
    },
};

/// What the client has the daemon keep beside the originals. It holds no value of a setting.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) files: Vec<KeptFile>,
    /// How the settings were before the consumer was adopted first.
    pub(crate) layout: Layout,
}

/// A file as it was left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptFile {
    pub(crate) path: PathBuf,
    /// SHA-256 of its bytes; empty for an encrypted one, which its tool writes as it likes.
    pub(crate) after: String,
}

impl Kept {
    /// Of an adoption; what can't be read was written by another release.
    pub(crate) fn of(adoption: &v1::Adoption) -> Result<Self, Error> {
        serde_json::from_str(&adoption.layout).map_err(|_| {
            let message = format!(
                "the record of {} can't be read: it was written by another release",
                adoption.id
            );
            Error::new(Kind::Failed, message)
        })
    }
}

/// Held while files are changed: two runs at once would take one another for interrupted.
pub(crate) struct Turn {
    _lock: InstanceLock,
}

impl Turn {
    /// Takes the turn, and finishes what a run before this one left half done.
    pub(crate) async fn begin(client: &Client, output: Output) -> Result<Self, Error> {
        let turn = Self::take()?;
        finish_interrupted(client, output).await?;
        Ok(turn)
    }

    pub(crate) fn take() -> Result<Self, Error> {
        let folder = location::state_dir()
            .ok_or_else(|| Error::new(Kind::Failed, "there is no home folder").next("set HOME"))?;
        let failed = |error: &dyn std::error::Error| Error::new(Kind::Failed, error.to_string());
        private_dir(&folder).map_err(|error| failed(&error))?;
        match InstanceLock::acquire(&folder.join("adopt.lock")) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(error @ LockError::Held { .. }) => Err(Error::new(
                Kind::Refused,
                format!("files are being changed by another run: {error}"),
            )
            .next("wait until it is done, and try again")),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// Has the daemon keep the originals of a plan. When it answers they are safe.
pub(crate) async fn prepare(
    client: &Client,
    key: &str,
    consumer: &str,
    plan: &Plan,
    former: Option<&v1::Adoption>,
    reason: &str,
) -> Result<v1::Adoption, Error> {
    let mut layout = plan.layout.clone();
    if let Some(former) = former {
        inherit(&mut layout, Kept::of(former)?.layout);
    }
    let mut kept = Kept {
        files: Vec::new(),
        layout,
    };
    let mut originals = Vec::new();
    for file in &plan.files {
        let content = files::bytes(&file.path)?;
        kept.files.push(KeptFile {
            path: file.path.clone(),
            after: match files::is_encrypted(&content) {
                true => String::new(),
                false => digest_of(file.after.as_bytes()),
            },
        });
        originals.push(v1::OriginalFile {
            path: file.path.display().to_string(),
            content,
        });
    }
    let layout = serde_json::to_string(&kept)
        .map_err(|error| Error::new(Kind::Failed, format!("the record has no form: {error}")))?;
    let request = v1::PrepareAdoptionRequest {
        key: key.to_owned(),
        // It may have been told by its place since.
        consumer: former
            .map_or(consumer, |former| &former.consumer)
            .to_owned(),
        layout,
        files: originals,
        replaces: former.map(|former| former.id.clone()).unwrap_or_default(),
        reason: reason.to_owned(),
    };
    let answer = client.adoptions().prepare(request).await?.into_inner();
    Ok(answer.adoption.unwrap_or_default())
}

/// What a consumer was before its first adoption counts, wherever both say something.
fn inherit(layout: &mut Layout, former: Layout) {
    layout.0.retain(|was| {
        let known = |first: &bascule_watch::adopt::Was| {
            first.role == was.role && first.name == was.name && first.path == was.path
        };
        !former.0.iter().any(known)
    });
    layout.0.extend(former.0);
}

pub(crate) async fn settle(
    client: &Client,
    id: &str,
    outcome: &str,
    reason: &str,
) -> Result<v1::Adoption, Error> {
    let request = v1::SettleAdoptionRequest {
        id: id.to_owned(),
        outcome: outcome.to_owned(),
        reason: reason.to_owned(),
    };
    let answer = client.adoptions().settle(request).await?.into_inner();
    Ok(answer.adoption.unwrap_or_default())
}

/// Every adoption, open ones first.
pub(crate) async fn all(client: &Client) -> Result<Vec<v1::Adoption>, Error> {
    let request = v1::ListAdoptionsRequest::default();
    Ok(client
        .adoptions()
        .list(request)
        .await?
        .into_inner()
        .adoptions)
}

/// The adoption that a consumer's present key came with. A rotation may have given several one key.
pub(crate) fn current<'a>(
    adoptions: &'a [v1::Adoption],
    consumer: &str,
    connection: &str,
    label: &str,
) -> Option<&'a v1::Adoption> {
    let adopted = || {
        adoptions
            .iter()
            .filter(|adoption| adoption.state == "adopted")
    };
    let of_key =
        |adoption: &&v1::Adoption| adoption.label == label && adoption.connection == connection;
    let own = adopted().find(|adoption| adoption.consumer == consumer);
    let mut sharing = adopted().filter(of_key);
    own.or_else(|| match (sharing.next(), sharing.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

/// The files as they were before an adoption.
pub(crate) async fn originals(
    client: &Client,
    id: &str,
) -> Result<BTreeMap<PathBuf, Zeroizing<String>>, Error> {
    let request = v1::OriginalsRequest { id: id.to_owned() };
    let answer = client.adoptions().originals(request).await?.into_inner();
    let files = answer.files.into_iter().filter_map(|file| {
        let text = String::from_utf8(file.content).ok()?;
        Some((PathBuf::from(file.path), Zeroizing::new(text)))
    });
    Ok(files.collect())
}

/// Puts back what runs before this one left half done: they were killed between the daemon's promise
/// and the last check. A file that somebody changed since is left, and told.
async fn finish_interrupted(client: &Client, output: Output) -> Result<(), Error> {
    for adoption in all(client).await? {
        if adoption.state != "prepared" {
            continue;
        }
        if encrypted_and_changed(client, &adoption).await? {
            // Whatever rclone wrote is whole, and can be ejected.
            settle(client, &adoption.id, "adopted", "interrupted").await?;
            continue;
        }
        let told = match put_back(client, &adoption).await {
            Ok(()) => {
                settle(client, &adoption.id, "rolled-back", "interrupted").await?;
                revoke_unless_shared(client, &adoption, "its adoption was interrupted").await?;
                format!(
                    "{} was interrupted: its files are as they were before",
                    adoption.consumer
                )
            }
            Err(_) if !holds_its_key(client, &adoption).await? => {
                // Somebody changed the files, and nothing of it is left in them.
                settle(client, &adoption.id, "rolled-back", "interrupted").await?;
                revoke_unless_shared(client, &adoption, "its adoption was interrupted").await?;
                format!(
                    "{} was interrupted, and its files were changed since by somebody else",
                    adoption.consumer
                )
            }
            Err(error) => format!(
                "{} was interrupted ({}), and can't be put back: {}; see: bascule adopt --undo {}",
                adoption.consumer, adoption.id, error.message, adoption.id
            ),
        };
        output.status(&styled(WARN, &escape(&told)));
    }
    Ok(())
}

/// Whether an adoption changed a file that only its tool writes.
async fn encrypted_and_changed(client: &Client, adoption: &v1::Adoption) -> Result<bool, Error> {
    let kept = Kept::of(adoption)?;
    if kept.files.iter().all(|file| !file.after.is_empty()) {
        return Ok(false);
    }
    let originals = originals(client, &adoption.id).await?;
    Ok(kept.files.iter().any(|file| {
        let now = files::bytes(&file.path).unwrap_or_default();
        let was = originals.get(&file.path);
        was.is_some_and(|was| was.as_bytes() != now)
    }))
}

/// Puts the originals of an adoption back, where the files are as it left them.
pub(crate) async fn put_back(client: &Client, adoption: &v1::Adoption) -> Result<(), Error> {
    let kept = Kept::of(adoption)?;
    let originals = originals(client, &adoption.id).await?;
    for file in kept.files.iter().rev() {
        let Some(original) = originals.get(&file.path).filter(|_| !file.after.is_empty()) else {
            continue;
        };
        let now = files::text(&file.path)
            .map_err(|why| Error::new(Kind::Refused, format!("{}: {why}", file.path.display())))?;
        if now == *original {
            continue;
        }
        if digest_of(now.as_bytes()) != file.after {
            return Err(Error::new(
                Kind::Refused,
                format!("{} has changed since", file.path.display()),
            ));
        }
        files::replace(&file.path, now.as_bytes(), original.as_bytes())?;
    }
    Ok(())
}

/// Whether a file of an adoption holds the key that it gave.
pub(crate) async fn holds_its_key(client: &Client, adoption: &v1::Adoption) -> Result<bool, Error> {
    let request = v1::ShowKeyRequest {
        key: adoption.key_id.clone(),
    };
    let key = match client.keys().show(request).await.map_err(Error::from) {
        Ok(answer) => answer.into_inner().key.unwrap_or_default(),
        Err(error) if error.kind == Kind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Of a dead one only the end is left.
    let id = key.access_key_id.trim_start_matches('…').to_owned();
    let holds = |path: &String| {
        let text = files::text(path.as_ref());
        text.is_ok_and(|text| text.contains(&id))
    };
    Ok(adoption.paths.iter().any(holds))
}

/// As [`revoke`], of the key that an adoption gave: a rotation may have given several tools the same.
pub(crate) async fn revoke_unless_shared(
    client: &Client,
    adoption: &v1::Adoption,
    reason: &str,
) -> Result<(), Error> {
    let shares = |other: &v1::Adoption| {
        other.id != adoption.id
            && other.key_id == adoption.key_id
            && matches!(other.state.as_str(), "prepared" | "adopted")
    };
    if !all(client).await?.iter().any(shares) {
        revoke(client, &adoption.key_id, reason).await;
    }
    Ok(())
}

/// Revokes a key that nothing holds any more. One that is dead already is as good.
pub(crate) async fn revoke(client: &Client, key: &str, reason: &str) {
    let request = v1::RevokeKeyRequest {
        key: key.to_owned(),
        reason: reason.to_owned(),
    };
    // A key that stays alive without a holder opens nothing to anybody, and `key list` shows it.
    drop(client.keys().revoke(request).await);
}
