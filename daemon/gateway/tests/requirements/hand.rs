//! Requests signed by hand, from the published rules alone: what is sent and what is signed may
//! differ wherever a test wants it. It must never use the code that it tests.

use aws_lc_rs::hmac;
use bascule_sigv4::{Head, Presented, encode_query};

use crate::harness::{Reply, SECRET, Seen, World, hex, sha256};

pub(crate) const STAMP: &str = "20261123T120000Z";
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Hand {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) signed_path: String,
    pub(crate) query: String,
    pub(crate) signed_query: String,
    /// In the order in which they are sent.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// In the order in which they are listed.
    pub(crate) signed: Vec<String>,
    pub(crate) payload: String,
    pub(crate) stamp: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    /// Between the components of the header.
    pub(crate) separator: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Hand {
    /// A request that is sent as it is signed. `path` is encoded.
    pub(crate) fn new(world: &World, method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.into(),
            signed_path: path.into(),
            query: String::new(),
            signed_query: String::new(),
            headers: vec![],
            signed: vec![],
            payload: UNSIGNED.into(),
            stamp: STAMP.into(),
            date: STAMP[..8].into(),
            region: "auto".into(),
            service: "s3".into(),
            separator: ", ",
            body: vec![],
        }
        .header("host", world.address.to_string())
        .header("x-amz-date", STAMP)
        .header("x-amz-content-sha256", UNSIGNED)
    }

    /// Sent and signed.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        if !self.signed.iter().any(|known| known == name) {
            self.signed.push(name.into());
        }
        self.unsigned(name, value)
    }

    /// Sent and not signed.
    pub(crate) fn unsigned(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.signed.retain(|known| known != name);
        self
    }

    pub(crate) fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).header(name, value)
    }

    /// What is sent and what is signed.
    pub(crate) fn path(mut self, sent: &str, signed: &str) -> Self {
        (self.path, self.signed_path) = (sent.into(), signed.into());
        self
    }

    /// What is sent and what is signed.
    pub(crate) fn query(mut self, sent: &str, signed: &str) -> Self {
        (self.query, self.signed_query) = (sent.into(), signed.into());
        self
    }

    pub(crate) fn payload(mut self, payload: &str) -> Self {
        self.payload = payload.into();
        self.set("x-amz-content-sha256", payload)
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self.unsigned("content-length", body.len().to_string())
    }

    fn scope(&self) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        )
    }

    pub(crate) fn signature(&self) -> String {
        let mut canonical = format!(
            "{}\n{}\n{}\n",
            self.method, self.signed_path, self.signed_query
        )
        .into_bytes();
        for name in &self.signed {
            let values: Vec<Vec<u8>> = self
                .headers
                .iter()
                .filter(|(known, _)| known == name)
                .map(|(_, value)| {
                    let words = value.split(|&b| b == b' ').filter(|word| !word.is_empty());
                    words.collect::<Vec<_>>().join(&b' ')
                })
                .collect();
            canonical.extend_from_slice(format!("{name}:").as_bytes());
            canonical.extend_from_slice(&values.join(&b','));
            canonical.push(b'\n');
        }
        canonical
            .extend_from_slice(format!("\n{}\n{}", self.signed.join(";"), self.payload).as_bytes());
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.stamp,
            self.scope(),
            hex(&sha256(&canonical))
        );
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{SECRET}").as_bytes());
        for part in self.scope().split('/') {
            let next = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, next.as_ref());
        }
        hex(hmac::sign(&key, text.as_bytes()).as_ref())
    }

    pub(crate) fn authorization(&self, world: &World) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{}{separator}SignedHeaders={}{separator}Signature={}",
            world.credentials.access_key_id,
            self.scope(),
            self.signed.join(";"),
            self.signature(),
            separator = self.separator,
        )
    }

    pub(crate) fn wire(&self, world: &World) -> Vec<u8> {
        self.raw(Some(&self.authorization(world)))
    }

    /// With this authorization header, or without any.
    pub(crate) fn raw(&self, authorization: Option<&str>) -> Vec<u8> {
        let mark = if self.query.is_empty() { "" } else { "?" };
        let mut wire = format!(
            "{} {}{mark}{} HTTP/1.1\r\n",
            self.method, self.path, self.query
        )
        .into_bytes();
        for (name, value) in &self.headers {
            wire.extend_from_slice(format!("{name}: ").as_bytes());
            wire.extend_from_slice(value);
            wire.extend_from_slice(b"\r\n");
        }
        if let Some(authorization) = authorization {
            wire.extend_from_slice(format!("authorization: {authorization}\r\n").as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(&self.body);
        wire
    }

    /// As a presigned link: `pairs` are its other query parameters. Headers that are neither
    /// date nor payload stay as they are.
    pub(crate) fn presign(mut self, world: &World, expires: &str, pairs: &[(&str, &str)]) -> Self {
        self = self.without("x-amz-date");
        if self.payload == UNSIGNED {
            self = self.without("x-amz-content-sha256");
        }
        let credential = format!("{}/{}", world.credentials.access_key_id, self.scope());
        let mut all: Vec<(String, String)> = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &self.stamp),
            ("X-Amz-Expires", expires),
            ("X-Amz-SignedHeaders", &self.signed.join(";")),
        ] {
            all.push((name.to_owned(), value.to_owned()));
        }
        self.signed_query = encode_query(&all);
        self.query = format!("{}&X-Amz-Signature={}", self.signed_query, self.signature());
        self
    }

    /// Sends a header-signed request on a connection of its own.
    pub(crate) async fn send(&self, world: &World) -> Reply {
        send(world, &self.wire(world), self.method == "HEAD").await
    }

    /// Sends it without an authorization header, as a link is.
    pub(crate) async fn follow(&self, world: &World) -> Reply {
        send(world, &self.raw(None), self.method == "HEAD").await
    }
}

/// Sends bytes on a connection of their own.
pub(crate) async fn send(world: &World, wire: &[u8], head: bool) -> Reply {
    let mut client = world.dial().await;
    client.write(wire).await;
    client.reply(head).await.expect("an answer")
}

/// What reached the provider, after `before` requests did: its target.
pub(crate) fn arrived(world: &World) -> String {
    let seen = world.provider.seen().pop().expect("a request");
    target(&seen).to_owned()
}

pub(crate) fn target(seen: &Seen) -> &str {
    seen.uri
        .strip_prefix("http://provider.test:9000")
        .unwrap_or(&seen.uri)
}

/// That the provider's signature covers exactly the method, path, query and headers it got.
pub(crate) fn assert_signed_as_sent(world: &World, seen: &Seen) {
    let head = Head {
        method: &seen.method,
        target: target(seen),
        headers: &seen.headers,
    };
    let secret = bascule_domain::secret::SecretKey::parse("providersecret").unwrap();
    let now = *world.clock.now.lock().unwrap();
    let key = bascule_domain::ids::KeyId::from_random([9; 10]);
    let proof = Presented::parse(&head)
        .and_then(|presented| presented.verify(&head, key, &secret, now))
        .unwrap();
    let query = proof.target.encoded_query();
    let mark = if query.is_empty() { "" } else { "?" };
    let canonical = format!("{}{mark}{query}", proof.target.path());
    assert_eq!(canonical, target(seen), "sent in its canonical form");
}
