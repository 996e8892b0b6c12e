//! A folder on this machine; each folder in it is a bucket.

use bascule_domain::{connection::Location, provider::ProviderKind};

use super::refuse;
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct Local;

impl Adapter for Local {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Local
    }

    fn locate(&self, wish: &Wish) -> Result<Location, WishError> {
        for (given, option) in [
            (wish.endpoint.is_some(), "--endpoint"),
            (wish.region.is_some(), "--region"),
            (wish.account_id.is_some(), "--account-id"),
            (wish.addressing.is_some(), "--addressing"),
            (wish.extra_ca.is_some(), "--extra-ca"),
            (wish.allow_http, "--allow-http"),
            (wish.allow_link_local, "--allow-link-local"),
        ] {
            refuse(self.kind(), given, option, " (a folder has only --path)")?;
        }
        let path = wish.path.as_ref().ok_or(WishError::Missing {
            provider: self.kind(),
            option: "--path",
            hint: "the folder that holds the buckets' folders",
        })?;
        let invalid = |problem: &str| WishError::Invalid {
            option: "--path",
            problem: format!("{} {problem}", path.display()),
        };
        if !path.is_absolute() {
            return Err(invalid("is not an absolute path"));
        }
        // Links are resolved once, so that one folder has one name.
        let path = path
            .canonicalize()
            .map_err(|_| invalid("does not exist or can't be read; make it with mkdir -p"))?;
        if !path.is_dir() {
            return Err(invalid("is not a folder"));
        }
        if path.parent().is_none() {
            return Err(invalid(
                "is the root of the file system; name a folder in it",
            ));
        }
        Ok(Location::Folder { path })
    }
}
