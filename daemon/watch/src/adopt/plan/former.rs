//! What stood in a consumer's place before it was adopted. It only reads.

use bascule_domain::secret::{Credentials, SecretKey};
use zeroize::Zeroizing;

use super::{
    super::{command_place, site},
    Goal, Planning,
    words::logical,
};
use crate::found::Place;

/// So much of a line before a value tells which one it is.
const BEFORE: usize = 40;

impl Planning<'_> {
    pub(super) fn held_before(&mut self) -> Option<Credentials> {
        let Goal::Provider { originals, .. } = self.goal else {
            return None;
        };
        let key = &self.found.key;
        let in_file = matches!(key.place, Place::File { .. });
        let place = match in_file {
            true => &key.place,
            false => command_place(self.found)?,
        };
        let (path, line) = place.file()?;
        let was = originals.get(path)?;
        let now = self.text(path).ok()?;
        let site = in_file
            .then(|| site::of(self.found, path, line, &now))
            .flatten();
        let named = site.and_then(|site| Some((self.names(self.found, &site, &now)?, site)));
        let (id, secret) = match named {
            Some((names, site)) => (site.value(was, &names.id)?, site.value(was, &names.secret)?),
            None => {
                let own = &now[logical(&now, line)];
                let secret = key.secret.as_ref()?;
                // Lines that came or went may have moved it.
                let line = (was.lines().count() == now.lines().count()).then_some(line);
                (
                    word(own, key.id.as_str(), was, line)?,
                    word(own, secret.expose(), was, line)?,
                )
            }
        };
        let secret = Zeroizing::new(secret);
        Some(Credentials {
            access_key_id: id.parse().ok()?,
            secret: SecretKey::parse(&secret).ok()?,
        })
    }
}

/// What stood where a value stands on a line now: behind the same words, on the same line if that is known, or
/// else on the only one that has them.
fn word(now: &str, value: &str, was: &str, line: Option<u32>) -> Option<String> {
    let (before, _) = now.split_once(value)?;
    let before = before.rsplit('\n').next().unwrap_or(before);
    let from = before.char_indices().rev().take(BEFORE).last();
    let anchor = &before[from.map_or(0, |(at, _)| at)..];
    if anchor.trim().is_empty() {
        return None;
    }
    let only = |text: &str| -> Option<String> {
        let mut found = text.match_indices(anchor);
        match (found.next(), found.next()) {
            (Some((at, _)), None) => {
                let rest = &text[at + anchor.len()..];
                let end = rest.find(|c: char| c.is_whitespace() || ENDS.contains(&c));
                Some(rest[..end.unwrap_or(rest.len())].to_owned())
            }
            _ => None,
        }
    };
    line.and_then(|line| only(&was[logical(was, line)]))
        .or_else(|| only(was))
        .filter(|value| !value.is_empty())
}

/// What no key holds, and what ends one on a command line.
const ENDS: [char; 11] = ['"', '\'', ',', ':', ';', '@', '|', ')', '\\', '&', '<'];

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn a_value_of_before_is_found_behind_the_same_words_or_not_at_all() {
        let now = "ExecStart=rclone lsf :s3,access_key_id=BSC1,secret_access_key=S1:b\n";
        let was = "ExecStart=rclone lsf :s3,access_key_id=AKIA9,secret_access_key=a/b+c=:b\n";
        assert_eq!(word(now, "BSC1", was, Some(1)).as_deref(), Some("AKIA9"));
        let moved = format!("# mine\n\n{was}");
        assert_eq!(word(now, "BSC1", &moved, Some(1)).as_deref(), Some("AKIA9"));
        let twice = format!("\n\n{was}{was}");
        assert_eq!(word(now, "BSC1", &twice, Some(1)), None);
        let other = format!("{}{was}", was.replace("AKIA9", "AKIA8"));
        assert_eq!(
            word(now, "BSC1", &other, None),
            None,
            "which one is not known"
        );
        let secret = "AWS_SECRET_ACCESS_KEY=S1 tool\n";
        let before = "AWS_SECRET_ACCESS_KEY=a/b+c= tool\n";
        assert_eq!(
            word(secret, "S1", before, Some(1)).as_deref(),
            Some("a/b+c=")
        );
    }
}
