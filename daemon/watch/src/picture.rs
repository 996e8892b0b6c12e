//! What a look at the machine comes to: who uses which key, by which chain, and what could not be
//! looked at. It holds secrets only as typed ones, and no other text of a file may get into it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
};

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    endpoint::{Endpoint, Region},
    secret::SecretKey,
};

use crate::{
    found::{NotUsable, Place},
    read::lenient_endpoint,
};

/// More uses or gaps than anybody's machine has (consumers.md 9.10).
const MOST: usize = 20_000;
/// More steps than a chain that a person made has.
const LONGEST_CHAIN: usize = 24;

/// What stands in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkKind {
    /// A timer, path or socket unit, or what else starts a service.
    Trigger,
    /// A service, mount or other unit that runs something.
    Unit,
    /// A line of a crontab.
    Cron,
    /// A job of at.
    At,
    /// An agent or daemon of launchd.
    Launchd,
    /// A container or a service of a compose file.
    Container,
    /// A line of fstab.
    Mount,
    /// A process that runs now.
    Process,
    /// A command line, its secrets masked.
    Command,
    /// A script, at the line that leads on.
    Script,
    /// A file that sets variables.
    EnvironmentFile,
    /// A named entry of a tool's configuration: a remote, profile, alias, repository.
    Entry,
    /// A tool's configuration file.
    Configuration,
    /// A copy that no tool reads.
    Copy,
    /// A file that no rule is known for.
    Unknown,
}

impl LinkKind {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Unit => "unit",
            Self::Cron => "cron",
            Self::At => "at",
            Self::Launchd => "launchd",
            Self::Container => "container",
            Self::Mount => "mount",
            Self::Process => "process",
            Self::Command => "command",
            Self::Script => "script",
            Self::EnvironmentFile => "environment-file",
            Self::Entry => "entry",
            Self::Configuration => "configuration",
            Self::Copy => "copy",
            Self::Unknown => "unknown",
        }
    }
}

/// One step of a chain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// What it is.
    pub kind: LinkKind,
    /// Its name for people, such as `backup.service` or `[r2]`; of a command line the masked form.
    pub name: String,
    /// Where it stands, if in a file.
    pub place: Option<Place>,
    /// Why the step before leads here, such as `starts`, `wraps`, `named by --config`.
    pub why: Cow<'static, str>,
}

impl Link {
    /// A step without a place.
    #[must_use]
    pub fn new(kind: LinkKind, name: impl Into<String>, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            name: name.into(),
            place: None,
            why: why.into(),
        }
    }

    /// The step, at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// How much a use matters (consumers.md 9.12); the first is the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// A process that runs now.
    Process,
    /// A job that will run by itself.
    Scheduled,
    /// A job that somebody has to start, or that is switched off.
    Manual,
    /// A configuration that no known job uses.
    Configuration,
    /// A copy, history or leftover that no tool reads.
    Leftover,
}

impl Rank {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Configuration => "configuration",
            Self::Leftover => "leftover",
        }
    }
}

/// Whether the tool would take this key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It would.
    Effective,
    /// It would take another one that stands before it.
    Shadowed {
        /// What stands before, such as `$RCLONE_S3_ACCESS_KEY_ID`.
        by: String,
    },
    /// It would take none here.
    Unused {
        /// Why, such as `the file holds a section twice, which this tool refuses`.
        why: String,
    },
    /// Which tool reads it is not known.
    Unknown,
}

impl Standing {
    /// The word for programs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Effective => "effective",
            Self::Shadowed { .. } => "shadowed",
            Self::Unused { .. } => "unused",
            Self::Unknown => "unknown",
        }
    }
}

/// When a job runs next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NextRun {
    /// At this time.
    At(Timestamp),
    /// When something happens, such as `at boot` or `when /srv/in changes`.
    On(String),
    /// Not by itself, with the reason, such as `the timer is not enabled`.
    Never(String),
    /// It can't be told, with the reason.
    Unknown(String),
}

/// A key as it stands in a configuration, whether or not anything can be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldKey {
    /// The id.
    pub id: AccessKeyId,
    /// Its secret, if that is there too.
    pub secret: Option<SecretKey>,
    /// Whether a session token stands beside it, which makes it a temporary one.
    pub temporary: bool,
    /// The server, if it is set and can be read.
    pub endpoint: Option<Endpoint>,
    /// Where the server is set, if that is known. Of an argument it is the name of its option.
    pub endpoint_place: Option<Place>,
    /// The region, likewise.
    pub region: Option<Region>,
    /// What rclone calls the provider, such as `Cloudflare`.
    pub provider: Option<String>,
    /// Where the id stands.
    pub place: Place,
}

impl HeldKey {
    /// A key as it stands at a place; `None` for what can't be an access key id. A secret that can
    /// be none is left out.
    #[must_use]
    pub fn read(id: Option<&str>, secret: Option<&str>, place: Place) -> Option<Self> {
        Some(Self {
            id: id?.parse().ok()?,
            secret: secret.and_then(|secret| SecretKey::parse(secret).ok()),
            temporary: false,
            endpoint: None,
            endpoint_place: None,
            region: None,
            provider: None,
            place,
        })
    }

    /// Says where the key goes, and where that stands.
    pub(crate) fn goes_to(&mut self, endpoint: &str, place: Place) {
        self.endpoint = lenient_endpoint(endpoint);
        self.endpoint_place = Some(place);
    }

    /// Whether a tool that looks there would take it: not without a secret.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.secret {
            Some(_) => Standing::Effective,
            None => Standing::Unused {
                why: "no secret stands beside it".into(),
            },
        }
    }
}

/// What makes a key suspect though nothing is known of it: the last run of its job was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// The unit that failed.
    pub unit: String,
    /// What its journal says, without secrets.
    pub line: String,
}

/// The uses of a unit of systemd, by their places in the list until it is settled.
#[derive(Debug, Clone)]
pub(crate) struct UnitUses {
    /// The user whose manager runs it; `None`: the system's.
    pub(crate) manager: Option<u32>,
    pub(crate) name: String,
    pub(crate) uses: Range<usize>,
}

/// One consumer's use of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The kind of consumer: the id of its row in the table, such as `rclone`.
    pub kind: Cow<'static, str>,
    /// From the job, if there is one, to the entry that holds the key.
    pub chain: Vec<Link>,
    /// The key at the chain's end.
    pub key: HeldKey,
    /// Whether the tool would take it.
    pub standing: Standing,
    /// How much it matters.
    pub rank: Rank,
    /// When the job runs next; `None` without a job.
    pub next_run: Option<NextRun>,
    /// Whose job or configuration it is, if it is not that of who asks.
    pub user: Option<String>,
    /// The bucket that the use names, if it does.
    pub bucket: Option<String>,
    /// Why the key may be one that does not work.
    pub suspected: Option<Suspicion>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// The way that led there; empty if it was looked for by itself.
    pub chain: Vec<Link>,
    /// What: a path, a source of jobs.
    pub what: String,
    /// Why not. No content of a file.
    pub why: String,
    /// What would help, a sentence or a command.
    pub remedy: String,
}

/// What was left out, summed by its reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// Why.
    pub why: Cow<'static, str>,
    /// How many files, folders or links.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<PathBuf>,
}

/// The way to a use while it is followed: the steps so far, and what holds for all that they lead
/// to.
#[derive(Debug, Clone)]
pub struct Trail {
    /// The steps so far.
    pub chain: Vec<Link>,
    /// How much it matters.
    pub rank: Rank,
    /// When the job runs next.
    pub next_run: Option<NextRun>,
    /// Whose it is, if not of who asks.
    pub user: Option<String>,
}

impl Trail {
    /// The way to what stands in a configuration, without a job.
    #[must_use]
    pub const fn configuration() -> Self {
        Self {
            chain: Vec::new(),
            rank: Rank::Configuration,
            next_run: None,
            user: None,
        }
    }

    /// One step further. `None` when no chain that a person made is that long.
    #[must_use]
    pub fn then(&self, link: Link) -> Option<Self> {
        if self.chain.len() == LONGEST_CHAIN {
            return None;
        }
        let mut next = self.clone();
        next.chain.push(link);
        Some(next)
    }
}

/// All that a look came to.
#[derive(Debug, Clone, Default)]
pub struct Picture {
    /// Who uses which key.
    pub uses: Vec<Use>,
    /// What could not be looked at.
    pub gaps: Vec<Gap>,
    /// What was left out on purpose, or is nobody's configuration: told, but no gap.
    pub skipped: Vec<Left>,
    /// How many files were read.
    pub files_read: u64,
    /// Configurations that are told by the job that leads to the same key, and by themselves may be
    /// used by hand all the same.
    pub(crate) by_hand: Vec<Use>,
    pub(crate) units: Vec<UnitUses>,
    overflowed: bool,
}

impl Picture {
    /// Adds a use at the end of a trail.
    pub fn add(
        &mut self,
        kind: impl Into<Cow<'static, str>>,
        trail: &Trail,
        key: HeldKey,
        standing: Standing,
        bucket: Option<String>,
    ) {
        if self.uses.len() >= MOST {
            self.overflow();
            return;
        }
        self.uses.push(Use {
            kind: kind.into(),
            chain: trail.chain.clone(),
            key,
            standing,
            rank: trail.rank,
            next_run: trail.next_run.clone(),
            user: trail.user.clone(),
            bucket,
            suspected: None,
        });
    }

    /// Adds something that could not be looked at.
    pub fn gap(
        &mut self,
        trail: &Trail,
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        if self.gaps.len() >= MOST {
            self.overflow();
            return;
        }
        self.gaps.push(Gap {
            chain: trail.chain.clone(),
            what: what.into(),
            why: why.into(),
            remedy: remedy.into(),
        });
    }

    /// Adds uses and gaps once more for other ways that lead to the same; `first` is the way that they
    /// were found by.
    pub(crate) fn again(
        &mut self,
        uses: Range<usize>,
        gaps: Range<usize>,
        first: &Trail,
        others: impl Iterator<Item = Trail>,
    ) {
        let known = first.chain.len();
        for other in others {
            let way = |chain: &[Link]| {
                let below = chain.get(known..).unwrap_or_default();
                [&other.chain, below].concat()
            };
            if self.uses.len() + uses.len() > MOST || self.gaps.len() + gaps.len() > MOST {
                return self.overflow();
            }
            for at in uses.clone() {
                let mut found = self.uses[at].clone();
                found.chain = way(&found.chain);
                if found.next_run == first.next_run {
                    found.rank = other.rank;
                    found.next_run.clone_from(&other.next_run);
                }
                self.uses.push(found);
            }
            for at in gaps.clone() {
                let mut gap = self.gaps[at].clone();
                if gap.chain.starts_with(&first.chain) {
                    gap.chain = way(&gap.chain);
                    self.gaps.push(gap);
                }
            }
        }
    }

    /// Adds a configuration that is not usable, for what it says itself.
    pub fn unusable(&mut self, trail: &Trail, what: impl Into<String>, error: &NotUsable) {
        self.gap(trail, what, error.told(), error.remedy());
    }

    /// The files that the uses and gaps are about.
    #[must_use]
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        let of_uses = self.uses.iter().flat_map(|found| {
            let steps = found.chain.iter().filter_map(|link| link.place.as_ref());
            steps.chain([&found.key.place])
        });
        let of_gaps = self.gaps.iter().flat_map(|gap| {
            let steps = gap.chain.iter();
            steps.filter_map(|link| link.place.as_ref())
        });
        let files = of_uses.chain(of_gaps).filter_map(|place| match place {
            Place::File { path, .. } => Some(path.clone()),
            Place::Variable(_) | Place::Argument(_) => None,
        });
        files.collect()
    }

    fn overflow(&mut self) {
        if !self.overflowed {
            self.overflowed = true;
            self.gaps.push(Gap {
                chain: Vec::new(),
                what: format!("everything beyond {MOST} uses or gaps"),
                why: "no machine has so many; something makes them".into(),
                remedy: "look at a part of the machine: bascule scan PATH".into(),
            });
        }
    }

    /// Puts what matters most first, and leaves out what is told better elsewhere: a configuration
    /// by itself that is the end of a job's way to the same key, and what is there twice.
    pub fn settle(&mut self) {
        self.units.clear();
        let mut ways: BTreeMap<(Place, AccessKeyId), Vec<Vec<Step>>> = BTreeMap::new();
        for found in &self.uses {
            if found.rank < Rank::Configuration && found.standing == Standing::Effective {
                let at = (found.key.place.clone(), found.key.id.clone());
                ways.entry(at).or_default().push(steps(&found.chain));
            }
        }
        let told_better = self.uses.extract_if(.., |found| {
            let at = (found.key.place.clone(), found.key.id.clone());
            let own = steps(&found.chain);
            found.rank == Rank::Configuration
                && ways
                    .get(&at)
                    .is_some_and(|ways| ways.iter().any(|way| way.ends_with(&own)))
        });
        self.by_hand.extend(told_better);
        self.uses.sort_by(|a, b| order(a).cmp(&order(b)));
        self.uses
            .dedup_by(|a, b| order(a) == order(b) && a.kind == b.kind);
        self.gaps.sort();
        self.gaps.dedup();
    }

    /// Whether it tells everything that was asked for.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }
}

/// A step without why it was taken: the same entry is reached for many reasons.
type Step = (LinkKind, String, Option<Place>);

fn steps(chain: &[Link]) -> Vec<Step> {
    chain
        .iter()
        .map(|link| (link.kind, link.name.clone(), link.place.clone()))
        .collect()
}

type Order<'a> = (
    Rank,
    &'a AccessKeyId,
    &'a Standing,
    &'a Option<NextRun>,
    &'a Vec<Link>,
    &'a Place,
    &'a Option<String>,
);

const fn order(found: &Use) -> Order<'_> {
    (
        found.rank,
        &found.key.id,
        &found.standing,
        &found.next_run,
        &found.chain,
        &found.key.place,
        &found.user,
    )
}
