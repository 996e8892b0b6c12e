//! Which key an alarm shows: whole, or masked. It changes nothing, and never guesses: of several
//! that it may be, it takes none.

use std::collections::BTreeMap;

use bascule_domain::{
    access_key::{AccessKeyId, ShownId},
    key::Key,
    tombstone::Tombstone,
};

use super::unknown;
use crate::app::{
    App,
    error::{Error, Kind, Result},
    named::Named,
    registry::Entry,
};

/// The key that is meant.
pub(super) enum Meant {
    /// Bascule issued it, and it lives.
    Issued(Box<Entry>, Key),
    /// Bascule issued it, and it is dead; its id is known only if it was given whole.
    Dead(Option<AccessKeyId>, Tombstone),
    /// It is or was a connection's own key at its provider.
    Provider(AccessKeyId),
}

impl App {
    pub(super) fn shown(&self, given: &str) -> Result<Meant> {
        if given.contains('/') {
            return Err(Error::new(
                Kind::Invalid,
                format!("{given} may stand for the key that leaked or for its successor; give the access key id that stands in the alarm"),
            )
            .next("bascule key list"));
        }
        // Fails only where there is no such key.
        match self.find_key(given) {
            Ok(Named::Living(entry, key)) => return Ok(Meant::Issued(entry, key)),
            Ok(Named::Dead(tombstone)) => {
                let id = given.parse().ok().filter(|id| self.is_of(id, &tombstone));
                return Ok(Meant::Dead(id, tombstone));
            }
            Err(_) => {}
        }
        let mut providers: BTreeMap<AccessKeyId, String> = BTreeMap::new();
        for entry in self.providers() {
            let leaked = entry.leaks.iter().map(|leak| &leak.access_key_id);
            for id in leaked.chain([&entry.credentials.access_key_id]) {
                providers
                    .entry(id.clone())
                    .or_insert_with(|| format!("the provider's key of {}", entry.connection.name));
            }
        }
        if let Some(id) = providers.keys().find(|id| id.as_str() == given) {
            return Ok(Meant::Provider(id.clone()));
        }
        self.masked(given, providers)
    }

    /// The one key that a masked id may be.
    fn masked(&self, given: &str, providers: BTreeMap<AccessKeyId, String>) -> Result<Meant> {
        let shown = ShownId::new(given);
        if !shown.is_enough() {
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "{given} shows too little of an access key id; give at least its last {} characters",
                    ShownId::ENOUGH_OF_THE_END
                ),
            )
            .next("bascule key list"));
        }
        let mut found = self.registry.each_key(|entry, key| {
            let told = || {
                let whose = format!("{}/{}", entry.connection.name, key.label);
                format!("{} ({whose})", key.access_key_id.masked())
            };
            let meant = || Meant::Issued(Box::new(entry.clone()), key.clone());
            let fits = shown.fits(key.access_key_id.as_str());
            fits.then(|| (told(), meant()))
        });
        for (id, whose) in providers {
            if shown.fits(id.as_str()) {
                found.push((format!("{} ({whose})", id.masked()), Meant::Provider(id)));
            }
        }
        for dead in self.graves.all() {
            if shown.fits_masked(&dead.masked) {
                let whose = format!("{}/{}, dead", dead.connection_name, dead.label);
                found.push((
                    format!("{} ({whose})", dead.masked),
                    Meant::Dead(None, dead),
                ));
            }
        }
        if found.len() > 1 {
            let several: Vec<_> = found.into_iter().map(|(told, _)| told).collect();
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "{given} may be any of {}; give more of the access key id",
                    several.join(", ")
                ),
            )
            .next("bascule key list"));
        }
        found
            .pop()
            .map(|(_, meant)| meant)
            .ok_or_else(|| unknown(given))
    }

    /// Whether the dead key had this id; a record's id may have the shape of one.
    fn is_of(&self, id: &AccessKeyId, tombstone: &Tombstone) -> bool {
        bascule_gateway::DeadKeys::find(&*self.graves, id)
            .is_some_and(|dead| dead.key == tombstone.key)
    }
}
