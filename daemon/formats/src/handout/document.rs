//! Documents and program text: JSON, mc's alias, Cyberduck's bookmark, boto3.

use bascule_domain::names::{BucketName, Prefix};
use zeroize::Zeroizing;

use super::{HandOut, line, name::fnv};

impl HandOut<'_> {
    pub(super) fn json(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(super::CAPACITY));
        line(&mut text, &["{"]);
        for (name, value) in [
            ("name", self.name.as_str()),
            ("access_key_id", self.access_key_id.as_str()),
            ("secret_access_key", self.secret.expose()),
            ("endpoint", &self.endpoint.to_string()),
            ("region", self.region.as_str()),
        ] {
            line(&mut text, &["  \"", name, "\": ", &json(value), ","]);
        }
        line(&mut text, &["  \"path_style\": true,"]);
        let buckets: Vec<&str> = self.buckets.iter().map(BucketName::as_str).collect();
        let prefixes: Vec<&str> = self.prefixes.iter().map(Prefix::as_str).collect();
        let (buckets, prefixes) = (json(&buckets), json(&prefixes));
        reserve(&mut text, buckets.len() + prefixes.len());
        line(&mut text, &["  \"buckets\": ", &buckets, ","]);
        line(&mut text, &["  \"prefixes\": ", &prefixes]);
        line(&mut text, &["}"]);
        text
    }

    pub(super) fn mc(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(super::CAPACITY));
        line(&mut text, &["{"]);
        for (name, value) in [
            ("url", self.endpoint.to_string().as_str()),
            ("accessKey", self.access_key_id.as_str()),
            ("secretKey", self.secret.expose()),
            ("api", "S3v4"),
        ] {
            line(&mut text, &["  \"", name, "\": ", &json(value), ","]);
        }
        line(&mut text, &["  \"path\": \"on\""]);
        line(&mut text, &["}"]);
        text
    }

    /// Without HTTPS, Cyberduck needs its profile "S3 (HTTP)", which is not there from the start.
    pub(super) fn cyberduck(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::new());
        for fixed in [
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">"#,
            r#"<plist version="1.0">"#,
            "<dict>",
        ] {
            line(&mut text, &[fixed]);
        }
        let host = self.endpoint.host();
        for (key, value) in [
            ("Protocol", "s3"),
            (
                "Provider",
                if self.endpoint.is_tls() {
                    "s3-https"
                } else {
                    "s3-http"
                },
            ),
            ("UUID", &self.uuid()),
            ("Nickname", &self.title()),
            // Brackets belong to URLs.
            (
                "Hostname",
                host.trim_start_matches('[').trim_end_matches(']'),
            ),
            ("Port", &self.endpoint.port().to_string()),
            ("Username", self.access_key_id.as_str()),
            ("Path", &self.path()),
        ] {
            line(&mut text, &["\t<key>", key, "</key>"]);
            line(&mut text, &["\t<string>", &xml(value), "</string>"]);
        }
        for fixed in [
            "\t<key>Custom</key>",
            "\t<dict>",
            "\t\t<key>s3.bucket.virtualhost.disable</key>",
            "\t\t<string>true</string>",
            "\t</dict>",
            "</dict>",
            "</plist>",
        ] {
            line(&mut text, &[fixed]);
        }
        text
    }

    /// What a person reads in a list of bookmarks.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} ({})", self.connection, self.label)
    }

    /// Bucket and prefix, if XML can express them.
    fn path(&self) -> String {
        let Some(bucket) = self.buckets.first() else {
            return "/".to_owned();
        };
        let prefix = self.prefixes.first().map_or("", Prefix::as_str);
        if prefix.contains(|c| !allowed_in_xml(c)) {
            return format!("/{bucket}");
        }
        format!("/{bucket}/{prefix}")
            .trim_end_matches('/')
            .to_owned()
    }

    /// The same for the same key, so that a bookmark opened twice is one; version 8 is free for
    /// ids of one's own making.
    fn uuid(&self) -> String {
        let hash = fnv(self.access_key_id.as_str());
        let versioned = hash & !(0xf << 76) | 8 << 76;
        let id = format!("{:032x}", versioned & !(0b11 << 62) | 0b10 << 62);
        format!(
            "{}-{}-{}-{}-{}",
            &id[..8],
            &id[8..12],
            &id[12..16],
            &id[16..20],
            &id[20..]
        )
    }

    pub(super) fn boto3(&self) -> Zeroizing<String> {
        let mut text = self.begin();
        let endpoint = self.endpoint.to_string();
        for fixed in [
            "import boto3",
            "from botocore.config import Config",
            "",
            "s3 = boto3.client(",
            "    \"s3\",",
        ] {
            line(&mut text, &[fixed]);
        }
        for (name, value) in [
            ("aws_access_key_id", self.access_key_id.as_str()),
            ("aws_secret_access_key", self.secret.expose()),
            ("endpoint_url", &endpoint),
            ("region_name", self.region.as_str()),
        ] {
            // A text in JSON is one in Python too.
            line(&mut text, &["    ", name, "=", &json(value), ","]);
        }
        line(
            &mut text,
            &["    config=Config(s3={\"addressing_style\": \"path\"}),"],
        );
        line(&mut text, &[")"]);
        text
    }
}

/// Makes room without leaving a copy of what was written behind.
fn reserve(text: &mut Zeroizing<String>, more: usize) {
    if text.capacity() - text.len() < more + 256 {
        let mut larger = Zeroizing::new(String::with_capacity(text.len() + more + 256));
        larger.push_str(text);
        *text = larger;
    }
}

#[expect(
    clippy::expect_used,
    reason = "texts and lists of texts always have a JSON form"
)]
fn json<T: serde::Serialize + ?Sized>(value: &T) -> Zeroizing<String> {
    Zeroizing::new(serde_json::to_string(value).expect("a JSON form"))
}

const fn allowed_in_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A reader would fold it into a line feed.
            '\r' => safe.push_str("&#13;"),
            _ if allowed_in_xml(c) => safe.push(c),
            _ => safe.push('\u{fffd}'),
        }
    }
    safe
}
