//! Any other server that speaks S3: nothing is assumed that was not said.

use bascule_domain::{connection::Location, endpoint::Addressing, provider::ProviderKind};

use super::{Server, needs_endpoint, no_account, no_path, region_or, server};
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct S3Compatible;

impl Adapter for S3Compatible {
    fn kind(&self) -> ProviderKind {
        ProviderKind::S3Compatible
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
