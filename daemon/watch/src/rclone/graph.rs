//! From a path on a remote to the keys behind it, through every wrapper. It ends: no remote is
//! entered twice on one way, ways are short, and there are few of them.

use bascule_formats::rclone::{self as format, Reference, Target};

use super::Remotes;
use crate::{
    found::{NotUsable, Place},
    picture::{HeldKey, Link, LinkKind, Standing},
    read::Value,
};

/// Wrappers with exactly one target, in the option `remote`.
const WRAPPERS: [&str; 7] = [
    "alias", "archive", "cache", "chunker", "compress", "crypt", "hasher",
];
/// rclone refuses only a remote that points to itself.
const DEEPEST: usize = 8;
/// Unions of unions can lead to very many ends.
const MOST_LEADS: usize = 256;

/// One way from a reference to its end.
pub(crate) struct Lead {
    /// Each remote on the way.
    pub(crate) chain: Vec<Link>,
    /// What is there.
    pub(crate) end: End,
    /// The bucket, if the path names one.
    pub(crate) bucket: Option<String>,
}

/// Where a reference ends.
pub(crate) enum End {
    /// At an s3 remote with a key of its own.
    Key(Box<S3>),
    /// At an s3 remote that takes its key from where the AWS tools look.
    Surroundings {
        /// The remote.
        remote: String,
        /// The profile that it names.
        profile: Option<String>,
        /// The credentials file that it names.
        file: Option<String>,
        /// The server that it names, which stands before what the AWS files say.
        server: Server,
    },
    /// At an s3 remote that is asked without a key.
    Anonymous(String),
    /// In a local folder.
    Local(String),
    /// At something that is not S3.
    Elsewhere(String),
    /// Nowhere, for this reason.
    Refused(NotUsable),
}

/// What an s3 remote says about its server.
pub(crate) struct Server {
    pub(crate) endpoint: Option<Value>,
    pub(crate) region: Option<Value>,
    pub(crate) provider: Option<String>,
}

impl Server {
    /// Tells a key of it.
    pub(crate) fn tell(&self, key: &mut HeldKey) {
        if let Some(endpoint) = &self.endpoint {
            key.goes_to(endpoint.text(), endpoint.place());
        }
        if let Some(region) = &self.region {
            key.region = region.text().parse().ok();
        }
        key.provider.clone_from(&self.provider);
    }
}

/// What is said about the key of an s3 remote. Of each option the first value counts.
pub(crate) struct S3 {
    pub(crate) remote: String,
    pub(crate) ids: Vec<Value>,
    pub(crate) secrets: Vec<Value>,
    pub(crate) temporary: bool,
    /// Whether the key only serves to assume a role.
    pub(crate) role: bool,
    pub(crate) server: Server,
}

impl S3 {
    /// Every key that stands there, the one that counts first.
    pub(crate) fn held(&self) -> Vec<(HeldKey, Standing)> {
        let secret = self.secrets.first().map(Value::text);
        let counts = self.ids.first().map(|id| id.place().to_string());
        let mut held = Vec::new();
        for (at, id) in self.ids.iter().enumerate() {
            let secret = secret.filter(|_| at == 0);
            let Some(mut key) = HeldKey::read(Some(id.text()), secret, id.place()) else {
                continue;
            };
            key.temporary = self.temporary;
            self.server.tell(&mut key);
            let standing = match &counts {
                Some(by) if at > 0 => Standing::Shadowed { by: by.clone() },
                _ if self.secrets.is_empty() => Standing::Unused {
                    why: "no secret stands beside it".into(),
                },
                _ => Standing::Effective,
            };
            held.push((key, standing));
        }
        held
    }
}

/// The way so far.
#[derive(Clone, Default)]
struct Way {
    chain: Vec<Link>,
    seen: Vec<String>,
}

impl Remotes<'_> {
    /// Every end that a reference leads to.
    pub(crate) fn leads(&self, reference: &Reference<'_>) -> Vec<Lead> {
        let mut leads = Vec::new();
        let origin = Place::Argument("connection string".into());
        self.walk(
            reference,
            reference.path,
            &origin,
            Way::default(),
            &mut leads,
        );
        leads
    }

    fn walk(
        &self,
        reference: &Reference<'_>,
        path: &str,
        origin: &Place,
        mut way: Way,
        leads: &mut Vec<Lead>,
    ) {
        let (name, kind) = match reference.target {
            Target::Backend(kind) => (format!(":{kind}"), Some(kind.to_owned())),
            Target::Named(name) => {
                let kind = self.own(name, "type");
                (name.to_owned(), kind.map(|kind| kind.text().to_owned()))
            }
        };
        let mut end = |end, way: Way, bucket| {
            leads.push(Lead {
                chain: way.chain,
                end,
                bucket,
            });
        };
        let Some(kind) = kind else {
            let error = match self.file() {
                None if way.chain.is_empty() => NotUsable::NoConfiguration { tool: "rclone" },
                path => NotUsable::NoSuchName {
                    what: "remote",
                    name,
                    path: path.map(ToOwned::to_owned),
                },
            };
            return end(End::Refused(error), way, None);
        };
        let why = match way.chain.last() {
            None => "names the remote",
            Some(_) => "wraps",
        };
        let link = Link::new(LinkKind::Entry, format!("{name}: ({kind})"), why);
        let place = match reference.target {
            Target::Named(name) => self.place(name),
            Target::Backend(_) => None,
        };
        way.chain.push(match place {
            Some(place) => link.at(place),
            None => link,
        });
        if kind == "s3" {
            let bucket = path.trim_start_matches('/').split('/').next();
            let bucket = bucket.filter(|bucket| !bucket.is_empty());
            let found = self.s3(reference, &name, origin);
            return end(found, way, bucket.map(ToOwned::to_owned));
        }
        if way.seen.len() == DEEPEST || way.seen.contains(&name) {
            return end(End::Refused(NotUsable::Circle(name)), way, None);
        }
        way.seen.push(name.clone());
        let several = matches!(kind.as_str(), "union" | "combine");
        if !several && !WRAPPERS.contains(&kind.as_str()) {
            return end(End::Elsewhere(name), way, None);
        }
        let option = if several { "upstreams" } else { "remote" };
        let value = self
            .options(reference, &kind, option, origin)
            .into_iter()
            .next();
        let Some(value) = value else {
            return end(End::Elsewhere(name), way, None);
        };
        if !several {
            let path = if kind == "crypt" { "" } else { path };
            return self.enter(value.text(), &name, path, &value.place(), way, leads);
        }
        for item in format::list(value.text()) {
            if leads.len() >= MOST_LEADS {
                return;
            }
            let (target, path) = match kind.as_str() {
                "combine" => {
                    let Some((folder, target)) = item.split_once('=') else {
                        continue;
                    };
                    let mut parts = path.trim_start_matches('/').splitn(2, '/');
                    match parts.next().filter(|first| !first.is_empty()) {
                        Some(first) if first != folder => continue,
                        _ => (target, parts.next().unwrap_or_default()),
                    }
                }
                _ => {
                    let suffix = [":ro", ":nc", ":writeback"]
                        .iter()
                        .find_map(|suffix| item.strip_suffix(suffix));
                    (suffix.unwrap_or(&item), path)
                }
            };
            self.enter(target, &name, path, &value.place(), way.clone(), leads);
        }
    }

    /// Goes on with what a wrapper wraps.
    fn enter(
        &self,
        target: &str,
        wrapper: &str,
        path: &str,
        origin: &Place,
        way: Way,
        leads: &mut Vec<Lead>,
    ) {
        let Some(next) = Reference::parse(target) else {
            leads.push(Lead {
                chain: way.chain,
                end: End::Local(wrapper.to_owned()),
                bucket: None,
            });
            return;
        };
        let path = format!("{}/{path}", next.path.trim_end_matches('/'));
        self.walk(&next, &path, origin, way, leads);
    }

    fn s3(&self, reference: &Reference<'_>, name: &str, origin: &Place) -> End {
        let all = |option| self.options(reference, "s3", option, origin);
        let first = |option| all(option).into_iter().next();
        let text = |option| first(option).map(|value| value.text().to_owned());
        let (ids, secrets) = (all("access_key_id"), all("secret_access_key"));
        let server = Server {
            endpoint: first("endpoint"),
            region: first("region"),
            provider: text("provider"),
        };
        if ids.is_empty() && secrets.is_empty() {
            // A static key is used even if env_auth is set; without one rclone looks around.
            return if first("env_auth").is_some_and(|value| is_true(value.text())) {
                End::Surroundings {
                    remote: name.to_owned(),
                    profile: text("profile"),
                    file: text("shared_credentials_file"),
                    server,
                }
            } else {
                End::Anonymous(name.to_owned())
            };
        }
        End::Key(Box::new(S3 {
            remote: name.to_owned(),
            ids,
            secrets,
            temporary: first("session_token").is_some(),
            role: first("role_arn").is_some(),
            server,
        }))
    }

    /// Every value of an option, in the order in which they count: connection string, flag, variable
    /// of the kind, variable of the remote, file.
    fn options(
        &self,
        reference: &Reference<'_>,
        kind: &str,
        option: &str,
        origin: &Place,
    ) -> Vec<Value> {
        let mut values = Vec::new();
        if let Some(value) = reference.option(option) {
            values.push(Value::at(value, origin.clone()));
        }
        let flag = format!("--{kind}-{}", option.replace('_', "-"));
        if let Some(value) = self
            .command
            .and_then(|command| command.option(&flag))
            .filter(|value| !value.is_empty())
        {
            values.push(Value::at(value, Place::Argument(flag)));
        }
        let variable = format!("RCLONE_{}_{}", kind.to_uppercase(), option.to_uppercase());
        if let Some(value) = self.env.variable(&variable) {
            values.push(Value::at(value, self.env.place_of(&variable)));
        }
        if let Target::Named(name) = reference.target {
            values.extend(self.in_variable(name, option));
            values.extend(self.in_file(name, option));
        }
        values
    }
}

/// The spellings that Go reads as true.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}
