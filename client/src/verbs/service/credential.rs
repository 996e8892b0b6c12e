//! The root key as a credential that systemd lends the service: put where systemd finds it, encrypted where
//! it can be, and taken away again. It must never replace or remove another store's root key.

use std::{
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use bascule_domain::root_key::store_of;
use data_encoding::{BASE64, HEXLOWER};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::{
    files::{SERVICE_UNIT, Scope, UNITS},
    finish, finish_with, privileged, remove as remove_file, systemd, write,
};
use crate::error::{Error, Kind};

/// What the credential is called in the service.
const NAME: &str = "root.key";
/// What its file is called.
const FILE: &str = "bascule.root.key";
/// Bytes of a root key at most.
const LONGEST: u64 = 4096;
const DROP_IN: &str = "bascule.service.d/root-key.conf";
/// Since when systemd encrypts a user's credentials.
const ENCRYPTS_FOR_USERS: u32 = 256;

/// What a credential begins with that is encrypted with the host's key alone: for everybody, and for one user
/// (systemd's creds-util.h). An older systemd takes no wish about the key from a user.
const BY_HOST: [[u8; 16]; 2] = [
    0x5a1c_6a86_df9d_4096_b1d5_a65e_0862_f19a_u128.to_be_bytes(),
    0x55b9_ed1d_3859_4d43_a831_9d2e_bb33_2ac6_u128.to_be_bytes(),
];

/// Where a service's credential is.
pub(in crate::verbs) struct Store {
    scope: Scope,
    /// Whose root key it is to be, in hex.
    id: String,
    /// The service's user.
    user: u32,
    plain: PathBuf,
    encrypted: PathBuf,
    drop_in: PathBuf,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Failed, format!("{what}: {error}"))
}

impl Store {
    /// That of the service which the daemon is; refuses where it is none.
    pub(in crate::verbs) async fn of_service(
        system: bool,
        daemon: u32,
        id: &str,
    ) -> Result<Self, Error> {
        let scope = if system { Scope::System } else { Scope::User };
        if cfg!(target_os = "macos") {
            return Err(Error::new(
                Kind::NotAvailable,
                "launchd lends no credentials; the keychain is for that",
            )
            .next("bascule root-key move keychain"));
        }
        privileged(scope)?;
        let condition = systemd::condition(scope).await?;
        if condition.pid != Some(daemon) {
            return Err(Error::new(
                Kind::Refused,
                "the daemon that answers is not this service of systemd, which alone is lent credentials",
            )
            .next(match scope {
                Scope::User => "bascule service install; for the machine's: --system",
                Scope::System => "sudo bascule service install --system; for your own: without --system",
            }));
        }
        let base = match scope {
            Scope::System => PathBuf::from("/etc"),
            // systemd/user is below the same folder.
            Scope::User => scope
                .folder()?
                .ancestors()
                .nth(2)
                .unwrap_or(Path::new("/"))
                .to_owned(),
        };
        let user = match scope {
            Scope::System => bascule_os::user_of(Path::new("/proc"), daemon).ok_or_else(|| {
                failed("the service's user can't be told", &"its process is gone")
            })?,
            Scope::User => bascule_os::effective_uid(),
        };
        Ok(Self {
            scope,
            id: id.to_owned(),
            user,
            plain: base.join("credstore").join(FILE),
            encrypted: base.join("credstore.encrypted").join(FILE),
            drop_in: scope.folder()?.join(DROP_IN),
        })
    }

    /// Puts the key there, as a copy of its file, and lets the unit load it. If it fails, what was there is as
    /// it was.
    pub(in crate::verbs) async fn put(&self, file: &Path) -> Result<(), Error> {
        let key = self.key(file)?;
        for present in self.present() {
            if *self.content(present).await? != *key {
                return Err(Error::new(
                    Kind::Refused,
                    format!("{} is another root key already", present.display()),
                )
                .next("move it away, if nothing needs it"));
            }
        }
        let encrypted = self.can_encrypt().await;
        let place = if encrypted {
            &self.encrypted
        } else {
            &self.plain
        };
        let was_there = place.exists();
        let folder = place.parent().unwrap_or(Path::new("/"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| failed("the credential's folder can't be made", &error))?;
        let written = match encrypted {
            true => {
                let credential = self.encrypt(&key).await?;
                if *self.creds("decrypt", &credential).await? != *key {
                    return Err(failed(
                        "the credential can't be used",
                        &"it does not read back as it was written",
                    ));
                }
                bascule_os::write_private(place, &credential)
            }
            false => bascule_os::write_private(place, &key),
        };
        written.map_err(|error| failed("the credential can't be written", &error))?;
        let directive = match encrypted {
            true => "LoadCredentialEncrypted",
            false => "LoadCredential",
        };
        let text = format!(
            "# Written by bascule root-key move credential.\n[Service]\n{directive}={NAME}:{}\n",
            place.display().to_string().replace('%', "%%")
        );
        if let Err(error) = write(&self.drop_in, &text) {
            // A unit may load it by its name alone.
            if !was_there {
                bascule_os::destroy_file(place).ok();
            }
            return Err(error);
        }
        Ok(())
    }

    /// Refuses where the credential is somewhere else.
    pub(in crate::verbs) fn check_removable(&self) -> Result<(), Error> {
        if self.present().next().is_some() {
            return Ok(());
        }
        Err(Error::new(
            Kind::Refused,
            format!(
                "the credential is neither {} nor {}, so somebody else put it where it is",
                self.plain.display(),
                self.encrypted.display()
            ),
        )
        .next(
            "remove it there, once the key is kept elsewhere; of the machine's service: --system",
        ))
    }

    /// Destroys the credential, and has the unit load none from its file. Returns the files that are left,
    /// since they hold something else or can't be read.
    pub(in crate::verbs) async fn remove(&self) -> Result<Vec<PathBuf>, Error> {
        let mut left = Vec::new();
        for path in self.present() {
            let content = self.content(path).await;
            if content.is_ok_and(|content| self.is_ours(&content)) {
                bascule_os::destroy_file(path)
                    .map_err(|error| failed("the credential can't be removed", &error))?;
            } else {
                left.push(path.clone());
            }
        }
        remove_file(&self.drop_in)?;
        // Somebody else's settings of the unit may be in it.
        std::fs::remove_dir(self.drop_in.with_file_name("")).ok();
        Ok(left)
    }

    /// After a start with it that failed: takes the credential away, if the key is in its file still.
    /// A service that was lent it may have destroyed that file, and not come up for another reason: then it
    /// stays. Says whether the key is in its file.
    pub(in crate::verbs) async fn take_back(&self, key: &Path) -> Result<bool, Error> {
        // With its sockets, so that nothing starts it meanwhile.
        let mut stop = vec!["stop"];
        stop.extend(UNITS);
        systemd::order(self.scope, &stop).await?;
        let is_in_its_file = self.key(key).is_ok();
        let removed = match is_in_its_file {
            true => self.remove().await.map(drop),
            false => Ok(()),
        };
        systemd::order(self.scope, &["daemon-reload"]).await?;
        let mut start = vec!["start"];
        start.extend(UNITS);
        let started = systemd::order(self.scope, &start).await;
        removed?;
        if is_in_its_file {
            started?;
        }
        Ok(is_in_its_file)
    }

    /// Starts the service anew, with what it is lent now.
    pub(in crate::verbs) async fn restart(&self) -> Result<(), Error> {
        systemd::order(self.scope, &["daemon-reload"]).await?;
        systemd::order(self.scope, &["restart", SERVICE_UNIT]).await
    }

    /// Those of the two files that are there.
    fn present(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.plain, &self.encrypted]
            .into_iter()
            .filter(|path| path.symlink_metadata().is_ok())
    }

    /// The key in its own file, which the daemon named: nothing but what the service's user keeps to itself, and
    /// no other secret of that user's.
    fn key(&self, file: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = bascule_os::read_private_of(self.user, file, LONGEST)
            .map(Zeroizing::new)
            .map_err(|error| failed("the root key can't be read", &error))?;
        match self.is_ours(&key) {
            true => Ok(key),
            false => Err(Error::new(
                Kind::Refused,
                format!("{} is not the store's root key", file.display()),
            )
            .next("bascule root-key show")),
        }
    }

    /// Whether it is this store's root key.
    fn is_ours(&self, content: &[u8]) -> bool {
        store_of(content).is_some_and(|id| HEXLOWER.encode(id) == self.id)
    }

    /// What a credential's file gives.
    async fn content(&self, place: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
        let read = match place == self.encrypted {
            true => bascule_os::read_foreign(place, LONGEST),
            false => bascule_os::read_foreign_secret(place, LONGEST),
        };
        let content = read
            .map(Zeroizing::new)
            .map_err(|error| failed("the credential can't be read", &error))?;
        match place == self.encrypted {
            true => self.creds("decrypt", &content).await,
            false => Ok(content),
        }
    }

    async fn can_encrypt(&self) -> bool {
        let mut command = Command::new("systemd-creds");
        command.arg("--version");
        let Ok(ended) = finish(command).await else {
            return false;
        };
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let version = text.split_whitespace().nth(1);
        let version: u32 = version.and_then(|word| word.parse().ok()).unwrap_or(0);
        match self.scope {
            Scope::System => ended.status.success(),
            Scope::User => version >= ENCRYPTS_FOR_USERS,
        }
    }

    /// Never bound to a TPM: its registers change with an update of the firmware or its keys, and this may be the
    /// only copy.
    async fn encrypt(&self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let credential = self.creds("encrypt", key).await?;
        if !is_bound_to_the_host_alone(&credential) {
            return Err(Error::new(
                Kind::Refused,
                "systemd-creds binds what it encrypts to more than this machine's own key here, such as a TPM, and an update could make the root key unreadable for good",
            )
            .next("bascule root-key move keychain, or leave it in its file"));
        }
        Ok(credential)
    }

    async fn creds(&self, verb: &str, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut command = Command::new("systemd-creds");
        if self.scope == Scope::User {
            command.arg("--user");
        }
        if verb == "encrypt" {
            command.arg("--with-key=host");
        }
        command.arg(format!("--name={NAME}")).args([verb, "-", "-"]);
        let ended = finish_with(command, input).await?;
        match ended.status.success() {
            true => Ok(Zeroizing::new(ended.stdout)),
            false => Err(failed(
                &format!("systemd-creds {verb} failed"),
                &String::from_utf8_lossy(&ended.stderr).trim(),
            )),
        }
    }
}

/// Whether an encrypted credential, in base64, opens with this machine's own key and nothing else.
fn is_bound_to_the_host_alone(credential: &[u8]) -> bool {
    let text: Vec<u8> = credential
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let Ok(sealed) = BASE64.decode(&text) else {
        return false;
    };
    BY_HOST.iter().any(|by_host| sealed.starts_with(by_host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_credential_of_the_hosts_key_outlives_an_update_of_the_firmware() {
        // As systemd-creds 252 writes one.
        let by_host =
            b"Whxqht+dQJax1aZeCGLxmiAAAAABAAAADAAAABAAAADxcX3VTTm5wAFYydEAAAAAUHocWaitZCJC1Pk\n\
            aR8NZ+NUeo0rjVR8bcicvDp5ILGgrkpG5n8ljBi4s8iMafSupcAc=\n";
        assert!(is_bound_to_the_host_alone(by_host));
        let sealed = |id: u128| BASE64.encode(&id.to_be_bytes()).into_bytes();
        let for_a_user = sealed(0x55b9_ed1d_3859_4d43_a831_9d2e_bb33_2ac6);
        assert!(is_bound_to_the_host_alone(&for_a_user));
        for by_tpm in [
            0x0c7c_c07b_1176_4591_9c4b_0bea_08bc_20fe,
            0x93a8_9409_4874_4490_90ca_f2fc_93ca_b553,
            0xef4a_c136_79a9_480e_a7db_6889_7f9f_165d,
        ] {
            assert!(!is_bound_to_the_host_alone(&sealed(by_tpm)));
        }
        assert!(!is_bound_to_the_host_alone(b"in the clear"));
    }

    struct Scene {
        temp: tempfile::TempDir,
        store: Store,
    }

    impl Scene {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let at = |name: &str| temp.path().join(name);
            let store = Store {
                scope: Scope::System,
                id: HEXLOWER.encode(&[1; 16]),
                user: bascule_os::effective_uid(),
                plain: at("plain"),
                encrypted: at("encrypted"),
                drop_in: at("unit.d/root-key.conf"),
            };
            Self { temp, store }
        }

        fn file(&self) -> PathBuf {
            self.temp.path().join("root.key")
        }
    }

    fn key_of(store: u8) -> Vec<u8> {
        let mut key = b"BSCROOT\x01".to_vec();
        key.extend([store; 16]);
        key.extend([9; 64]);
        key
    }

    #[test]
    fn nothing_but_the_stores_root_key_in_a_private_file_of_the_services_user_is_read() {
        use std::{fs::Permissions, os::unix::fs::PermissionsExt};
        let mut scene = Scene::new();
        let file = scene.file();
        bascule_os::write_private(&file, &key_of(1)).unwrap();
        assert_eq!(*scene.store.key(&file).unwrap(), key_of(1));
        let link = scene.temp.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        scene.store.key(&link).unwrap_err();
        for other in [key_of(2), b"another secret of that user".to_vec()] {
            bascule_os::write_private(&file, &other).unwrap();
            scene.store.key(&file).unwrap_err();
        }
        bascule_os::write_private(&file, &key_of(1)).unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        scene.store.key(&file).unwrap_err();
        std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        scene.store.user += 1;
        scene.store.key(&file).unwrap_err();
    }

    #[tokio::test]
    async fn neither_of_the_two_files_is_replaced_or_removed_where_it_is_somebody_elses() {
        let scene = Scene::new();
        let Store {
            plain, encrypted, ..
        } = &scene.store;
        bascule_os::write_private(&scene.file(), &key_of(1)).unwrap();
        let others = [(plain, encrypted), (encrypted, plain)];
        for (other, ours) in others {
            // What can't be decrypted is somebody else's, too.
            bascule_os::write_private(other, &key_of(2)).unwrap();
            if ours == plain {
                bascule_os::write_private(ours, &key_of(1)).unwrap();
            }
            scene.store.put(&scene.file()).await.unwrap_err();
            assert_eq!(
                scene.store.remove().await.unwrap(),
                std::slice::from_ref(other)
            );
            assert_eq!(std::fs::read(other).unwrap(), key_of(2));
            assert!(!ours.exists());
            std::fs::remove_file(other).unwrap();
        }
    }
}
