//! Requests with any text in any place, signed by a signer that knows nothing of ours: what our
//! own signer would never say can be said too, and rightly signed.

use aws_lc_rs::hmac;

use super::{
    chunks::{hex, sha256},
    client::{Client, Reply},
    world::{SECRET, World},
};

/// A request as it stands on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    pub(crate) method: String,
    /// In canonical encoding, unless somebody means it otherwise.
    pub(crate) path: String,
    /// Encoded pairs.
    pub(crate) query: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Forged {
    pub(crate) fn new(world: &World, method: &str, path: &str, query: &[&str]) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            query: query.iter().map(|&pair| pair.to_owned()).collect(),
            headers: vec![("host".into(), world.address.to_string())],
            body: vec![],
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Changes a header that is there.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        let found = self.headers.iter_mut().find(|(known, _)| known == name);
        found.unwrap().1 = value.into();
    }

    pub(crate) fn target(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", self.path, self.query.join("&"))
    }

    pub(crate) fn wire(&self) -> Vec<u8> {
        let mut wire = format!("{} {} HTTP/1.1\r\n", self.method, self.target());
        for (name, value) in &self.headers {
            wire.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || matches!(&*self.method, "PUT" | "POST") {
            wire.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        wire.push_str("\r\n");
        [wire.as_bytes(), &self.body].concat()
    }

    /// The names of headers that a careful client signs.
    fn signable(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| {
                name.starts_with("x-amz-")
                    || matches!(&**name, "host" | "content-type" | "content-md5")
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Who signs, and what the credential says.
#[derive(Clone, Debug)]
pub(crate) struct Pen {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) time: String,
    pub(crate) date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) terminator: String,
    pub(crate) algorithm: String,
    /// Listed nowhere, although it is sent.
    pub(crate) unlisted: Option<&'static str>,
}

impl Pen {
    pub(crate) fn of(world: &World) -> Self {
        let now = *world.clock.now.lock().unwrap();
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        Self {
            id: world.credentials.access_key_id.as_str().to_owned(),
            secret: SECRET.into(),
            date: time[..8].to_owned(),
            time,
            region: "auto".into(),
            service: "s3".into(),
            terminator: "aws4_request".into(),
            algorithm: "AWS4-HMAC-SHA256".into(),
            unlisted: None,
        }
    }

    fn scope(&self) -> String {
        let Self {
            date,
            region,
            service,
            terminator,
            ..
        } = self;
        format!("{date}/{region}/{service}/{terminator}")
    }

    fn list(&self, request: &Forged) -> Vec<String> {
        let mut names = request.signable();
        names.retain(|name| Some(name.as_str()) != self.unlisted);
        names
    }

    fn signature(&self, request: &Forged, list: &[String], payload: &str) -> String {
        let mut query: Vec<String> = request
            .query
            .iter()
            .map(|pair| match pair.contains('=') {
                true => pair.clone(),
                false => format!("{pair}="),
            })
            .collect();
        query.sort_by_cached_key(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        let lines: String = list
            .iter()
            .map(|name| {
                let values: Vec<String> = request
                    .headers
                    .iter()
                    .filter(|(known, _)| known == name)
                    .map(|(_, value)| {
                        let words = value.split(' ').filter(|word| !word.is_empty());
                        words.collect::<Vec<_>>().join(" ")
                    })
                    .collect();
                format!("{name}:{}\n", values.join(","))
            })
            .collect();
        let canonical = format!(
            "{}\n{}\n{}\n{lines}\n{}\n{payload}",
            request.method,
            request.path,
            query.join("&"),
            list.join(";")
        );
        let text = format!(
            "{}\n{}\n{}\n{}",
            self.algorithm,
            self.time,
            self.scope(),
            hex(&sha256(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in self.scope().split('/').chain([&*text]) {
            let with = hmac::Key::new(hmac::HMAC_SHA256, &key);
            key = hmac::sign(&with, part.as_bytes()).as_ref().to_vec();
        }
        hex(&key)
    }

    /// Signs in the `Authorization` header. `payload` is the last line that is signed, and is sent
    /// as `x-amz-content-sha256` unless it is `None`.
    pub(crate) fn sign(&self, request: Forged, payload: Option<&str>) -> Forged {
        let mut request = request.header("x-amz-date", &*self.time);
        if let Some(payload) = payload {
            request = request.header("x-amz-content-sha256", payload);
        }
        let list = self.list(&request);
        let signature = self.signature(&request, &list, payload.unwrap_or("UNSIGNED-PAYLOAD"));
        let value = format!(
            "{} Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.algorithm,
            self.id,
            self.scope(),
            list.join(";")
        );
        request.header("authorization", value)
    }

    /// Signs in the query, for so many seconds.
    pub(crate) fn presign(&self, mut request: Forged, expires: &str, payload: &str) -> Forged {
        let list = self.list(&request);
        request.query.extend([
            format!("X-Amz-Algorithm={}", self.algorithm),
            format!(
                "X-Amz-Credential={}%2F{}",
                self.id,
                self.scope().replace('/', "%2F")
            ),
            format!("X-Amz-Date={}", self.time),
            format!("X-Amz-Expires={expires}"),
            format!("X-Amz-SignedHeaders={}", list.join("%3B")),
        ]);
        let signature = self.signature(&request, &list, payload);
        request.query.push(format!("X-Amz-Signature={signature}"));
        request
    }
}

/// Puts one request after the other, on one connection for as long as it lasts.
pub(crate) struct Line<'a> {
    world: &'a World,
    client: Option<Client>,
}

impl<'a> Line<'a> {
    pub(crate) const fn new(world: &'a World) -> Self {
        Self {
            world,
            client: None,
        }
    }

    /// The answer, or `None` if the connection was closed without one.
    pub(crate) async fn ask(&mut self, request: &Forged) -> Option<Reply> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.world.dial().await,
        };
        client.write(&request.wire()).await;
        let reply = client.reply(request.method == "HEAD").await?;
        let ends = reply.status == 400 || reply.header("connection") == Some("close");
        self.client = (!ends).then_some(client);
        Some(reply)
    }
}
