//! What was seen of a connection before it is deleted. Nothing here judges.

use std::fmt;

use jiff::{SignedDuration, Timestamp};

/// What was seen before a deletion starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// The connection's name.
    pub connection: String,
    /// When this was seen.
    pub now: Timestamp,
    /// Requests that are open through the connection's keys.
    pub open_transfers: u32,
    /// `None` when the provider answers; else why it does not.
    pub provider_away: Option<String>,
    /// Its living keys, and what is recorded of each.
    pub keys: Vec<KeyRecord>,
    /// Who used them, as far as it was recorded.
    pub clients: Vec<Client>,
    /// Which configurations, jobs and processes of this machine hold a living key of it.
    pub consumers: Vec<Consumer>,
    /// Which of them hold the provider's key, and so go on.
    pub bypasses: Vec<Consumer>,
    /// Why the machine was not looked at, if it was not.
    pub not_looked: Option<String>,
    /// Places of the machine that could not be looked at.
    pub places_not_looked_at: usize,
    /// When the reconnect card was handed out last.
    pub card_exported_at: Option<Timestamp>,
    /// The provider's key, masked; `None` for a folder of this machine.
    pub brought: Option<String>,
    /// Where the provider's key stands besides.
    pub brought_elsewhere: Vec<String>,
}

/// What is recorded of a key's uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its label.
    pub label: String,
    /// Uses are recorded since then, and not from before it was issued.
    pub recorded_since: Timestamp,
    /// Why nothing is recorded, if so.
    pub not_recorded: Option<String>,
    /// Until when uses may be missing in the record.
    pub gap_until: Option<Timestamp>,
    /// Its last use.
    pub last_used: Option<Timestamp>,
    /// The longest interval between two uses.
    pub longest: Option<SignedDuration>,
}

/// Somebody who used a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The key's label.
    pub label: String,
    /// The tool, as it says itself.
    pub tool: String,
    /// The unit, container or program, where that could be seen.
    pub process: Option<String>,
    /// The address, unless it is this machine's own.
    pub address: Option<String>,
    /// Whether it is another machine.
    pub elsewhere: bool,
    /// Whether it wrote.
    pub writes: bool,
    /// When it was seen last.
    pub last: Timestamp,
}

/// A configuration, job or process of this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Consumer {
    /// The way from what runs to where the key stands, for people.
    pub chain: String,
    /// The tool that would take the key.
    pub tool: String,
    /// Whose it is, if not the user's own.
    pub user: Option<String>,
    /// When it runs next, in words; empty where that is not known or nothing runs it.
    pub next_run: String,
    /// Commands that move it to another key; any one of them does.
    pub moves: Vec<String>,
}

impl Sight {
    /// Whether a key was ever used, or may have been.
    #[must_use]
    pub fn was_used(&self) -> bool {
        !self.clients.is_empty()
            || self.uses_not_known().is_some()
            || self.keys.iter().any(|key| key.last_used.is_some())
    }

    /// Why it is not known who used the keys, if so.
    #[must_use]
    pub fn uses_not_known(&self) -> Option<String> {
        self.keys.iter().find_map(|key| match key.gap_until {
            _ if key.not_recorded.is_some() => key.not_recorded.clone(),
            Some(until) => Some(format!(
                "uses of the key {} before {until:.0} may be missing",
                key.label
            )),
            None => None,
        })
    }

    /// Whether a client is something on this machine that can be found again: a process that was
    /// seen, or the same tool as one that was seen or that is set up with a key of the connection.
    #[must_use]
    pub fn is_known(&self, client: &Client) -> bool {
        if client.elsewhere {
            return false;
        }
        let same = |other: &Client| other.process.is_some() && other.tool == client.tool;
        client.process.is_some()
            || self.clients.iter().any(same)
            || self.consumers.iter().any(|held| held.tool == client.tool)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tool)?;
        match (&self.process, &self.address) {
            (Some(process), _) if *process != self.tool => write!(f, " ({process})"),
            (Some(_), _) | (None, None) => Ok(()),
            (None, Some(address)) => write!(f, " at {address}"),
        }
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.chain)
    }
}
