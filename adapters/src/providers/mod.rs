//! One file per provider: its defaults, and which options it takes.

pub(crate) mod local;
pub(crate) mod minio;
pub(crate) mod r2;
pub(crate) mod s3;
pub(crate) mod s3_compatible;

use std::net::IpAddr;

use bascule_domain::{
    connection::Location,
    endpoint::{Addressing, Endpoint, Region},
    provider::ProviderKind,
};

use crate::registry::{Wish, WishError};

/// What a provider's own rules came to.
struct Server {
    endpoint: Endpoint,
    region: Region,
    addressing: Addressing,
}

/// Applies the rules that all servers share.
fn server(wish: &Wish, server: Server) -> Result<Location, WishError> {
    let Server {
        endpoint,
        region,
        addressing,
    } = server;
    if !endpoint.is_tls() && !wish.allow_http && !is_this_machine(&endpoint) {
        return Err(WishError::PlainText { endpoint });
    }
    if let Some(path) = &wish.extra_ca {
        if !endpoint.is_tls() {
            return Err(WishError::Invalid {
                option: "--extra-ca",
                problem: "the endpoint is http://, which has no certificate; use https://".into(),
            });
        }
        if !path.is_absolute() {
            return Err(WishError::Invalid {
                option: "--extra-ca",
                problem: format!("{} is not an absolute path", path.display()),
            });
        }
    }
    let addressing = wish.addressing.unwrap_or(addressing);
    if addressing == Addressing::VirtualHost && endpoint.ip().is_some() {
        return Err(WishError::Invalid {
            option: "--addressing",
            problem: "an endpoint that is an IP address has no virtual hosts; use path".into(),
        });
    }
    Ok(Location::Server {
        endpoint,
        region,
        addressing,
        extra_ca: wish.extra_ca.clone(),
        allow_link_local: wish.allow_link_local,
    })
}

/// A server of the user's own: its endpoint must be named; path style, and the region that such
/// servers take when none is said.
fn named_server(kind: ProviderKind, wish: &Wish) -> Result<Location, WishError> {
    no_path(kind, wish)?;
    no_account(kind, wish)?;
    let endpoint = needs_endpoint(kind, wish)?;
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

fn is_this_machine(endpoint: &Endpoint) -> bool {
    endpoint
        .ip()
        .map_or(endpoint.host() == "localhost", |ip| match ip {
            IpAddr::V4(v4) => v4.is_loopback(),
            IpAddr::V6(v6) => v6.to_canonical().is_loopback(),
        })
}

fn no_path(provider: ProviderKind, wish: &Wish) -> Result<(), WishError> {
    refuse(
        provider,
        wish.path.is_some(),
        "--path",
        " (folders are for --provider local)",
    )
}

fn no_account(provider: ProviderKind, wish: &Wish) -> Result<(), WishError> {
    refuse(
        provider,
        wish.account_id.is_some(),
        "--account-id",
        " (accounts are for --provider r2)",
    )
}

fn refuse(
    provider: ProviderKind,
    given: bool,
    option: &'static str,
    hint: &'static str,
) -> Result<(), WishError> {
    if given {
        Err(WishError::Foreign {
            provider,
            option,
            hint,
        })
    } else {
        Ok(())
    }
}

fn needs_endpoint(provider: ProviderKind, wish: &Wish) -> Result<Endpoint, WishError> {
    wish.endpoint.clone().ok_or(WishError::Missing {
        provider,
        option: "--endpoint",
        hint: "the server's address, such as https://minio.example.com:9000",
    })
}

fn region_or(wish: &Wish, default: &'static str) -> Result<Region, WishError> {
    match &wish.region {
        Some(region) => Ok(region.clone()),
        None => default.parse().map_err(|_| WishError::Invalid {
            option: "--region",
            problem: format!("{default} is not a region"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::adapter;

    fn locate(kind: ProviderKind, wish: &Wish) -> Result<Location, WishError> {
        adapter(kind).locate(wish)
    }

    fn endpoint(text: &str) -> Wish {
        Wish {
            endpoint: Some(text.parse().unwrap()),
            ..Wish::default()
        }
    }

    fn parts(location: Location) -> (String, String, Addressing) {
        match location {
            Location::Server {
                endpoint,
                region,
                addressing,
                ..
            } => (endpoint.to_string(), region.to_string(), addressing),
            Location::Folder { .. } => panic!("a server was expected"),
        }
    }

    #[test]
    fn every_adapter_is_registered_under_its_own_kind() {
        for kind in ProviderKind::ALL {
            assert_eq!(adapter(kind).kind(), kind);
        }
    }

    #[test]
    fn each_provider_has_its_defaults() {
        let wish = Wish {
            region: Some("eu-west-1".parse().unwrap()),
            ..Wish::default()
        };
        assert_eq!(
            parts(locate(ProviderKind::S3, &wish).unwrap()),
            (
                "https://s3.eu-west-1.amazonaws.com".into(),
                "eu-west-1".into(),
                Addressing::VirtualHost
            )
        );
        let wish = Wish {
            account_id: Some("0123456789abcdef".repeat(2)),
            ..Wish::default()
        };
        assert_eq!(
            parts(locate(ProviderKind::R2, &wish).unwrap()),
            (
                "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com".into(),
                "auto".into(),
                Addressing::Path
            )
        );
        for kind in [ProviderKind::Minio, ProviderKind::S3Compatible] {
            assert_eq!(
                parts(locate(kind, &endpoint("https://s3.example.com")).unwrap()),
                (
                    "https://s3.example.com".into(),
                    "us-east-1".into(),
                    Addressing::Path
                )
            );
        }
    }

    #[test]
    fn plain_text_leaves_the_machine_only_when_asked_for() {
        for local in [
            "http://127.0.0.1:9000",
            "http://127.9.9.9",
            "http://[::1]:9000",
            "http://localhost",
        ] {
            assert!(
                locate(ProviderKind::Minio, &endpoint(local)).is_ok(),
                "{local}"
            );
        }
        for remote in [
            "http://10.0.0.1:9000",
            "http://localhost.example.com",
            "http://minio",
        ] {
            let mut wish = endpoint(remote);
            let error = locate(ProviderKind::Minio, &wish).unwrap_err();
            assert!(error.to_string().contains("--allow-http"), "{error}");
            wish.allow_http = true;
            assert!(locate(ProviderKind::Minio, &wish).is_ok(), "{remote}");
        }
    }

    #[test]
    fn options_of_another_provider_are_refused_by_name() {
        let path = Wish {
            path: Some("/tmp".into()),
            ..endpoint("https://x.example")
        };
        let account = Wish {
            account_id: Some("0".repeat(32)),
            ..endpoint("https://x.example")
        };
        let local = Wish {
            path: Some("/tmp".into()),
            ..endpoint("https://x.example")
        };
        for (kind, wish, option) in [
            (ProviderKind::S3, &path, "--path"),
            (ProviderKind::Minio, &path, "--path"),
            (ProviderKind::R2, &path, "--path"),
            (ProviderKind::S3Compatible, &path, "--path"),
            (ProviderKind::Minio, &account, "--account-id"),
            (ProviderKind::S3, &account, "--account-id"),
            (ProviderKind::S3Compatible, &account, "--account-id"),
            (ProviderKind::R2, &account, "--account-id"),
            (ProviderKind::Local, &local, "--endpoint"),
        ] {
            let error = locate(kind, wish).unwrap_err();
            assert!(error.to_string().starts_with(option), "{kind}: {error}");
        }
    }

    #[test]
    fn what_is_needed_is_asked_for() {
        for (kind, option) in [
            (ProviderKind::S3, "--region"),
            (ProviderKind::R2, "--account-id"),
            (ProviderKind::Minio, "--endpoint"),
            (ProviderKind::S3Compatible, "--endpoint"),
            (ProviderKind::Local, "--path"),
        ] {
            match locate(kind, &Wish::default()).unwrap_err() {
                WishError::Missing { option: asked, .. } => assert_eq!(asked, option),
                other => panic!("{kind}: {other}"),
            }
        }
    }

    #[test]
    fn a_folder_must_be_absolute_and_exist() {
        let relative = Wish {
            path: Some("data".into()),
            ..Wish::default()
        };
        let missing = Wish {
            path: Some("/nonexistent/folder".into()),
            ..Wish::default()
        };
        for wish in [relative, missing] {
            assert!(matches!(
                locate(ProviderKind::Local, &wish),
                Err(WishError::Invalid {
                    option: "--path",
                    ..
                })
            ));
        }
        let folder = tempfile::tempdir().unwrap();
        let wish = Wish {
            path: Some(folder.path().into()),
            ..Wish::default()
        };
        assert!(matches!(
            locate(ProviderKind::Local, &wish),
            Ok(Location::Folder { .. })
        ));
    }

    #[test]
    fn a_location_from_elsewhere_meets_the_same_rules() {
        let wish = Wish {
            allow_http: true,
            ..endpoint("http://10.0.0.1:9000")
        };
        let location = locate(ProviderKind::Minio, &wish).unwrap();
        let again = Wish::from(&location);
        assert!(matches!(
            locate(ProviderKind::Minio, &again),
            Err(WishError::PlainText { .. })
        ));
        assert!(matches!(
            locate(ProviderKind::Local, &again),
            Err(WishError::Foreign {
                option: "--endpoint",
                ..
            })
        ));
        let wish = endpoint("https://s3.example.com");
        let location = locate(ProviderKind::S3Compatible, &wish).unwrap();
        assert_eq!(
            locate(ProviderKind::S3Compatible, &Wish::from(&location)),
            Ok(location)
        );
    }
}
