//! Every place that tells a consumer its server: settings beside its key, settings elsewhere, and words of
//! command lines. A key is good at one server only, so all of them change in one move, or none does.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bascule_domain::endpoint::Endpoint;

use super::{
    super::{
        assignment, command_place, server,
        site::{self, Site},
    },
    CannotPlan, Goal, Planning, words,
};
use crate::{
    found::Place,
    picture::{LinkKind, Use},
};

/// All that tells a consumer its server.
#[derive(Default)]
pub(super) struct Servers<'p> {
    pub(super) settings: Vec<Setting>,
    /// In the order of the files' lines.
    pub(super) words: Vec<Words>,
    /// Uses that are told none.
    pub(super) untold: Vec<&'p Use>,
    /// Whether the entry by itself is told none, and what leads to it is.
    pub(super) bare_entry: Option<&'p Use>,
}

/// A setting that names the server.
pub(super) struct Setting {
    pub(super) path: PathBuf,
    pub(super) site: Site,
    pub(super) name: String,
    /// Which one; `None`: the setting is not there yet.
    pub(super) old: Option<Endpoint>,
}

/// A line on which the server stands word for word, with the lines that continue it.
pub(super) struct Words {
    pub(super) path: PathBuf,
    /// Where it begins, counted from 1.
    pub(super) line: u32,
    pub(super) old: Endpoint,
    pub(super) is_s3fs: bool,
    /// What runs there with the consumer's key.
    commands: BTreeSet<String>,
}

enum At {
    Setting(Setting),
    Words(PathBuf, u32, Endpoint),
    Nowhere,
    /// Where it stands is not found, and it is the right one already.
    Settled,
}

impl<'p> Planning<'p> {
    /// Where the server of every use stands. `own` is the part of the file that holds the key.
    pub(super) fn servers(
        &mut self,
        own: Option<(&Path, &Site)>,
    ) -> Result<Servers<'p>, CannotPlan> {
        let mut servers = Servers::default();
        let consumer = self.consumer;
        for found in consumer.taken() {
            match self.server_of(found, own)? {
                At::Nowhere => servers.untold.push(found),
                at => servers.add(at, found),
            }
        }
        for found in &consumer.by_hand {
            match self.server_of(found, own)? {
                At::Nowhere => servers.bare_entry = Some(found),
                at => servers.add(at, found),
            }
        }
        let order = |words: &Words| (words.path.clone(), words.line);
        servers.words.sort_by_key(order);
        Ok(servers)
    }

    fn server_of(&mut self, found: &Use, own: Option<(&Path, &Site)>) -> Result<At, CannotPlan> {
        let at = self.server_place(found, own);
        let is_right = found.key.endpoint.as_ref() == Some(&self.goal.access().endpoint);
        match at {
            Err(CannotPlan::ServerElsewhere(..) | CannotPlan::NoFile)
                if is_right && matches!(self.goal, Goal::Gateway(_)) =>
            {
                Ok(At::Settled)
            }
            at => at,
        }
    }

    fn server_place(&mut self, found: &Use, own: Option<(&Path, &Site)>) -> Result<At, CannotPlan> {
        let Some(old) = found.key.endpoint.clone() else {
            return Ok(At::Nowhere);
        };
        match found.key.endpoint_place.clone() {
            Some(Place::File { path, line }) => {
                let text = self.text(&path)?;
                let own = own
                    .filter(|(at, _)| *at == path)
                    .map(|(_, site)| site.clone());
                let there = site::of(found, &path, line, &text);
                // The same part may be read by a shell here and by systemd there.
                let same =
                    |site: &Site| there.as_ref().is_none_or(|its| its.section == site.section);
                let site = own.filter(same).or(there.clone());
                for site in site.into_iter().chain(there) {
                    if let Some(name) = Self::server_name(found, &site, &text, line) {
                        let old = Some(old);
                        return Ok(At::Setting(Setting {
                            path,
                            site,
                            name,
                            old,
                        }));
                    }
                }
                self.server_on_line(found, &path, line, old)
            }
            Some(Place::Argument(_)) => match command_place(found).and_then(Place::file) {
                Some((path, line)) => self.server_on_line(found, path, line, old),
                None => Err(self.server_elsewhere(Place::Argument("a command".into()))),
            },
            Some(place @ Place::Variable(_)) => Err(self.server_elsewhere(place)),
            None => Ok(At::Nowhere),
        }
    }

    /// A server on a command line, itself or in a variable that the line names.
    fn server_on_line(
        &mut self,
        found: &Use,
        path: &Path,
        line: u32,
        old: Endpoint,
    ) -> Result<At, CannotPlan> {
        let text = self.text(path)?;
        let own = words::logical(&text, line);
        if !server::all(&text[own.clone()], &old).is_empty() {
            return Ok(At::Words(
                path.to_owned(),
                words::number(&text, own.start),
                old,
            ));
        }
        let names = assignment::named(&text, own.clone());
        let mut files = vec![(path.to_owned(), line)];
        files.extend(found.chain.iter().rev().filter_map(|link| match link.kind {
            LinkKind::Script | LinkKind::EnvironmentFile | LinkKind::Unit => {
                let (path, line) = link.place.as_ref()?.file()?;
                Some((path.to_owned(), line))
            }
            _ => None,
        }));
        for (at, line) in files {
            let Ok(there) = self.text(&at) else {
                continue;
            };
            let Some(site) = site::of(found, &at, line, &there) else {
                continue;
            };
            let holds = |name: &&String| {
                let value = site.value(&there, name);
                value.is_some_and(|value| !server::all(&value, &old).is_empty())
            };
            let Some(name) = names.iter().find(holds).cloned() else {
                continue;
            };
            if let Some(line) = self.used_otherwise(&name, &at, &there) {
                return Err(CannotPlan::SharedVariable {
                    name,
                    path: at,
                    line,
                });
            }
            let old = Some(old);
            return Ok(At::Setting(Setting {
                path: at,
                site,
                name,
                old,
            }));
        }
        // The line that holds it, where there is one alone.
        let mut lines = text.lines().zip(1..);
        let mut holding = lines
            .by_ref()
            .filter(|(text, _)| !server::all(text, &old).is_empty());
        let line = match (holding.next(), holding.next()) {
            (Some((_, only)), None) => only,
            _ => line,
        };
        Err(self.server_elsewhere(Place::File {
            path: path.to_owned(),
            line,
        }))
    }

    /// The line of a file that uses a variable for a tool, but not with the consumer's key.
    fn used_otherwise(&self, name: &str, path: &Path, text: &str) -> Option<u32> {
        let places = self.consumer.all_taken().filter_map(command_place);
        let lines = places.filter_map(Place::file).filter(|(at, _)| *at == path);
        let own: BTreeSet<_> = lines
            .map(|(_, line)| words::logical(text, line).start)
            .collect();
        assignment::lines_of_tools(text, name)
            .find(|at| !own.contains(&words::logical(text, *at).start))
    }
}

impl Servers<'_> {
    fn add(&mut self, at: At, found: &Use) {
        match at {
            At::Setting(setting) => self.set(setting),
            At::Words(path, line, old) => {
                let same = |words: &&mut Words| {
                    words.path == path && words.line == line && words.old == old
                };
                let command = found.chain.iter().rev();
                let command = command.filter(|link| link.kind == LinkKind::Command);
                let command = command.map(|link| link.name.clone()).next();
                let is_s3fs = found.kind == "s3fs";
                match self.words.iter_mut().find(same) {
                    Some(words) => words.commands.extend(command),
                    None => self.words.push(Words {
                        path,
                        line,
                        old,
                        is_s3fs,
                        commands: command.into_iter().collect(),
                    }),
                }
            }
            At::Nowhere | At::Settled => {}
        }
    }

    /// Adds a setting once.
    pub(super) fn set(&mut self, setting: Setting) {
        let same = |known: &&mut Setting| {
            known.path == setting.path
                && known.site.section == setting.site.section
                && known.name == setting.name
        };
        match self.settings.iter_mut().find(same) {
            Some(known) if known.old.is_none() => known.old = setting.old,
            Some(_) => {}
            None => self.settings.push(setting),
        }
    }
}

impl Words {
    /// Whether so many places of the line are all the consumer's: each command names its server once.
    pub(super) fn are_all_its_own(&self, places: usize) -> bool {
        places == 1 || places == self.commands.len()
    }
}
