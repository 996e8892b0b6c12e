//! Adds a connection: decide where it is, probe it, keep it. Nothing is kept when the probe fails.

use std::{collections::BTreeMap, sync::Arc};

/// What may be said about a place; each provider says which of it belongs to it.
pub(crate) use bascule_adapters::Wish as Options;
use bascule_adapters::{Probe, Storage, adapter};
use bascule_domain::{
    audit::{Asked, Change, Details, Part},
    connection::{Buckets, Connection, Location, ReconnectCard},
    deletion::{Deletion, Phase},
    ids::ConnectionId,
    leak::Leak,
    limits::Limits,
    names::ConnectionName,
    provider::ProviderKind,
    secret::Credentials,
};

use bascule_gateway::{Admission, PausedBy};

use super::{
    App,
    error::{Error, Kind, Result},
    pause::paused_by,
    registry::{Entry, View},
};
use crate::{bridge, random};

/// What the user wants to connect.
pub(crate) struct Wish {
    pub name: ConnectionName,
    pub place: Place,
    /// May be absent for a local folder.
    pub credentials: Option<Credentials>,
    /// Also if a leak of it was reported.
    pub allow_leaked: bool,
}

/// Where it is said to be.
pub(crate) enum Place {
    /// By a reconnect card.
    Card(Box<ReconnectCard>),
    /// In words.
    Said {
        provider: ProviderKind,
        buckets: Buckets,
        options: Box<Options>,
    },
}

impl Place {
    /// Where it is, by the provider's rules.
    pub(super) fn locate(self) -> Result<(ProviderKind, Buckets, Location)> {
        match self {
            Self::Card(card) => {
                // A card is a file from somewhere: it meets the same rules as what is typed.
                let wish = Options::from(&card.location);
                let location = adapter(card.provider).locate(&wish)?;
                Ok((card.provider, card.buckets, location))
            }
            Self::Said {
                provider,
                buckets,
                options,
            } => {
                let location = adapter(provider).locate(&options)?;
                Ok((provider, buckets, location))
            }
        }
    }
}

pub(super) fn credentials_for(
    provider: ProviderKind,
    given: Option<Credentials>,
) -> Result<Credentials> {
    match given {
        Some(credentials) => Ok(credentials),
        // The embedded service is called in process; its credentials are only a formality.
        None if provider == ProviderKind::Local => Ok(random::issue()),
        None => Err(
            Error::new(Kind::Invalid, format!("{provider} needs credentials"))
                .next("add --credentials-stdin, --aws-profile P or --rclone-remote R"),
        ),
    }
}

impl App {
    pub(crate) async fn connect(&self, by: Asked, wish: Wish) -> Result<(View, Probe)> {
        self.name_is_free(&wish.name)?;
        let (provider, buckets, location) = wish.place.locate()?;
        let credentials = credentials_for(provider, wish.credentials)?;
        if !wish.allow_leaked {
            self.refuse_leaked(&credentials).await?;
        }
        let storage = adapter(provider).open(&location, &self.surroundings)?;
        let probe = storage.probe(&credentials, &buckets).await?;
        // Only now: a revocation must never wait for a provider's answer.
        let _changing = self.one_change_at_a_time().await;
        self.name_is_free(&wish.name)?;
        let now = self.clock.now();
        let connection = Connection {
            id: ConnectionId::from_random(random::bytes()),
            name: wish.name,
            provider,
            identities: probe
                .buckets
                .iter()
                .map(|b| (b.bucket.clone(), b.identity.clone()))
                .collect(),
            buckets,
            location,
            created_at: now,
            credentials_generation: 1,
            credentials_changed_at: now,
            limits: Limits::default(),
            paused_at: None,
            card_exported_at: None,
        };
        let none: [&str; 0] = [];
        let audit = self.audit(
            Some(by),
            Change::Connected {
                connection: connection.id,
            },
            Details::of(&connection)
                .differs(Part::Place, none, [location_text(&connection.location)])
                .differs(Part::Buckets, none, connection.buckets.iter()),
        );
        {
            let (connection, credentials) = (connection.clone(), credentials.clone());
            self.stored(move |store| store.add_connection(&connection, &credentials, &audit))
                .await?;
        }
        tracing::info!(connection = %connection.id, "connected");
        let entry = self.put_up(connection, credentials, Vec::new(), None);
        Ok((self.view(&entry), probe))
    }

    pub(super) fn name_is_free(&self, name: &ConnectionName) -> Result<()> {
        match self.registry.by_name(name.as_str()) {
            None => Ok(()),
            Some(_) => Err(Error::new(
                Kind::AlreadyExists,
                format!("there is already a connection {name}"),
            )
            .next(format!("bascule show {name}"))),
        }
    }

    /// The opened provider. One that could not be opened before is tried again: a disk may have
    /// been mounted since.
    pub(super) fn storage(&self, entry: &Entry) -> std::result::Result<Arc<Storage>, String> {
        if let Ok(storage) = &entry.storage {
            return Ok(storage.clone());
        }
        let opened = self.open_storage(&entry.connection);
        if let Ok(storage) = &opened {
            self.registry.update(entry.connection.id, |entry| {
                entry.storage = Ok(storage.clone());
            });
        }
        opened
    }

    fn open_storage(&self, connection: &Connection) -> std::result::Result<Arc<Storage>, String> {
        adapter(connection.provider)
            .open(&connection.location, &self.surroundings)
            .map_err(|error| error.to_string())
    }

    /// Puts a stored connection into the registry and before the gateway, as its deletion, if one
    /// is under way, demands.
    pub(super) fn put_up(
        &self,
        connection: Connection,
        credentials: Credentials,
        leaks: Vec<Leak>,
        deletion: Option<&Deletion>,
    ) -> Entry {
        let storage = self.open_storage(&connection);
        if storage.is_err() {
            tracing::warn!(connection = %connection.id, "the provider can't be opened; see bascule show");
        }
        let entry = Entry {
            credentials: Arc::new(credentials),
            storage,
            rotations: BTreeMap::new(),
            leaks,
            deletion: deletion.map(|deletion| deletion.id),
            severed: deletion.is_some_and(|deletion| deletion.phase.keys_are_dead()),
            connection,
        };
        self.registry.insert(entry.clone());
        let admission = if let Some(deletion) = deletion {
            Admission::Paused(match deletion.phase {
                Phase::Listening => PausedBy::ScreamTest,
                _ => PausedBy::Deletion,
            })
        } else if self.closure().is_some() {
            Admission::Paused(PausedBy::Restore)
        } else if entry.connection.paused_at.is_some() {
            Admission::Paused(paused_by(&entry.connection, &entry.leaks))
        } else {
            Admission::Open
        };
        if self
            .keyring
            .add_connection(bridge::connection_spec(
                &entry,
                &self.surroundings,
                admission,
            ))
            .is_err()
        {
            tracing::error!(connection = %entry.connection.id, "the gateway has this connection already");
        }
        entry
    }
}

/// The place in words, for people.
pub(crate) fn location_text(location: &Location) -> String {
    match location {
        Location::Server { endpoint, .. } => endpoint.to_string(),
        Location::Folder { path } => path.display().to_string(),
    }
}
