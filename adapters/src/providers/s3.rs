//! Amazon S3: the region gives the endpoint. Buckets are virtual hosts.

use bascule_domain::{connection::Location, endpoint::Addressing, provider::ProviderKind};

use super::{Server, no_account, no_path, server};
use crate::registry::{Adapter, Wish, WishError};

pub(crate) struct S3;

impl Adapter for S3 {
    fn kind(&self) -> ProviderKind {
        ProviderKind::S3
    }

    fn locate(&self, wish: &Wish) -> Result<Location, WishError> {
        no_path(self.kind(), wish)?;
        no_account(self.kind(), wish)?;
        let region = wish.region.clone().ok_or(WishError::Missing {
            provider: self.kind(),
            option: "--region",
            hint: "the bucket's region, such as eu-central-1",
        })?;
        let endpoint = match &wish.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                // China is a partition with a domain of its own.
                let china = if region.as_str().starts_with("cn-") {
                    ".cn"
                } else {
                    ""
                };
                format!("https://s3.{region}.amazonaws.com{china}")
                    .parse()
                    .map_err(|_| WishError::Invalid {
                        option: "--region",
                        problem: format!("{region} is not an AWS region"),
                    })?
            }
        };
        let addressing = if endpoint.ip().is_some() {
            Addressing::Path
        } else {
            Addressing::VirtualHost
        };
        server(
            wish,
            Server {
                endpoint,
                region,
                addressing,
            },
        )
    }
}
