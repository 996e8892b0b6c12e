//! The documentation's credentials and a request builder that every test file shares.
#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test file uses its part"
)]

use bascule_domain::{
    Timestamp,
    ids::KeyId,
    secret::{Credentials, SecretKey},
};
use bascule_sigv4::{Head, Presented, Proof, SignatureError};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

pub fn credentials() -> Credentials {
    Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
        secret: secret(),
    }
}

pub fn secret() -> SecretKey {
    SecretKey::parse("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap()
}

pub fn key() -> KeyId {
    KeyId::from_random([7; 10])
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn noon() -> Timestamp {
    at("2026-11-23T12:00:00Z")
}

#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
}

impl Request {
    pub fn new(method: &str, target: &str, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        });
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value);
        }
        Self {
            method: method.parse().unwrap(),
            target: target.into(),
            headers: map,
        }
    }

    pub fn head(&self) -> Head<'_> {
        Head {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
        }
    }

    pub fn verify_at(&self, now: Timestamp) -> Result<Proof, SignatureError> {
        Presented::parse(&self.head())?.verify(&self.head(), key(), &secret(), now)
    }

    pub fn verify(&self) -> Result<Proof, SignatureError> {
        self.verify_at(noon())
    }
}
