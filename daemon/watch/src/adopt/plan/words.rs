//! Command lines: what stands on them word for word.

use std::path::Path;

use bascule_formats::{edit, revise};
use zeroize::Zeroizing;

use super::{
    super::server, CannotPlan, Change, Goal, Planning, Role, Was, filled, misplaced,
    settings::VARIABLES,
};
use crate::found::Place;

/// What marks a server that stood on a command line without quotes, which rclone needs around the
/// gateway's.
const BARE: &str = "bare ";

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
        let server = self.found.key.endpoint_place.clone();
        let beside = match &server {
            None => Some(self.server_behind_secret(path, line, &secret)?),
            Some(_) if self.was_absent(path) => {
                Some(self.server_behind_secret(path, line, &secret)?)
            }
            Some(Place::Argument(_)) => {
                self.server_words(path, line)?;
                None
            }
            Some(Place::File { path: at, line }) => {
                self.server_words(&at.clone(), *line)?;
                None
            }
            Some(place @ Place::Variable(_)) => return Err(self.server_elsewhere(place.clone())),
        };
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
        let text = self.text(path)?.to_string();
        let own = logical(&text, line);
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
        Err(self.server_elsewhere(Place::Argument("nothing on its command line".into())))
    }

    /// A server that stands word for word on a line.
    pub(super) fn server_words(&mut self, path: &Path, line: u32) -> Result<(), CannotPlan> {
        let text = self.text(path)?.to_string();
        let endpoint = self.found.key.endpoint.clone();
        let line = line.max(1);
        let own = logical(&text, line);
        let found = endpoint.and_then(|endpoint| {
            let found = server::find(own, &endpoint)?;
            Some((found.text.to_owned(), found.form))
        });
        let Some((old, form)) = found else {
            return Err(self.server_elsewhere(Place::File {
                path: path.to_owned(),
                line,
            }));
        };
        let s3fs = self.found.kind == "s3fs";
        let style = ",use_path_request_style";
        // rclone ends a value at a colon unless it is quoted.
        let (before, behind) = own.split_once(&old).unwrap_or((own, ""));
        let bare =
            before.ends_with("endpoint=") && before.contains(':') && behind.starts_with([':', ',']);
        let quote = quote_within(before);
        let was = match self.goal {
            Goal::Provider { layout, .. } => layout.of(Role::Server, path, None),
            Goal::Gateway(_) => None,
        };
        let was = was.and_then(|was| was.text.as_deref());
        if let (Some(form), Goal::Provider { access, .. }) =
            (was.and_then(|was| was.strip_prefix(BARE)), self.goal)
        {
            let quote = quote_within(
                before
                    .strip_suffix(['\'', '"'])
                    .unwrap_or(before)
                    .trim_end_matches('\\'),
            );
            let old = Zeroizing::new(format!("{quote}{old}{quote}"));
            let new = Zeroizing::new(filled(form, &access.endpoint));
            return self.replace(path, line, Role::Server, "server", old, new);
        }
        let new = match self.goal {
            Goal::Gateway(access) if bare => {
                let form = if form == server::Form::Authority {
                    "{authority}"
                } else {
                    "{endpoint}"
                };
                self.layout.0.push(Was {
                    role: Role::Server,
                    name: None,
                    path: path.to_owned(),
                    text: Some(format!("{BARE}{form}")),
                });
                format!("{quote}{}{quote}", access.endpoint)
            }
            Goal::Gateway(access) => {
                let mut new = server::write(&access.endpoint, form, true);
                if s3fs && !own.contains(&style[1..]) {
                    new.push_str(style);
                }
                new
            }
            Goal::Provider { access, layout, .. } => {
                match layout
                    .of(Role::Server, path, None)
                    .and_then(|was| was.text.as_deref())
                {
                    Some(form) => filled(form, &access.endpoint),
                    None => server::write(&access.endpoint, form, true),
                }
            }
        };
        // What was added to the options goes with the server.
        let added = self.added_style(path);
        let old = match added {
            true => format!("{old}{style}"),
            false => old,
        };
        self.replace(
            path,
            line,
            Role::Server,
            "server",
            Zeroizing::new(old),
            Zeroizing::new(new),
        )
    }

    fn added_style(&self, path: &Path) -> bool {
        let Goal::Provider { layout, .. } = self.goal else {
            return false;
        };
        self.found.kind == "s3fs"
            && layout
                .of(Role::Addressing, path, None)
                .is_some_and(|was| was.text.is_none())
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
        if matches!(self.goal, Goal::Gateway(_)) {
            let added = role == Role::Server && new.ends_with(",use_path_request_style");
            if added {
                self.layout.0.push(Was {
                    role: Role::Addressing,
                    name: None,
                    path: path.to_owned(),
                    text: None,
                });
            }
            self.remember(role, None, path, Some(&old));
        }
        if *old == *new {
            return Ok(());
        }
        let text = self.text(path)?.to_string();
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

/// A line, counted from 1, with those that continue it.
pub(super) fn logical(text: &str, line: u32) -> &str {
    let from = offset(text, line);
    let mut end = from;
    for own in text[from..].split_inclusive('\n') {
        end += own.len();
        if !own.trim_end_matches(['\n', '\r']).ends_with('\\') {
            break;
        }
    }
    &text[from..end]
}

fn offset(text: &str, line: u32) -> usize {
    let skipped = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1) as usize);
    skipped.map(str::len).sum()
}
