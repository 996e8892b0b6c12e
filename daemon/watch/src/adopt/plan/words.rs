//! Command lines: what stands on them word for word.

use std::{ops::Range, path::Path};

use bascule_domain::endpoint::Endpoint;
use bascule_formats::{
    edit::{self, Edit},
    revise,
};
use zeroize::Zeroizing;

use super::{
    super::server, CannotPlan, Change, Goal, Planning, Role, Was, filled, misplaced,
    servers::Words, settings::VARIABLES,
};

/// What marks a server that stood on a command line without quotes, which rclone needs around the
/// gateway's.
const BARE: &str = "bare ";
/// What s3fs needs behind its server to put no bucket into the host's name.
const STYLE: &str = ",use_path_request_style";

/// An address with a key in it, and the one that takes its place.
type Addresses = (Zeroizing<String>, Zeroizing<String>);

impl Planning<'_> {
    /// A key that stands word for word on a line.
    pub(super) fn words(&mut self, path: &Path, line: u32) -> Result<(), CannotPlan> {
        let key = &self.found.key;
        let access = self.goal.access().clone();
        let secret = key
            .secret
            .as_ref()
            .map(|secret| Zeroizing::new(secret.expose().to_owned()));
        let Some(secret) = secret else {
            return Err(CannotPlan::NoFile);
        };
        if let Some((old, new)) = self.address_with_key(path, line, &secret)? {
            return self.replace(path, line, Role::Secret, "address with the key", old, new);
        }
        let mut beside = None;
        if self.was_absent(path) {
            beside = Some(self.server_behind_secret(path, line, &secret)?);
        } else {
            let servers = self.servers(None)?;
            if !servers.untold.is_empty() {
                beside = Some(self.server_behind_secret(path, line, &secret)?);
            }
            for words in &servers.words {
                self.server_words(words)?;
            }
            for setting in &servers.settings {
                self.setting_elsewhere(setting)?;
            }
        }
        let id = Zeroizing::new(key.id.as_str().to_owned());
        self.replace(
            path,
            line,
            Role::Id,
            "access key id",
            id,
            Zeroizing::new(access.id),
        )?;
        let (before, after) = match (beside, self.goal) {
            (None, _) => (secret, access.secret),
            (Some(behind), Goal::Gateway(_)) => {
                self.layout.0.push(Was {
                    role: Role::Server,
                    name: None,
                    path: path.to_owned(),
                    text: None,
                });
                let after = Zeroizing::new(format!("{}{behind}", *access.secret));
                (secret, after)
            }
            (Some(behind), Goal::Provider { .. }) => {
                let before = Zeroizing::new(format!("{}{behind}", *secret));
                (before, access.secret)
            }
        };
        self.replace(path, line, Role::Secret, "secret", before, after)
    }

    /// An address that holds the key, as mc's variables do, and the one that takes its place: their server is
    /// between them. Only of keys that are written in an address as they are.
    fn address_with_key(
        &mut self,
        path: &Path,
        line: u32,
        secret: &str,
    ) -> Result<Option<Addresses>, CannotPlan> {
        let Some(endpoint) = self.found.key.endpoint.clone() else {
            return Ok(None);
        };
        let access = self.goal.access().clone();
        let id = self.found.key.id.as_str();
        let text = self.text(path)?;
        let own = &text[logical(&text, line)];
        let address = |endpoint: &Endpoint, id: &str, secret: &str, server: &str| {
            let scheme = if endpoint.is_tls() { "https" } else { "http" };
            Zeroizing::new(format!("{scheme}://{id}:{secret}@{server}"))
        };
        let servers = [
            format!("{}:{}", endpoint.host(), endpoint.port()),
            endpoint.authority(),
        ];
        let mut written = servers
            .iter()
            .map(|server| address(&endpoint, id, secret, server));
        let Some(old) = written.find(|address| own.contains(address.as_str())) else {
            return Ok(None);
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        if !access.secret.chars().all(fits) {
            return Err(self.no_place_for_server(self.found));
        }
        let server = access.endpoint.authority();
        let new = address(&access.endpoint, &access.id, &access.secret, &server);
        Ok(Some((old, new)))
    }

    /// Whether no server stood on the command line before it was adopted.
    fn was_absent(&self, path: &Path) -> bool {
        let Goal::Provider { layout, .. } = self.goal else {
            return false;
        };
        let was = layout.of(Role::Server, path, None);
        was.is_some_and(|was| was.text.is_none())
    }

    /// What names the server to a tool that is not told one yet, behind the secret on a command line.
    fn server_behind_secret(
        &mut self,
        path: &Path,
        line: u32,
        secret: &str,
    ) -> Result<String, CannotPlan> {
        let endpoint = match self.goal {
            Goal::Gateway(access) => access.endpoint.to_string(),
            Goal::Provider { .. } => {
                let now = self.found.key.endpoint.as_ref();
                now.map(ToString::to_string).unwrap_or_default()
            }
        };
        let text = self.text(path)?;
        let own = &text[logical(&text, line)];
        let before = own.split_once(secret).map_or("", |(before, _)| before);
        let quoted = |quote: char| before.matches(quote).count() % 2 == 1;
        if before.ends_with("secret_access_key=") && before.contains(":s3") {
            // rclone ends a value at a colon unless it is quoted, and a shell must not take the quotes.
            let quote = quote_within(before);
            return Ok(format!(",endpoint={quote}{endpoint}{quote}"));
        }
        let option = |flag: &str| before.ends_with(flag);
        if option("--s3-secret-access-key ") || option("--s3-secret-access-key=") {
            return Ok(format!(" --s3-endpoint={endpoint}"));
        }
        let assigned = |name: &str| before.ends_with(&format!("{name}="));
        for [_, secret, server] in VARIABLES {
            if assigned(secret) && !server.is_empty() && !quoted('\'') && !quoted('"') {
                let server = match &*self.found.kind {
                    "s5cmd" => "S3_ENDPOINT_URL",
                    _ => server,
                };
                return Ok(format!(" {server}={endpoint}"));
            }
        }
        Err(self.no_place_for_server(self.found))
    }

    /// A server that stands word for word on a line: every time that it stands there.
    pub(super) fn server_words(&mut self, words: &Words) -> Result<(), CannotPlan> {
        let path = words.path.as_path();
        let text = self.text(path)?;
        let part = logical(&text, words.line);
        let own = &text[part.clone()];
        let places = server::all(own, &words.old);
        if !words.are_all_its_own(places.len()) {
            return Err(CannotPlan::SeveralOnLine {
                path: path.to_owned(),
                line: words.line,
            });
        }
        let mut edits = Vec::new();
        let mut changes = Vec::new();
        for (span, form) in places {
            let before_it = self.places.entry(path.to_owned()).or_default();
            let place = *before_it;
            *before_it += 1;
            let (span, new) = self.server_word(words, own, span, form, place);
            let before = Zeroizing::new(own[span.clone()].to_owned());
            let new = Zeroizing::new(new);
            if before == new {
                continue;
            }
            changes.push(Change {
                role: Role::Server,
                name: "server".to_owned(),
                before: Some(before),
                after: Some(new.clone()),
            });
            edits.push(Edit {
                span: part.start + span.start..part.start + span.end,
                text: new,
            });
        }
        let now = edit::apply(&text, &edits).map_err(|_| misplaced(path))?;
        self.changed(path, format!("line {}", words.line), now, changes);
        Ok(())
    }

    /// What one place of a server becomes, with the bytes that go: `place` is its own among those of the
    /// file.
    fn server_word(
        &mut self,
        words: &Words,
        own: &str,
        span: Range<usize>,
        form: server::Form,
        place: usize,
    ) -> (Range<usize>, String) {
        let (before, behind) = (&own[..span.start], &own[span.end..]);
        match self.goal {
            Goal::Gateway(access) => {
                // rclone ends a value at a colon unless it is quoted.
                let is_bare = before.ends_with("endpoint=")
                    && before.contains([':', ','])
                    && behind.starts_with([':', ',']);
                let adds_style = words.is_s3fs && !own.contains(&STYLE[1..]);
                if self.remembers() {
                    let form = match form {
                        server::Form::Authority => "{authority}",
                        server::Form::Url => "{endpoint}",
                    };
                    let bare = if is_bare { BARE } else { "" };
                    self.was(words, Role::Server, Some(format!("{bare}{form}")));
                    if words.is_s3fs {
                        let style = (!adds_style).then(|| STYLE.to_owned());
                        self.was(words, Role::Addressing, style);
                    }
                }
                let quote = if is_bare { quote_within(before) } else { "" };
                let new = match is_bare {
                    true => access.endpoint.to_string(),
                    false => server::write(&access.endpoint, form, true),
                };
                let style = if adds_style { STYLE } else { "" };
                (span, format!("{quote}{new}{quote}{style}"))
            }
            Goal::Provider { access, layout, .. } => {
                let was = layout.words(Role::Server, &words.path, place);
                let was = was.and_then(|was| was.text.as_deref());
                let mut span = span;
                if let Some(form) = was.and_then(|was| was.strip_prefix(BARE)) {
                    let unquoted = before.strip_suffix(['\'', '"']).unwrap_or(before);
                    let quote = quote_within(unquoted.trim_end_matches('\\'));
                    if before.ends_with(quote) && behind.starts_with(quote) {
                        span = span.start - quote.len()..span.end + quote.len();
                    }
                    return (span, filled(form, &access.endpoint));
                }
                // What was added to the options goes with the server.
                let style = layout.words(Role::Addressing, &words.path, place);
                if words.is_s3fs
                    && style.is_some_and(|was| was.text.is_none())
                    && behind.starts_with(STYLE)
                {
                    span.end += STYLE.len();
                }
                let new = match was {
                    Some(form) => filled(form, &access.endpoint),
                    None => server::write(&access.endpoint, form, true),
                };
                (span, new)
            }
        }
    }

    /// Notes how words of a command line are now.
    fn was(&mut self, words: &Words, role: Role, text: Option<String>) {
        self.layout.0.push(Was {
            role,
            name: None,
            path: words.path.clone(),
            text,
        });
    }

    /// Replaces what stands word for word on a line.
    fn replace(
        &mut self,
        path: &Path,
        line: u32,
        role: Role,
        name: &str,
        old: Zeroizing<String>,
        new: Zeroizing<String>,
    ) -> Result<(), CannotPlan> {
        if *old == *new {
            return Ok(());
        }
        let text = self.text(path)?;
        let refused = |why| CannotPlan::Revise {
            path: path.to_owned(),
            why,
        };
        let edits = revise::verbatim(&text, line, &old, &new).map_err(refused)?;
        let now = edit::apply(&text, &edits).map_err(|_| misplaced(path))?;
        let change = Change {
            role,
            name: name.to_owned(),
            before: Some(old),
            after: Some(new),
        };
        self.changed(path, format!("line {line}"), now, vec![change]);
        Ok(())
    }
}

/// A quote that rclone sees, behind a text that a shell or systemd reads first.
fn quote_within(before: &str) -> &'static str {
    let quoted = |quote: char| before.matches(quote).count() % 2 == 1;
    match (quoted('"'), quoted('\'')) {
        (_, true) => "\"",
        (true, false) => "'",
        (false, false) => "\\'",
    }
}

/// The bytes of a line, counted from 1, with those that it continues and that continue it.
pub(super) fn logical(text: &str, line: u32) -> Range<usize> {
    let mut at = 0;
    let mut whole = 0..0;
    for (own, number) in text.split_inclusive('\n').zip(1..) {
        at += own.len();
        whole.end = at;
        let ended = own.trim_end_matches(['\n', '\r']);
        let goes_on = (ended.len() - ended.trim_end_matches('\\').len()) % 2 == 1;
        if !goes_on {
            if number >= line.max(1) {
                break;
            }
            whole.start = at;
        }
    }
    whole
}

/// The number of the line that begins at a byte, counted from 1.
pub(super) fn number(text: &str, at: usize) -> u32 {
    let lines = text[..at].matches('\n').count();
    u32::try_from(lines).unwrap_or(u32::MAX).saturating_add(1)
}
