//! What the daemon keeps of a move, and what becomes of the key that it gave.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bascule_domain::adoption::State;
use bascule_os::{InstanceLock, LockError, private_dir};
use bascule_proto::{location, v1};
use bascule_watch::{
    Place,
    adopt::{Consumer, Layout, Plan},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Seen,
    absent::{Held, held},
    adopted::Adoption,
    files::{self, digest_of},
    interrupted::{self, GivenUp, Mover},
    way_back,
};
use crate::{
    channel::Client,
    error::{Error, Kind},
    output::Output,
};

/// What the client has the daemon keep beside the originals. It holds no value of a setting.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) files: Vec<KeptFile>,
    /// How the settings were before the consumer was adopted first.
    pub(crate) layout: Layout,
    /// Whether the key that stood there at first was not the connection's own: that key is the way back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_foreign: bool,
    /// How the files were changed when it ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) back: Vec<Step>,
    /// Who changes the files, until it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Mover>,
}

/// A file that one change of Bascule's took from one state to the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) path: PathBuf,
    /// SHA-256 of its bytes before.
    pub(crate) before: String,
    /// And afterwards.
    pub(crate) after: String,
}

/// A file as it was left.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptFile {
    pub(crate) path: PathBuf,
    /// SHA-256 of its bytes before; empty where an earlier release moved it.
    #[serde(default)]
    pub(crate) before: String,
    /// SHA-256 of its bytes afterwards; empty for an encrypted one until its tool has written it, as it likes.
    pub(crate) after: String,
    /// Whether nobody else changed it since the consumer was adopted first: each move found what the one
    /// before it had left. Else what stood there at first is no way back.
    #[serde(default)]
    pub(crate) is_unbroken: bool,
    /// Where the file system is mounted that holds it, as far as the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mount: Option<PathBuf>,
}

/// Held while files are changed: two runs at once would take one another for interrupted.
pub(crate) struct Turn {
    _lock: InstanceLock,
    /// Moves that were interrupted and whose files are gone: they are closed.
    pub(crate) given_up: Vec<GivenUp>,
}

impl Turn {
    /// Takes the turn, and finishes what a run before this one left half done.
    pub(crate) async fn begin(client: &Client, output: Output) -> Result<Self, Error> {
        let turn = Self::take()?;
        let given_up = interrupted::finish(client, output).await?;
        Ok(Self { given_up, ..turn })
    }

    pub(crate) fn take() -> Result<Self, Error> {
        let folder = location::state_dir()
            .ok_or_else(|| Error::new(Kind::Failed, "there is no home folder").next("set HOME"))?;
        let failed = |error: &dyn std::error::Error| Error::new(Kind::Failed, error.to_string());
        private_dir(&folder).map_err(|error| failed(&error))?;
        match InstanceLock::acquire(&folder.join("adopt.lock")) {
            Ok(lock) => Ok(Self {
                _lock: lock,
                given_up: Vec::new(),
            }),
            Err(error @ LockError::Held { .. }) => Err(Error::new(
                Kind::Refused,
                format!("files are being changed by another run: {error}"),
            )
            .next("wait until it is done, and try again")),
            Err(error) => Err(failed(&error)),
        }
    }
}

/// What a consumer held before a move.
#[derive(Clone, Copy)]
pub(crate) struct Since<'s> {
    /// The adoption whose place the move takes.
    pub(crate) former: Option<&'s Adoption>,
    /// Without one: whether its key is another one at its provider than the connection's own.
    pub(crate) is_foreign: bool,
}

/// Has the daemon keep the originals of a plan. When it answers they are safe.
pub(crate) async fn prepare(
    client: &Client,
    key: &str,
    consumer: &str,
    plan: &Plan,
    Since { former, is_foreign }: Since<'_>,
    reason: &str,
) -> Result<Adoption, Error> {
    let before = former.map(Adoption::kept).transpose()?;
    let mut kept = Kept {
        files: Vec::new(),
        layout: plan.layout.clone(),
        is_foreign,
        back: Vec::new(),
        by: Some(Mover::this()),
    };
    let mut originals = Vec::new();
    for file in &plan.files {
        let mut content = files::bytes(&file.path)?;
        let after = match files::is_encrypted(&content) {
            true => String::new(),
            false => digest_of(file.after.as_bytes()),
        };
        let now = digest_of(&content);
        kept.files.push(KeptFile {
            mount: bascule_os::mount_of_file(&file.path).ok().flatten(),
            ..way_back::following(&file.path, &now, after, before.as_ref())
        });
        originals.push(v1::OriginalFile {
            path: file.path.display().to_string(),
            // As the message holds it, it is on its way, and no copy stays here.
            content: std::mem::take(&mut *content),
        });
    }
    if let Some(before) = before {
        kept.inherit(before);
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
        self.is_foreign = former.is_foreign;
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

/// As [`settle`], of what was taken back: how the files were changed for it is kept, so that it is not taken for
/// somebody else's doing. `before` are the digests from before.
pub(crate) async fn settle_back(
    client: &Client,
    adoption: &Adoption,
    outcome: State,
    before: Vec<(PathBuf, String)>,
    reason: &str,
) -> Result<(), Error> {
    let mut kept = adoption.kept()?;
    for (path, before) in before {
        let after = digest_of(&files::bytes(&path)?);
        kept.back.push(Step {
            path,
            before,
            after,
        });
    }
    let request = v1::SettleAdoptionRequest {
        id: adoption.id.clone(),
        outcome: outcome.as_str().to_owned(),
        reason: reason.to_owned(),
        layout: kept.as_text()?,
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

/// The adoption that a consumer's present key came with, or that changed the file which that stands in. A
/// rotation may have given several one key, and a user may have copied it.
pub(crate) fn current<'a>(
    adoptions: &'a [Adoption],
    seen: &Seen,
    consumer: &Consumer,
    connection: &str,
    label: &str,
) -> Option<&'a Adoption> {
    let changed_its_file = |adoption: &Adoption| {
        let mut paths = adoption.paths.iter();
        paths.any(|path| stands_in(consumer, path))
    };
    let of_key = |adoption: &Adoption| adoption.label == label && adoption.connection == connection;
    let adopted = || adoptions.iter().filter(|adoption| adoption.in_force());
    let mut named = adopted().filter(|adoption| adoption.consumer == consumer.name);
    let own = named.find(|adoption| of_key(adoption) || changed_its_file(adoption));
    // It may be called something else by now.
    let is_another = |adoption: &Adoption| {
        let mut others = seen.consumers.iter();
        others.any(|other| other.name == adoption.consumer)
    };
    let mut sharing = adopted()
        .filter(|adoption| of_key(adoption) && changed_its_file(adoption) && !is_another(adoption));
    own.or_else(|| match (sharing.next(), sharing.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    })
}

/// Whether a consumer's key stands in a file, or on a command line in it.
pub(crate) fn stands_in(consumer: &Consumer, path: &Path) -> bool {
    let is_there = |place: &Place| place.file().is_some_and(|(at, _)| at == path);
    let found = consumer.first();
    match &found.key.place {
        place @ Place::File { .. } => is_there(place),
        _ => {
            let mut places = found.chain.iter().filter_map(|link| link.place.as_ref());
            places.any(is_there)
        }
    }
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

/// Whether a file of an adoption holds the key that it gave.
pub(crate) async fn holds_its_key(client: &Client, adoption: &Adoption) -> Result<Held, Error> {
    Ok(match key(client, &adoption.key_id).await? {
        Some(key) => held(adoption, &key.access_key_id),
        None => Held::No,
    })
}

/// What the daemon knows of a key; `None`: it knows none of it.
async fn key(client: &Client, key: &str) -> Result<Option<v1::Key>, Error> {
    let request = v1::ShowKeyRequest {
        key: key.to_owned(),
    };
    match client.keys().show(request).await.map_err(Error::from) {
        Ok(answer) => Ok(answer.into_inner().key),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What became of a key that a tool no longer has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Dead,
    Lives {
        /// The key's id.
        id: String,
        /// For people.
        why: String,
    },
}

impl Fate {
    pub(crate) const fn lives(&self) -> bool {
        matches!(self, Self::Lives { .. })
    }

    /// For people.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Dead => "its key is revoked".to_owned(),
            Self::Lives { id, why } => {
                format!(
                    "its key lives, since {why}; when nothing needs it: bascule key revoke {id}"
                )
            }
        }
    }
}

/// As [`revoke`], of a key that was made for one tool alone. A rotation may have given several the same, and a
/// key that took another one's place is whoever's that one was. `is_used`: something was seen to use it still.
pub(crate) async fn revoke_if_its_own(
    client: &Client,
    asked: &str,
    is_used: bool,
    reason: &str,
) -> Fate {
    let lives = |id: &str, why: String| Fate::Lives {
        id: id.to_owned(),
        why,
    };
    let known = match key(client, asked).await {
        Ok(Some(known)) if known.state() != v1::KeyState::Dead => known,
        Ok(_) => return Fate::Dead,
        Err(error) => return lives(asked, format!("nothing is known of it: {}", error.message)),
    };
    let id = &known.access_key_id;
    let adoptions = match all(client).await {
        Ok(adoptions) => adoptions,
        Err(error) => return lives(id, format!("who has it is not known: {}", error.message)),
    };
    if let Some(why) = whose_else(&known, is_used, &adoptions) {
        return lives(id, why);
    }
    match revoke(client, id, reason).await {
        Ok(()) => Fate::Dead,
        Err(error) => lives(id, format!("it could not be revoked: {}", error.message)),
    }
}

/// Why a key is not one tool's alone.
fn whose_else(key: &v1::Key, is_used: bool, adoptions: &[Adoption]) -> Option<String> {
    let mut open = adoptions.iter().filter(|other| other.state.is_open());
    if is_used {
        return Some(
            "something has it still, at least until what was named is restarted or reloaded".into(),
        );
    }
    if let Some(other) = open.find(|other| other.key_id == key.id) {
        return Some(format!("{} was given it too", other.consumer));
    }
    let inherited = !key.predecessor.is_empty();
    inherited.then(|| "it took another one's place, and whoever had that may have it".into())
}

/// Revokes a key that nothing holds any more. One that is dead already is as good.
pub(crate) async fn revoke(client: &Client, key: &str, reason: &str) -> Result<(), Error> {
    let request = v1::RevokeKeyRequest {
        key: key.to_owned(),
        reason: reason.to_owned(),
    };
    client.keys().revoke(request).await?;
    Ok(())
}
