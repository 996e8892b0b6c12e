//! A bucket's settings, as digests of what the provider says. What it may not tell these
//! credentials, or does not know, is a result of its own, with the reason.

use aws_lc_rs::digest;
use bascule_domain::{
    names::BucketName,
    survey::{Aspect, Digest, Setting},
};
use http::StatusCode;
use serde_json::Value;

use super::{Witness, WitnessError, exchange_error, pause_or, refusal};
use crate::{
    exchange::{Answer, Question},
    probe::{Versioning, versioning},
    xml,
};

impl Witness {
    /// What the provider says of a setting, and for versioning also what that means.
    pub async fn setting(
        &self,
        bucket: &BucketName,
        aspect: Aspect,
    ) -> Result<(Setting, Versioning), WitnessError> {
        let mut attempt = 0;
        loop {
            let question = Question {
                bucket: Some(bucket),
                query: &[(parameter(aspect), "")],
                ..Question::default()
            };
            let asked = self.inner.exchange.ask(&self.inner.credentials, question);
            let error = match asked.await {
                Ok(answer) => match setting(bucket, &answer) {
                    Ok(setting) => {
                        let versioning = match aspect {
                            Aspect::Versioning if answer.status == StatusCode::OK => {
                                versioning(&answer)
                            }
                            _ => Versioning::NotTold,
                        };
                        return Ok((setting, versioning));
                    }
                    Err(error) => error,
                },
                Err(error) => exchange_error(&error),
            };
            attempt += 1;
            pause_or(error, attempt).await?;
        }
    }
}

/// What a setting is called in a query.
const fn parameter(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Versioning => "versioning",
        Aspect::ObjectLock => "object-lock",
        Aspect::Lifecycle => "lifecycle",
        Aspect::Policy => "policy",
        Aspect::Encryption => "encryption",
        Aspect::Ownership => "ownershipControls",
        Aspect::PublicAccess => "publicAccessBlock",
        Aspect::Acl => "acl",
        Aspect::Cors => "cors",
        Aspect::Replication => "replication",
        Aspect::Tagging => "tagging",
    }
}

fn setting(bucket: &BucketName, answer: &Answer) -> Result<Setting, WitnessError> {
    if answer.status == StatusCode::OK {
        let digest = canonical(&answer.body);
        return Ok(Setting::Set { digest });
    }
    let code = answer.s3_error().map(|error| error.code);
    let said = code.as_deref().unwrap_or("no S3 error code");
    let told = |reason| Ok(Setting::NotTold { reason });
    match (answer.status, said) {
        // These are about the credentials or the bucket, not about the setting.
        (_, "NoSuchBucket" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken") => {
            Err(refusal(bucket, answer))
        }
        (StatusCode::NOT_FOUND, said)
            if said.starts_with("NoSuch") || said.contains("NotFound") =>
        {
            Ok(Setting::Unset)
        }
        (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, said) => {
            told(format!("these credentials may not read it ({said})"))
        }
        (StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED, said) => {
            told(format!("the provider knows no such setting ({said})"))
        }
        (status, said) => match refusal(bucket, answer) {
            error @ WitnessError::Away(_) => Err(error),
            _ => told(format!("the provider answers {} ({said})", status.as_u16())),
        },
    }
}

/// A digest of what an answer says, whatever it looks like: blanks and prefixes of XML, and the
/// order in JSON of names and of lists of plain values, say nothing.
fn canonical(body: &[u8]) -> Digest {
    let mut form = Vec::new();
    if let Ok(mut json) = serde_json::from_slice::<Value>(body) {
        sort(&mut json);
        // A value that was read can be written.
        form = serde_json::to_vec(&json).unwrap_or_else(|_| body.to_vec());
    } else {
        let read = xml::walk_any(body, |path, text| {
            for name in path {
                form.extend_from_slice(name.as_bytes());
                form.push(b'/');
            }
            form.push(b'=');
            form.extend_from_slice(text.trim().as_bytes());
            form.push(0);
            Ok(())
        });
        if read.is_err() {
            form = body.to_vec();
        }
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(digest::digest(&digest::SHA256, &form).as_ref());
    Digest(digest)
}

fn sort(json: &mut Value) {
    match json {
        Value::Array(values) => {
            values.iter_mut().for_each(sort);
            if values.iter().all(Value::is_string) {
                values.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(sort);
            fields.sort_keys();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canned::{self, Reply, bucket, error};

    #[test]
    fn what_says_the_same_has_the_same_digest() {
        let same = [
            (
                "<L xmlns=\"http://s3\"><R><ID>a</ID><S>On</S></R></L>",
                "<?xml version=\"1.0\"?>\n<x:L xmlns:x=\"u\">\n <R>\n  <ID>a</ID><S> On </S></R></x:L>",
            ),
            (
                r#"{"V":"1","S":[{"A":["b","a"],"E":"Allow"}]}"#,
                r#"{ "S": [ {"E":"Allow","A":["a","b"]} ], "V": "1" }"#,
            ),
        ];
        for (one, other) in same {
            assert_eq!(
                canonical(one.as_bytes()),
                canonical(other.as_bytes()),
                "{one}"
            );
        }
        let different = [
            ("<L><R><S>On</S></R></L>", "<L><R><S>Off</S></R></L>"),
            ("<L><R><A/></R><R/></L>", "<L><R/><R><A/></R></L>"),
            ("<L><A>1</A><A>2</A></L>", "<L><A>2</A><A>1</A></L>"),
            (r#"{"A":["a"]}"#, r#"{"A":["a","b"]}"#),
            ("neither", "nor"),
        ];
        for (one, other) in different {
            assert_ne!(
                canonical(one.as_bytes()),
                canonical(other.as_bytes()),
                "{one}"
            );
        }
    }

    async fn told(reply: Reply) -> Result<Setting, WitnessError> {
        let (exchange, _) = canned::exchange([reply]);
        let witness = Witness::new(exchange, canned::credentials());
        let answer = witness.setting(&bucket(), Aspect::Policy).await;
        answer.map(|(setting, _)| setting)
    }

    #[tokio::test]
    async fn what_is_not_set_what_may_not_be_read_and_what_is_unknown_are_told_apart() {
        let unset = told(error(404, "NoSuchBucketPolicy", "")).await;
        assert_eq!(unset, Ok(Setting::Unset));
        let codes = [
            (403, "AccessDenied", "may not read it (AccessDenied)"),
            (501, "NotImplemented", "no such setting (NotImplemented)"),
            (400, "InvalidRequest", "answers 400 (InvalidRequest)"),
        ];
        for (status, code, words) in codes {
            let Ok(Setting::NotTold { reason }) = told(error(status, code, "")).await else {
                panic!("{code}")
            };
            assert!(reason.contains(words), "{reason}");
        }
        for code in ["InvalidAccessKeyId", "SignatureDoesNotMatch"] {
            let refused = told(error(403, code, "")).await;
            assert!(
                matches!(refused, Err(WitnessError::Refused(_))),
                "{refused:?}"
            );
        }
        let gone = told(error(404, "NoSuchBucket", "")).await;
        assert_eq!(gone, Err(WitnessError::Gone(bucket())));
    }
}
