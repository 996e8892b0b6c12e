//! MinIO: any endpoint, path style, any region.

use bascule_domain::{connection::Location, endpoint::Addressing, provider::ProviderKind};

use super::{Server, needs_endpoint, no_account, no_path, region_or, server};
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct Minio;

impl Adapter for Minio {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Minio
    }

    fn locate(&self, wish: &Wish) -> Result<Location, WishError> {
        no_path(self.kind(), wish)?;
        no_account(self.kind(), wish)?;
        let endpoint = needs_endpoint(self.kind(), wish)?;
        let region = region_or(wish, "us-east-1")?;
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
