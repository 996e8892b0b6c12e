//! Finishes what a run left half done: it was killed between the daemon's promise and the last check. It
//! settles nothing that it can't see, nothing of another user, and nothing that goes on still; and what can't be
//! finished stops nobody else.

use bascule_domain::adoption::State;
use serde::{Deserialize, Serialize};

use super::{
    absent::{self, Absent, Held},
    adopted::{Adoption, ConnectionState},
    files::{self, digest_of},
    record::{self, Fate, KeptFile},
};
use crate::{
    channel::Client,
    error::{Error, Kind},
    output::{
        Output,
        text::{WARN, escape, styled},
    },
};

/// The process that moves a consumer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mover {
    uid: u32,
    pid: u32,
    /// Tells it from a later process with its number; `None` where the system does not tell.
    started: Option<u64>,
}

/// Whose an adoption is that was prepared and not settled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The user's own, and nobody works on it any more.
    Ours,
    /// A run that goes on.
    Running { pid: u32 },
    /// Only that user may see what became of it.
    Another { uid: u32 },
}

impl Mover {
    /// This process.
    pub(crate) fn this() -> Self {
        let pid = std::process::id();
        Self {
            uid: bascule_os::effective_uid(),
            pid,
            started: bascule_os::started_at(pid),
        }
    }

    fn whose(&self) -> Whose {
        let Self { uid, pid, started } = *self;
        if uid != bascule_os::effective_uid() {
            return Whose::Another { uid };
        }
        let goes_on = started.is_some() && bascule_os::started_at(pid) == started;
        match goes_on && *self != Self::this() {
            true => Whose::Running { pid },
            false => Whose::Ours,
        }
    }
}

/// Whose an adoption is that was prepared and not settled.
pub(crate) fn whose(adoption: &Adoption) -> Result<Whose, Error> {
    let by = adoption.kept()?.by;
    Ok(by.map_or(Whose::Ours, |by| by.whose()))
}

/// Refuses what goes on, or is another user's.
pub(crate) fn refuse_others(adoption: &Adoption) -> Result<(), Error> {
    let consumer = &adoption.consumer;
    let (message, next) = match whose(adoption)? {
        Whose::Ours => return Ok(()),
        Whose::Running { pid } => (
            format!("{consumer} is being moved by process {pid}"),
            "wait until it is done, and try again".to_owned(),
        ),
        Whose::Another { uid } => (
            format!("{consumer} was being moved by the user with the id {uid}"),
            format!("as that user: bascule adopt --undo {}", adoption.id),
        ),
    };
    Err(Error::new(Kind::Refused, message).next(next))
}

/// A move that was interrupted, and of whose files nothing is left.
pub(crate) struct GivenUp {
    pub(crate) adoption: Adoption,
    /// What became of the key that it gave.
    pub(crate) fate: Fate,
}

/// Finishes what runs before this one left half done. A file that somebody changed since is left, and told.
/// What was given up is returned.
pub(crate) async fn finish(client: &Client, output: Output) -> Result<Vec<GivenUp>, Error> {
    let mut given_up = Vec::new();
    for adoption in record::all(client).await? {
        if !adoption.is_half_done() {
            continue;
        }
        let told = match refuse_others(&adoption) {
            Ok(()) if absent::files(&adoption) == Some(Absent::FilesGone) => {
                let fate = roll_back(client, &adoption).await;
                fate.map(|fate| {
                    let told = format!(
                        "{} was interrupted, and its files are gone; {}",
                        adoption.consumer,
                        fate.told()
                    );
                    let adoption = adoption.clone();
                    given_up.push(GivenUp { adoption, fate });
                    told
                })
            }
            Ok(()) => finish_one(client, &adoption).await,
            Err(error) => Err(error),
        };
        let told = told.unwrap_or_else(|error| {
            let next = error
                .next
                .unwrap_or_else(|| format!("bascule adopt --undo {}", adoption.id));
            format!(
                "{} was not finished ({}), and is left: {}; {next}",
                adoption.consumer, adoption.id, error.message
            )
        });
        output.status(&styled(WARN, &escape(&told)));
    }
    Ok(given_up)
}

/// Closes the record of a move of which nothing is left, and revokes its key if nothing else has that.
async fn roll_back(client: &Client, adoption: &Adoption) -> Result<Fate, Error> {
    record::settle(client, &adoption.id, State::RolledBack, "interrupted").await?;
    let reason = "its adoption was interrupted";
    Ok(record::revoke_if_its_own(client, &adoption.key_id, false, reason).await)
}

/// What was done, for people.
async fn finish_one(client: &Client, adoption: &Adoption) -> Result<String, Error> {
    let consumer = &adoption.consumer;
    let Err(error) = put_back(client, adoption).await else {
        roll_back(client, adoption).await?;
        return Ok(format!(
            "{consumer} was interrupted: its files are as they were before"
        ));
    };
    match record::holds_its_key(client, adoption).await? {
        Held::No if left_any(adoption)? => Err(error),
        Held::No => {
            // Somebody changed the files, and nothing of it is left in them.
            roll_back(client, adoption).await?;
            Ok(format!(
                "{consumer} was interrupted, and its files were changed since by somebody else"
            ))
        }
        Held::Yes => {
            // Files are written in an order that ends with the key: it is adopted, whoever edited them since.
            record::adopted(client, adoption, "interrupted").await?;
            let next = match adoption.connection_state {
                ConnectionState::Living => "bascule eject",
                ConnectionState::Deleting | ConnectionState::Deleted => "bascule repair",
            };
            Ok(format!(
                "{consumer} was interrupted and has its new key ({}); to go on from there: {next} {consumer}",
                error.message
            ))
        }
        Held::NotKnown(why) => {
            let closing = absent::files(adoption).and_then(|absent| adoption.closing(&absent));
            let error = Error::new(error.kind, why);
            Err(match closing {
                Some(command) => error.next(format!("if it won't come back: {command}")),
                None => error,
            })
        }
    }
}

/// Whether a file stands exactly as a move left it: of several only some may have been written.
fn left_any(adoption: &Adoption) -> Result<bool, Error> {
    let as_left = |file: &KeptFile| {
        let now = files::bytes(&file.path);
        now.is_ok_and(|now| !file.after.is_empty() && digest_of(&now) == file.after)
    };
    Ok(adoption.kept()?.files.iter().any(as_left))
}

/// Puts the originals of an adoption back, where the files are as it left them: all of them, or none.
async fn put_back(client: &Client, adoption: &Adoption) -> Result<(), Error> {
    let kept = adoption.kept()?;
    let originals = record::originals(client, &adoption.id).await?;
    let refused = |path: &std::path::Path, why: &str| {
        Error::new(Kind::Refused, format!("{} {why}", path.display()))
    };
    let mut changes = Vec::new();
    for file in kept.files.iter().rev() {
        let Some(original) = originals.get(&file.path) else {
            continue;
        };
        if file.after.is_empty() {
            // Whatever its tool wrote is whole.
            if *files::bytes(&file.path)? != *original.as_bytes() {
                return Err(refused(&file.path, "is encrypted, and was written since"));
            }
            continue;
        }
        let now = files::text(&file.path)
            .map_err(|why| Error::new(Kind::Refused, format!("{}: {why}", file.path.display())))?;
        if now == *original {
            continue;
        }
        if digest_of(now.as_bytes()) != file.after {
            return Err(refused(&file.path, "has changed since"));
        }
        changes.push((&file.path, now, original));
    }
    for (path, now, original) in changes {
        files::replace(path, now.as_bytes(), original.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_or_is_another_users_is_left_alone() {
        let this = Mover::this();
        assert_eq!(this.whose(), Whose::Ours, "nothing of it waits for itself");
        let uid = this.uid + 1;
        assert_eq!(
            Mover {
                uid,
                ..this.clone()
            }
            .whose(),
            Whose::Another { uid }
        );
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id();
        let running = Mover {
            pid,
            started: bascule_os::started_at(pid),
            ..this.clone()
        };
        if cfg!(target_os = "linux") {
            assert_eq!(running.whose(), Whose::Running { pid });
        }
        child.kill().unwrap();
        // Also before anybody has asked how it ended.
        let id = rustix::process::Pid::from_child(&child);
        let options =
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
        assert_eq!(running.whose(), Whose::Ours);
        child.wait().unwrap();
        assert_eq!(running.whose(), Whose::Ours);
        // Another process by now.
        let other = Mover {
            pid: std::os::unix::process::parent_id(),
            started: Some(1),
            ..this
        };
        assert_eq!(other.whose(), Whose::Ours);
    }
}
