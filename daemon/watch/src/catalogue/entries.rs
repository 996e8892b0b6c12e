//! From a file to the keys in it, as its row of the table says.

use std::{borrow::Cow, collections::HashMap, os::unix::fs::MetadataExt, path::Path};

use bascule_domain::endpoint::Endpoint;
use bascule_formats::{
    Leaf, Pattern, Step, Structure, leaves,
    leaves::{binary_plist, duckdb_secret, is_binary_plist},
};
use data_encoding::{BASE64, BASE64_MIME_PERMISSIVE};
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use super::{
    row::{Format, KeyRule, Resolver, Row, Within, by_name},
    special,
};
use crate::{
    environment::Environment,
    found::{NotUsable, Place},
    picture::{HeldKey, Link, LinkKind, Picture, Standing, Trail},
    read::{Text, lenient_endpoint},
    tools::restic,
};

/// No file of a person's names more.
const MOST_ENTRIES: usize = 5_000;

/// A key in a file.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What the tool calls it, if it has names.
    pub(crate) name: Option<String>,
    pub(crate) link: Link,
    pub(crate) key: HeldKey,
    pub(crate) bucket: Option<String>,
    /// Within its file.
    pub(crate) standing: Standing,
}

/// All keys of a file, and what it does not tell.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) entries: Vec<Entry>,
    /// What, why, remedy.
    pub(crate) gaps: Vec<(String, String, String)>,
}

impl Reading {
    pub(super) fn gap(&mut self, what: String, why: &str, remedy: &str) {
        self.gaps.push((what, why.to_owned(), remedy.to_owned()));
    }

    /// Adds everything to a picture. `standing` may know better than the file.
    pub(crate) fn tell(
        self,
        kind: &str,
        trail: &Trail,
        picture: &mut Picture,
        standing: impl Fn(Standing) -> Standing,
    ) {
        for (what, why, remedy) in self.gaps {
            picture.gap(trail, what, why, remedy);
        }
        for entry in self.entries {
            if let Some(trail) = trail.then(entry.link) {
                let standing = standing(entry.standing);
                picture.add(kind.to_owned(), &trail, entry.key, standing, entry.bucket);
            }
        }
    }
}

impl Row {
    /// The keys in a file of this row; `None` if there is no such file.
    pub(crate) fn read(
        &self,
        path: &Path,
        environment: &Environment,
    ) -> Result<Option<Reading>, NotUsable> {
        if self.resolver == Some(Resolver::Duplicati) {
            return Ok(special::duplicati(self, path, environment));
        }
        if self.format == Format::Opaque {
            return Ok(path.exists().then(|| self.opaque(path)));
        }
        let Some(text) = Text::read(path)? else {
            return Ok(None);
        };
        let begins = |mark: &str| {
            let bytes = text.bytes();
            bytes
                .get(
                    bytes
                        .iter()
                        .take_while(|byte| byte.is_ascii_whitespace())
                        .count()..,
                )
                .is_some_and(|rest| rest.starts_with(mark.as_bytes()))
        };
        if self.opaque_if.as_deref().is_some_and(begins) || begins("$ANSIBLE_VAULT") {
            return Ok(Some(self.opaque(path)));
        }
        let wrong = |source| NotUsable::Parse {
            path: path.to_owned(),
            source,
        };
        let leaves = match self.format {
            Format::DuckDb => duckdb_secret(text.bytes()).map_err(wrong)?,
            _ if is_binary_plist(text.bytes()) => binary_plist(text.bytes()).map_err(wrong)?,
            Format::Text(structure) => leaves(text.as_str()?, structure).map_err(wrong)?,
            Format::ByName => leaves(text.as_str()?, by_name(path)).map_err(wrong)?,
            Format::Opaque => Vec::new(),
        };
        let file = File {
            row: self,
            path,
            leaves: &leaves,
            environment,
        };
        let mut reading = Reading::default();
        for rule in &self.keys {
            file.entries(rule, &mut reading);
        }
        file.env_files(&mut reading);
        match self.resolver {
            Some(Resolver::Kubernetes) => special::kubernetes(&file, &mut reading),
            Some(Resolver::Kopia) => special::kopia(&file, &mut reading),
            _ => {}
        }
        if self.private
            && let Some(why) = too_open(path, environment)
        {
            for entry in &mut reading.entries {
                entry.standing = Standing::Unused { why: why.clone() };
            }
        }
        Ok(Some(reading))
    }

    /// A value of a file whose first wildcard stands for what is asked for.
    pub(crate) fn value(
        &self,
        path: &Path,
        patterns: &[Pattern],
        is: impl Fn(&str) -> bool,
    ) -> Option<String> {
        self.looked_up(path, |leaves| {
            leaves.iter().find_map(|leaf| {
                let matched = patterns.iter().find_map(|pattern| pattern.of(leaf))?;
                is(matched.bound.first()?).then(|| matched.value.to_owned())
            })
        })?
    }

    /// The repositories that a file names for restic, of one entry only if one is named.
    pub(crate) fn repositories(&self, path: &Path, named: Option<&str>) -> Vec<String> {
        let found = self.looked_up(path, |leaves| {
            let within = |leaf: &&Leaf<'_>| {
                named.is_none_or(|named| {
                    leaf.path
                        .iter()
                        .any(|step| matches!(step, Step::Name(name) if name == named))
                })
            };
            let values = leaves.iter().filter(within).map(|leaf| &leaf.value);
            let repositories =
                values.filter(|value| value.starts_with("s3:") || value.starts_with("rclone:"));
            repositories
                .take(MOST_ENTRIES)
                .map(|value| value.to_string())
                .collect()
        });
        found.unwrap_or_default()
    }

    fn looked_up<T>(&self, path: &Path, look: impl FnOnce(&[Leaf<'_>]) -> T) -> Option<T> {
        let text = Text::read(path).ok()??;
        let structure = match self.format {
            Format::Text(structure) => structure,
            _ => by_name(path),
        };
        Some(look(&leaves(text.as_str().ok()?, structure).ok()?))
    }

    /// The key in a variable whose value is `scheme://ID:SECRET@host`.
    pub(crate) fn of_variable(
        name: &str,
        environment: &Environment,
    ) -> Option<(HeldKey, Standing)> {
        let found = in_url(environment.variable(name)?, Within::Url)?;
        let secret = found.secret.as_deref().map(String::as_str);
        let mut key = HeldKey::read(Some(&found.id), secret, environment.place_of(name))?;
        key.endpoint = found.host.as_deref().and_then(lenient_endpoint);
        let standing = key.standing();
        Some((key, standing))
    }

    fn opaque(&self, path: &Path) -> Reading {
        let mut reading = Reading::default();
        let why = self.note.as_deref().unwrap_or("it is encrypted");
        reading.gap(
            path.display().to_string(),
            why,
            "look at it with the tool itself",
        );
        reading
    }
}

/// The spellings that Python's configurations read as false.
fn is_false(text: &str) -> bool {
    ["false", "no", "off", "0"]
        .iter()
        .any(|no| text.eq_ignore_ascii_case(no))
}

/// Why a tool that wants its file private refuses it. What lies in `/etc` may be the group's.
fn too_open(path: &Path, environment: &Environment) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode();
    let of_machine = path.starts_with(environment.root.join("etc"));
    let closed = if of_machine { 0o037 } else { 0o077 };
    (mode & closed != 0).then(|| "the tool refuses the file, since others may read it".to_owned())
}

/// A file whose leaves are known.
pub(super) struct File<'f> {
    pub(super) row: &'f Row,
    pub(super) path: &'f Path,
    pub(super) leaves: &'f [Leaf<'f>],
    pub(super) environment: &'f Environment,
}

/// The document and what its wildcards stand for: what belongs together.
type Group<'f> = (u32, Vec<Cow<'f, str>>);

/// Where a key is used, as a variable beside it says.
struct Server {
    endpoint: Endpoint,
    bucket: Option<String>,
    place: Place,
}

/// What belongs to keys, by group; the last of several counts.
struct Beside<'f>(HashMap<Group<'f>, &'f str>);

impl<'f> Beside<'f> {
    fn of(patterns: &[Pattern], leaves: &'f [Leaf<'f>]) -> Self {
        let mut found = HashMap::new();
        if !patterns.is_empty() {
            for leaf in leaves {
                for pattern in patterns {
                    if let Some(matched) = pattern.of(leaf) {
                        found.insert((leaf.document, matched.bound), matched.value);
                    }
                }
            }
        }
        Self(found)
    }

    /// What stands nearest to a group: in it, or in what it lies in.
    fn get(&self, (document, bound): &Group<'f>) -> Option<&'f str> {
        if self.0.is_empty() {
            return None;
        }
        (0..=bound.len())
            .rev()
            .find_map(|length| self.0.get(&(*document, bound[..length].to_vec())))
            .copied()
    }
}

impl<'f> File<'f> {
    pub(super) fn place(&self, line: u32) -> Place {
        Place::File {
            path: self.path.to_owned(),
            line,
        }
    }

    /// The step of a chain that a key stands in.
    pub(super) fn link(&self, entry: &str, name: Option<&str>, place: &Place) -> Link {
        let link = match name {
            Some(name) => {
                let what = if entry.is_empty() {
                    &self.row.id
                } else {
                    entry
                };
                Link::new(LinkKind::Entry, format!("{what} {name}"), "holds")
            }
            None => {
                let name = self.path.display().to_string();
                Link::new(LinkKind::Configuration, name, "holds")
            }
        };
        link.at(place.clone())
    }

    fn entries(&self, rule: &KeyRule, reading: &mut Reading) {
        let beside = |patterns: &[Pattern]| Beside::of(patterns, self.leaves);
        let secrets = beside(&rule.secret);
        let sessions = beside(&rule.session);
        let endpoints = beside(&rule.endpoint);
        let tls = beside(&rule.tls);
        let regions = beside(&rule.region);
        let buckets = beside(&rule.bucket);
        let names = beside(&rule.name);
        let conditions = beside(&rule.when);
        // The entry of each group that counts so far.
        let mut counts: HashMap<Group<'f>, usize> = HashMap::new();
        for leaf in self.leaves {
            let matched = rule.id.iter().find_map(|pattern| pattern.of(leaf));
            let Some(matched) = matched.filter(|matched| !matched.value.is_empty()) else {
                continue;
            };
            let group = (leaf.document, matched.bound);
            let holds = |value: &str| {
                rule.when_is.iter().any(|is| is == value)
                    || rule
                        .when_begins
                        .iter()
                        .any(|begins| value.starts_with(begins.as_str()))
            };
            if !rule.when.is_empty() && !conditions.get(&group).is_some_and(holds) {
                continue;
            }
            let name = match names.get(&group) {
                Some(name) => Some(name.to_owned()),
                // A number is nobody's name.
                None if group
                    .1
                    .iter()
                    .all(|bound| bound.bytes().all(|b| b.is_ascii_digit())) =>
                {
                    None
                }
                None if rule.within == Within::NameUrl => None,
                None => Some(group.1.join("/")),
            };
            let own = self.place(leaf.line);
            let id = match self.resolved(matched.value, &own) {
                Ok(id) => id,
                Err((why, remedy)) => {
                    reading.gap(own.to_string(), &why, &remedy);
                    continue;
                }
            };
            let found = match rule.within {
                Within::NameUrl => {
                    let url = leaf
                        .name()
                        .and_then(|name| in_url(name, Within::EncodedUrl));
                    let Some(mut found) = url else { continue };
                    found.secret = Some(id.0);
                    found
                }
                how => within(&id.0, how),
            };
            let secret = secrets.get(&group).map(|value| {
                let value = self.resolved(value, &own).map_err(|_| ())?.0;
                Ok(within(&value, rule.secret_within).id)
            });
            // A secret that is kept elsewhere is one all the same.
            let elsewhere = self.row.secret_elsewhere.is_some() || secret == Some(Err(()));
            let secret = secret.and_then(Result::ok);
            let secret = secret.or(found.secret);
            let Some(mut key) =
                HeldKey::read(Some(&found.id), secret.as_deref().map(String::as_str), id.1)
            else {
                continue;
            };
            key.temporary = sessions.get(&group).is_some_and(|token| !token.is_empty());
            let endpoint = endpoints.get(&group).map(|value| self.plain(value));
            let endpoint = endpoint.or(found.host.map(Cow::Owned));
            let plain = tls.get(&group).is_some_and(is_false);
            key.endpoint = endpoint.as_deref().and_then(|endpoint| match plain {
                true if !endpoint.contains("://") => {
                    lenient_endpoint(&format!("http://{endpoint}"))
                }
                _ => lenient_endpoint(endpoint),
            });
            let mut its_bucket = None;
            if let (None, Some(server)) = (&key.endpoint, self.server(rule)) {
                key.endpoint = Some(server.endpoint);
                key.endpoint_place = Some(server.place);
                its_bucket = server.bucket;
            }
            let region = regions.get(&group).map(|value| self.plain(value));
            key.region = region.and_then(|region| region.parse().ok());
            let bucket = buckets.get(&group).map(|value| self.plain(value));
            let bucket = bucket.or(its_bucket.map(Cow::Owned));
            let bucket = bucket.filter(|bucket| !bucket.is_empty());
            let standing = if elsewhere {
                Standing::Effective
            } else {
                key.standing()
            };
            let index = reading.entries.len();
            if let Some(before) = counts.insert(group, index)
                && let Some(before) = reading.entries.get_mut(before)
            {
                before.standing = Standing::Shadowed {
                    by: own.to_string(),
                };
            }
            reading.entries.push(Entry {
                link: self.link(&rule.entry, name.as_deref(), &own),
                name,
                key,
                bucket: bucket.map(Cow::into_owned),
                standing,
            });
        }
    }

    /// The server that a variable of the file holds.
    fn server(&self, rule: &KeyRule) -> Option<Server> {
        rule.servers.iter().find_map(|pattern| {
            let of_leaf = |leaf: &'f Leaf<'f>| Some((pattern.of(leaf)?.value, leaf.line));
            // The last one is in force.
            let (value, line) = self.leaves.iter().rev().find_map(of_leaf)?;
            let value = self.plain(value);
            let (endpoint, bucket) = match restic::place_of(&value) {
                Some(place) => place,
                None => (value.contains("://").then(|| value.to_string())?, None),
            };
            Some(Server {
                endpoint: lenient_endpoint(&endpoint)?,
                bucket,
                place: self.place(line),
            })
        })
    }

    /// The keys in files of variables that the configuration names.
    fn env_files(&self, reading: &mut Reading) {
        let Some(variables) = super::Catalogue::builtin().row("dotenv") else {
            return;
        };
        for leaf in self.leaves {
            let matched = self
                .row
                .env_files
                .iter()
                .find_map(|pattern| pattern.of(leaf));
            let Some(matched) = matched.filter(|_| reading.entries.len() < MOST_ENTRIES) else {
                continue;
            };
            let folder = self.path.parent().unwrap_or(self.path);
            let path = match matched.value.strip_prefix('/') {
                Some(_) => self.environment.absolute(Path::new(matched.value)),
                None => folder.join(matched.value),
            };
            let name = matched.bound.first().map(|name| name.to_string());
            match variables.read(&path, self.environment) {
                Ok(Some(found)) => {
                    reading.gaps.extend(found.gaps);
                    reading
                        .entries
                        .extend(found.entries.into_iter().map(|mut entry| {
                            entry.name.clone_from(&name);
                            entry
                        }));
                }
                Ok(None) => {}
                Err(error) => {
                    reading
                        .gaps
                        .push((path.display().to_string(), error.told(), error.remedy()));
                }
            }
        }
    }

    /// A value with what it refers to, and where that stands.
    pub(super) fn resolved(
        &self,
        value: &str,
        own: &Place,
    ) -> Result<(Zeroizing<String>, Place), (String, String)> {
        if value.starts_with("ENC[") {
            let why = "the value is encrypted";
            return Err((
                why.into(),
                "look at it with the tool that encrypts it".into(),
            ));
        }
        let computed = ["var.", "local.", "data.", "module."];
        if self.row.format == Format::Text(Structure::Braces)
            && computed.iter().any(|begins| value.starts_with(begins))
        {
            let why = "the value is computed from others, which is not done here";
            return Err((why.into(), "look at what it comes to".into()));
        }
        let plain = |text: &str, place| Ok((Zeroizing::new(text.to_owned()), place));
        if !self.row.expands {
            return plain(value, own.clone());
        }
        if value.contains("$(") || value.contains('`') {
            let why = "the value is printed by a command, which is not run";
            return Err((
                why.into(),
                "run that command yourself and compare the id".into(),
            ));
        }
        let Some(name) = reference(value) else {
            return plain(value, own.clone());
        };
        let (name, otherwise) = name.split_once(":-").unwrap_or((name, ""));
        if let Some(found) = self.environment.variable(name) {
            return plain(found, self.environment.place_of(name));
        }
        let set = self.leaves.iter().rev().find(|leaf| {
            leaf.path.len() == 1 && leaf.name() == Some(name) && !leaf.value.starts_with('$')
        });
        match set {
            Some(leaf) => plain(&leaf.value, self.place(leaf.line)),
            None if !otherwise.is_empty() => plain(otherwise, own.clone()),
            None => Err((
                format!("the value comes from the variable {name}, which is not set here"),
                format!("look where {name} is set for this tool"),
            )),
        }
    }

    fn plain<'v>(&self, value: &'v str) -> Cow<'v, str> {
        let own = Place::Variable(String::new());
        match self.resolved(value, &own) {
            Ok((text, _)) if *text != value => Cow::Owned(text.to_string()),
            _ => Cow::Borrowed(value),
        }
    }
}

/// The variable that a value is: `$NAME`, `${NAME}`, `${env:NAME}`.
fn reference(value: &str) -> Option<&str> {
    let name = value.strip_prefix('$')?;
    let name = match name.strip_prefix('{') {
        Some(braced) => braced.strip_suffix('}')?,
        None => name,
    };
    let name = name.strip_prefix("env:").unwrap_or(name).trim();
    let bare = name.split(":-").next().unwrap_or_default();
    let is_name = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

/// What a value holds.
struct Held {
    id: Zeroizing<String>,
    secret: Option<Zeroizing<String>>,
    host: Option<String>,
}

fn within(value: &str, how: Within) -> Held {
    let whole = || Held {
        id: Zeroizing::new(value.to_owned()),
        secret: None,
        host: None,
    };
    match how {
        Within::Whole | Within::NameUrl => whole(),
        Within::Base64 => decoded(value).map_or_else(whole, |id| Held {
            id,
            secret: None,
            host: None,
        }),
        Within::Url | Within::EncodedUrl => in_url(value, how).unwrap_or_else(whole),
    }
}

/// The text behind base64, without blanks around it.
pub(super) fn decoded(value: &str) -> Option<Zeroizing<String>> {
    let bytes = BASE64
        .decode(value.trim().as_bytes())
        .or_else(|_| BASE64_MIME_PERMISSIVE.decode(value.trim().as_bytes()));
    let bytes = Zeroizing::new(bytes.ok()?);
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.trim().to_owned()))
}

/// `scheme://ID:SECRET@host`, or Borg's `s3:ID:SECRET@…`. A session token may follow the secret.
fn in_url(value: &str, how: Within) -> Option<Held> {
    let borg = value
        .strip_prefix("s3:")
        .filter(|rest| !rest.starts_with("//"));
    let (scheme, rest) = match borg {
        Some(rest) => ("s3", rest),
        None => value.split_once("://")?,
    };
    let (user, host) = rest.rsplit_once('@')?;
    let (id, secret) = user.split_once(':').unwrap_or((user, ""));
    let secret = secret.split(':').next().unwrap_or_default();
    let text = |part: &str| {
        Zeroizing::new(match how {
            Within::EncodedUrl => percent_decode_str(part).decode_utf8_lossy().into_owned(),
            _ => part.to_owned(),
        })
    };
    let host = host.split(['/', '?']).next().unwrap_or_default();
    let host = match scheme {
        "http" | "https" if !host.is_empty() => Some(format!("{scheme}://{host}")),
        _ => None,
    };
    Some(Held {
        id: text(id),
        secret: (!secret.is_empty()).then(|| text(secret)),
        host,
    })
}
