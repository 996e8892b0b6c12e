//! Which settings of which files change, and how the files read afterwards. The same settings are found
//! whether a key of the provider's is replaced by one of ours, one of ours by another, or the provider's
//! is put back, so what is adopted can be ejected. Where settings have names `settings` plans, and on command
//! lines `words`; `servers` knows all places that name the server.

mod former;
mod servers;
mod settings;
mod words;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bascule_domain::{access_key::AccessKeyId, endpoint::Endpoint, secret::Credentials};
use bascule_formats::revise::CannotRevise;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Consumer, command_place, container, server, site};
use crate::{found::Place, picture::Use};

/// What a setting is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The access key id.
    Id,
    /// Its secret.
    Secret,
    /// The server, alone or as the beginning of a repository's address.
    Server,
    /// The server for a bucket, as s3cmd has it.
    BucketServer,
    /// Whether TLS is spoken, as s3cmd has it.
    Tls,
    /// Whether the bucket stands in the host's name.
    Addressing,
    /// What rclone takes the provider for.
    Provider,
    /// The region to sign for.
    Region,
}

impl Role {
    /// Whether its value is never shown.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Secret)
    }
}

/// How a setting was before a consumer was adopted. It holds no key, no server and no bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Was {
    /// What the setting is for.
    pub role: Role,
    /// Its name; `None` for words of a command line.
    pub name: Option<String>,
    /// The file.
    pub path: PathBuf,
    /// What stood there, with `{endpoint}` and `{authority}` for the server; `None`: nothing did.
    pub text: Option<String>,
}

/// How all settings of a consumer were before it was adopted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout(pub Vec<Was>);

impl Layout {
    fn of(&self, role: Role, path: &Path, name: Option<&str>) -> Option<&Was> {
        let mut all = self.0.iter();
        all.find(|was| was.role == role && was.path == path && was.name.as_deref() == name)
    }

    /// What words of command lines were, by their place among those of a file.
    fn words(&self, role: Role, path: &Path, place: usize) -> Option<&Was> {
        let all = self.0.iter();
        let mut all = all.filter(|was| was.role == role && was.path == path && was.name.is_none());
        all.nth(place)
    }

    /// Whether anything named a server.
    fn names_server(&self) -> bool {
        let mut all = self.0.iter();
        all.any(|was| was.role == Role::Server && was.text.is_some())
    }
}

/// A key and the server that takes it. Like all that holds values of settings it has no `Debug`: `Zeroizing`
/// would print them.
#[derive(Clone)]
pub struct Access {
    /// The access key id.
    pub id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// The server.
    pub endpoint: Endpoint,
}

/// What a provider's server wants beside its address.
#[derive(Debug, Clone, Default)]
pub struct ServerSettings {
    /// The region to sign for; empty: any.
    pub region: String,
    /// Whether the bucket stands in the host's name.
    pub is_virtual_host: bool,
}

/// Where a consumer is moved to.
#[derive(Clone, Copy)]
pub enum Goal<'g> {
    /// To a key of its own, at the gateway.
    Gateway(&'g Access),
    /// Back to the provider.
    Provider {
        /// The provider's key and server.
        access: &'g Access,
        /// What its server wants, for a tool that was never set for it.
        settings: &'g ServerSettings,
        /// How the settings were.
        layout: &'g Layout,
        /// The files as they were, as far as they are known.
        originals: &'g BTreeMap<PathBuf, Zeroizing<String>>,
    },
}

impl Goal<'_> {
    const fn access(&self) -> &Access {
        match self {
            Self::Gateway(access) | Self::Provider { access, .. } => access,
        }
    }
}

/// A setting that changes.
#[derive(Clone)]
pub struct Change {
    /// What it is for.
    pub role: Role,
    /// The setting's name, or what the words are called.
    pub name: String,
    /// What stood there; `None`: nothing.
    pub before: Option<Zeroizing<String>>,
    /// What will stand there; `None`: nothing.
    pub after: Option<Zeroizing<String>>,
}

/// A file that changes.
#[derive(Clone)]
pub struct FilePlan {
    /// Which one.
    pub path: PathBuf,
    /// The step of the way that stands in it: `[r2]`, for people; may be empty.
    pub part: String,
    /// Its text.
    pub before: Zeroizing<String>,
    /// Its text afterwards.
    pub after: Zeroizing<String>,
    /// What changes in it.
    pub changes: Vec<Change>,
}

impl FilePlan {
    /// Whether the new key stands in it afterwards.
    #[must_use]
    pub fn holds_a_key(&self) -> bool {
        let of_key = |change: &Change| {
            change.after.is_some() && matches!(change.role, Role::Id | Role::Secret)
        };
        self.changes.iter().any(of_key)
    }
}

/// What moves a consumer.
#[derive(Clone)]
pub struct Plan {
    /// The files, in the order of writing.
    pub files: Vec<FilePlan>,
    /// How its settings are now.
    pub layout: Layout,
}

/// Why a consumer can't be moved here. No text holds a file's content.
#[derive(Debug, thiserror::Error)]
pub enum CannotPlan {
    /// The file can't be read, or may not be changed.
    #[error("{} is not changed: {why}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A setting can't be changed.
    #[error("{}: {why}", .path.display())]
    Revise {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: CannotRevise,
    },
    /// The server stands where no file of the consumer's sets it.
    #[error(
        "its server is set by {0}, which is not changed here; set it to {1} there, and try again"
    )]
    ServerElsewhere(Place, String),
    /// Its uses go to different servers, and a key of ours is good at one.
    #[error(
        "its key is used at {0} and at {1}, and one key of its own can't reach both: give what goes to the one a configuration of its own, and try again"
    )]
    SeveralServers(Endpoint, Endpoint),
    /// The variable that holds the server serves others too.
    #[error(
        "its server is in the variable {name}, which line {line} of {} uses too, but not with this key: give the lines of this key a variable of their own, and try again", .path.display()
    )]
    SharedVariable {
        /// Which variable.
        name: String,
        /// The file.
        path: PathBuf,
        /// The line that uses it otherwise, counted from 1.
        line: u32,
    },
    /// A line names the server for others too.
    #[error(
        "line {line} of {} names the server several times, and not each time for a command that is known to use this key: put every command on a line of its own, and try again", .path.display()
    )]
    SeveralOnLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u32,
    },
    /// s5cmd and s3fs are told their server by the command that starts them only.
    #[error(
        "{tool} is told its server by its command line, and no file holds that one; add {add} to it, and try again"
    )]
    ServerOnCommandLine {
        /// Which tool.
        tool: &'static str,
        /// What to add.
        add: String,
    },
    /// Nothing tells where the tool takes its server from.
    #[error(
        "where {tool} is told its server is not known here, and the key is good at {endpoint} only: put that server and a key into its configuration by hand (bascule key issue CONNECTION --format env)"
    )]
    NoPlaceForServer {
        /// Which tool.
        tool: String,
        /// The server that the key is good at.
        endpoint: String,
    },
    /// What runs in there does not reach this machine's loopback.
    #[error(
        "it runs in the container {0}, whose loopback is not this machine's: put it on the host's network (network_mode: host), or give the gateway an address on its bridge and a key by hand (bascule help multi-user)"
    )]
    CutOff(String),
    /// The key stands on a command line that no file holds.
    #[error(
        "the key stands on a command line that no file holds; start it with the new key by hand"
    )]
    NoFile,
}

/// Plans a move. `read` gives the text of a file as it is now.
pub fn plan(
    consumer: &Consumer,
    goal: Goal<'_>,
    read: impl Fn(&Path) -> Result<Zeroizing<String>, String>,
) -> Result<Plan, CannotPlan> {
    if let Goal::Gateway(access) = goal {
        let named = consumer.all_taken();
        let named = named.filter_map(|found| found.key.endpoint.as_ref());
        let mut named = named.filter(|endpoint| **endpoint != access.endpoint);
        if let Some(one) = named.next()
            && let Some(other) = named.find(|other| *other != one)
        {
            return Err(CannotPlan::SeveralServers(one.clone(), other.clone()));
        }
    }
    let mut planning = Planning::new(consumer, goal, &read);
    if let Goal::Gateway(access) = goal
        && access.endpoint.is_loopback()
        && consumer.first().key.endpoint.as_ref() != Some(&access.endpoint)
    {
        let mut uses = consumer.taken();
        if let Some(name) = uses.find_map(|found| container::cut_off(found, &read)) {
            return Err(CannotPlan::CutOff(name.to_owned()));
        }
    }
    planning.key()?;
    Ok(planning.done())
}

/// The pair that stood in a consumer's place before it was adopted, as the originals that the goal comes with
/// tell. `None` where they tell none, or not beyond doubt. `read` is as for [`plan`].
pub fn held_before(
    consumer: &Consumer,
    goal: Goal<'_>,
    read: impl Fn(&Path) -> Result<Zeroizing<String>, String>,
) -> Option<Credentials> {
    Planning::new(consumer, goal, &read).held_before()
}

/// A file as it is planned so far.
struct Text {
    path: PathBuf,
    part: String,
    before: Zeroizing<String>,
    now: Zeroizing<String>,
    changes: Vec<Change>,
}

struct Planning<'p> {
    consumer: &'p Consumer,
    /// The use that tells where the key stands.
    found: &'p Use,
    goal: Goal<'p>,
    read: &'p dyn Fn(&Path) -> Result<Zeroizing<String>, String>,
    texts: Vec<Text>,
    layout: Layout,
    /// How many places of servers on command lines were planned, of each file.
    places: BTreeMap<PathBuf, usize>,
}

impl<'p> Planning<'p> {
    fn new(
        consumer: &'p Consumer,
        goal: Goal<'p>,
        read: &'p dyn Fn(&Path) -> Result<Zeroizing<String>, String>,
    ) -> Self {
        Self {
            consumer,
            found: consumer.first(),
            goal,
            read,
            texts: Vec::new(),
            layout: Layout::default(),
            places: BTreeMap::new(),
        }
    }

    fn key(&mut self) -> Result<(), CannotPlan> {
        let key = &self.found.key;
        if let Place::File { path, line } = key.place.clone() {
            let text = self.text(&path)?;
            if let Some(site) = site::of(self.found, &path, line, &text)
                && let Some(names) = self.names(self.found, &site, &text)
            {
                return self.settings(&path, &site, &names);
            }
            return self.words(&path, line);
        }
        let Some((path, line)) = command_place(self.found).and_then(Place::file) else {
            return Err(CannotPlan::NoFile);
        };
        self.words(path, line)
    }

    fn no_place_for_server(&self, found: &Use) -> CannotPlan {
        CannotPlan::NoPlaceForServer {
            tool: found.kind.to_string(),
            endpoint: self.goal.access().endpoint.to_string(),
        }
    }

    fn server_elsewhere(&self, place: Place) -> CannotPlan {
        CannotPlan::ServerElsewhere(place, self.goal.access().endpoint.to_string())
    }

    /// Whether how it is now is noted: how it was set for the gateway is nothing to go back to.
    fn remembers(&self) -> bool {
        !AccessKeyId::looks_issued(self.found.key.id.as_str())
            && matches!(self.goal, Goal::Gateway(_))
    }

    /// Notes how a setting is now, without what it tells of the key, the server or a bucket.
    fn remember(
        &mut self,
        role: Role,
        name: Option<String>,
        path: &Path,
        now: Option<&str>,
        old: Option<&Endpoint>,
    ) {
        if !self.remembers() || self.layout.of(role, path, name.as_deref()).is_some() {
            return;
        }
        let text = match (role, now) {
            (_, None) => None,
            (Role::Id | Role::Secret, Some(_)) => return,
            (Role::Server | Role::BucketServer, Some(now)) => {
                let found = old.and_then(|endpoint| server::find(now, endpoint));
                let form = match &found {
                    Some(found) if found.form == server::Form::Authority => "{authority}",
                    _ => "{endpoint}",
                };
                // s3cmd has the bucket before it.
                let bucket = if now.starts_with("%(bucket)") {
                    "%(bucket)s."
                } else {
                    ""
                };
                Some(format!("{bucket}{form}"))
            }
            (Role::Tls | Role::Addressing | Role::Provider | Role::Region, Some(now)) => {
                Some(now.to_owned())
            }
        };
        self.layout.0.push(Was {
            role,
            name,
            path: path.to_owned(),
            text,
        });
    }

    /// A file as it is planned so far. It may hold keys, so no copy of it stays.
    fn text(&mut self, path: &Path) -> Result<Zeroizing<String>, CannotPlan> {
        let at = self.texts.iter().position(|text| text.path == path);
        let at = match at {
            Some(at) => at,
            None => {
                let before = (self.read)(path).map_err(|why| CannotPlan::Read {
                    path: path.to_owned(),
                    why,
                })?;
                self.texts.push(Text {
                    path: path.to_owned(),
                    part: String::new(),
                    now: before.clone(),
                    before,
                    changes: Vec::new(),
                });
                self.texts.len() - 1
            }
        };
        Ok(self.texts[at].now.clone())
    }

    fn changed(
        &mut self,
        path: &Path,
        part: String,
        now: Zeroizing<String>,
        mut changes: Vec<Change>,
    ) {
        if let Some(text) = self.texts.iter_mut().find(|text| text.path == path) {
            let mut known = text.part.split(", ");
            if text.part.is_empty() {
                text.part = part;
            } else if !part.is_empty() && !known.any(|known| known == part) {
                text.part.push_str(", ");
                text.part.push_str(&part);
            }
            text.now = now;
            text.changes.append(&mut changes);
        }
    }

    fn done(self) -> Plan {
        let changed = self
            .texts
            .into_iter()
            .filter(|text| text.now != text.before);
        let mut files: Vec<_> = changed
            .map(|text| FilePlan {
                path: text.path,
                part: text.part,
                before: text.before,
                after: text.now,
                changes: text.changes,
            })
            .collect();
        // What holds the key comes last: a new key goes nowhere but to its own server.
        files.sort_by_key(|file| file.changes.iter().any(|change| change.role == Role::Id));
        Plan {
            files,
            layout: self.layout,
        }
    }
}

/// Tools go there where no server is set.
fn is_amazons(endpoint: &Endpoint) -> bool {
    endpoint.host().ends_with(".amazonaws.com")
}

fn filled(form: &str, endpoint: &Endpoint) -> String {
    let url = endpoint.to_string();
    form.replace("{endpoint}", url.trim_end_matches('/'))
        .replace("{authority}", &endpoint.authority())
}

fn misplaced(path: &Path) -> CannotPlan {
    CannotPlan::Read {
        path: path.to_owned(),
        why: "the planned changes don't fit it".into(),
    }
}
