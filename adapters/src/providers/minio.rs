//! MinIO: any endpoint, path style, any region.

use bascule_domain::{connection::Location, provider::ProviderKind};

use super::named_server;
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct Minio;

impl Adapter for Minio {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Minio
    }

    fn locate(&self, wish: &Wish) -> Result<Location, WishError> {
        named_server(self.kind(), wish)
    }
}
