//! Bodies in signed chunks, as clients make them.

use aws_lc_rs::{digest, hmac};
use bascule_sigv4::Payload;

use super::world::{Ask, SECRET, World};

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, data)
        .as_ref()
        .try_into()
        .unwrap()
}

pub(crate) fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// CRC-32 as S3 writes it: big-endian, in base64.
pub(crate) fn crc32(data: &[u8]) -> String {
    let sum = !data.iter().fold(u32::MAX, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| match sum & 1 {
            1 => sum >> 1 ^ 0xedb8_8320,
            _ => sum >> 1,
        })
    });
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits = u64::from(sum) << 4;
    let digits = (0..6)
        .rev()
        .map(|at| DIGITS[(bits >> (6 * at) & 63) as usize]);
    digits.map(char::from).chain("==".chars()).collect()
}

/// Signs chunks as a client does.
pub(crate) struct Chunker {
    key: hmac::Key,
    time: String,
    scope: String,
    previous: String,
    pub(crate) body: Vec<u8>,
}

impl Chunker {
    pub(crate) fn new(world: &World, ask: &Ask) -> Self {
        let headers = ask.signed(world);
        let text = |name: &str| headers[name].to_str().unwrap();
        Self::after(text("authorization"), text("x-amz-date"))
    }

    /// Goes on from the signature of a head.
    pub(crate) fn after(authorization: &str, time: &str) -> Self {
        let scope = authorization
            .split_once("Credential=")
            .unwrap()
            .1
            .split_once(',')
            .unwrap()
            .0
            .split_once('/')
            .unwrap()
            .1;
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{SECRET}").as_bytes());
        for part in scope.split('/') {
            key = hmac::Key::new(
                hmac::HMAC_SHA256,
                hmac::sign(&key, part.as_bytes()).as_ref(),
            );
        }
        Self {
            key,
            time: time.into(),
            scope: scope.into(),
            previous: authorization.rsplit_once("Signature=").unwrap().1.into(),
            body: vec![],
        }
    }

    fn sign(&mut self, label: &str, hashes: &str) -> String {
        let text = format!(
            "{label}\n{}\n{}\n{}\n{hashes}",
            self.time, self.scope, self.previous
        );
        self.previous = hex(hmac::sign(&self.key, text.as_bytes()).as_ref());
        self.previous.clone()
    }

    pub(crate) fn chunk(mut self, data: &[u8]) -> Self {
        let hashes = format!("{}\n{}", hex(&sha256(b"")), hex(&sha256(data)));
        let signature = self.sign("AWS4-HMAC-SHA256-PAYLOAD", &hashes);
        self.body.extend_from_slice(
            format!("{:x};chunk-signature={signature}\r\n", data.len()).as_bytes(),
        );
        self.body.extend_from_slice(data);
        if !data.is_empty() {
            self.body.extend_from_slice(b"\r\n");
        }
        self
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.body.extend_from_slice(b"\r\n");
        self.body
    }

    pub(crate) fn trailer(mut self, name: &str, value: &str) -> Vec<u8> {
        let hash = hex(&sha256(format!("{name}:{value}\n").as_bytes()));
        let signature = self.sign("AWS4-HMAC-SHA256-TRAILER", &hash);
        self.body.extend_from_slice(
            format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n\r\n").as_bytes(),
        );
        self.body
    }
}

/// A signed-chunks upload; `length` is of the framed body.
pub(crate) fn chunked(world: &World, payload: Payload, decoded: usize) -> Ask {
    world
        .ask("PUT", "/photos/a")
        .payload(payload)
        .header("content-encoding", "gzip,aws-chunked")
        .header("x-amz-decoded-content-length", &decoded.to_string())
}

pub(crate) fn load(mut ask: Ask, body: Vec<u8>) -> Ask {
    ask.unsigned
        .push(("content-length", body.len().to_string()));
    ask.body = body;
    ask
}
