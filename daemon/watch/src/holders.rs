//! Which configurations of this user hold a given access key id. What was not looked at is said:
//! an empty answer alone proves nothing.

use std::path::PathBuf;

use bascule_formats::{Dialect, Document, rclone as format};

use crate::{
    aws,
    environment::Environment,
    found::{NotUsable, Place},
    rclone,
    read::Text,
};

/// What a search came to.
#[derive(Debug, Default)]
pub struct Search {
    /// Where the id stands.
    pub found: Vec<Place>,
    /// Files that were read.
    pub searched: Vec<PathBuf>,
    /// What was not, and why.
    pub not_checked: Vec<String>,
}

/// Keys under which the tools keep an access key id.
const RCLONE_KEY: &str = "access_key_id";
const AWS_KEY: &str = "aws_access_key_id";

/// Looks for an access key id, told by `is`, in the files and variables of rclone and the AWS tools.
#[must_use]
pub fn search(is: impl Fn(&str) -> bool, env: &Environment) -> Search {
    let mut search = Search::default();
    if let Some(path) = rclone::locate(env) {
        search.file(path, Dialect::Rclone, RCLONE_KEY, &is);
    }
    let files = [aws::credentials_file(env), aws::config_file(env)];
    for path in files.into_iter().flatten() {
        search.file(path, Dialect::Aws, AWS_KEY, &is);
    }
    for (name, value, _) in env.variables() {
        if name.ends_with("ACCESS_KEY_ID") && is(value) {
            search.found.push(Place::Variable(name.to_owned()));
        }
    }
    search
        .not_checked
        .push("other tools than rclone and the AWS tools, scripts, jobs and containers".into());
    search
        .not_checked
        .push("other users of this machine, and other machines".into());
    search
}

impl Search {
    fn file(&mut self, path: PathBuf, dialect: Dialect, key: &str, is: &dyn Fn(&str) -> bool) {
        match places(&path, dialect, key, is) {
            Ok(None) => {}
            Ok(Some(places)) => {
                self.found.extend(places);
                self.searched.push(path);
            }
            Err(error) => self
                .not_checked
                .push(format!("{}: {}", path.display(), error.told())),
        }
    }
}

/// Where the id stands in a file; `None` if there is no file.
fn places(
    path: &std::path::Path,
    dialect: Dialect,
    key: &str,
    is: &dyn Fn(&str) -> bool,
) -> Result<Option<Vec<Place>>, NotUsable> {
    let Some(text) = Text::read(path)? else {
        return Ok(None);
    };
    let content = text.as_str()?;
    if dialect == Dialect::Rclone && format::is_encrypted(content) {
        return Err(NotUsable::Encrypted {
            path: path.to_owned(),
        });
    }
    let document = Document::parse(content, dialect).map_err(|source| NotUsable::Parse {
        path: path.to_owned(),
        source,
    })?;
    let entries = document
        .sections()
        .iter()
        .flat_map(|section| &section.entries);
    let held = entries.filter(|entry| entry.key.eq_ignore_ascii_case(key) && is(entry.value));
    Ok(Some(
        held.map(|entry| Place::File {
            path: path.to_owned(),
            line: entry.line,
        })
        .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(home: &std::path::Path) -> Environment {
        let mut env = Environment::of(Some(home.to_owned()), home.to_owned());
        env.set("AWS_ACCESS_KEY_ID", "AKIALEAKED");
        env
    }

    #[test]
    fn every_place_of_a_leaked_key_is_named_and_what_was_not_read_too() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        };
        write(
            ".config/rclone/rclone.conf",
            "[a]\ntype = s3\naccess_key_id = AKIAOTHER\n[b]\ntype = s3\naccess_key_id = AKIALEAKED\n",
        );
        write(
            ".aws/credentials",
            "[default]\naws_access_key_id = AKIALEAKED\naws_secret_access_key = hunter2\n",
        );
        let env = environment(home.path());
        let leaked = |id: &str| id == "AKIALEAKED";
        let search = search(leaked, &env);
        let found: Vec<_> = search.found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].ends_with("rclone.conf:6"), "{found:?}");
        assert!(found[1].ends_with("credentials:2"), "{found:?}");
        assert_eq!(found[2], "$AWS_ACCESS_KEY_ID");
        assert_eq!(search.searched.len(), 2);
        assert!(!search.not_checked.is_empty());

        write(".config/rclone/rclone.conf", "RCLONE_ENCRYPT_V0:\nxyz\n");
        let encrypted = super::search(leaked, &env);
        assert!(
            encrypted.not_checked[0].contains("encrypted"),
            "{encrypted:?}"
        );
        assert!(!format!("{encrypted:?}").contains("hunter2"));
    }
}
