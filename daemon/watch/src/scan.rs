//! The whole look at a machine: what jobs use, what configurations hold, and what nobody explains.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use bascule_domain::access_key::AccessKeyId;

use crate::{
    aws,
    catalogue::Catalogue,
    command,
    found::Place,
    jobs::{Source, failures},
    machine::{Machine, User},
    picture::{HeldKey, Left, Link, LinkKind, Picture, Rank, Standing, Trail, Use},
    read::Text,
    sweep::{self, Confidence, Encoding, Hit, Options, Progress, Reason, Recognised, Wanted},
    tools::{rclone, variables},
};

/// How much of a machine is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Units, crontabs and what else starts something.
    pub jobs: bool,
    /// What runs now, and which runs failed: none of which has events.
    pub processes: bool,
    /// Configurations of all users, not only of who asks.
    pub everyone: bool,
}

impl Scope {
    /// Everything of who asks.
    pub const OWN: Self = Self {
        jobs: true,
        processes: true,
        everyone: false,
    };
    /// What stands in files of who asks. The keys that processes have were taken from there, or stand
    /// nowhere that anybody could mend.
    pub const FILES: Self = Self {
        processes: false,
        ..Self::OWN
    };
}

/// Looks at the places that are known: configurations and jobs. It takes no longer than reading them.
#[must_use]
pub fn known(machine: &Machine, scope: Scope) -> Picture {
    let mut picture = known_places(machine, scope);
    picture.settle();
    picture
}

fn known_places(machine: &Machine, scope: Scope) -> Picture {
    let mut picture = Picture::default();
    let own = &machine.environment;
    variables::surroundings(own, &Trail::configuration(), &mut picture);
    let catalogue = catalogue(machine, &mut picture);
    for user in users(machine, scope) {
        let asks = *user == machine.user;
        let mut trail = Trail::configuration();
        let bare;
        let environment = if asks {
            own
        } else {
            trail.user = Some(user.name.clone());
            bare = machine.bare_environment(user);
            &bare
        };
        let before = picture.gaps.len();
        catalogue.configurations(machine, user, &mut picture);
        // A home that may not be entered is told once.
        if asks || picture.gaps.len() == before {
            rclone::configured(machine, environment, &trail, &mut picture);
            aws::configured(machine, environment, &trail, &mut picture);
        }
    }
    for source in Source::ALL {
        let wanted = match source {
            Source::Processes => scope.processes,
            _ => scope.jobs,
        };
        if wanted {
            source.look(machine, &mut picture);
        }
    }
    // No event tells of a run that failed, either.
    if scope.jobs && scope.processes {
        failures::look(machine, &mut picture);
    }
    picture
}

/// The compiled-in table, and the rows of who asks.
fn catalogue(machine: &Machine, picture: &mut Picture) -> Catalogue {
    let Some(own) = Catalogue::own_table(&machine.environment) else {
        return Catalogue::builtin().clone();
    };
    Catalogue::with(&own).unwrap_or_else(|error| {
        picture.gap(
            &Trail::configuration(),
            own.display().to_string(),
            error.to_string(),
            "mend the table; until then only the rows that Bascule brings are looked at",
        );
        Catalogue::builtin().clone()
    })
}

/// Who asks first.
fn users(machine: &Machine, scope: Scope) -> Vec<&User> {
    let mut users = vec![&machine.user];
    if scope.everyone {
        let lives = |user: &&User| {
            let home = user.home.as_deref();
            user.uid != machine.user.uid
                && (user.uid == 0 || user.uid >= FIRST_PERSON)
                && home.is_some_and(|home| home != machine.root && home.is_dir())
        };
        users.extend(machine.users.iter().filter(lives));
    }
    users
}

/// The numbers below are of the system's services, whose homes hold no person's configuration; their
/// jobs are looked at all the same.
const FIRST_PERSON: u32 = 1000;

/// The files and folders on which [`known`] depends, whether or not they are there. Files that jobs
/// name are not among them: the picture tells those.
#[must_use]
pub fn interests(machine: &Machine, scope: Scope) -> Vec<PathBuf> {
    let mut interests = BTreeSet::new();
    let catalogue = catalogue(machine, &mut Picture::default());
    interests.extend(Catalogue::own_table(&machine.environment));
    for user in users(machine, scope) {
        let environment = if *user == machine.user {
            machine.environment.clone()
        } else {
            machine.bare_environment(user)
        };
        interests.extend(crate::rclone::file(&environment));
        interests.extend(aws::credentials_file(&environment));
        interests.extend(aws::config_file(&environment));
        interests.extend(catalogue.interests(&environment));
    }
    if scope.jobs {
        interests.extend(crate::jobs::folders(machine));
    }
    interests.into_iter().collect()
}

/// Looks at the known places, and searches the homes of the scope, `/etc`, `/opt` and `/srv` for what
/// none of them explains.
#[must_use]
pub fn everything(
    machine: &Machine,
    scope: Scope,
    on_progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Picture {
    let mut picture = known_places(machine, scope);
    let roots = roots(machine, scope);
    let home = machine.user.home.clone();
    let owned = |path: &Path| home.as_ref().is_some_and(|home| path.starts_with(home));
    search(machine, &roots, owned, on_progress, &mut picture);
    picture.settle();
    picture
}

/// Where everything that people and administrators keep lies: the homes of the scope, `/etc`, `/opt`
/// and `/srv`, as far as they are there.
#[must_use]
pub fn roots(machine: &Machine, scope: Scope) -> Vec<PathBuf> {
    let homes = users(machine, scope).into_iter();
    let homes = homes.filter_map(|user| user.home.clone());
    let shared = ["/etc", "/opt", "/srv"].map(|folder| machine.path(folder));
    let mut roots: Vec<_> = homes.chain(shared).collect();
    roots.retain(|root| root.is_dir());
    roots
}

/// Looks at files and folders that somebody names, and at nothing else.
#[must_use]
pub fn paths(
    machine: &Machine,
    paths: &[PathBuf],
    on_progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Picture {
    let mut picture = Picture::default();
    let absolute = |path: &PathBuf| machine.environment.current_folder.join(path);
    let roots: Vec<_> = paths.iter().map(absolute).collect();
    search(machine, &roots, |_| true, on_progress, &mut picture);
    picture.settle();
    picture
}

/// Searches folders, and explains what is found: by what is known already, by the row of the table
/// that the file belongs to, or not at all. What could not be read is a gap where `ours` says so.
fn search(
    machine: &Machine,
    roots: &[PathBuf],
    ours: impl Fn(&Path) -> bool,
    on_progress: impl FnMut(&Progress<'_>) -> ControlFlow<()>,
    picture: &mut Picture,
) {
    let wanted = Wanted {
        by_shape: true,
        ..Wanted::default()
    };
    let mut hits: BTreeMap<PathBuf, Vec<Hit>> = BTreeMap::new();
    let summary = sweep::run(
        roots,
        wanted,
        &Options::default(),
        |hit| hits.entry(hit.path.clone()).or_default().push(hit),
        on_progress,
    );
    picture.files_read += summary.files;
    // A file that is named is of its kind, even if nothing in it looks like an id.
    for root in roots.iter().filter(|root| root.is_file()) {
        hits.entry(root.clone()).or_default();
    }
    explain(machine, hits, picture);
    if summary.stopped_at.is_some() {
        picture.gap(
            &Trail::configuration(),
            "the rest of the folders",
            "the search was stopped",
            "search again: bascule scan",
        );
    }
    for (reason, skipped) in summary.skipped.iter() {
        let hides = matches!(
            reason,
            Reason::Denied | Reason::Unreadable | Reason::TooManyIds | Reason::Absent
        );
        let (gaps, left): (Vec<_>, Vec<_>) = skipped
            .examples
            .iter()
            .partition(|path| hides && ours(path));
        for path in &gaps {
            picture.gap(
                &Trail::configuration(),
                path.display().to_string(),
                reason.told(),
                match reason {
                    Reason::Absent => "name a path that is there",
                    Reason::TooManyIds => "look at it yourself",
                    _ => "look at it as a user who may read it",
                },
            );
        }
        if !left.is_empty() && reason != Reason::Link {
            picture.skipped.push(Left {
                why: reason.told().into(),
                count: skipped.count - gaps.len() as u64,
                examples: left.into_iter().cloned().collect(),
            });
        }
    }
}

/// Explains what a search has found in files: by what is known already, by the row of the table that
/// the file belongs to, or not at all.
pub(crate) fn explain(machine: &Machine, hits: BTreeMap<PathBuf, Vec<Hit>>, picture: &mut Picture) {
    if hits.is_empty() {
        return;
    }
    let catalogue = catalogue(machine, picture);
    let mut explained = Explained::default();
    explained.add(&picture.uses);
    for (path, hits) in hits {
        let row = catalogue.recognise(&path).or_else(|| {
            let row = catalogue.row("dotenv");
            row.filter(|_| only_sets_variables(&path))
        });
        if !explained.knows(&path)
            && let Some(row) = row
        {
            let before = picture.uses.len();
            if row.id == "compose" {
                // Its programs tell more than the file.
                command::follow_project(&path, machine, &Trail::configuration(), picture);
                explained.add(&picture.uses[before..]);
            }
            let by_file = picture.uses.len();
            catalogue.file(row, &path, machine, picture);
            let told = picture.uses.split_off(by_file);
            let told = told.into_iter().filter(|found| !explained.has(found));
            picture.uses.extend(told);
            explained.add(&picture.uses[before..]);
        }
        let mut told = BTreeSet::new();
        for hit in hits {
            // Where one stands several times, the first line is enough.
            if !explained.holds(&hit) && told.insert(hit.id.clone()) {
                unexplained(hit, picture);
            }
        }
    }
}

/// Whether a file holds assignments to variables and nothing else, whatever its name is.
fn only_sets_variables(path: &Path) -> bool {
    let Ok(Some(text)) = Text::read(path) else {
        return false;
    };
    let sets = |line: &str| {
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let name = line.split_once('=').map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let lines = text.as_str().unwrap_or_default().lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut any = false;
    lines.all(|line| {
        any = true;
        sets(line)
    }) && any
}

/// Which ids the uses that are known have from which files, by the paths without links.
#[derive(Default)]
struct Explained(BTreeMap<PathBuf, BTreeMap<AccessKeyId, bool>>);

impl Explained {
    fn add(&mut self, uses: &[Use]) {
        let mut real: BTreeMap<&Path, PathBuf> = BTreeMap::new();
        for found in uses {
            let Place::File { path, .. } = &found.key.place else {
                continue;
            };
            let real = real
                .entry(path)
                .or_insert_with(|| path.canonicalize().unwrap_or_else(|_| path.clone()));
            let ids = self.0.entry(real.clone()).or_default();
            // That no tool would take it there does not say that nobody does.
            let used = !matches!(found.standing, Standing::Unused { .. });
            *ids.entry(found.key.id.clone()).or_default() |= used;
        }
    }

    fn knows(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn has(&self, found: &Use) -> bool {
        let path = found.key.place.file().map(|(path, _)| path);
        let path = path.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let ids = path.and_then(|path| self.0.get(&path));
        ids.is_some_and(|ids| ids.contains_key(&found.key.id))
    }

    fn holds(&self, hit: &Hit) -> bool {
        let used = self.0.get(&hit.path).and_then(|ids| ids.get(&hit.id));
        let guessed = matches!(hit.recognised, Recognised::Shape(_));
        used.is_some_and(|used| *used || guessed)
    }
}

/// A file that no rule is known for holds an id. One that looks like somebody's may be in use; of one
/// that was searched for, no more is known than that it stands there.
fn unexplained(hit: Hit, picture: &mut Picture) {
    let mut trail = Trail::configuration();
    if hit.recognised != Recognised::Shape(Confidence::High) {
        trail.rank = Rank::Leftover;
    }
    let name = hit.path.display().to_string();
    let mut why = "holds an id".to_owned();
    if hit.encoding != Encoding::Plain {
        why.push_str(&format!(" in {}", hit.encoding.as_str()));
    }
    if let Some(offset) = hit.offset {
        why.push_str(&format!(" at byte {offset}"));
    }
    trail.chain.push(Link::new(LinkKind::Unknown, name, why));
    let place = Place::File {
        path: hit.path,
        line: if hit.offset.is_some() { 0 } else { hit.line },
    };
    let key = HeldKey::read(Some(hit.id.as_str()), None, place);
    if let Some(key) = key {
        picture.add("unknown", &trail, key, Standing::Unknown, None);
    }
}
