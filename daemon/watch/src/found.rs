//! What is found, and why something is not usable. No text here may hold a file's content.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use bascule_domain::{
    access_key::AccessKeyIdError,
    endpoint::{Endpoint, EndpointError, Region, RegionError},
    secret::{Credentials, SecretError},
};
use bascule_formats::{ParseError, rclone::LockedError};
use bascule_os::ForeignError;

/// Where a key stands, for people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file.
    File {
        /// Which file.
        path: PathBuf,
        /// Counted from 1; 0 if it can't be told, as in an encrypted file.
        line: u32,
    },
    /// An environment variable.
    Variable(String),
    /// An argument of a command: the name of its option.
    Argument(String),
}

impl Place {
    /// The file and the line, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<(&Path, u32)> {
        match self {
            Self::File { path, line } => Some((path, *line)),
            Self::Variable(_) | Self::Argument(_) => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Argument(name) => write!(f, "argument {name}"),
        }
    }
}

/// A key that a tool would use, with what the tool knows about its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// The key.
    pub credentials: Credentials,
    /// The server, if it is set.
    pub endpoint: Option<Endpoint>,
    /// The region, if it is set.
    pub region: Option<Region>,
    /// What rclone calls the provider, such as `Cloudflare` or `Minio`.
    pub provider: Option<String>,
    /// Where the access key id stands.
    pub place: Place,
}

/// Why no key can be taken from a tool's configuration. Each text names the cause and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NotUsable {
    /// The tool has no configuration.
    #[error("no {tool} configuration was found")]
    NoConfiguration {
        /// Which tool.
        tool: &'static str,
    },
    /// The file cannot be read.
    #[error("the configuration cannot be read")]
    Read(#[source] ForeignError),
    /// The file is not text.
    #[error("{} is not UTF-8 text", .path.display())]
    NotText {
        /// Which file.
        path: PathBuf,
    },
    /// The tool could not read it either.
    #[error("{} cannot be read as a configuration", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// At which line.
        source: ParseError,
    },
    /// rclone's configuration is encrypted, and Bascule never asks for its password.
    #[error("{} is encrypted; pass the key with --credentials-stdin instead (`rclone config show` prints it)", .path.display())]
    Encrypted {
        /// Which file.
        path: PathBuf,
    },
    /// rclone's configuration is encrypted, and the password at hand does not open it.
    #[error("{} is encrypted", .path.display())]
    Locked {
        /// Which file.
        path: PathBuf,
        /// Why it stays so.
        source: LockedError,
    },
    /// No remote or profile of this name.
    #[error("there is no {what} {name:?}{}", within(.path.as_deref()))]
    NoSuchName {
        /// `remote` or `profile`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// Where it was looked for, besides the environment.
        path: Option<PathBuf>,
    },
    /// The remote is of another kind than S3.
    #[error("the remote {0:?} is not an s3 remote and wraps none")]
    NotS3(String),
    /// The remote stands for several others.
    #[error("the remote {0:?} combines several remotes; name the s3 remote itself")]
    SeveralTargets(String),
    /// A wrapper around a local folder.
    #[error("the remote {0:?} points to a local folder")]
    LocalTarget(String),
    /// Wrappers that lead back to themselves, or too many of them.
    #[error("the remote {0:?} wraps other remotes in a circle or too deeply")]
    Circle(String),
    /// Neither key nor secret.
    #[error("{0:?} holds no access key id and secret")]
    NoKey(String),
    /// Only one half of the key.
    #[error("{0:?} holds an access key id without a secret")]
    NoSecret(String),
    /// rclone would take the key from its surroundings.
    #[error(
        "the remote {0:?} takes its key from the environment (env_auth); use --aws-profile, or pass the key with --credentials-stdin"
    )]
    EnvAuth(String),
    /// The key is a temporary one.
    #[error("{0:?} uses a temporary session token, which expires; Bascule needs a permanent key")]
    SessionToken(String),
    /// The key is only used to assume a role.
    #[error("{0:?} assumes a role (role_arn), whose keys expire; Bascule needs a permanent key")]
    Role(String),
    /// The key comes from single sign-on.
    #[error(
        "the profile {0:?} signs in with SSO, whose keys expire; Bascule needs a permanent key"
    )]
    Sso(String),
    /// The key comes from a program.
    #[error(
        "the profile {0:?} gets its key from a program (credential_process), which Bascule does not run; pass the key with --credentials-stdin"
    )]
    Process(String),
    /// A value that should stand on one line continues on others.
    #[error("{place} continues on further lines, where a single value was expected")]
    Folded {
        /// Where.
        place: Place,
    },
    /// The access key id is not one.
    #[error("the access key id at {place} cannot be used")]
    AccessKeyId {
        /// Where.
        place: Place,
        /// Why.
        source: AccessKeyIdError,
    },
    /// The secret is not one.
    #[error("the secret at {place} cannot be used")]
    Secret {
        /// Where.
        place: Place,
        /// Why.
        source: SecretError,
    },
    /// The endpoint is not one.
    #[error("the endpoint at {place} cannot be used")]
    Endpoint {
        /// Where.
        place: Place,
        /// Why.
        source: EndpointError,
    },
    /// The region is not one.
    #[error("the region at {place} cannot be used")]
    Region {
        /// Where.
        place: Place,
        /// Why.
        source: RegionError,
    },
}

impl NotUsable {
    /// The whole text, causes included.
    #[must_use]
    pub fn told(&self) -> String {
        // Its own text says what to do where a key is wanted of it; what would let it be looked at is `remedy`.
        if let Self::Encrypted { path } = self {
            return format!("{} is encrypted", path.display());
        }
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// What would help to look at it after all.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Read(ForeignError::Io { path, source })
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                format!("run it as a user who may read {}", path.display())
            }
            Self::Read(ForeignError::TooLarge { path, .. } | ForeignError::NotAFile { path }) => {
                format!("look at {} yourself", path.display())
            }
            Self::Encrypted { .. } => {
                "with the password in RCLONE_CONFIG_PASS, or printed by your RCLONE_PASSWORD_COMMAND: bascule scan --unlock".into()
            }
            Self::Parse { path, .. } => format!("mend {}, and look again", path.display()),
            Self::Locked { .. } => "give the right password in RCLONE_CONFIG_PASS".into(),
            Self::Process(_) => "look at what that program prints".into(),
            _ => "look at it yourself".into(),
        }
    }
}

fn within(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(" in {}", path.display()))
}
