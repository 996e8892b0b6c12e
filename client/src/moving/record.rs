//! What the daemon keeps of a move, and the way back from one that was interrupted.

use std::{collections::BTreeMap, path::PathBuf};

use bascule_domain::adoption::State;
use bascule_os::{InstanceLock, LockError, private_dir};
use bascule_proto::{location, v1};
use bascule_watch::adopt::{Layout, Plan};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    adopted::Adoption,
    files::{self, digest_of},
};
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
    /// SHA-256 of its bytes; empty for an encrypted one until its tool has written it, as it likes.
    pub(crate) after: String,
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
    former: Option<&Adoption>,
    reason: &str,
) -> Result<Adoption, Error> {
    let mut kept = Kept {
        files: Vec::new(),
        layout: plan.layout.clone(),
    };
    let mut originals = Vec::new();
    for file in &plan.files {
        let mut content = files::bytes(&file.path)?;
        kept.files.push(KeptFile {
            path: file.path.clone(),
            after: match files::is_encrypted(&content) {
                true => String::new(),
                false => digest_of(file.after.as_bytes()),
            },
        });
        originals.push(v1::OriginalFile {
            path: file.path.display().to_string(),
            // As the message holds it, it is on its way, and no copy stays here.
            content: std::mem::take(&mut *content),
        });
    }
    if let Some(former) = former {
        kept.inherit(former.kept()?);
    }
    let layout = kept.as_text()?;
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
    answer.adoption.unwrap_or_default().try_into()
}

impl Kept {
    /// As the daemon keeps it.
    fn as_text(&self) -> Result<String, Error> {
        serde_json::to_string(self)
            .map_err(|error| Error::new(Kind::Failed, format!("the record has no form: {error}")))
    }

    /// Takes over what an earlier adoption of the consumer knows: what it was before the first one counts
    /// wherever both say something, and files that only that one changed are as it left them.
    fn inherit(&mut self, former: Self) {
        self.layout.0.retain(|was| {
            let known = |first: &bascule_watch::adopt::Was| {
                first.role == was.role && first.name == was.name && first.path == was.path
            };
            !former.layout.0.iter().any(known)
        });
        self.layout.0.extend(former.layout.0);
        for file in former.files {
            if self.files.iter().all(|own| own.path != file.path) {
                self.files.push(file);
            }
        }
    }
}

/// Has the daemon keep that the files of an adoption are changed and its tool works with them.
pub(crate) async fn adopted(
    client: &Client,
    adoption: &Adoption,
    reason: &str,
) -> Result<(), Error> {
    let mut kept = adoption.kept()?;
    let written = kept.files.iter_mut().filter(|file| file.after.is_empty());
    let mut any = false;
    for file in written {
        // What was there before is not known to us; what its tool has written is.
        file.after = digest_of(&files::bytes(&file.path)?);
        any = true;
    }
    let layout = match any {
        true => kept.as_text()?,
        false => String::new(),
    };
    let request = v1::SettleAdoptionRequest {
        id: adoption.id.clone(),
        outcome: State::Adopted.as_str().to_owned(),
        reason: reason.to_owned(),
        layout,
    };
    client.adoptions().settle(request).await?;
    Ok(())
}

/// Has the daemon keep how an adoption ended.
pub(crate) async fn settle(
    client: &Client,
    id: &str,
    outcome: State,
    reason: &str,
) -> Result<(), Error> {
    let request = v1::SettleAdoptionRequest {
        id: id.to_owned(),
        outcome: outcome.as_str().to_owned(),
        reason: reason.to_owned(),
        layout: String::new(),
    };
    client.adoptions().settle(request).await?;
    Ok(())
}

/// Every adoption, open ones first.
pub(crate) async fn all(client: &Client) -> Result<Vec<Adoption>, Error> {
    let request = v1::ListAdoptionsRequest::default();
    let answer = client.adoptions().list(request).await?.into_inner();
    answer
        .adoptions
        .into_iter()
        .map(TryInto::try_into)
        .collect()
}

/// The adoption that a consumer's present key came with. A rotation may have given several one key.
pub(crate) fn current<'a>(
    adoptions: &'a [Adoption],
    consumer: &str,
    connection: &str,
    label: &str,
) -> Option<&'a Adoption> {
    let adopted = || adoptions.iter().filter(|adoption| adoption.in_force());
    let of_key =
        |adoption: &&Adoption| adoption.label == label && adoption.connection == connection;
    let own = adopted().find(|adoption| adoption.consumer == consumer);
    let mut sharing = adopted().filter(of_key);
    own.or_else(|| match (sharing.next(), sharing.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

/// What stood in files before a consumer was adopted first, and what the adoption in force left in them.
pub(crate) struct WayBack {
    pub(crate) files: Vec<KeptFile>,
    pub(crate) originals: BTreeMap<PathBuf, Zeroizing<String>>,
}

/// The way back from an adoption over all that it replaced.
pub(crate) async fn way_back(client: &Client, adoption: &Adoption) -> Result<WayBack, Error> {
    let known = all(client).await?;
    let mut originals = self::originals(client, &adoption.id).await?;
    let mut passed = vec![&adoption.id];
    let mut earlier = adoption.replaces.as_ref();
    while let Some(id) = earlier.filter(|id| !passed.contains(id)) {
        passed.push(id);
        // What stood there first counts.
        originals.extend(self::originals(client, id).await?);
        let record = known.iter().find(|one| one.id == *id);
        earlier = record.and_then(|one| one.replaces.as_ref());
    }
    Ok(WayBack {
        files: adoption.kept()?.files,
        originals,
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
        let content = Zeroizing::new(file.content);
        let text = Zeroizing::new(std::str::from_utf8(&content).ok()?.to_owned());
        Some((PathBuf::from(file.path), text))
    });
    Ok(files.collect())
}

/// Puts back what runs before this one left half done: they were killed between the daemon's promise
/// and the last check. A file that somebody changed since is left, and told.
async fn finish_interrupted(client: &Client, output: Output) -> Result<(), Error> {
    for adoption in all(client).await? {
        if adoption.state != State::Prepared {
            continue;
        }
        if encrypted_and_changed(client, &adoption).await? {
            // Whatever rclone wrote is whole, and can be ejected.
            settle(client, &adoption.id, State::Adopted, "interrupted").await?;
            continue;
        }
        let told = match put_back(client, &adoption).await {
            Ok(()) => {
                settle(client, &adoption.id, State::RolledBack, "interrupted").await?;
                revoke_if_its_own(client, &adoption, "its adoption was interrupted").await?;
                format!(
                    "{} was interrupted: its files are as they were before",
                    adoption.consumer
                )
            }
            Err(_) if !holds_its_key(client, &adoption).await? => {
                // Somebody changed the files, and nothing of it is left in them.
                settle(client, &adoption.id, State::RolledBack, "interrupted").await?;
                revoke_if_its_own(client, &adoption, "its adoption was interrupted").await?;
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
async fn encrypted_and_changed(client: &Client, adoption: &Adoption) -> Result<bool, Error> {
    let kept = adoption.kept()?;
    if kept.files.iter().all(|file| !file.after.is_empty()) {
        return Ok(false);
    }
    let originals = originals(client, &adoption.id).await?;
    Ok(kept.files.iter().any(|file| {
        let now = files::bytes(&file.path).unwrap_or_default();
        let was = originals.get(&file.path);
        was.is_some_and(|was| was.as_bytes() != now.as_slice())
    }))
}

/// Puts the originals of an adoption back, where the files are as it left them.
pub(crate) async fn put_back(client: &Client, adoption: &Adoption) -> Result<(), Error> {
    let kept = adoption.kept()?;
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
pub(crate) async fn holds_its_key(client: &Client, adoption: &Adoption) -> Result<bool, Error> {
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
    let holds = |path: &PathBuf| {
        let text = files::text(path);
        text.is_ok_and(|text| text.contains(&id))
    };
    Ok(adoption.paths.iter().any(holds))
}

/// As [`revoke`], of the key that an adoption gave, if it was made for that alone: a rotation may have given
/// several tools the same, and a key that took another one's place is whoever's that one was. Whether it was
/// revoked.
pub(crate) async fn revoke_if_its_own(
    client: &Client,
    adoption: &Adoption,
    reason: &str,
) -> Result<bool, Error> {
    let request = v1::ShowKeyRequest {
        key: adoption.key_id.clone(),
    };
    let key = client.keys().show(request).await.map_err(Error::from);
    let key = key.ok().and_then(|answer| answer.into_inner().key);
    let inherited = key.is_some_and(|key| !key.predecessor.is_empty());
    let own = !inherited && !is_shared(client, adoption).await?;
    if own {
        revoke(client, &adoption.key_id, reason).await;
    }
    Ok(own)
}

/// Whether another open adoption gave the same key.
pub(crate) async fn is_shared(client: &Client, adoption: &Adoption) -> Result<bool, Error> {
    let shares = |other: &Adoption| {
        other.id != adoption.id && other.key_id == adoption.key_id && other.state.is_open()
    };
    Ok(all(client).await?.iter().any(shares))
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
