//! The machine that is looked at: its tree, its users, who asks, and when. A value, so that tests and
//! the trees of other systems are looked at in the same way. It must never ask the network for users.

use std::path::{Path, PathBuf};

use bascule_domain::Timestamp;

use crate::{environment::Environment, read::Text};

/// What a search for program paths begins with when nobody has set one.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Somebody who runs jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The home folder as it lies on this machine; `None` without one.
    pub home: Option<PathBuf>,
}

/// The machine, as seen by somebody.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Where absolute paths begin: `/`, or the folder that another system's tree lies in.
    pub root: PathBuf,
    /// When it is looked at.
    pub now: Timestamp,
    /// Who asks.
    pub user: User,
    /// The surroundings of who asks.
    pub environment: Environment,
    /// All users that the machine's own list names, the one who asks included.
    pub users: Vec<User>,
}

impl Machine {
    /// The machine that this program runs on, as `user` with `uid` sees it. The environment's home
    /// stands before that of the list.
    #[must_use]
    pub fn local(environment: Environment, uid: u32, now: Timestamp) -> Self {
        let users = users(&environment.root);
        let mut user = users
            .iter()
            .find(|user| user.uid == uid)
            .cloned()
            .unwrap_or_else(|| User {
                name: uid.to_string(),
                uid,
                home: None,
            });
        if environment.home.is_some() {
            user.home.clone_from(&environment.home);
        }
        Self {
            root: environment.root.clone(),
            now,
            user,
            environment,
            users,
        }
    }

    /// Where an absolute path of the machine lies.
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// A path as the machine's own programs see it, which know nothing of where the tree lies.
    #[must_use]
    pub fn seen(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.root) {
            Ok(below) => Path::new("/").join(below),
            Err(_) => path.to_owned(),
        }
    }

    /// The user of this name or number. Who asks has the home of the environment.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        let is = |user: &&User| user.name == name || user.uid.to_string() == name;
        Some(&self.user)
            .filter(is)
            .or_else(|| self.users.iter().find(is))
    }

    /// What a job of this user starts with: the home and nothing of a login.
    #[must_use]
    pub fn bare_environment(&self, user: &User) -> Environment {
        let folder = user.home.clone().unwrap_or_else(|| self.root.clone());
        let mut environment = Environment::of(user.home.clone(), folder);
        environment.root.clone_from(&self.root);
        environment.set("PATH", USUAL_PATH);
        environment.set("USER", user.name.clone());
        environment.set("LOGNAME", user.name.clone());
        if let Some(seen) = user.home.as_ref().map(|home| self.seen(home))
            && let Some(seen) = seen.to_str()
        {
            environment.set("HOME", seen);
        }
        environment
    }
}

/// The users of `/etc/passwd`.
fn users(root: &Path) -> Vec<User> {
    let Ok(Some(text)) = Text::read(&root.join("etc/passwd")) else {
        return Vec::new();
    };
    let Ok(content) = text.as_str() else {
        return Vec::new();
    };
    content
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let home = fields.nth(2)?.strip_prefix('/')?;
            Some(User {
                name: name.to_owned(),
                uid,
                home: Some(root.join(home)),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_from_the_machines_own_list_and_broken_lines_are_nobody() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let list = "root:x:0:0:root:/root:/bin/bash\n\n# no\nbroken:x:y:0::/home/broken:\n\
                    alice:x:1000:1000:A,,,:/home/alice:/bin/sh\nnohome:x:5:5::relative:/bin/sh\n";
        std::fs::write(root.path().join("etc/passwd"), list).unwrap();
        let mut environment = Environment::of(Some("/elsewhere".into()), "/".into());
        environment.root = root.path().to_owned();
        let machine = Machine::local(environment, 1000, Timestamp::UNIX_EPOCH);
        let names: Vec<_> = machine.users.iter().map(|user| &*user.name).collect();
        assert_eq!(names, ["root", "alice"]);
        assert_eq!(machine.user.name, "alice");
        let alice = machine.user("1000").unwrap();
        assert_eq!(alice.home, Some("/elsewhere".into()), "the environment's");
        let of_root = machine.bare_environment(machine.user("root").unwrap());
        assert_eq!(of_root.home, Some(root.path().join("root")));
        assert_eq!(machine.path("/etc/x"), root.path().join("etc/x"));
    }
}
