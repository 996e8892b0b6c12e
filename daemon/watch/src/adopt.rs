//! Moves a consumer from one key to another: which consumers there are, which settings of which files
//! hold their key, and how those files would read afterwards. It must never write: what is planned here
//! is applied by whoever owns the files.

mod assignment;
mod container;
mod need;
mod plan;
mod server;
mod site;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use bascule_domain::access_key::AccessKeyId;

pub use need::Need;
pub use plan::{
    Access, CannotPlan, Change, FilePlan, Goal, Layout, Plan, Role, ServerSettings, Was,
    held_before, plan,
};

use crate::{
    found::Place,
    picture::{LinkKind, Picture, Rank, Standing, Use},
};

/// Whatever takes its key from one place: a remote, a profile, a file of variables, a command line.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// How a person names it, such as `rclone:r2`, `aws:work`, `restic:backup`, `s3cmd`.
    pub name: String,
    /// The kind of tool.
    pub kind: Cow<'static, str>,
    /// Everything that uses the key from there, the most urgent first; never empty.
    pub uses: Vec<Use>,
    /// Its entry by itself, where jobs lead to it: a person may use it by hand, with no word of theirs.
    pub by_hand: Vec<Use>,
}

/// Why a consumer's key can't be replaced in its place. The text says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotMovable {
    /// The key stands in the surroundings of whoever asks.
    #[error("the key stands in the variable {0} of your shell, which no file here sets")]
    Surroundings(String),
    /// Another key stands before it.
    #[error("it does not use this key: {0} stands before it")]
    Shadowed(String),
    /// It would take no key there.
    #[error("it does not use this key: {0}")]
    Unused(String),
    /// A copy that no tool reads.
    #[error("no tool reads this copy; remove it when you no longer need it")]
    Leftover,
    /// No rule is known for the file.
    #[error(
        "which tool reads this file is not known, so it can't be seen what it needs; put a key there by hand (bascule key issue CONNECTION --format env)"
    )]
    Unknown,
    /// A temporary key.
    #[error("it uses a temporary key (a session token), which expires by itself")]
    Temporary,
    /// Only the id is there.
    #[error("no secret stands beside the id")]
    NoSecret,
    /// The file is another user's.
    #[error("it is the user {0}'s")]
    SomebodyElses(String),
}

impl Consumer {
    /// The use that tells where the key stands.
    #[must_use]
    pub fn first(&self) -> &Use {
        &self.uses[0]
    }

    /// The uses that count: where one takes the key, those that take another one instead do not.
    pub fn taken(&self) -> impl Iterator<Item = &Use> {
        let takes = |found: &Use| found.standing == Standing::Effective;
        let any = self.uses.iter().any(takes);
        self.uses.iter().filter(move |found| !any || takes(found))
    }

    /// Everything that must find its server where the key is good: the uses that count, and the entry by
    /// itself.
    pub fn all_taken(&self) -> impl Iterator<Item = &Use> {
        self.taken().chain(&self.by_hand)
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> &AccessKeyId {
        &self.first().key.id
    }

    /// The buckets that its uses name.
    #[must_use]
    pub fn buckets(&self) -> BTreeSet<&str> {
        let named = self.taken().filter_map(|found| found.bucket.as_deref());
        let links = self.taken().flat_map(|found| &found.chain);
        let commands = links.filter(|link| link.kind == LinkKind::Command);
        // A use names the first one only.
        let words = commands.flat_map(|link| link.name.split_whitespace());
        let on_commands = words.filter_map(|word| {
            let word = word.trim_matches(['"', '\'']);
            let bucket = word.strip_prefix("s3://")?.split('/').next()?;
            Some(bucket).filter(|bucket| !bucket.is_empty())
        });
        named.chain(on_commands).collect()
    }

    /// The command lines that lead to it.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let links = self.taken().flat_map(|found| &found.chain);
        let commands =
            links.filter(|link| matches!(link.kind, LinkKind::Command | LinkKind::Process));
        commands.map(|link| link.name.as_str())
    }

    /// Whether a use of it names no bucket, so that it may reach any.
    #[must_use]
    pub fn reaches_any_bucket(&self) -> bool {
        self.taken().any(|found| found.bucket.is_none())
    }

    /// The least right that its command lines need, and whether they are known at all.
    #[must_use]
    pub fn need(&self) -> Need {
        let commands = self.taken().filter_map(|found| {
            let mut links = found.chain.iter().rev();
            links.find(|link| matches!(link.kind, LinkKind::Command | LinkKind::Process))
        });
        need::of(commands.map(|link| link.name.as_str()))
    }

    /// Whether it is an entry of a tool's own configuration (a remote, a profile, an alias), which a
    /// person may use by hand too.
    #[must_use]
    pub fn is_entry(&self) -> bool {
        let in_file = matches!(self.first().key.place, Place::File { .. });
        let entry = |found: &Use| found.chain.iter().any(|link| link.kind == LinkKind::Entry);
        in_file && (self.uses.iter().any(entry) || self.kind == "s3cmd")
    }

    /// The entry that holds the key, as the look calls it.
    #[must_use]
    pub fn entry(&self) -> Option<&str> {
        let mut links = self.first().chain.iter().rev();
        let entry = links.find(|link| link.kind == LinkKind::Entry)?;
        Some(&entry.name)
    }

    /// Where its key stands; of one on a command line, where that is.
    fn stands(&self) -> &Place {
        let found = self.first();
        match &found.key.place {
            place @ Place::Argument(_) => command_place(found).unwrap_or(place),
            place => place,
        }
    }

    /// Whether it stands where another one does, in the same file and entry. Of several there, those that
    /// nothing else leads to are told apart by [`Self::is_led_to_like`].
    #[must_use]
    pub fn stands_where(&self, other: &Self) -> bool {
        let file = |of: &Self| of.stands().file().map(|(path, _)| path.to_owned());
        file(self) == file(other) && self.entry() == other.entry()
    }

    /// Whether it stands on the very line where another one does, and there in the same way.
    #[must_use]
    pub fn stands_exactly_where(&self, other: &Self) -> bool {
        self.stands() == other.stands() && self.first().key.place == other.first().key.place
    }

    /// Whether what leads to it leads to the other one too: the same units, containers, lines and scripts.
    /// Processes come and go.
    #[must_use]
    pub fn is_led_to_like(&self, other: &Self) -> bool {
        let ways = |of: &Self| -> BTreeSet<Vec<(LinkKind, String)>> {
            let of_use = |found: &Use| {
                let links = found.chain.iter();
                let links = links.filter(|link| link.kind != LinkKind::Process);
                links.map(|link| (link.kind, link.name.clone())).collect()
            };
            of.uses.iter().map(of_use).collect()
        };
        !ways(self).is_disjoint(&ways(other))
    }

    /// The names of the units that lead to it.
    #[must_use]
    pub fn units(&self) -> BTreeSet<&str> {
        let links = self.taken().flat_map(|found| &found.chain);
        let units = links.filter(|link| link.kind == LinkKind::Unit);
        units.map(|link| link.name.as_str()).collect()
    }

    /// Whether its key can be replaced at all.
    pub fn movable(&self) -> Result<(), NotMovable> {
        let found = self.first();
        match &found.standing {
            Standing::Effective => {}
            Standing::Shadowed { by } => return Err(NotMovable::Shadowed(by.clone())),
            Standing::Unused { why } => return Err(NotMovable::Unused(why.clone())),
            Standing::Unknown => return Err(NotMovable::Unknown),
        }
        if found.rank == Rank::Leftover {
            return Err(NotMovable::Leftover);
        }
        if found.key.temporary {
            return Err(NotMovable::Temporary);
        }
        if found.key.secret.is_none() {
            return Err(NotMovable::NoSecret);
        }
        if let Place::Variable(name) = &found.key.place {
            return Err(NotMovable::Surroundings(name.clone()));
        }
        match &found.user {
            Some(user) if bascule_os::effective_uid() != 0 => {
                Err(NotMovable::SomebodyElses(user.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Where the key of a use stands, as far as it tells one consumer from another.
type Spot = (Place, Option<Place>, AccessKeyId);

/// The consumers of a picture. A place from which several tools take the key is one consumer: it can
/// hold one key only. Processes that run are no place; they are among the uses of what they read. `home` is
/// that of whoever asks: of two with one name it is theirs that has it.
#[must_use]
pub fn consumers(picture: &Picture, home: Option<&Path>) -> Vec<Consumer> {
    let mut spots: BTreeMap<Spot, Vec<Use>> = BTreeMap::new();
    let mut order: Vec<Spot> = Vec::new();
    for found in &picture.uses {
        let by = match &found.key.place {
            // Every command line is a place of its own.
            Place::Argument(_) => command_place(found).cloned(),
            Place::File { .. } | Place::Variable(_) => None,
        };
        let spot = (found.key.place.clone(), by, found.key.id.clone());
        let uses = spots.entry(spot.clone()).or_default();
        if uses.is_empty() {
            order.push(spot);
        }
        uses.push(found.clone());
    }
    let mut consumers = Vec::new();
    for spot in order {
        let mut uses = spots.remove(&spot).unwrap_or_default();
        // What takes the key tells more than what only stands there.
        uses.sort_by_key(|found| (found.standing.clone(), found.rank));
        let Some(first) = uses.first() else { continue };
        let (name, kind) = (name(&uses), first.kind.clone());
        let (place, _, id) = &spot;
        let by_hand = picture.by_hand.iter().filter(|found| {
            let is_entry = found.chain.iter().any(|link| link.kind == LinkKind::Entry);
            let counts = found.standing == Standing::Effective;
            is_entry && counts && found.key.place == *place && found.key.id == *id
        });
        let by_hand = by_hand.cloned().collect();
        consumers.push(Consumer {
            name,
            kind,
            uses,
            by_hand,
        });
    }
    name_apart(&mut consumers, home);
    consumers
}

/// Where the command line of a use stands.
fn command_place(found: &Use) -> Option<&Place> {
    let mut links = found.chain.iter().rev();
    links.find_map(|link| match link.kind {
        LinkKind::Command | LinkKind::Cron | LinkKind::Mount => link.place.as_ref(),
        _ => None,
    })
}

/// `rclone:r2`, `aws:work`, `restic:backup` for a unit, or the file that the key stands in.
fn name(uses: &[Use]) -> String {
    let first = &uses[0];
    let entry = first
        .chain
        .iter()
        .rev()
        .find(|link| link.kind == LinkKind::Entry);
    let kind = &first.kind;
    if let Some(entry) = entry.filter(|_| !matches!(first.key.place, Place::Argument(_))) {
        return format!("{kind}:{}", entry_name(&entry.name));
    }
    let links = || uses.iter().flat_map(|found| &found.chain);
    let container = links().find(|link| link.kind == LinkKind::Container);
    if let Some(container) = container {
        return format!("{kind}:{}", container.name);
    }
    let unit = links().find(|link| link.kind == LinkKind::Unit);
    if let Some(unit) = unit {
        return format!("{kind}:{}", bare_unit(&unit.name));
    }
    match (&first.key.place, command_place(first)) {
        (Place::File { .. }, _) if kind == "s3cmd" => kind.to_string(),
        (Place::File { path, .. }, _) | (_, Some(Place::File { path, .. })) => {
            format!("{kind}:{}", path.display())
        }
        (place, _) => format!("{kind}:{place}"),
    }
}

/// The tool's own name of an entry: of `r2: (s3)`, `profile work`, `alias play` the name alone.
fn entry_name(link: &str) -> &str {
    if let Some((name, _)) = link.split_once(": (") {
        return name;
    }
    link.split_once(' ').map_or(link, |(_, name)| name)
}

fn bare_unit(unit: &str) -> &str {
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// Two consumers never have one name: all but the one in the home, or else with the shortest path, are
/// told by their place, too. What is called how does not depend on what else is found first.
fn name_apart(consumers: &mut [Consumer], home: Option<&Path>) {
    let away = |consumer: &Consumer| {
        let place = &consumer.first().key.place;
        let path = place.file().map(|(path, _)| path.to_owned());
        let at_home = path
            .as_ref()
            .is_some_and(|path| home.is_some_and(|home| path.starts_with(home)));
        let place = place.to_string();
        (!at_home, place.len(), place)
    };
    let mut order: Vec<usize> = (0..consumers.len()).collect();
    order.sort_by_key(|at| away(&consumers[*at]));
    let mut seen = BTreeSet::new();
    for at in order {
        let consumer = &mut consumers[at];
        if !seen.insert(consumer.name.clone()) {
            let name = &consumer.name;
            let place = consumer.stands();
            // Lines move with every edit before them, so the file alone where that is enough.
            let file = place.file().map(|(path, _)| path.display().to_string());
            let file = file.filter(|file| !name.ends_with(file));
            let by_file = file.map(|file| format!("{name}@{file}"));
            let by_file = by_file.filter(|name| !seen.contains(name));
            consumer.name = by_file.unwrap_or_else(|| format!("{name}@{place}"));
            seen.insert(consumer.name.clone());
        }
    }
}

/// Which consumers a person means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Every one.
    All,
    /// `TOOL:NAME`, where the name is that of an entry on the way or of a unit; or the tool alone.
    Named(String),
    /// What takes its key from this file, or is led to by it.
    File(PathBuf),
}

/// The text names no consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither TOOL:NAME (such as rclone:REMOTE, aws:PROFILE, restic:UNIT) nor a file")]
pub struct SelectorError;

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        if text.is_empty() {
            return Err(SelectorError);
        }
        let as_file = text.starts_with(['/', '.', '~']) || Path::new(text).is_file();
        Ok(match as_file {
            true => Self::File(PathBuf::from(text)),
            false => Self::Named(text.strip_suffix(':').unwrap_or(text).to_owned()),
        })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("--all"),
            Self::Named(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Selector {
    /// Whether a consumer is meant.
    #[must_use]
    pub fn selects(&self, consumer: &Consumer) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => consumer.name == *name || is_called(consumer, name),
            Self::File(file) => {
                let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
                let file = real(file);
                let is = |place: Option<&Place>| match place {
                    Some(Place::File { path, .. }) => real(path) == file,
                    _ => false,
                };
                consumer.taken().any(|found| {
                    is(Some(&found.key.place))
                        || is(command_place(found))
                        || found.chain.iter().any(|link| is(link.place.as_ref()))
                })
            }
        }
    }
}

/// Whether a name is the tool's, an entry's on the way to the key, or a unit's that runs the tool.
fn is_called(consumer: &Consumer, name: &str) -> bool {
    let (kind, name) = match name.split_once(':') {
        Some((kind, name)) => (kind, Some(name)),
        None => (name, None),
    };
    let runs_it = |found: &Use| {
        let commands = found
            .chain
            .iter()
            .filter(|link| link.kind == LinkKind::Command);
        let mut words = commands.flat_map(|link| link.name.split_whitespace());
        words.any(|word| word.rsplit('/').next() == Some(kind))
    };
    consumer.taken().any(|found| {
        if found.kind != kind && !runs_it(found) {
            return false;
        }
        let Some(name) = name else { return true };
        found.chain.iter().any(|link| match link.kind {
            LinkKind::Entry => entry_name(&link.name) == name,
            LinkKind::Unit | LinkKind::Trigger => {
                link.name == name
                    || link
                        .name
                        .rsplit_once('.')
                        .is_some_and(|(stem, _)| stem == name)
            }
            LinkKind::Container => link.name == name,
            _ => false,
        })
    })
}
