//! What the targets share: which byte of an input chooses what, and folders for those that read files.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::OnceLock};

use bascule_domain::Timestamp;
use bascule_formats::{Structure, leaves::IniRules};
use bascule_watch::{Environment, Machine, Picture};

/// What the secret in a seed is: no text that is shown may hold it.
pub const SECRET: &str = "wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzKEYq";

/// The structures, by the first byte of an input.
pub const STRUCTURES: [Structure; 15] = [
    Structure::Json,
    Structure::Yaml,
    Structure::Toml,
    Structure::Braces,
    Structure::Xml,
    Structure::Hadoop,
    Structure::Plist,
    Structure::Properties,
    Structure::Assignments,
    Structure::Php,
    Structure::S3fsPasswords,
    ini("", "", false, false),
    ini("\"'", "#;", true, false),
    ini("\"", "", true, true),
    ini("\"`", "#;", false, false),
];

const fn ini(
    quotes: &'static str,
    comments: &'static str,
    colon: bool,
    no_sections: bool,
) -> Structure {
    Structure::Ini(IniRules {
        no_sections,
        colon,
        quotes,
        comments,
    })
}

/// A number from an input's first byte, and the rest of it as text.
#[must_use]
pub fn chosen(data: &[u8]) -> Option<(usize, &str)> {
    let (first, rest) = data.split_first()?;
    Some((usize::from(*first), std::str::from_utf8(rest).ok()?))
}

/// A machine of its own, whose files are in memory where the system has such a folder.
pub struct Stage {
    folder: tempfile::TempDir,
    /// The machine.
    pub machine: Machine,
}

impl Stage {
    /// The only one of this process.
    pub fn get() -> &'static Self {
        static STAGE: OnceLock<Stage> = OnceLock::new();
        STAGE.get_or_init(|| {
            let memory = PathBuf::from("/dev/shm");
            let folder = if memory.is_dir() {
                tempfile::tempdir_in(memory)
            } else {
                tempfile::tempdir()
            };
            let folder = folder.expect("a temporary folder");
            let home = folder.path().join("home");
            fs::create_dir_all(&home).expect("a folder in it");
            let mut environment = Environment::of(Some(home.clone()), home);
            environment.root = folder.path().to_owned();
            Self {
                machine: Machine::local(environment, 1000, Timestamp::UNIX_EPOCH),
                folder,
            }
        })
    }

    /// Writes a file of the machine, and returns where it lies.
    #[must_use]
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join("home").join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("a folder");
        }
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
        path
    }
}

/// Whatever was read: nothing that is shown holds the secret. An id may be any text, and a name too,
/// so only what says why something could not be read is looked at.
pub fn keeps_secrets(picture: &Picture) {
    for gap in &picture.gaps {
        assert!(!gap.why.contains(SECRET), "why: {}", gap.why);
        assert!(!gap.remedy.contains(SECRET), "remedy: {}", gap.remedy);
    }
    for found in &picture.uses {
        assert!(!format!("{:?}", found.key.secret).contains(SECRET));
    }
}
