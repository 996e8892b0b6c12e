//! Settings with names: the key's own, the server's wherever it stands, and those that must fit the server.

use std::path::Path;

use bascule_domain::endpoint::Endpoint;
use bascule_formats::{
    edit,
    revise::{self, Syntax, Wanted},
};
use zeroize::Zeroizing;

use super::{
    super::{server, site::Site},
    Access, CannotPlan, Change, Goal, Planning, Role, ServerSettings, Was, filled, is_amazons,
    misplaced,
    servers::{Servers, Setting},
};
use crate::picture::Use;

/// Names of variables that hold an id, each with those of the secret and of the server.
pub(super) const VARIABLES: [[&str; 3]; 8] = [
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
pub(super) struct Names {
    pub(super) id: String,
    pub(super) secret: String,
    /// Where a server goes that is not set yet; empty: nowhere in this file.
    server: String,
}

/// A setting and what it will hold (`None`: it goes), and the server that it names now.
type Wish = (Role, String, Option<Zeroizing<String>>, Option<Endpoint>);

const STYLE: &str = "s3.addressing_style";

impl Planning<'_> {
    /// The names under which a site holds the consumer's key.
    pub(super) fn names(&self, found: &Use, site: &Site, text: &str) -> Option<Names> {
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
                known.extend(remotes(found).map(|remote| {
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
        if found.kind == "s5cmd" && names.id.starts_with("AWS_") {
            names.server = "S3_ENDPOINT_URL".into();
        }
        if found.kind == "s3fs" || found.kind == "restic" {
            names.server.clear();
        }
        Some(names)
    }

    /// A key that stands in settings with names.
    pub(super) fn settings(
        &mut self,
        path: &Path,
        site: &Site,
        names: &Names,
    ) -> Result<(), CannotPlan> {
        let access = self.goal.access().clone();
        let mut wanted = vec![
            (
                Role::Id,
                names.id.clone(),
                Some(Zeroizing::new(access.id)),
                None,
            ),
            (
                Role::Secret,
                names.secret.clone(),
                Some(access.secret),
                None,
            ),
        ];
        let text = self.text(path)?;
        let mut servers = self.servers(Some((path, site)))?;
        self.told_beside_key(path, site, &text, &mut servers)?;
        // Lines are counted before any is added.
        for words in &servers.words {
            self.server_words(words)?;
        }
        let is_own =
            |setting: &&Setting| setting.path == path && setting.site.section == site.section;
        let (own, elsewhere): (Vec<_>, Vec<_>) = servers.settings.iter().partition(is_own);
        for setting in &own {
            let old = setting.old.as_ref();
            wanted.push(self.server_setting(path, site, &setting.name, &text, old));
        }
        self.beside(path, site, &text, &mut wanted);
        self.set(path, site, wanted)?;
        for setting in elsewhere {
            self.setting_elsewhere(setting)?;
        }
        if is_aws(site) {
            self.addressing_beside(path, site)?;
        }
        Ok(())
    }

    /// A server that is set in another part than the key.
    pub(super) fn setting_elsewhere(&mut self, setting: &Setting) -> Result<(), CannotPlan> {
        let Setting {
            path,
            site,
            name,
            old,
        } = setting;
        let text = self.text(path)?;
        let wanted = vec![self.server_setting(path, site, name, &text, old.as_ref())];
        self.set(path, site, wanted)
    }

    /// Adds the server beside the key for what is told none yet.
    fn told_beside_key(
        &self,
        path: &Path,
        site: &Site,
        text: &str,
        servers: &mut Servers<'_>,
    ) -> Result<(), CannotPlan> {
        let beside = |name: String, old: Option<Endpoint>| Setting {
            path: path.to_owned(),
            site: site.clone(),
            name,
            old,
        };
        let name_of = |found: &Use| {
            let names = self.names(found, site, text);
            names.map(|names| names.server).unwrap_or_default()
        };
        // What these name has no place of its own.
        if matches!(site.syntax, Syntax::Mc | Syntax::S3cfg) {
            let old = self.found.key.endpoint.clone();
            servers.set(beside(name_of(self.found), old));
            return Ok(());
        }
        for found in std::mem::take(&mut servers.untold) {
            let name = name_of(found);
            if name.is_empty() || found.kind == "s5cmd" && is_aws(site) {
                return Err(self.no_server(found));
            }
            servers.set(beside(name, None));
        }
        // By hand the entry must not take the new key to where it went; it had no server before.
        if let Some(found) = servers.bare_entry
            && matches!(self.goal, Goal::Gateway(_))
            && matches!(
                site.syntax,
                Syntax::Rclone | Syntax::AwsCredentials | Syntax::AwsConfig
            )
        {
            servers.set(beside(name_of(found), None));
        }
        Ok(())
    }

    /// The name of the setting that holds a use's server, in the part of a file where the line is.
    pub(super) fn server_name(found: &Use, site: &Site, text: &str, line: u32) -> Option<String> {
        let endpoint = found.key.endpoint.as_ref()?;
        let names: Vec<String> = match site.syntax {
            Syntax::Rclone => vec!["endpoint".into()],
            Syntax::AwsCredentials | Syntax::AwsConfig => {
                vec!["endpoint_url".into(), "s3.endpoint_url".into()]
            }
            _ => {
                let of_remotes = remotes(found);
                let of_remotes =
                    of_remotes.map(|remote| format!("RCLONE_CONFIG_{remote}_ENDPOINT"));
                SERVERS
                    .iter()
                    .map(|name| (*name).to_owned())
                    .chain(of_remotes)
                    .collect()
            }
        };
        let mut names: Vec<_> = names.into_iter().collect();
        names.retain(|name| {
            let value = site.value(text, name);
            value.is_some_and(|value| server::find(&value, endpoint).is_some())
        });
        // Several may hold it, each for another tool.
        let own = (line as usize).checked_sub(1);
        let own = own.and_then(|at| text.lines().nth(at)).unwrap_or_default();
        let mut words = own.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let on_line = words.find_map(|word| names.iter().position(|name| name == word));
        match on_line {
            Some(at) => Some(names.swap_remove(at)),
            None => names.into_iter().next(),
        }
    }

    /// What a setting that holds the server will hold.
    fn server_setting(
        &self,
        path: &Path,
        site: &Site,
        name: &str,
        text: &str,
        old: Option<&Endpoint>,
    ) -> Wish {
        let now = site.value(text, name);
        // s3cmd takes no scheme there.
        let scheme = site.syntax != Syntax::S3cfg;
        let in_place = |endpoint| Some(in_place_of_server(now.as_deref(), old, endpoint, scheme));
        let value = match self.goal {
            Goal::Gateway(access) => in_place(&access.endpoint),
            Goal::Provider {
                access,
                layout,
                originals,
                ..
            } => {
                let original = originals.get(path).and_then(|text| site.value(text, name));
                match layout.of(Role::Server, path, Some(name)) {
                    Some(Was { text: None, .. })
                        if is_amazons(&access.endpoint) || layout.names_server() =>
                    {
                        None
                    }
                    // What stood there tells nothing of the provider if the layout does not.
                    Some(_) if original.is_some() => original,
                    Some(Was {
                        text: Some(form), ..
                    }) => Some(restored(now.as_deref(), old, form, access)),
                    Some(Was { text: None, .. }) | None => in_place(&access.endpoint),
                }
            }
        };
        (
            Role::Server,
            name.to_owned(),
            value.map(Zeroizing::new),
            old.cloned(),
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
                    wanted.push((role, name.to_owned(), value.map(Zeroizing::new), None));
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
        let text = self.text(&beside)?;
        let mut wanted = Vec::new();
        self.beside(&beside, &its, &text, &mut wanted);
        match wanted.is_empty() {
            true => Ok(()),
            false => self.set(&beside, &its, wanted),
        }
    }

    /// No setting names the server, and none of the key's file could.
    fn no_server(&self, found: &Use) -> CannotPlan {
        let endpoint = &self.goal.access().endpoint;
        match &*found.kind {
            "s3fs" => CannotPlan::ServerOnCommandLine {
                tool: "s3fs",
                add: format!("-o url={endpoint},use_path_request_style"),
            },
            "s5cmd" => CannotPlan::ServerOnCommandLine {
                tool: "s5cmd",
                add: format!("--endpoint-url {endpoint}"),
            },
            _ => self.no_place_for_server(found),
        }
    }

    /// Changes settings of one part of a file.
    fn set(&mut self, path: &Path, site: &Site, wanted: Vec<Wish>) -> Result<(), CannotPlan> {
        let text = self.text(path)?;
        let mut changes = Vec::new();
        let first = self.found.key.endpoint.clone();
        for (role, name, value, old) in wanted {
            let old = old.or_else(|| first.clone());
            let before = site.value(&text, &name).map(Zeroizing::new);
            self.remember(
                role,
                Some(name.clone()),
                path,
                before.as_deref().map(String::as_str),
                old.as_ref(),
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
}

/// The remotes on a use's way, as variables name them.
fn remotes(found: &Use) -> impl Iterator<Item = String> {
    let names = found.chain.iter().rev();
    names.filter_map(|link| Some(link.name.split_once(": (")?.0.to_uppercase()))
}

/// A value with another server in the place of the old one; what else stands there stays.
fn in_place_of_server(
    now: Option<&str>,
    old: Option<&Endpoint>,
    new: &Endpoint,
    takes_scheme: bool,
) -> String {
    let found = now.zip(old);
    let found = found.and_then(|(now, old)| Some((now, server::find(now, old)?)));
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
fn restored(now: Option<&str>, old: Option<&Endpoint>, form: &str, access: &Access) -> String {
    let server = filled(form, &access.endpoint);
    let found = now.zip(old);
    let found = found.and_then(|(now, old)| Some((now, server::find(now, old)?)));
    found.map_or_else(
        || server.clone(),
        |(now, found)| now.replacen(found.text, &server, 1),
    )
}

const fn is_aws(site: &Site) -> bool {
    matches!(site.syntax, Syntax::AwsCredentials | Syntax::AwsConfig)
}
