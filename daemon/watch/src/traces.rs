//! Files in which a sweep has found ids that are searched for. Each look reads those again that have
//! changed, so what a sweep has found once stays known as long as it is there, and no longer. It must
//! never search a folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZero,
    ops::ControlFlow,
    path::PathBuf,
};

use bascule_os::{FileIdentity, Mounts};

use crate::{
    machine::Machine,
    picture::{Picture, Trail},
    scan,
    sweep::{self, Hit, Options, Reason, Wanted},
};

/// More files than anybody has lost ids in. Each may be watched, and is read again when it changes.
const MOST: usize = 5_000;

/// The files that are known.
#[derive(Debug, Default)]
pub struct Traces {
    files: BTreeMap<PathBuf, Option<Read>>,
    /// There were more.
    overflowed: bool,
}

/// What was read, and of which state of the file.
#[derive(Debug)]
struct Read {
    of: FileIdentity,
    hits: Vec<Hit>,
}

/// How a file was found.
enum Found {
    Holds(Vec<Hit>),
    Nothing,
    /// It could not be read.
    Closed(Reason),
}

impl Traces {
    /// Those that an earlier program knew.
    #[must_use]
    pub fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut traces = Self::default();
        for path in paths {
            traces.add(path);
        }
        traces
    }

    /// Adds a file; the next look reads it. Returns whether there was room for it.
    pub fn add(&mut self, path: PathBuf) -> bool {
        let room = self.files.len() < MOST || self.files.contains_key(&path);
        if room {
            self.files.insert(path, None);
        } else {
            self.overflowed = true;
        }
        room
    }

    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// Reads what has changed and adds to a picture what stands there and is not explained by what
    /// the picture has. Returns the files that hold nothing any more; they are forgotten.
    pub fn look(
        &mut self,
        machine: &Machine,
        wanted: Wanted<'_>,
        picture: &mut Picture,
    ) -> BTreeSet<PathBuf> {
        let mut forgotten = BTreeSet::new();
        if self.files.is_empty() {
            return forgotten;
        }
        let mounts = Mounts::now().unwrap_or_default();
        let mut hits: BTreeMap<PathBuf, Vec<Hit>> = BTreeMap::new();
        for (path, read) in &mut self.files {
            let remote = mounts
                .over(path)
                .is_some_and(|mount| mount.reach() == bascule_os::MountReach::Remote);
            // Taken before the file is read: whatever changes it meanwhile shows the next time.
            let now = (!remote).then(|| bascule_os::file_identity(path)).flatten();
            if read.as_ref().map(|read| read.of) != now || now.is_none() {
                *read = match search(path, wanted, &mounts) {
                    Found::Holds(hits) => now.map(|of| Read { of, hits }),
                    Found::Nothing => {
                        forgotten.insert(path.clone());
                        None
                    }
                    Found::Closed(reason) => {
                        picture.gap(
                            &Trail::configuration(),
                            path.display().to_string(),
                            format!("it held an id that was searched for, and {}", reason.told()),
                            "look at it as a user who may read it",
                        );
                        None
                    }
                };
            }
            if let Some(read) = read {
                hits.insert(path.clone(), read.hits.clone());
            }
        }
        self.files.retain(|path, _| !forgotten.contains(path));
        scan::explain(machine, hits, picture);
        if self.overflowed {
            picture.gap(
                &Trail::configuration(),
                "further files that hold ids which were searched for",
                format!("there are more than {MOST}"),
                "remove the ids from those that are told, and sweep again",
            );
        }
        picture.settle();
        forgotten
    }
}

fn search(path: &PathBuf, wanted: Wanted<'_>, mounts: &Mounts) -> Found {
    let options = Options {
        threads: NonZero::new(1),
        mounts: Some(mounts.clone()),
        // It was entered when the sweep found it.
        other_file_systems: true,
        ..Options::default()
    };
    let mut hits = Vec::new();
    let summary = sweep::run(
        std::slice::from_ref(path),
        wanted,
        &options,
        |hit| hits.push(hit),
        |_| ControlFlow::Continue(()),
    );
    let closed = summary.skipped.iter().map(|(reason, _)| reason);
    let mut closed = closed.filter(|reason| !matches!(reason, Reason::Absent | Reason::TooManyIds));
    // Of a folder that lies there now, nothing is known.
    hits.retain(|hit| hit.path == *path);
    match closed.find(|reason| reason.is_gap()) {
        _ if !hits.is_empty() => Found::Holds(hits),
        Some(reason) if summary.files == 0 => Found::Closed(reason),
        _ => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bascule_domain::{Timestamp, access_key::AccessKeyId};

    use super::*;
    use crate::{Environment, Rank, sweep::Needles};

    const ID: &str = "AKIAZQ7R2M4N6P3B5C2D";

    /// Each use as `path:line rank`.
    fn look(traces: &mut Traces, root: &std::path::Path) -> (Vec<String>, Vec<String>) {
        let environment = Environment::of(Some(root.to_owned()), root.to_owned());
        let machine = Machine::local(environment, 1, Timestamp::UNIX_EPOCH);
        let id: AccessKeyId = ID.parse().unwrap();
        let needles = Needles::of([&id]);
        let wanted = Wanted {
            needles: Some(&needles),
            ..Wanted::default()
        };
        let mut picture = Picture::default();
        traces.look(&machine, wanted, &mut picture);
        let told = picture.uses.iter().map(|found| {
            assert!(found.kind == "unknown" && found.rank == Rank::Leftover);
            let link = found.chain.last().unwrap();
            let place = found.key.place.to_string();
            let place = place.rsplit('/').next().unwrap();
            format!("{place} {}", link.why)
        });
        let gaps = picture.gaps.iter().map(|gap| gap.why.clone());
        (told.collect(), gaps.collect())
    }

    #[test]
    fn what_a_sweep_found_is_known_as_long_as_it_is_there() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        let (notes, binary) = (root.join("notes"), root.join("a.db"));
        fs::write(&notes, format!("x\n{ID}\n{ID}\n")).unwrap();
        fs::write(&binary, [b"\0\0\n", ID.as_bytes()].concat()).unwrap();
        let mut traces = Traces::of([notes.clone(), binary.clone()]);
        let expected = ["a.db holds an id at byte 3", "notes:2 holds an id"];
        for _ in 0..2 {
            assert_eq!(look(&mut traces, &root).0, expected);
        }
        assert!(traces.add(notes.clone()));
        fs::write(&notes, format!("{ID}\n")).unwrap();
        assert_eq!(look(&mut traces, &root).0[1], "notes:1 holds an id");
        fs::write(&notes, "mended\n").unwrap();
        fs::remove_file(&binary).unwrap();
        assert_eq!(look(&mut traces, &root), (vec![], vec![]));
        assert_eq!(traces.paths().count(), 0);
    }

    #[test]
    fn a_file_that_can_not_be_read_any_more_is_a_gap_and_stays_known() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        let file = root.join("dump");
        let large = fs::File::create(&file).unwrap();
        large.set_len(1 << 30).unwrap();
        let mut traces = Traces::of([file.clone()]);
        let (uses, gaps) = look(&mut traces, &root);
        assert_eq!(uses, Vec::<String>::new());
        assert!(gaps[0].ends_with("larger than the limit"), "{gaps:?}");
        large.set_len(0).unwrap();
        fs::write(&file, ID).unwrap();
        assert_eq!(look(&mut traces, &root).0, ["dump:1 holds an id"]);
    }

    #[test]
    fn more_files_than_anybody_has_are_told_as_such() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        let mut traces = Traces::of((0..=MOST).map(|file| root.join(file.to_string())));
        assert_eq!(traces.paths().count(), MOST);
        let (_, gaps) = look(&mut traces, &root);
        assert_eq!(gaps, ["there are more than 5000"]);
    }
}
