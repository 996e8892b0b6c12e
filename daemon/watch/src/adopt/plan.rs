//! Which settings of which files change, and how the files read afterwards. The same settings are found
//! whether a key of the provider's is replaced by one of ours, one of ours by another, or the provider's
//! is put back, so what is adopted can be ejected.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bascule_domain::{access_key::AccessKeyId, endpoint::Endpoint};
use bascule_formats::{
    edit,
    revise::{self, CannotRevise, Syntax, Wanted},
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Consumer, command_place, container, server,
    site::{self, Site},
};
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
    /// The file can't be read, or not any more.
    #[error("{} can't be read: {why}", .path.display())]
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
    let mut planning = Planning {
        found: consumer.first(),
        goal,
        read: &read,
        texts: Vec::new(),
        layout: Layout::default(),
    };
    if let Goal::Gateway(access) = goal
        && access.endpoint.is_loopback()
        && consumer.first().key.endpoint.as_ref() != Some(&access.endpoint)
    {
        let mut uses = consumer.uses.iter();
        if let Some(name) = uses.find_map(|found| container::cut_off(found, &read)) {
            return Err(CannotPlan::CutOff(name.to_owned()));
        }
    }
    planning.key()?;
    Ok(planning.done())
}

/// Names of variables that hold an id, each with those of the secret and of the server.
const VARIABLES: [[&str; 3]; 8] = [
    [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ENDPOINT_URL",
    ],
    ["AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_ENDPOINT_URL"],
    [
        "RCLONE_S3_ACCESS_KEY_ID",
        "RCLONE_S3_SECRET_ACCESS_KEY",
        "RCLONE_S3_ENDPOINT",
    ],
    [
        "S3_ACCESS_KEY_ID",
        "S3_SECRET_ACCESS_KEY",
        "S3_ENDPOINT_URL",
    ],
    ["S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_ENDPOINT_URL"],
    ["MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", ""],
    ["MINIO_ACCESS_KEY", "MINIO_SECRET_KEY", ""],
    ["AWSACCESSKEYID", "AWSSECRETACCESSKEY", ""],
];
/// Names of variables that may hold a server, or begin with one.
const SERVERS: [&str; 6] = [
    "RESTIC_REPOSITORY",
    "S3_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "RCLONE_S3_ENDPOINT",
    "S3_ENDPOINT",
];
/// Settings and variables that hold a region.
const REGIONS: [&str; 4] = [
    "region",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "RCLONE_S3_REGION",
];
/// What a key that is handed out comes with, since the gateway takes any.
const ANY_REGION: &str = "auto";
/// Providers for which rclone puts the bucket into the host's name whatever is set.
const VIRTUAL_HOSTS: [&str; 6] = [
    "Alibaba",
    "ArvanCloud",
    "HuaweiOBS",
    "Netease",
    "Outscale",
    "TencentCOS",
];

/// The names of a pair's settings and of the server's.
struct Names {
    id: String,
    secret: String,
    /// Where a server goes that is not set yet; empty: nowhere in this file.
    server: String,
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
    found: &'p Use,
    goal: Goal<'p>,
    read: &'p dyn Fn(&Path) -> Result<Zeroizing<String>, String>,
    texts: Vec<Text>,
    layout: Layout,
}

impl Planning<'_> {
    fn key(&mut self) -> Result<(), CannotPlan> {
        let key = &self.found.key;
        if let Place::File { path, line } = key.place.clone() {
            let text = self.text(&path)?.to_string();
            if let Some(site) = site::of(self.found, &path, line, &text)
                && let Some(names) = self.names(&site, &text)
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

    /// The names under which a site holds the consumer's key.
    fn names(&self, site: &Site, text: &str) -> Option<Names> {
        let id = self.found.key.id.as_str();
        let fixed = |id: &str, secret: &str, server: &str| Names {
            id: id.to_owned(),
            secret: secret.to_owned(),
            server: server.to_owned(),
        };
        let known = match site.syntax {
            Syntax::Rclone => vec![fixed("access_key_id", "secret_access_key", "endpoint")],
            Syntax::AwsCredentials | Syntax::AwsConfig => vec![fixed(
                "aws_access_key_id",
                "aws_secret_access_key",
                "endpoint_url",
            )],
            Syntax::S3cfg => vec![fixed("access_key", "secret_key", "host_base")],
            Syntax::Mc => vec![fixed("accessKey", "secretKey", "url")],
            Syntax::S3fsPasswords => vec![fixed("id", "secret", "")],
            _ => {
                let mut known: Vec<_> = VARIABLES
                    .iter()
                    .map(|[id, secret, server]| fixed(id, secret, server))
                    .collect();
                known.extend(self.remotes().map(|remote| {
                    let name = |option| format!("RCLONE_CONFIG_{remote}_{option}");
                    Names {
                        id: name("ACCESS_KEY_ID"),
                        secret: name("SECRET_ACCESS_KEY"),
                        server: name("ENDPOINT"),
                    }
                }));
                known
            }
        };
        let mut known = known.into_iter();
        let mut names = known.find(|names| site.value(text, &names.id).as_deref() == Some(id))?;
        if self.found.kind == "s5cmd" && names.id.starts_with("AWS_") {
            names.server = "S3_ENDPOINT_URL".into();
        }
        if self.found.kind == "s3fs" || self.found.kind == "restic" {
            names.server.clear();
        }
        Some(names)
    }

    /// The remotes on the way, as variables name them.
    fn remotes(&self) -> impl Iterator<Item = String> {
        let names = self.found.chain.iter().rev();
        names.filter_map(|link| Some(link.name.split_once(": (")?.0.to_uppercase()))
    }

    /// A key that stands in settings with names.
    fn settings(&mut self, path: &Path, site: &Site, names: &Names) -> Result<(), CannotPlan> {
        let access = self.goal.access().clone();
        let mut wanted = vec![
            (Role::Id, names.id.clone(), Some(Zeroizing::new(access.id))),
            (Role::Secret, names.secret.clone(), Some(access.secret)),
        ];
        let text = self.text(path)?.to_string();
        let mut elsewhere = None;
        match self.found.key.endpoint_place.clone() {
            // What these name has no place of its own.
            _ if matches!(site.syntax, Syntax::Mc | Syntax::S3cfg) => {
                wanted.push(self.server_setting(path, site, &names.server, &text));
            }
            Some(Place::File { path: at, line }) => {
                let there = match at == path {
                    true => text.clone(),
                    false => self.text(&at)?.to_string(),
                };
                let its = site::of(self.found, &at, line, &there);
                let its = its.and_then(|its| Some((self.server_name(&its, &there)?, its)));
                match its {
                    Some((name, its)) if at == path && its == *site => {
                        wanted.push(self.server_setting(path, site, &name, &text));
                    }
                    Some((name, its)) => elsewhere = Some((at, its, name)),
                    None => self.server_words(&at, line)?,
                }
            }
            Some(Place::Argument(_)) => match command_place(self.found).and_then(Place::file) {
                Some((at, line)) => self.server_words(at, line)?,
                None => return Err(self.server_elsewhere(Place::Argument("a command".into()))),
            },
            Some(place @ Place::Variable(_)) => return Err(self.server_elsewhere(place)),
            None if names.server.is_empty() || self.found.kind == "s5cmd" && is_aws(site) => {
                self.no_server()?;
            }
            None => wanted.push(self.server_setting(path, site, &names.server, &text)),
        }
        self.beside(path, site, &text, &mut wanted);
        self.set(path, site, wanted)?;
        if let Some((path, site, name)) = elsewhere {
            let text = self.text(&path)?.to_string();
            let wanted = vec![self.server_setting(&path, &site, &name, &text)];
            self.set(&path, &site, wanted)?;
        }
        if is_aws(site) {
            self.addressing_beside(path, site)?;
        }
        Ok(())
    }

    fn server_elsewhere(&self, place: Place) -> CannotPlan {
        CannotPlan::ServerElsewhere(place, self.goal.access().endpoint.to_string())
    }

    /// The name of the setting that holds the consumer's server.
    fn server_name(&self, site: &Site, text: &str) -> Option<String> {
        let endpoint = self.found.key.endpoint.as_ref()?;
        let names: Vec<String> = match site.syntax {
            Syntax::Rclone => vec!["endpoint".into()],
            Syntax::AwsCredentials | Syntax::AwsConfig => {
                vec!["endpoint_url".into(), "s3.endpoint_url".into()]
            }
            _ => {
                let of_remotes = self.remotes();
                let of_remotes =
                    of_remotes.map(|remote| format!("RCLONE_CONFIG_{remote}_ENDPOINT"));
                SERVERS
                    .iter()
                    .map(|name| (*name).to_owned())
                    .chain(of_remotes)
                    .collect()
            }
        };
        names.into_iter().find(|name| {
            let value = site.value(text, name);
            value.is_some_and(|value| server::find(&value, endpoint).is_some())
        })
    }

    /// What a setting that holds the server will hold.
    fn server_setting(&self, path: &Path, site: &Site, name: &str, text: &str) -> Wish {
        let now = site.value(text, name);
        let value = match self.goal {
            Goal::Gateway(access) => {
                // s3cmd takes no scheme there.
                let scheme = site.syntax != Syntax::S3cfg;
                Some(self.in_place_of_server(now.as_deref(), &access.endpoint, scheme))
            }
            Goal::Provider {
                access,
                layout,
                originals,
                ..
            } => {
                let original = originals.get(path).and_then(|text| site.value(text, name));
                match layout.of(Role::Server, path, Some(name)) {
                    Some(Was { text: None, .. }) if is_amazons(&access.endpoint) => None,
                    // What stood there tells nothing of the provider if the layout does not.
                    Some(_) if original.is_some() => original,
                    Some(Was {
                        text: Some(form), ..
                    }) => Some(self.restored(now.as_deref(), form, access)),
                    Some(Was { text: None, .. }) | None => {
                        let scheme = site.syntax != Syntax::S3cfg;
                        Some(self.in_place_of_server(now.as_deref(), &access.endpoint, scheme))
                    }
                }
            }
        };
        (Role::Server, name.to_owned(), value.map(Zeroizing::new))
    }

    /// A value with another server in the place of the consumer's; what else stands there stays.
    fn in_place_of_server(&self, now: Option<&str>, new: &Endpoint, takes_scheme: bool) -> String {
        let written = now.zip(self.found.key.endpoint.as_ref());
        let found = written.and_then(|(now, old)| Some((now, server::find(now, old)?)));
        match found {
            Some((now, found)) => {
                let new = server::write(new, found.form, takes_scheme);
                now.replacen(found.text, &new, 1)
            }
            None if takes_scheme => new.to_string(),
            None => new.authority(),
        }
    }

    /// A value with the provider's server, in the form that it had.
    fn restored(&self, now: Option<&str>, form: &str, access: &Access) -> String {
        let server = filled(form, &access.endpoint);
        let written = now.zip(self.found.key.endpoint.as_ref());
        let found = written.and_then(|(now, old)| Some((now, server::find(now, old)?)));
        found.map_or_else(
            || server.clone(),
            |(now, found)| now.replacen(found.text, &server, 1),
        )
    }

    /// Settings that must fit the server.
    fn beside(&self, path: &Path, site: &Site, text: &str, wanted: &mut Vec<Wish>) {
        let mut add =
            |role: Role, name: &str, gateway: Option<String>, provider: Option<String>| {
                let now = site.value(text, name);
                let value = match self.goal {
                    Goal::Gateway(_) => gateway,
                    Goal::Provider {
                        access,
                        layout,
                        originals,
                        ..
                    } => {
                        let original = originals.get(path).and_then(|text| site.value(text, name));
                        match layout.of(role, path, Some(name)) {
                            Some(Was { text: None, .. }) => None,
                            Some(_) if original.is_some() => original,
                            Some(Was {
                                text: Some(form), ..
                            }) => Some(filled(form, &access.endpoint)),
                            None => provider.or_else(|| now.clone()),
                        }
                    }
                };
                if value != now {
                    wanted.push((role, name.to_owned(), value.map(Zeroizing::new)));
                }
            };
        let endpoint = &self.goal.access().endpoint;
        let now = |name: &str| site.value(text, name);
        // A tool that had a key of ours first has the gateway's settings, and no others to go back to.
        let settings = self.never_set_for_it();
        let virtual_host = settings.is_some_and(|settings| settings.is_virtual_host);
        if let Some(settings) = settings.filter(|settings| !settings.region.is_empty()) {
            for name in REGIONS {
                if now(name).is_some_and(|region| region == ANY_REGION) {
                    add(Role::Region, name, None, Some(settings.region.clone()));
                }
            }
        }
        match site.syntax {
            Syntax::S3cfg => {
                let authority = endpoint.authority();
                let tls = if endpoint.is_tls() { "True" } else { "False" };
                let provider = match virtual_host {
                    true => format!("%(bucket)s.{authority}"),
                    false => authority.clone(),
                };
                let (host, provider) = (Some(authority), Some(provider));
                add(Role::BucketServer, "host_bucket", host, provider);
                add(Role::Tls, "use_https", Some(tls.into()), Some(tls.into()));
            }
            Syntax::Rclone => {
                let style = now("force_path_style");
                let wanted_style = match style.as_deref() {
                    Some("false" | "False" | "FALSE" | "0" | "f" | "F") => Some("true".into()),
                    _ => style,
                };
                let of_provider = virtual_host.then(|| "false".to_owned());
                add(
                    Role::Addressing,
                    "force_path_style",
                    wanted_style,
                    of_provider,
                );
                let provider = now("provider");
                let is_fixed = provider
                    .as_deref()
                    .is_some_and(|name| VIRTUAL_HOSTS.contains(&name));
                let wanted_provider = if is_fixed {
                    Some("Other".into())
                } else {
                    provider
                };
                add(Role::Provider, "provider", wanted_provider, None);
            }
            Syntax::AwsConfig => {
                let style = now(STYLE);
                let wanted_style = match style.as_deref() {
                    Some("virtual") => Some("path".into()),
                    _ => style,
                };
                let of_provider = virtual_host.then(|| "virtual".to_owned());
                add(Role::Addressing, STYLE, wanted_style, of_provider);
            }
            _ => {}
        }
    }

    /// What the provider's server wants, where nothing is known of how the consumer was set for it.
    fn never_set_for_it(&self) -> Option<&ServerSettings> {
        let Goal::Provider {
            settings, layout, ..
        } = self.goal
        else {
            return None;
        };
        let mut all = layout.0.iter();
        (!all.any(|was| was.role == Role::Server)).then_some(settings)
    }

    /// The profile of the credentials file may have its way of addressing in the file beside it.
    fn addressing_beside(&mut self, path: &Path, site: &Site) -> Result<(), CannotPlan> {
        let beside = path.with_file_name("config");
        if site.syntax != Syntax::AwsCredentials || beside == path || !beside.is_file() {
            return Ok(());
        }
        let its = Site {
            syntax: Syntax::AwsConfig,
            section: site.section.clone(),
        };
        let text = self.text(&beside)?.to_string();
        let mut wanted = Vec::new();
        self.beside(&beside, &its, &text, &mut wanted);
        match wanted.is_empty() {
            true => Ok(()),
            false => self.set(&beside, &its, wanted),
        }
    }

    /// A key that stands word for word on a line.
    fn words(&mut self, path: &Path, line: u32) -> Result<(), CannotPlan> {
        let key = &self.found.key;
        let access = self.goal.access().clone();
        let secret = key
            .secret
            .as_ref()
            .map(|secret| Zeroizing::new(secret.expose().to_owned()));
        let Some(secret) = secret else {
            return Err(CannotPlan::NoFile);
        };
        let server = self.found.key.endpoint_place.clone();
        let beside = match &server {
            None => Some(self.server_behind_secret(path, line, &secret)?),
            Some(_) if self.was_absent(path) => {
                Some(self.server_behind_secret(path, line, &secret)?)
            }
            Some(Place::Argument(_)) => {
                self.server_words(path, line)?;
                None
            }
            Some(Place::File { path: at, line }) => {
                self.server_words(&at.clone(), *line)?;
                None
            }
            Some(place @ Place::Variable(_)) => return Err(self.server_elsewhere(place.clone())),
        };
        let id = Zeroizing::new(key.id.as_str().to_owned());
        self.replace(
            path,
            line,
            Role::Id,
            "access key id",
            id,
            Zeroizing::new(access.id),
        )?;
        let (before, after) = match (beside, self.goal) {
            (None, _) => (secret, access.secret),
            (Some(behind), Goal::Gateway(_)) => {
                self.layout.0.push(Was {
                    role: Role::Server,
                    name: None,
                    path: path.to_owned(),
                    text: None,
                });
                let after = Zeroizing::new(format!("{}{behind}", *access.secret));
                (secret, after)
            }
            (Some(behind), Goal::Provider { .. }) => {
                let before = Zeroizing::new(format!("{}{behind}", *secret));
                (before, access.secret)
            }
        };
        self.replace(path, line, Role::Secret, "secret", before, after)
    }

    /// Whether no server stood on the command line before it was adopted.
    fn was_absent(&self, path: &Path) -> bool {
        let Goal::Provider { layout, .. } = self.goal else {
            return false;
        };
        let was = layout.of(Role::Server, path, None);
        was.is_some_and(|was| was.text.is_none())
    }

    /// What names the server to a tool that is not told one yet, behind the secret on a command line.
    fn server_behind_secret(
        &mut self,
        path: &Path,
        line: u32,
        secret: &str,
    ) -> Result<String, CannotPlan> {
        let endpoint = match self.goal {
            Goal::Gateway(access) => access.endpoint.to_string(),
            Goal::Provider { .. } => {
                let now = self.found.key.endpoint.as_ref();
                now.map(ToString::to_string).unwrap_or_default()
            }
        };
        let text = self.text(path)?.to_string();
        let own = logical(&text, line);
        let before = own.split_once(secret).map_or("", |(before, _)| before);
        let quoted = |quote: char| before.matches(quote).count() % 2 == 1;
        if before.ends_with("secret_access_key=") && before.contains(":s3") {
            // rclone ends a value at a colon unless it is quoted, and a shell must not take the quotes.
            let quote = quote_within(before);
            return Ok(format!(",endpoint={quote}{endpoint}{quote}"));
        }
        let option = |flag: &str| before.ends_with(flag);
        if option("--s3-secret-access-key ") || option("--s3-secret-access-key=") {
            return Ok(format!(" --s3-endpoint={endpoint}"));
        }
        let assigned = |name: &str| before.ends_with(&format!("{name}="));
        for [_, secret, server] in VARIABLES {
            if assigned(secret) && !server.is_empty() && !quoted('\'') && !quoted('"') {
                let server = match &*self.found.kind {
                    "s5cmd" => "S3_ENDPOINT_URL",
                    _ => server,
                };
                return Ok(format!(" {server}={endpoint}"));
            }
        }
        Err(self.server_elsewhere(Place::Argument("nothing on its command line".into())))
    }

    /// A server that stands word for word on a line.
    fn server_words(&mut self, path: &Path, line: u32) -> Result<(), CannotPlan> {
        let text = self.text(path)?.to_string();
        let endpoint = self.found.key.endpoint.clone();
        let line = line.max(1);
        let own = logical(&text, line);
        let found = endpoint.and_then(|endpoint| {
            let found = server::find(own, &endpoint)?;
            Some((found.text.to_owned(), found.form))
        });
        let Some((old, form)) = found else {
            return Err(self.server_elsewhere(Place::File {
                path: path.to_owned(),
                line,
            }));
        };
        let s3fs = self.found.kind == "s3fs";
        let style = ",use_path_request_style";
        // rclone ends a value at a colon unless it is quoted.
        let (before, behind) = own.split_once(&old).unwrap_or((own, ""));
        let bare =
            before.ends_with("endpoint=") && before.contains(':') && behind.starts_with([':', ',']);
        let quote = quote_within(before);
        let was = match self.goal {
            Goal::Provider { layout, .. } => layout.of(Role::Server, path, None),
            Goal::Gateway(_) => None,
        };
        let was = was.and_then(|was| was.text.as_deref());
        if let (Some(form), Goal::Provider { access, .. }) =
            (was.and_then(|was| was.strip_prefix(BARE)), self.goal)
        {
            let quote = quote_within(
                before
                    .strip_suffix(['\'', '"'])
                    .unwrap_or(before)
                    .trim_end_matches('\\'),
            );
            let old = Zeroizing::new(format!("{quote}{old}{quote}"));
            let new = Zeroizing::new(filled(form, &access.endpoint));
            return self.replace(path, line, Role::Server, "server", old, new);
        }
        let new = match self.goal {
            Goal::Gateway(access) if bare => {
                let form = if form == server::Form::Authority {
                    "{authority}"
                } else {
                    "{endpoint}"
                };
                self.layout.0.push(Was {
                    role: Role::Server,
                    name: None,
                    path: path.to_owned(),
                    text: Some(format!("{BARE}{form}")),
                });
                format!("{quote}{}{quote}", access.endpoint)
            }
            Goal::Gateway(access) => {
                let mut new = server::write(&access.endpoint, form, true);
                if s3fs && !own.contains(&style[1..]) {
                    new.push_str(style);
                }
                new
            }
            Goal::Provider { access, layout, .. } => {
                match layout
                    .of(Role::Server, path, None)
                    .and_then(|was| was.text.as_deref())
                {
                    Some(form) => filled(form, &access.endpoint),
                    None => server::write(&access.endpoint, form, true),
                }
            }
        };
        // What was added to the options goes with the server.
        let added = self.added_style(path);
        let old = match added {
            true => format!("{old}{style}"),
            false => old,
        };
        self.replace(
            path,
            line,
            Role::Server,
            "server",
            Zeroizing::new(old),
            Zeroizing::new(new),
        )
    }

    fn added_style(&self, path: &Path) -> bool {
        let Goal::Provider { layout, .. } = self.goal else {
            return false;
        };
        self.found.kind == "s3fs"
            && layout
                .of(Role::Addressing, path, None)
                .is_some_and(|was| was.text.is_none())
    }

    /// No setting names the server, and none of the key's file could.
    fn no_server(&mut self) -> Result<(), CannotPlan> {
        let endpoint = &self.goal.access().endpoint;
        Err(match &*self.found.kind {
            "s3fs" => CannotPlan::ServerOnCommandLine {
                tool: "s3fs",
                add: format!("-o url={endpoint},use_path_request_style"),
            },
            "s5cmd" => CannotPlan::ServerOnCommandLine {
                tool: "s5cmd",
                add: format!("--endpoint-url {endpoint}"),
            },
            _ => self.server_elsewhere(Place::Argument("nothing that was found".into())),
        })
    }

    /// Changes settings of one part of a file.
    fn set(&mut self, path: &Path, site: &Site, wanted: Vec<Wish>) -> Result<(), CannotPlan> {
        let text = self.text(path)?.to_string();
        let mut changes = Vec::new();
        for (role, name, value) in wanted {
            let before = site.value(&text, &name).map(Zeroizing::new);
            self.remember(
                role,
                Some(name.clone()),
                path,
                before.as_deref().map(String::as_str),
            );
            if before != value {
                changes.push(Change {
                    role,
                    name,
                    before,
                    after: value,
                });
            }
        }
        let id = changes.iter().map(|change| Wanted {
            name: &change.name,
            value: change.after.as_deref().map(String::as_str),
        });
        let wanted: Vec<_> = id.collect();
        let refused = |why| CannotPlan::Revise {
            path: path.to_owned(),
            why,
        };
        let edits = revise::revise(&text, site.syntax, &site.scope(), &wanted).map_err(refused)?;
        let part = match (site.syntax, &site.section) {
            (Syntax::AwsConfig, Some(name)) if name != "default" => format!("[profile {name}]"),
            (Syntax::Rclone | Syntax::AwsConfig | Syntax::AwsCredentials, Some(name)) => {
                format!("[{name}]")
            }
            (_, Some(name)) => name.clone(),
            (_, None) => String::new(),
        };
        let now = edit::apply(&text, &edits).map_err(|_| misplaced(path))?;
        self.changed(path, part, now, changes);
        Ok(())
    }

    /// Replaces what stands word for word on a line.
    fn replace(
        &mut self,
        path: &Path,
        line: u32,
        role: Role,
        name: &str,
        old: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<(), CannotPlan> {
        if matches!(self.goal, Goal::Gateway(_)) {
            let added = role == Role::Server && new.ends_with(",use_path_request_style");
            if added {
                self.layout.0.push(Was {
                    role: Role::Addressing,
                    name: None,
                    path: path.to_owned(),
                    text: None,
                });
            }
            self.remember(role, None, path, Some(&old));
        }
        if *old == *new {
            return Ok(());
        }
        let text = self.text(path)?.to_string();
        let refused = |why| CannotPlan::Revise {
            path: path.to_owned(),
            why,
        };
        let edits = revise::verbatim(&text, line, &old, &new).map_err(refused)?;
        let now = edit::apply(&text, &edits).map_err(|_| misplaced(path))?;
        let change = Change {
            role,
            name: name.to_owned(),
            before: Some(old),
            after: Some(new),
        };
        self.changed(path, format!("line {line}"), now, vec![change]);
        Ok(())
    }

    /// Notes how a setting is now, without what it tells of the key, the server or a bucket.
    fn remember(&mut self, role: Role, name: Option<String>, path: &Path, now: Option<&str>) {
        // How it was set for the gateway is nothing to go back to.
        if AccessKeyId::looks_issued(self.found.key.id.as_str())
            || matches!(self.goal, Goal::Provider { .. })
            || self.layout.of(role, path, name.as_deref()).is_some()
        {
            return;
        }
        let text = match (role, now) {
            (_, None) => None,
            (Role::Id | Role::Secret, Some(_)) => return,
            (Role::Server | Role::BucketServer, Some(now)) => {
                let endpoint = self.found.key.endpoint.as_ref();
                let found = endpoint.and_then(|endpoint| server::find(now, endpoint));
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

    fn text(&mut self, path: &Path) -> Result<&str, CannotPlan> {
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
        Ok(&self.texts[at].now)
    }

    fn changed(
        &mut self,
        path: &Path,
        part: String,
        now: Zeroizing<String>,
        mut changes: Vec<Change>,
    ) {
        if let Some(text) = self.texts.iter_mut().find(|text| text.path == path) {
            if text.part.is_empty() {
                text.part = part;
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

/// A setting and what it will hold; `None`: it goes.
type Wish = (Role, String, Option<Zeroizing<String>>);

/// What marks a server that stood on a command line without quotes, which rclone needs around the
/// gateway's.
const BARE: &str = "bare ";

/// A quote that rclone sees, behind a text that a shell or systemd reads first.
fn quote_within(before: &str) -> &'static str {
    let quoted = |quote: char| before.matches(quote).count() % 2 == 1;
    match (quoted('"'), quoted('\'')) {
        (_, true) => "\"",
        (true, false) => "'",
        (false, false) => "\\'",
    }
}

const STYLE: &str = "s3.addressing_style";

/// Tools go there where no server is set.
fn is_amazons(endpoint: &Endpoint) -> bool {
    endpoint.host().ends_with(".amazonaws.com")
}

const fn is_aws(site: &Site) -> bool {
    matches!(site.syntax, Syntax::AwsCredentials | Syntax::AwsConfig)
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

/// A line, counted from 1, with those that continue it.
fn logical(text: &str, line: u32) -> &str {
    let from = offset(text, line);
    let mut end = from;
    for own in text[from..].split_inclusive('\n') {
        end += own.len();
        if !own.trim_end_matches(['\n', '\r']).ends_with('\\') {
            break;
        }
    }
    &text[from..end]
}

fn offset(text: &str, line: u32) -> usize {
    let skipped = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1) as usize);
    skipped.map(str::len).sum()
}
