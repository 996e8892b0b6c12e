//! Puts a key of its own into a consumer's files, tries it, and puts everything back if it does not work.

use std::path::PathBuf;

use bascule_domain::adoption::State;
use bascule_proto::v1;
use bascule_watch::adopt::{Consumer, Goal, Plan, plan};
use serde::Serialize;

use super::{
    Seen,
    adopted::Adoption,
    connection::names,
    files::{self, Failure},
    issue::{self, Issued},
    preview::FileDocument,
    record::{self, Since},
    restart::{self, Restart},
    rights::Rights,
    verify::{self, NotWorking},
};
use crate::{
    channel::Client,
    error::{Error, Kind},
    output::document::permission,
};

/// Which key a consumer gets.
#[derive(Clone, Copy)]
pub(crate) enum Gets<'g> {
    /// A new one of this connection, with the rights of the one that it replaces, where they are known.
    New {
        connection: &'g str,
        rights: Option<&'g Rights>,
        /// Whether what the consumer holds now is a key at its provider which is not the connection's own.
        is_foreign: bool,
    },
    /// The one that took the place of the key that it holds.
    Successor,
}

/// What every move of one run shares.
pub(crate) struct Way<'w> {
    pub(crate) client: &'w Client,
    pub(crate) seen: &'w Seen,
    /// Whether units of the user's own are restarted.
    pub(crate) restarts: bool,
    /// For the audit; may be empty.
    pub(crate) reason: &'w str,
}

/// A consumer that was moved, or would be.
#[derive(Serialize)]
pub(crate) struct Moved {
    pub(crate) consumer: String,
    /// Of the adoption; absent in a dry run.
    pub(crate) id: Option<String>,
    pub(crate) connection: String,
    pub(crate) label: Option<String>,
    pub(crate) permission: String,
    /// Whether its key is the one that took the former's place in a rotation, not one made for it.
    pub(crate) successor: bool,
    pub(crate) former_key: String,
    pub(crate) key: Option<String>,
    pub(crate) files: Vec<FileDocument>,
    /// What goes on with the old key until it is started anew.
    pub(crate) restart: Vec<Restart>,
    /// Files that hold its key, and that others than their owner can read.
    pub(crate) readable_by_others: Vec<PathBuf>,
    /// What it can do now that it could not before; for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gained: Option<String>,
    /// What it could do before and can't do now; for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<String>,
}

impl Moved {
    /// What would be done.
    pub(crate) fn planned(consumer: &Consumer, connection: &str, plan: &Plan) -> Self {
        Self {
            consumer: consumer.name.clone(),
            id: None,
            connection: connection.to_owned(),
            label: None,
            permission: consumer.need().permission.as_str().to_owned(),
            successor: false,
            former_key: consumer.id().masked(),
            key: None,
            files: plan.files.iter().map(Into::into).collect(),
            restart: restart::needed(consumer, &files::paths(plan)),
            readable_by_others: Vec::new(),
            gained: None,
            lost: None,
        }
    }

    /// The same, with rights that are known.
    pub(crate) fn with_rights(self, rights: &Rights) -> Self {
        Self {
            permission: rights.told(),
            ..self
        }
    }

    /// The same, with a key that is there already.
    pub(crate) fn with_successor(self, key: &v1::Key) -> Self {
        Self {
            label: Some(key.label.clone()),
            permission: permission(key.permission()).unwrap_or_default().to_owned(),
            successor: true,
            key: Some(key.access_key_id.clone()),
            ..self
        }
    }
}

/// Gives a consumer a key. `former` is the adoption in whose place this one comes.
pub(crate) async fn move_to(
    gets: Gets<'_>,
    consumer: &Consumer,
    former: Option<&Adoption>,
    way: &Way<'_>,
) -> Result<Moved, Failure> {
    let (connection, rights, is_foreign) = match gets {
        Gets::New {
            connection,
            rights,
            is_foreign,
        } => (connection, rights, is_foreign),
        Gets::Successor => {
            // Whatever becomes of it, others may hold it.
            let issued = issue::successor(way.client, consumer, way.reason).await?;
            return give(consumer, &issued, former, false, way).await;
        }
    };
    let issued = issue::issue(way.client, connection, consumer, rights, way.reason).await?;
    let moved = give(consumer, &issued, former, is_foreign, way).await;
    // Of what is half done a file holds it.
    if matches!(moved, Err(Failure::PutBack(_))) {
        let revoked = record::revoke(way.client, &issued.key.id, "its adoption failed").await;
        // It opens nothing to anybody: no file holds it, and `key list` shows it.
        drop(revoked);
    }
    moved
}

/// Gives a consumer a key that there is already. `is_foreign` as in [`Gets::New`]; of a consumer that was
/// adopted before, what it held at first counts.
pub(crate) async fn give(
    consumer: &Consumer,
    issued: &Issued,
    former: Option<&Adoption>,
    is_foreign: bool,
    way: &Way<'_>,
) -> Result<Moved, Failure> {
    let (client, reason) = (way.client, way.reason);
    // What moved before may have changed the lines of the same file.
    let consumer = &way.seen.again(consumer).await.map_err(Failure::PutBack)?;
    let plan = plan(consumer, Goal::Gateway(&issued.access), files::text)
        .map_err(|why| Failure::PutBack(Error::new(Kind::Refused, why.to_string())))?;
    let key = &issued.key.id;
    let since = Since { former, is_foreign };
    let adoption = record::prepare(client, key, &consumer.name, &plan, since, reason)
        .await
        .map_err(Failure::PutBack)?;
    let done = write_and_try(consumer, issued, &plan, &adoption, way).await;
    match done {
        Ok(()) => {}
        Err(Failure::PutBack(error)) => {
            record::settle(client, &adoption.id, State::RolledBack, reason)
                .await
                .map_err(Failure::PutBack)?;
            return Err(Failure::PutBack(error));
        }
        Err(Failure::Stuck(error)) => {
            let next = format!("bascule adopt --undo {}", adoption.id);
            return Err(Failure::Stuck(error.next(next)));
        }
    }
    let paths = files::paths(&plan);
    let mut restart = restart::needed(consumer, &paths);
    if way.restarts {
        restart = restart::perform(restart);
    }
    Ok(Moved {
        consumer: consumer.name.clone(),
        id: Some(adoption.id),
        connection: issued.key.connection.clone(),
        label: Some(issued.key.label.clone()),
        permission: permission(issued.key.permission())
            .unwrap_or_default()
            .to_owned(),
        successor: !issued.key.predecessor.is_empty(),
        former_key: consumer.id().masked(),
        key: Some(issued.key.access_key_id.clone()),
        files: plan.files.iter().map(Into::into).collect(),
        restart,
        readable_by_others: plan
            .files
            .iter()
            .filter(|file| file.holds_a_key() && files::readable_by_others(&file.path))
            .map(|file| file.path.clone())
            .collect(),
        gained: None,
        lost: None,
    })
}

/// Writes the files, tries the key, and has the daemon know; puts the files back if one of it fails.
async fn write_and_try(
    consumer: &Consumer,
    issued: &Issued,
    plan: &Plan,
    adoption: &Adoption,
    way: &Way<'_>,
) -> Result<(), Failure> {
    files::write(plan).await?;
    let buckets = names(&issued.buckets);
    let checked = verify::check(way.seen, consumer, &issued.access, &buckets).await;
    if let Err(NotWorking(why)) = checked {
        return Err(files::after(Error::new(Kind::Failed, why), &plan.files).await);
    }
    match record::adopted(way.client, adoption, way.reason).await {
        Ok(()) => Ok(()),
        Err(error) => Err(files::after(error, &plan.files).await),
    }
}
