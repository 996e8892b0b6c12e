//! Where an access key id stands on this machine. What was not looked at is said: an empty answer alone
//! proves nothing.

use crate::{
    catalogue::Catalogue,
    found::Place,
    machine::Machine,
    scan::{self, Scope},
};

/// What a search came to.
#[derive(Debug, Default)]
pub struct Search {
    /// Where the id stands, each place once.
    pub found: Vec<Place>,
    /// What was read, for people.
    pub searched: Vec<String>,
    /// What was not, and why.
    pub not_checked: Vec<String>,
}

/// Looks for an access key id, told by `is`, wherever a tool that is known keeps keys.
#[must_use]
pub fn search(is: impl Fn(&str) -> bool, machine: &Machine) -> Search {
    let picture = scan::known(machine, Scope::OWN);
    let held = picture
        .uses
        .iter()
        .filter(|found| is(found.key.id.as_str()));
    let mut found: Vec<_> = held.map(|found| found.key.place.clone()).collect();
    found.sort();
    found.dedup();
    let gaps = picture.gaps.iter();
    let mut not_checked: Vec<_> = gaps
        .map(|gap| format!("{}: {}", gap.what, gap.why))
        .collect();
    not_checked.dedup();
    not_checked.push("files of tools that are not known".into());
    not_checked.push("other users of this machine, and other machines".into());
    Search {
        found,
        searched: vec![format!(
            "{} files, of {} kinds of tools that are known",
            picture.files_read,
            Catalogue::builtin().rows().len()
        )],
        not_checked,
    }
}

#[cfg(test)]
mod tests {
    use bascule_domain::Timestamp;

    use super::*;
    use crate::environment::Environment;

    #[test]
    fn every_place_of_a_leaked_key_is_named_and_what_was_not_read_too() {
        let home = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            ".config/rclone/rclone.conf",
            "[a]\ntype = s3\naccess_key_id = AKIAOTHER\n[b]\ntype = s3\naccess_key_id = AKIALEAKED\nsecret_access_key = hunter2\n",
        );
        let aws = "[default]\naws_access_key_id = AKIALEAKED\naws_secret_access_key = hunter2\n";
        write(".aws/credentials", aws);
        write(".aws/credentials.bak", aws);
        write(".s3cfg", "access_key = AKIALEAKED\nsecret_key = hunter2\n");
        let mut environment = Environment::of(Some(home.path().into()), home.path().into());
        environment.root = home.path().to_owned();
        environment.set("AWS_ACCESS_KEY_ID", "AKIALEAKED");
        let machine = Machine::local(environment, 1000, Timestamp::UNIX_EPOCH);
        let leaked = |id: &str| id == "AKIALEAKED";
        let found = search(leaked, &machine);
        let root = format!("{}/", home.path().display());
        let places: Vec<_> = found
            .found
            .iter()
            .map(|place| place.to_string().replace(&root, ""))
            .collect();
        assert_eq!(
            places,
            [
                ".aws/credentials:2",
                ".aws/credentials.bak:2",
                ".config/rclone/rclone.conf:6",
                ".s3cfg:1",
                "$AWS_ACCESS_KEY_ID"
            ]
        );
        assert!(!found.not_checked.is_empty());

        write(".config/rclone/rclone.conf", "RCLONE_ENCRYPT_V0:\nxyz\n");
        let encrypted = search(leaked, &machine);
        assert!(
            encrypted.not_checked[0].contains("encrypted"),
            "{encrypted:?}"
        );
        assert!(!format!("{encrypted:?}").contains("hunter2"));
    }
}
