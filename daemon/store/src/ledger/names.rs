//! The clients that the ledger tells apart: each has a number, and what it is stands beside it,
//! sealed with its connection's key. It must never grow with what clients call themselves, nor give
//! a number that stood for another client.

use std::{
    collections::{
        HashMap, HashSet,
        hash_map::Entry::{Occupied, Vacant},
    },
    sync::Arc,
};

use bascule_domain::ids::{ConnectionId, KeyId};
use rusqlite::Transaction;

use super::{
    Client,
    book::{self, ClientId, Failure, NOBODY, OTHER},
};
use crate::{seal::Sealer, store::Store};

/// Clients that are told apart for one key in one hour; the others count together.
const CLIENTS_OF_AN_HOUR: usize = 32;
/// Clients that are told apart for one connection while any of them is remembered.
const CLIENTS_OF_A_CONNECTION: usize = 1024;
/// The clients of the file, opened. Kept only as long as it is sure that the file has them too.
pub(super) struct Names {
    store: Arc<Store>,
    dictionaries: HashMap<ConnectionId, Dictionary>,
    /// Clients of a key in an hour.
    seen: HashMap<(KeyId, i64), HashSet<ClientId>>,
    next: Option<ClientId>,
}

#[derive(Default)]
struct Dictionary {
    /// Without process ids.
    ids: HashMap<Client, ClientId>,
    pids: HashMap<ClientId, u32>,
}

impl Names {
    pub(super) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            dictionaries: HashMap::new(),
            seen: HashMap::new(),
            next: None,
        }
    }

    pub(super) fn clear(&mut self) {
        self.dictionaries.clear();
        self.seen.clear();
        self.next = None;
    }

    pub(super) fn forget(&mut self, connection: ConnectionId) {
        self.dictionaries.remove(&connection);
    }

    /// The number of a client, a new one if need be.
    pub(super) fn id(
        &mut self,
        transaction: &Transaction<'_>,
        key: KeyId,
        connection: ConnectionId,
        hour: i64,
        client: &Client,
    ) -> Result<ClientId, Failure> {
        let Ok(sealer) = self.store.sealer(connection) else {
            return Ok(NOBODY);
        };
        let next = match self.next {
            Some(next) => next,
            None => next_id(transaction)?,
        };
        self.next = Some(next);
        let dictionary = match self.dictionaries.entry(connection) {
            Occupied(entry) => entry.into_mut(),
            Vacant(entry) => entry.insert(Dictionary::read(transaction, connection, &sealer)?),
        };
        // Hours pass; only the last ones matter.
        if self.seen.len() > 4_096 {
            self.seen.retain(|(_, known), _| *known >= hour - 1);
        }
        let seen = match self.seen.entry((key, hour)) {
            Occupied(entry) => entry.into_mut(),
            Vacant(entry) => entry.insert(clients_of_hour(transaction, key, hour)?),
        };
        let plain = client.without_pid();
        let known = dictionary.ids.get(&plain).copied();
        if seen.len() >= CLIENTS_OF_AN_HOUR && known.is_none_or(|id| !seen.contains(&id)) {
            return Ok(OTHER);
        }
        let id = match known {
            Some(id) => id,
            None if dictionary.ids.len() >= CLIENTS_OF_A_CONNECTION => return Ok(OTHER),
            None => {
                self.next = Some(next + 1);
                let sealed = sealer
                    .seal_json(&place(&connection, &next.to_be_bytes()), &plain)
                    .map_err(|error| Failure::of(&error))?;
                book::put_client(transaction, next, connection, &sealed)?;
                dictionary.ids.insert(plain, next);
                next
            }
        };
        seen.insert(id);
        if let Some(process) = &client.process
            && dictionary.pids.insert(id, process.pid) != Some(process.pid)
        {
            book::put_pid(transaction, id, process.pid)?;
        }
        Ok(id)
    }

    /// The clients of a connection by their numbers; none once it is erased.
    pub(super) fn clients(
        &mut self,
        file: &rusqlite::Connection,
        connection: ConnectionId,
    ) -> Result<HashMap<ClientId, Client>, Failure> {
        let Ok(sealer) = self.store.sealer(connection) else {
            return Ok(HashMap::new());
        };
        let Dictionary { ids, pids } = Dictionary::read(file, connection, &sealer)?;
        let with_pid = |(mut client, id): (Client, ClientId)| {
            if let Some(process) = &mut client.process {
                process.pid = pids.get(&id).copied().unwrap_or(0);
            }
            (id, client)
        };
        Ok(ids.into_iter().map(with_pid).collect())
    }
}

impl Client {
    fn without_pid(&self) -> Self {
        let mut client = self.clone();
        if let Some(process) = &mut client.process {
            process.pid = 0;
        }
        client
    }
}

impl Dictionary {
    fn read(
        file: &rusqlite::Connection,
        connection: ConnectionId,
        sealer: &Sealer,
    ) -> Result<Self, Failure> {
        let mut dictionary = Self::default();
        let mut statement =
            file.prepare("SELECT id, sealed, pid FROM clients WHERE connection = ?1")?;
        let mut rows = statement.query([connection.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let (id, sealed): (ClientId, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let client = sealer
                .open_json(&place(&connection, &id.to_be_bytes()), &sealed)
                .map_err(|_| Failure::Damaged("a client does not open".to_owned()))?;
            dictionary.ids.insert(client, id);
            if let Some(pid) = row.get(2)? {
                dictionary.pids.insert(id, pid);
            }
        }
        Ok(dictionary)
    }
}

fn place<'a>(connection: &'a ConnectionId, id: &'a [u8; 8]) -> [&'a [u8]; 3] {
    [b"ledger client", connection.as_bytes(), id]
}

/// Never the number of a client that is gone while something still names it.
fn next_id(file: &rusqlite::Connection) -> Result<ClientId, Failure> {
    let last: ClientId = file.query_row(
        "SELECT max(coalesce((SELECT max(id) FROM clients), 0),
                    coalesce((SELECT max(client) FROM requests), 0))",
        [],
        |row| row.get(0),
    )?;
    Ok(last.max(OTHER) + 1)
}

fn clients_of_hour(
    file: &rusqlite::Connection,
    key: KeyId,
    hour: i64,
) -> Result<HashSet<ClientId>, Failure> {
    let mut statement = file.prepare(
        "SELECT DISTINCT client FROM requests WHERE key = ?1 AND hour = ?2 AND client > 0",
    )?;
    let rows = statement.query_map((key.as_bytes(), hour), |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
