//! A tool that goes back to its provider: whether it can, and what its files hold then.

use std::{collections::BTreeMap, path::PathBuf};

use bascule_domain::adoption::State;
use bascule_proto::v1;
use bascule_watch::adopt::{Access, Consumer, Goal, Layout, Plan, ServerSettings, plan};
use zeroize::Zeroizing;

use super::{Arguments, Ejected};
use crate::{
    channel::Client,
    error::{Error, Kind},
    moving::{
        Seen,
        adopted::{Adoption, Standing},
        before::{self, GoesBack, goes_back},
        connection::names,
        files::{self, Failure},
        record,
        restart::{self, Restart},
        verify::{self, NotWorking},
    },
};

/// A tool that can be ejected.
pub(super) struct Chosen<'s> {
    pub(super) consumer: &'s Consumer,
    pub(super) connection: v1::Connection,
    former: Option<Adoption>,
    layout: Layout,
    originals: BTreeMap<PathBuf, Zeroizing<String>>,
    settings: ServerSettings,
    /// The key that it had, where that goes back and is not the connection's own.
    its_own: Option<Access>,
    pub(super) plan: Plan,
}

/// `None` for a consumer whose key is none of ours.
pub(super) async fn choose<'s>(
    consumer: &'s Consumer,
    seen: &Seen,
    connections: &[v1::Connection],
    adoptions: &[Adoption],
    arguments: &Arguments,
    client: &Client,
) -> Result<Option<Chosen<'s>>, String> {
    let Some(known) = seen.known(consumer) else {
        return Ok(None);
    };
    match known.standing {
        Standing::Living | Standing::Paused | Standing::Expired | Standing::Retiring => {}
        Standing::Dead
            if connections
                .iter()
                .all(|there| there.id != known.connection_id) =>
        {
            return Err(format!(
                "its connection {} is deleted, so there are no credentials to give back; give it another one first: bascule repair {}",
                known.connection,
                consumer.id().as_str()
            ));
        }
        Standing::Dead => {}
        Standing::Brought | Standing::Leaked | Standing::MarkedDead | Standing::Unknown => {
            return Ok(None);
        }
    }
    let found = connections
        .iter()
        .find(|there| there.id == known.connection_id);
    let connection = found.ok_or("its connection is gone")?.clone();
    if !connection.deletion_id.is_empty() {
        return Err(format!("a deletion of {} is under way", connection.name));
    }
    consumer.movable().map_err(|why| why.to_string())?;
    let former =
        record::current(adoptions, seen, consumer, &known.connection, &known.label).cloned();
    let layout = match &former {
        Some(former) => former.kept().map_err(|error| error.message)?.layout,
        None => Layout::default(),
    };
    let originals = match &former {
        Some(former) if former.originals_kept && former.replaces.is_none() => {
            match record::originals(client, &former.id).await {
                Ok(originals) => originals,
                // They were in no backup that was restored; what is known of the settings is enough.
                Err(error) if error.kind == Kind::Refused => BTreeMap::new(),
                Err(error) => return Err(error.message),
            }
        }
        _ => BTreeMap::new(),
    };
    let endpoint = connection.endpoint.parse();
    let endpoint = endpoint.map_err(|_| {
        format!(
            "{} is a folder of this machine, which only Bascule serves",
            connection.name
        )
    })?;
    let former_and_its = former.as_ref().map(|former| (former, &originals));
    let goes_back = goes_back(consumer, former_and_its, adoptions, &connection, client);
    let its_own = match goes_back.await.map_err(|error| error.message)? {
        GoesBack::Connections => None,
        _ if arguments.connection_key => None,
        GoesBack::Former(had) => before::access(&had, &connection),
        GoesBack::Neither(why) => {
            let name = &connection.name;
            return Err(format!(
                "{why}; that of {name} is another one, and may do more: give it that one all the same with --connection-key"
            ));
        }
    };
    let access = its_own.clone().unwrap_or_else(|| Access {
        id: connection.brought_key.trim_start_matches('…').to_owned(),
        secret: Zeroizing::new("A".repeat(40)),
        endpoint,
    });
    let settings = ServerSettings {
        region: connection.region.clone(),
        is_virtual_host: connection.addressing == "virtual-host",
    };
    let goal = Goal::Provider {
        access: &access,
        settings: &settings,
        layout: &layout,
        originals: &originals,
    };
    let plan = plan(consumer, goal, files::text).map_err(|why| why.to_string())?;
    Ok(Some(Chosen {
        consumer,
        connection,
        former,
        layout,
        originals,
        settings,
        its_own,
        plan,
    }))
}

impl Chosen<'_> {
    /// What it gets, for people.
    pub(super) fn told(&self) -> String {
        let name = &self.connection.name;
        match &self.its_own {
            Some(_) => format!("the key that it had before, not that of {name}"),
            None => format!("the key of {name} at its provider"),
        }
    }

    pub(super) fn document(&self, plan: &Plan, restart: Vec<Restart>) -> Ejected {
        Ejected {
            consumer: self.consumer.name.clone(),
            connection: self.connection.name.clone(),
            former_key: self.consumer.id().masked(),
            connection_key: self.its_own.is_none(),
            files: plan.files.iter().map(Into::into).collect(),
            restart,
            key_lives: false,
        }
    }

    pub(super) async fn carry_out(
        &self,
        client: &Client,
        seen: &Seen,
        arguments: &Arguments,
    ) -> Result<Ejected, Failure> {
        let reason = arguments.why.text();
        let access = match &self.its_own {
            Some(had) => had.clone(),
            None => access(client, &self.connection.name, &self.consumer.name, &reason).await?,
        };
        let goal = Goal::Provider {
            access: &access,
            settings: &self.settings,
            layout: &self.layout,
            originals: &self.originals,
        };
        // What was ejected before may have changed the lines of the same file.
        let consumer = &seen.again(self.consumer).await?;
        let plan = plan(consumer, goal, files::text)
            .map_err(|why| Error::new(Kind::Refused, why.to_string()))?;
        let before = files::digests(&files::paths(&plan))?;
        files::write(&plan).await?;
        let buckets = names(&self.connection.buckets);
        let checked = verify::check(seen, consumer, &access, &buckets).await;
        if let Err(NotWorking(why)) = checked {
            return Err(files::after(Error::new(Kind::Failed, why), &plan.files).await);
        }
        if let Some(former) = &self.former
            && let Err(error) =
                record::settle_back(client, former, State::Ejected, before, &reason).await
        {
            return Err(files::after(error, &plan.files).await);
        }
        let mut restart = restart::needed(consumer, &files::paths(&plan));
        if arguments.restart {
            restart = restart::perform(restart);
        }
        Ok(self.document(&plan, restart))
    }
}

/// The connection's own key and server.
async fn access(
    client: &Client,
    connection: &str,
    consumer: &str,
    reason: &str,
) -> Result<Access, Error> {
    let request = v1::AccessRequest {
        connection: connection.to_owned(),
        consumer: consumer.to_owned(),
        reason: reason.to_owned(),
    };
    let answer = client.adoptions().access(request).await?.into_inner();
    let credentials = answer.credentials.unwrap_or_default();
    let endpoint = answer.endpoint.parse().map_err(|error| {
        Error::new(
            Kind::Failed,
            format!("the daemon's answer holds no address: {error}"),
        )
    })?;
    Ok(Access {
        id: credentials.access_key_id,
        secret: Zeroizing::new(credentials.secret_access_key),
        endpoint,
    })
}
