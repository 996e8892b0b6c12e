//! Cloudflare R2: the account id gives the endpoint; the region is `auto`.

use bascule_domain::{connection::Location, endpoint::Addressing, provider::ProviderKind};

use super::{Server, no_path, refuse, region_or, server};
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct R2;

impl Adapter for R2 {
    fn kind(&self) -> ProviderKind {
        ProviderKind::R2
    }

    fn locate(&self, wish: &Wish) -> Result<Location, WishError> {
        no_path(self.kind(), wish)?;
        let endpoint = match (&wish.endpoint, &wish.account_id) {
            (Some(endpoint), account) => {
                let hint = " (the endpoint names the account already)";
                refuse(self.kind(), account.is_some(), "--account-id", hint)?;
                endpoint.clone()
            }
            (None, Some(account)) if is_account_id(account) => {
                format!("https://{account}.r2.cloudflarestorage.com")
                    .parse()
                    .map_err(|_| invalid())?
            }
            (None, Some(_)) => return Err(invalid()),
            (None, None) => {
                return Err(WishError::Missing {
                    provider: self.kind(),
                    option: "--account-id",
                    hint: "32 hex digits from the R2 overview page (or the full --endpoint, for a jurisdiction)",
                });
            }
        };
        let region = region_or(wish, "auto")?;
        server(
            wish,
            Server {
                endpoint,
                region,
                addressing: Addressing::Path,
            },
        )
    }
}

fn invalid() -> WishError {
    WishError::Invalid {
        option: "--account-id",
        problem: "an account id has 32 hex digits; the R2 overview page shows it".into(),
    }
}

fn is_account_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
