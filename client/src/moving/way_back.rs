//! The way back from an adoption to the exact bytes from before it, over all that it replaced: whether there
//! is one. It decides alone, and reads nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bascule_domain::adoption::State;
use bascule_proto::v1;
use zeroize::Zeroizing;

use super::{
    adopted::{Adoption, ConnectionState},
    record::{self, Kept, KeptFile, Step},
};
use crate::{
    channel::Client,
    error::{Error, Kind},
};

/// What stood in files before a consumer was adopted first, and how the adoption in force left them.
pub(crate) struct WayBack {
    pub(crate) files: Vec<KeptFile>,
    pub(crate) originals: BTreeMap<PathBuf, Zeroizing<String>>,
}

/// Why an adoption can't be undone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoWayBack {
    #[error("the adoption of {consumer} is {state} already")]
    Settled { consumer: String, state: State },
    #[error("{consumer} was moved again since: {by} is in force")]
    Replaced { consumer: String, by: String },
    #[error("{connection} is erased, and with it what stood in the files of {consumer} at first")]
    Erased {
        consumer: String,
        connection: String,
        /// Whether the connection whose key it holds lives.
        has_provider: bool,
    },
}

impl From<NoWayBack> for Error {
    fn from(why: NoWayBack) -> Self {
        let next = match &why {
            NoWayBack::Settled { .. } => "bascule adopt --list".to_owned(),
            NoWayBack::Replaced { by, .. } => format!("bascule adopt --undo {by}"),
            NoWayBack::Erased {
                consumer,
                has_provider: true,
                ..
            } => format!("give the tool its provider's key back: bascule eject {consumer}"),
            NoWayBack::Erased { consumer, .. } => {
                format!("move it to another connection: bascule repair {consumer}")
            }
        };
        Self::new(Kind::Refused, why.to_string()).next(next)
    }
}

/// An adoption and all that it replaced as far as they are known, the latest first.
fn chain<'a>(adoption: &'a Adoption, known: &'a [Adoption]) -> Vec<&'a Adoption> {
    let mut chain = vec![adoption];
    let mut earlier = adoption.replaces.as_ref();
    while let Some(id) = earlier {
        let next = known.iter().find(|one| one.id == *id);
        let Some(next) = next.filter(|next| chain.iter().all(|passed| passed.id != next.id)) else {
            break;
        };
        chain.push(next);
        earlier = next.replaces.as_ref();
    }
    chain
}

/// The adoptions whose originals lead back, the latest first.
pub(crate) fn links<'a>(
    adoption: &'a Adoption,
    known: &'a [Adoption],
) -> Result<Vec<&'a Adoption>, NoWayBack> {
    let consumer = || adoption.consumer.clone();
    match adoption.state {
        // Only what it did itself is undone.
        State::Prepared => {
            return match adoption.originals_kept {
                true => Ok(vec![adoption]),
                false => Err(erased(adoption, adoption)),
            };
        }
        State::Adopted => {}
        State::Replaced => {
            let mut later = known.iter().filter(|later| later.in_force());
            let by = later.find(|later| {
                let mut chain = chain(later, known).into_iter();
                chain.any(|one| one.id == adoption.id)
            });
            if let Some(by) = by {
                let by = by.id.clone();
                let consumer = consumer();
                return Err(NoWayBack::Replaced { consumer, by });
            }
            return Err(settled(adoption));
        }
        State::RolledBack | State::Undone | State::Ejected => return Err(settled(adoption)),
    }
    kept(chain(adoption, known))
}

fn settled(adoption: &Adoption) -> NoWayBack {
    NoWayBack::Settled {
        consumer: adoption.consumer.clone(),
        state: adoption.state,
    }
}

fn kept(chain: Vec<&Adoption>) -> Result<Vec<&Adoption>, NoWayBack> {
    // What is not known any more has no originals either.
    let first = chain.last().and_then(|first| first.replaces.as_ref());
    let lost = chain.iter().find(|one| !one.originals_kept);
    let Some(lost) = lost.or(first.and(chain.last())) else {
        return Ok(chain);
    };
    Err(erased(chain[0], lost))
}

fn erased(adoption: &Adoption, lost: &Adoption) -> NoWayBack {
    NoWayBack::Erased {
        consumer: adoption.consumer.clone(),
        connection: lost.connection.clone(),
        has_provider: adoption.connection_state == ConnectionState::Living,
    }
}

/// Whether `adopt --undo` of it gives the bytes from before, unless the files have changed since.
pub(crate) fn can_be_undone(adoption: &Adoption, known: &[Adoption]) -> bool {
    let unbroken = |kept: Kept| kept.files.iter().all(|file| file.is_unbroken);
    let passed = links(adoption, known).is_ok();
    passed && (adoption.replaces.is_none() || adoption.kept().is_ok_and(unbroken))
}

/// A file of a move: `before` is the digest of what stands in it, `after` of what the move leaves.
pub(crate) fn following(
    path: &Path,
    before: &str,
    after: String,
    former: Option<&Kept>,
) -> KeptFile {
    let left = former.and_then(|former| former.files.iter().find(|left| left.path == path));
    KeptFile {
        path: path.to_owned(),
        before: before.to_owned(),
        after,
        is_unbroken: left.is_none_or(|left| left.is_unbroken && left.after == before),
        mount: left.and_then(|left| left.mount.clone()),
    }
}

/// Whether nothing but moves of Bascule's own took a file from one state to another one, by what is kept of them.
pub(crate) fn is_ours(path: &Path, from: &str, to: &str, known: &[Adoption]) -> bool {
    let kept = known.iter().filter_map(|adoption| adoption.kept().ok());
    let steps: Vec<_> = kept
        .flat_map(|kept| {
            let moves = kept.files.into_iter().map(|file| Step {
                path: file.path,
                before: file.before,
                after: file.after,
            });
            moves.chain(kept.back).collect::<Vec<_>>()
        })
        .filter(|step| step.path == path && !step.before.is_empty() && !step.after.is_empty())
        .collect();
    let mut reached = BTreeSet::from([from]);
    loop {
        let size = reached.len();
        for step in &steps {
            if reached.contains(step.before.as_str()) {
                reached.insert(&step.after);
            }
        }
        if reached.contains(to) || reached.len() == size {
            return !from.is_empty() && reached.contains(to);
        }
    }
}

/// Reads what leads back over these adoptions, the latest first.
pub(crate) async fn read(client: &Client, links: &[&Adoption]) -> Result<WayBack, Error> {
    let mut originals = BTreeMap::new();
    for link in links {
        // What stood there first counts.
        originals.extend(record::originals(client, &link.id).await?);
    }
    let latest = links.first().map(|latest| latest.kept()).transpose()?;
    let mut files = latest.unwrap_or_default().files;
    if links
        .first()
        .is_some_and(|latest| latest.state == State::Prepared)
    {
        // The others are what earlier ones changed.
        files.retain(|file| originals.contains_key(&file.path));
    }
    Ok(WayBack { files, originals })
}

/// The connection whose credentials were replaced since a tool was adopted: those that stood in its files
/// may be dead, also where the id is the same.
pub(crate) fn outdated<'c>(
    links: &[&Adoption],
    connections: &'c [v1::Connection],
) -> Option<&'c v1::Connection> {
    let first = links
        .last()
        .filter(|first| first.in_force() || links.len() > 1)?;
    let mut there = connections.iter();
    let connection = there.find(|there| there.id == first.connection_id)?;
    let time = |time: &prost_types::Timestamp| (time.seconds, time.nanos);
    let changed = connection.credentials_changed_at.as_ref().map(time);
    let is_later =
        connection.credentials_generation > 1 && changed > first.prepared_at.as_ref().map(time);
    is_later.then_some(connection)
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    fn adoption(id: &str, state: State, replaces: Option<&str>, kept: &Kept) -> Adoption {
        let word = state.as_str().to_owned();
        let wire = v1::Adoption {
            id: id.into(),
            connection: "photos".into(),
            connection_id: "C".into(),
            connection_state: "living".into(),
            consumer: "rclone:r2".into(),
            state: word,
            replaces: replaces.unwrap_or_default().into(),
            layout: serde_json::to_string(kept).unwrap(),
            originals_kept: true,
            prepared_at: Some(Timestamp {
                seconds: 100,
                nanos: 0,
            }),
            ..v1::Adoption::default()
        };
        wire.try_into().unwrap()
    }

    fn kept(files: Vec<KeptFile>) -> Kept {
        Kept {
            files,
            ..Kept::default()
        }
    }

    #[test]
    fn a_file_is_ours_as_far_as_moves_and_ways_back_lead_without_a_gap() {
        let path = Path::new("/rclone.conf");
        let one = |id: &str, state, before: &str, after: &str, back: Option<(&str, &str)>| {
            let file = following(path, before, after.to_owned(), None);
            let back = back.map(|(before, after)| Step {
                path: path.to_owned(),
                before: before.into(),
                after: after.into(),
            });
            let kept = Kept {
                back: back.into_iter().collect(),
                ..kept(vec![file])
            };
            adoption(id, state, None, &kept)
        };
        let known = [
            one("A1", State::Adopted, "o", "a", None),
            one("A2", State::Undone, "a", "b", Some(("c", "d"))),
            one("A3", State::Adopted, "b", "c", None),
        ];
        assert!(is_ours(path, "a", "c", &known));
        assert!(is_ours(path, "a", "d", &known), "the second was taken back");
        assert!(!is_ours(path, "a", "e", &known), "somebody wrote since");
        assert!(!is_ours(path, "c", "b", &known), "not against the time");
        assert!(!is_ours(Path::new("/other"), "a", "c", &known));
        assert!(
            !is_ours(path, "", "c", &known),
            "what is not known leads nowhere"
        );
    }

    /// A file that several moves change: what each finds in it, and how it leaves it.
    fn moved(steps: &[(&str, &str)]) -> Kept {
        let mut former: Option<Kept> = None;
        for (before, after) in steps {
            let path = Path::new("/rclone.conf");
            let file = following(path, before, (*after).to_owned(), former.as_ref());
            former = Some(kept(vec![file]));
        }
        former.unwrap()
    }

    #[test]
    fn the_way_back_over_several_moves_is_broken_by_what_was_written_in_between() {
        let unbroken = moved(&[("a", "b"), ("b", "c"), ("c", "d")]);
        assert!(unbroken.files[0].is_unbroken);
        // New remotes between the first and the second; what the third finds does not heal it.
        let broken = moved(&[("a", "b"), ("b and mine", "c"), ("c", "d")]);
        assert!(!broken.files[0].is_unbroken);
        let first = adoption("A1", State::Replaced, None, &moved(&[("a", "b")]));
        let last = |kept| adoption("A3", State::Adopted, Some("A1"), kept);
        let known = [first.clone(), last(&unbroken)];
        assert!(can_be_undone(&known[1], &known));
        let known = [first, last(&broken)];
        assert!(!can_be_undone(&known[1], &known));
    }

    #[test]
    fn what_was_replaced_names_the_one_in_force() {
        let all = moved(&[("a", "b"), ("b", "c")]);
        let known = [
            adoption("A1", State::Replaced, None, &moved(&[("a", "b")])),
            adoption("A2", State::Adopted, Some("A1"), &all),
        ];
        let why = links(&known[0], &known).unwrap_err();
        assert!(!can_be_undone(&known[0], &known));
        let next = Error::from(why).next.unwrap();
        assert_eq!(next, "bascule adopt --undo A2");
    }

    #[test]
    fn what_was_erased_with_its_connection_can_not_be_undone_but_ejected() {
        let all = moved(&[("a", "b"), ("b", "c")]);
        let mut known = [
            adoption("A1", State::Replaced, None, &moved(&[("a", "b")])),
            adoption("A2", State::Adopted, Some("A1"), &all),
        ];
        known[0].originals_kept = false;
        let why = links(&known[1], &known).unwrap_err();
        assert!(!can_be_undone(&known[1], &known));
        let next = Error::from(why).next.unwrap();
        assert!(next.ends_with("bascule eject rclone:r2"), "{next}");
        // Nor when the first is not remembered at all.
        assert!(!can_be_undone(&known[1], &known[1..]));
    }

    #[test]
    fn credentials_that_were_replaced_since_are_not_put_back() {
        let one = adoption("A1", State::Adopted, None, &moved(&[("a", "b")]));
        let mut connection = v1::Connection {
            id: "C".into(),
            credentials_generation: 1,
            credentials_changed_at: Some(Timestamp {
                seconds: 50,
                nanos: 0,
            }),
            ..v1::Connection::default()
        };
        let told = |connection: &v1::Connection| {
            outdated(&[&one], std::slice::from_ref(connection)).is_some()
        };
        assert!(!told(&connection));
        connection.credentials_generation = 2;
        assert!(!told(&connection), "before it was adopted");
        connection.credentials_changed_at = Some(Timestamp {
            seconds: 101,
            nanos: 0,
        });
        assert!(
            told(&connection),
            "the id may be the same, and the secret another"
        );
    }
}
