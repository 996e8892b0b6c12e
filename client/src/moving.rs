//! Moves consumers from one key to another in their own files, as the user: what `adopt`, `repair`,
//! `eject` and a rotation with `--rewrite` share. Nothing is written before the daemon keeps what
//! stood there, and what does not work afterwards is put back.

pub(crate) mod absent;
pub(crate) mod adopted;
pub(crate) mod before;
pub(crate) mod carry;
pub(crate) mod connection;
pub(crate) mod encrypted;
pub(crate) mod files;
pub(crate) mod formerly;
pub(crate) mod interrupted;
pub(crate) mod issue;
pub(crate) mod preview;
mod reach;
pub(crate) mod record;
pub(crate) mod restart;
pub(crate) mod rights;
pub(crate) mod verify;
pub(crate) mod way_back;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use bascule_domain::access_key::AccessKeyId;
use bascule_watch::{
    HeldKey, Machine, Picture, Place, Rank, Use,
    adopt::{Consumer, Goal, Plan, Selector, consumers, plan},
    scan::{self, Scope},
};

use self::{
    adopted::{Adoption, Known, Standing},
    files::Failure,
};
use crate::{
    error::{Error, Kind},
    output::{
        Output,
        text::{BAD, NEXT, escape, styled},
    },
    verbs::{Context, judged, look, machine},
};

/// This machine's consumers, and what is known of their keys.
pub(crate) struct Seen {
    pub(crate) machine: Machine,
    /// Files that were looked into besides.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) home: Option<PathBuf>,
    pub(crate) consumers: Vec<Consumer>,
    /// Encrypted configurations that nobody could look into.
    pub(crate) locked: Vec<PathBuf>,
    /// Of each key that was found.
    pub(crate) known: BTreeMap<AccessKeyId, Known>,
}

impl Seen {
    /// Looks at the known places and jobs, and into files that are named.
    pub(crate) async fn now(
        context: &Context,
        named: &[Selector],
        adoptions: &[Adoption],
    ) -> Result<Self, Error> {
        let named = named.iter().filter_map(|selector| match selector {
            Selector::File(path) => Some(path.clone()),
            Selector::All | Selector::Named(_) => None,
        });
        // No known place may lead to what was adopted by its file.
        let open = adoptions.iter().filter(|adoption| adoption.in_force());
        let adopted = open.flat_map(|adoption| adoption.paths.iter().cloned());
        let mut files: Vec<_> = named.chain(adopted).filter(|path| path.is_file()).collect();
        files.sort();
        files.dedup();
        Self::at(machine(), files, context).await
    }

    /// The same with what only a search finds, as `scan` does.
    pub(crate) async fn searched(context: &Context, adoptions: &[Adoption]) -> Result<Self, Error> {
        let machine = machine();
        let found = look(move || elsewhere(&machine)).await?;
        let found: Vec<_> = found.into_iter().map(Selector::File).collect();
        Self::now(context, &found, adoptions).await
    }

    async fn at(machine: Machine, files: Vec<PathBuf>, context: &Context) -> Result<Self, Error> {
        let home = machine.user.home.clone();
        let (machine, files, picture) = look(move || {
            let picture = pictured(&machine, Scope::OWN, &files);
            (machine, files, picture)
        })
        .await?;
        let judged = judged(&picture.uses, context).await;
        let judged = judged.ok_or_else(|| {
            Error::new(
                Kind::Failed,
                "the daemon did not tell what it knows of the keys that were found",
            )
            .next("bascule status")
        })?;
        Ok(Self {
            consumers: consumers(&picture, home.as_deref()),
            locked: locked(&picture),
            home,
            known: judged
                .into_iter()
                .map(|(id, judgement)| (id, judgement.into()))
                .collect(),
            machine,
            files,
        })
    }

    /// A consumer as it is now, its places included. It is refused when another one is there meanwhile.
    pub(crate) async fn again(&self, consumer: &Consumer) -> Result<Consumer, Error> {
        let (machine, files, home) = (self.machine.clone(), self.files.clone(), self.home.clone());
        let found = look(move || {
            let picture = pictured(&machine, Scope::OWN, &files);
            consumers(&picture, home.as_deref())
        })
        .await?;
        same(consumer, found).ok_or_else(|| {
            let message = format!("{} was changed meanwhile", consumer.name);
            Error::new(Kind::Refused, message).next("look again: bascule scan")
        })
    }

    /// What the daemon knows of a consumer's key.
    pub(crate) fn standing(&self, consumer: &Consumer) -> Standing {
        self.known(consumer)
            .map_or(Standing::Unknown, |known| known.standing)
    }

    pub(crate) fn known(&self, consumer: &Consumer) -> Option<&Known> {
        self.known.get(consumer.id())
    }

    /// The consumers that are meant, each once, in the order of the look.
    pub(crate) fn selected(&self, selectors: &[Selector]) -> Vec<&Consumer> {
        let is_one = |name: &str| self.consumers.iter().any(|consumer| consumer.name == name);
        let selects = |selector: &Selector, consumer: &Consumer| match selector {
            // Of two that a name could stand for, it is the one that is called so.
            Selector::Named(name) if is_one(name) => consumer.name == *name,
            selector => selector.selects(consumer),
        };
        let meant = |consumer: &&Consumer| {
            let mut selectors = selectors.iter();
            selectors.any(|selector| selects(selector, consumer))
        };
        self.consumers.iter().filter(meant).collect()
    }

    /// Nothing was meant: what there is instead.
    pub(crate) fn nothing(&self, asked: &str) -> Error {
        let mut names: Vec<_> = self
            .consumers
            .iter()
            .filter(|consumer| consumer.movable().is_ok())
            .map(|consumer| consumer.name.as_str())
            .collect();
        names.truncate(8);
        if let Some(path) = self.locked.first() {
            let path = shown(path, self.home.as_deref());
            let message = format!(
                "no consumer that can be seen here is called {asked}, and {path} can't be looked into"
            );
            return Error::new(Kind::NotFound, message).next(encrypted::LOCKED);
        }
        let next = match names.as_slice() {
            [] => "see every key of this machine: bascule scan".to_owned(),
            names => format!("name one of: {}", names.join(", ")),
        };
        Error::new(
            Kind::NotFound,
            format!("no consumer here is called {asked}"),
        )
        .next(next)
    }
}

/// Which of those that were found is the consumer: with its key, in its place, on its way. `None` too where
/// several could be it, since another one must not be changed in its stead.
fn same(consumer: &Consumer, found: Vec<Consumer>) -> Option<Consumer> {
    let mut found: Vec<_> = found
        .into_iter()
        .filter(|one| {
            one.id() == consumer.id() && one.stands_where(consumer) && one.is_led_to_like(consumer)
        })
        .collect();
    if found.len() > 1 {
        found.retain(|one| one.stands_exactly_where(consumer) && one.name == consumer.name);
    }
    match found.len() {
        1 => found.pop(),
        _ => None,
    }
}

/// Files with a provider's key that a tool takes, and that no known place or job leads to.
fn elsewhere(machine: &Machine) -> Vec<PathBuf> {
    let known = scan::known(machine, Scope::FILES).paths();
    let all = scan::everything(machine, Scope::FILES, |_| ControlFlow::Continue(()));
    let taken = all.uses.iter().filter(|found| {
        found.standing == bascule_watch::Standing::Effective
            && found.rank != Rank::Leftover
            && !AccessKeyId::looks_issued(found.key.id.as_str())
    });
    let paths = taken.filter_map(|found| Some(found.key.place.file()?.0.to_owned()));
    paths.filter(|path| !known.contains(path)).collect()
}

/// Files that a look could not look into, since they are encrypted.
fn locked(picture: &Picture) -> Vec<PathBuf> {
    let paths = picture.gaps.iter().map(|gap| PathBuf::from(&gap.what));
    let encrypted = |path: &PathBuf| {
        path.is_absolute() && files::bytes(path).is_ok_and(|bytes| files::is_encrypted(&bytes))
    };
    let paths: BTreeSet<_> = paths.collect();
    paths.into_iter().filter(encrypted).collect()
}

/// What a look comes to, with files in it that no known place leads to.
pub(crate) fn pictured(machine: &Machine, scope: Scope, files: &[PathBuf]) -> Picture {
    let mut picture = scan::known(machine, scope);
    if !files.is_empty() {
        let named = scan::paths(machine, files, |_| ControlFlow::Continue(()));
        // What is known to be used there by a job is told by that better than by the file alone.
        let in_file = |found: &Use, path: &Path| {
            let places = found.chain.iter().filter_map(|link| link.place.as_ref());
            let mut places = places.chain([&found.key.place]).filter_map(Place::file);
            places.any(|(at, _)| at == path)
        };
        let known = picture.uses.clone();
        let is_known = |key: &HeldKey| {
            let path = key.place.file().map(|(path, _)| path);
            let same = |known: &Use| {
                known.key.id == key.id && path.is_some_and(|path| in_file(known, path))
            };
            known.iter().any(same)
        };
        let uses = named.uses.into_iter().filter(|found| !is_known(&found.key));
        picture.uses.extend(uses);
        picture.settle();
    }
    picture
}

/// A consumer that stays as it is.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Left {
    pub(crate) consumer: String,
    pub(crate) key: String,
    pub(crate) why: String,
    /// The command that helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// Whether it is as it was wanted to be.
    #[serde(skip)]
    pub(crate) is_done: bool,
}

impl Left {
    pub(crate) fn of(consumer: &Consumer, why: impl Into<String>) -> Self {
        Self {
            consumer: consumer.name.clone(),
            key: consumer.id().masked(),
            why: why.into(),
            next: None,
            is_done: false,
        }
    }

    /// An encrypted file that nobody could look into.
    pub(crate) fn locked(path: &Path) -> Self {
        Self {
            consumer: path.display().to_string(),
            key: String::new(),
            why: encrypted::LOCKED.to_owned(),
            next: None,
            is_done: false,
        }
    }

    /// Of a consumer for which there is nothing to do.
    pub(crate) fn done(consumer: &Consumer, why: impl Into<String>) -> Self {
        Self {
            is_done: true,
            ..Self::of(consumer, why)
        }
    }
}

/// How a consumer would be moved; or why it can't be.
pub(crate) fn plan_for(consumer: &Consumer, goal: Goal<'_>) -> Result<Plan, String> {
    consumer.movable().map_err(|why| why.to_string())?;
    plan(consumer, goal, files::text).map_err(|why| why.to_string())
}

/// Tells that a consumer was not moved after all, and what to do about it.
pub(crate) fn not_moved(consumer: &Consumer, failure: impl Into<Failure>, output: Output) -> Left {
    let (word, error) = match failure.into() {
        Failure::PutBack(error) => ("left as it was:", error),
        Failure::Stuck(error) => ("half done:", error),
    };
    let told = format!("{}: {}", consumer.name, error.message);
    output.status(&format!("{} {}", styled(BAD, word), escape(&told)));
    if let Some(next) = &error.next {
        output.status(&format!("  {} {}", styled(NEXT, "→"), escape(next)));
    }
    Left {
        next: error.next,
        ..Left::of(consumer, error.message)
    }
}

/// A path for people: below the home folder with `~`.
pub(crate) fn shown(path: &Path, home: Option<&Path>) -> String {
    let below = home.and_then(|home| path.strip_prefix(home).ok());
    below.map_or_else(
        || path.display().to_string(),
        |below| format!("~/{}", below.display()),
    )
}
