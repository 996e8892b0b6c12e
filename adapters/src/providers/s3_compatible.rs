//! Any other server that speaks S3: nothing is assumed that was not said.

use bascule_domain::{connection::Location, provider::ProviderKind};

use super::named_server;
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct S3Compatible;

impl Adapter for S3Compatible {
    fn kind(&self) -> ProviderKind {
        ProviderKind::S3Compatible
    }

    fn locate(&self, wish: &Wish) -> Result<Location, WishError> {
        named_server(self.kind(), wish)
    }
}
