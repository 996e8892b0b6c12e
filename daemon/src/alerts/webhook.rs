//! Alerts to a web server: signed JSON, or what ntfy and healthchecks expect.

use std::path::Path;

use aws_lc_rs::hmac;
use bascule_adapters::{Guard, PostError, WebAddress, post};
use bascule_domain::{Timestamp, finding::News};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use zeroize::Zeroizing;

use super::{
    alert::{Alert, Told, Urgency},
    channel::Failure,
};
use crate::config::{Preset, WebhookSettings};

/// Nobody's secret is longer.
const LARGEST_SECRET: u64 = 4_096;
/// One that is shorter can be guessed from a signature.
const SHORTEST_SECRET: usize = 16;
const SIGNATURE: HeaderName = HeaderName::from_static("x-bascule-signature");
const TIMESTAMP: HeaderName = HeaderName::from_static("x-bascule-timestamp");

/// A server that is told.
pub(super) struct Webhook {
    settings: WebhookSettings,
    guard: Guard,
    machine: String,
}

/// What goes out.
struct Message {
    to: WebAddress,
    headers: HeaderMap,
    body: String,
}

impl Webhook {
    pub(super) const fn new(settings: WebhookSettings, guard: Guard, machine: String) -> Self {
        Self {
            settings,
            guard,
            machine,
        }
    }

    pub(super) fn to(&self) -> String {
        format!("{} ({})", self.settings.url, self.settings.preset.as_str())
    }

    /// Whether the server shows a state, which changes without news for people too.
    pub(super) const fn keeps_a_state(&self) -> bool {
        matches!(self.settings.preset, Preset::Healthchecks)
    }

    /// Sends an alert once.
    pub(super) async fn send(&self, alert: &Alert, now: Timestamp) -> Result<(), Failure> {
        // Read each time, so that it can be replaced.
        let secret = match &self.settings.secret_file {
            Some(file) => Some(secret(file).await?),
            None => None,
        };
        let message = self.message(alert, secret.as_deref().map(Vec::as_slice), now)?;
        let body = message.body.into_bytes().into();
        let status = post(&message.to, self.guard.clone(), message.headers, body).await;
        judge(status)
    }

    fn message(
        &self,
        alert: &Alert,
        secret: Option<&[u8]>,
        now: Timestamp,
    ) -> Result<Message, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("bascule/", env!("CARGO_PKG_VERSION"))),
        );
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        let url = &self.settings.url;
        let (to, body) = match self.settings.preset {
            Preset::Signed => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                let body = alert.document(&self.machine).to_string();
                let timestamp = now.as_second();
                headers.insert(TIMESTAMP, timestamp.into());
                let signature = signature(secret.unwrap_or_default(), timestamp, &body);
                headers.insert(SIGNATURE, value(&signature)?);
                (url.clone(), body)
            }
            Preset::Ntfy => {
                headers.insert(header::CONTENT_TYPE, plain);
                let (priority, tag) = match alert.urgency() {
                    Urgency::Low => ("low", "white_check_mark"),
                    Urgency::Normal => ("default", "warning"),
                    Urgency::High => ("high", "rotating_light"),
                };
                let title = format!("{}: {}", ascii(&self.machine), alert.title());
                headers.insert("title", value(&title)?);
                headers.insert("priority", HeaderValue::from_static(priority));
                headers.insert("tags", HeaderValue::from_static(tag));
                if let Some(token) = secret {
                    let token = String::from_utf8_lossy(token);
                    let mut token = value(&format!("Bearer {token}"))?;
                    token.set_sensitive(true);
                    headers.insert(header::AUTHORIZATION, token);
                }
                (url.clone(), alert.text())
            }
            Preset::Healthchecks => {
                headers.insert(header::CONTENT_TYPE, plain);
                let body = format!("{}\n{}\n{}", self.machine, alert.title(), alert.text());
                let to = match ping(alert) {
                    Ping::Success => url.clone(),
                    Ping::Fail => url.below("fail"),
                    Ping::Log => url.below("log"),
                };
                (to, body)
            }
        };
        Ok(Message { to, headers, body })
    }
}

/// What healthchecks is told.
#[derive(Debug, PartialEq, Eq)]
enum Ping {
    /// All is well.
    Success,
    Fail,
    /// Something to read, which changes nothing.
    Log,
}

/// Well is: nothing is open. What the gateway refused has no end that could be seen, so it never decides.
fn ping(alert: &Alert) -> Ping {
    match &alert.told {
        Told::Test => Ping::Log,
        Told::Finding(_, finding) if finding.sense == "knock" => Ping::Log,
        Told::Finding(News::Opened | News::Changed, _) => Ping::Fail,
        Told::Finding(News::Resolved | News::Acknowledged, _) if alert.open > 0 => Ping::Log,
        Told::Summary(_) if alert.open > 0 => Ping::Fail,
        Told::Finding(..) | Told::Summary(_) => Ping::Success,
    }
}

/// `sha256=` and the HMAC of `timestamp "." body` in hexadecimal digits.
fn signature(secret: &[u8], timestamp: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{timestamp}.").as_bytes());
    context.update(body.as_bytes());
    let tag = context.sign();
    let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
    format!("sha256={}", digits.collect::<String>())
}

async fn secret(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failure = |why: String| Failure {
        why,
        next: format!(
            "write it to {} with mode 0600 and nothing else in it",
            file.display()
        ),
        again: false,
    };
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || read_secret(&path));
    read.await
        .map_err(|_| failure("a defect stopped the reading of the secret".into()))?
        .map_err(failure)
}

/// Blocks. The error is in words.
pub(super) fn read_secret(file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let read = bascule_os::read_private(file, LARGEST_SECRET);
    let read = read.map_err(|error| format!("the secret can't be read: {error}"));
    let mut secret = Zeroizing::new(read?);
    let end = secret.trim_ascii_end().len();
    secret.truncate(end);
    if secret.len() < SHORTEST_SECRET {
        return Err(format!(
            "the secret has fewer than {SHORTEST_SECRET} characters"
        ));
    }
    Ok(secret)
}

fn judge(answer: Result<StatusCode, PostError>) -> Result<(), Failure> {
    let failure = |why: String, again| Failure {
        why,
        next: "see [alerts.webhook], then try it: bascule alerts test".into(),
        again,
    };
    let status = match answer {
        Ok(status) => status,
        Err(error) => {
            let again = matches!(
                error,
                PostError::Dns | PostError::Unreachable | PostError::Timeout | PostError::Broken
            );
            return Err(failure(error.to_string(), again));
        }
    };
    if status.is_success() {
        return Ok(());
    }
    let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS];
    let again = status.is_server_error() || busy.contains(&status);
    let why = if status.is_redirection() {
        format!("the server answers {status}; set the address that it leads to as url")
    } else {
        format!("the server answers {status}")
    };
    Err(failure(why, again))
}

fn value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|_| Failure {
        why: "the secret holds a character that a header can't hold".into(),
        next: "write only the token into secret_file".into(),
        again: false,
    })
}

fn ascii(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::alert::tests::finding, *};

    fn webhook(preset: Preset) -> Webhook {
        let settings = WebhookSettings {
            url: "https://example.com/topic".parse().unwrap(),
            secret_file: None,
            preset,
            allow_http: false,
        };
        Webhook::new(settings, Guard::default(), "attic".into())
    }

    #[test]
    fn a_signature_is_that_of_timestamp_and_body() {
        // printf '1800000000.{}' | openssl dgst -sha256 -hmac 0123456789abcdef
        assert_eq!(
            signature(b"0123456789abcdef", 1_800_000_000, "{}"),
            "sha256=1313ae9c874eb1a0868ad0b65f841c4243c23fdcfad69a3ada227726fad9960e"
        );
    }

    #[test]
    fn ntfy_gets_a_title_a_priority_and_plain_text() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let message = webhook(Preset::Ntfy)
            .message(&finding(News::Opened), Some(b"tk_0123456789abcdef"), now)
            .unwrap();
        assert_eq!(
            message.headers["title"],
            "attic: A job will fail: its key does not work"
        );
        assert_eq!(message.headers["priority"], "high");
        assert_eq!(
            message.headers["authorization"],
            "Bearer tk_0123456789abcdef"
        );
        assert!(
            message.body.starts_with("KEY-REVOKED: key …7F3Q"),
            "{}",
            message.body
        );
        assert!(!message.headers.contains_key(SIGNATURE));
    }

    #[test]
    fn healthchecks_is_well_when_nothing_is_open() {
        let open = |news, open| Alert {
            open,
            ..finding(news)
        };
        assert_eq!(ping(&open(News::Opened, 1)), Ping::Fail);
        assert_eq!(ping(&open(News::Changed, 1)), Ping::Fail);
        assert_eq!(ping(&open(News::Resolved, 1)), Ping::Log);
        assert_eq!(ping(&open(News::Resolved, 0)), Ping::Success);
        assert_eq!(ping(&open(News::Acknowledged, 0)), Ping::Success);
        let mut knock = finding(News::Opened);
        if let Told::Finding(_, finding) = &mut knock.told {
            finding.sense = "knock".into();
        }
        assert_eq!(ping(&knock), Ping::Log);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (status, again) in [
            (408, true),
            (429, true),
            (500, true),
            (503, true),
            (400, false),
            (404, false),
            (301, false),
        ] {
            let failure = judge(Ok(StatusCode::from_u16(status).unwrap())).unwrap_err();
            assert_eq!(failure.again, again, "{status}");
        }
        assert!(judge(Ok(StatusCode::NO_CONTENT)).is_ok());
        assert!(judge(Err(PostError::Unreachable)).unwrap_err().again);
        assert!(!judge(Err(PostError::Tls("no".into()))).unwrap_err().again);
    }

    #[tokio::test]
    async fn a_secret_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(secret(&file).await.is_err());
        mode(0o600);
        assert_eq!(secret(&file).await.unwrap().as_slice(), b"0123456789abcdef");
        std::fs::write(&file, "short\n").unwrap();
        assert!(secret(&file).await.unwrap_err().why.contains("fewer"));
    }
}
