//! A connection beside the harness's own, at the provider that obeys names, and the ways to
//! withdraw what its keys may do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bascule_domain::{
    access_key::AccessKeyId,
    connection::Buckets,
    endpoint::Region,
    ids::{ConnectionId, KeyId},
    key::{Key, Permission},
    limits::Limits,
    secret::{Credentials, SecretKey},
    transition::Transition,
};
use bascule_gateway::{Admission, ConnectionCell, ConnectionSpec, Keyring, Upstream};
use bascule_sigv4::{Service, Signer};
use http::Method;

use crate::{
    harness::{Ask, Client, PATIENCE, SECRET, World, access, key, wait},
    provider::Shelf,
};

pub(crate) const VAULT: ConnectionId = ConnectionId::from_random([9; 10]);

pub(crate) struct Stage {
    /// Signs with the present key.
    pub(crate) world: World,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) connection: Arc<ConnectionCell>,
    pub(crate) key: Key,
    /// Tasks of the runtime when nothing goes on.
    pub(crate) tasks: usize,
}

fn spec(shelf: &Arc<Shelf>) -> ConnectionSpec {
    ConnectionSpec {
        id: VAULT,
        name: "vault".parse().unwrap(),
        buckets: Buckets::try_from(vec!["vault".parse().unwrap()]).unwrap(),
        created_at: bascule_domain::Timestamp::UNIX_EPOCH,
        access: access("PROVIDERKEY", 1),
        upstream: Arc::clone(shelf) as Arc<dyn Upstream>,
        admission: Admission::Open,
        limits: Limits::default(),
    }
}

fn fresh_key() -> Key {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let [a, b, c, d] = number.to_be_bytes();
    // Of each byte of an access key id, five bits count.
    let five = |at: u32| (number >> (5 * at)) as u8 & 31;
    Key {
        id: KeyId::from_random([a, b, c, d, 7, 7, 7, 7, 7, 7]),
        access_key_id: AccessKeyId::issue([
            five(0),
            five(1),
            five(2),
            five(3),
            five(4),
            7,
            7,
            7,
            7,
            7,
            7,
            7,
            7,
            7,
            7,
        ]),
        connection: VAULT,
        ..key(1, Permission::ReadWrite)
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let shelf = Arc::new(Shelf::default());
        world.keyring.add_connection(spec(&shelf)).unwrap();
        let connection = world.keyring.connection(VAULT).unwrap();
        let mut stage = Self {
            world,
            shelf,
            connection,
            key: fresh_key(),
            tasks: alive_tasks(),
        };
        stage.issue();
        stage
    }

    /// Goes on with a key that was never used.
    pub(crate) fn issue(&mut self) {
        self.key = fresh_key();
        let secret = SecretKey::parse(SECRET).unwrap();
        self.world.credentials = Credentials {
            access_key_id: self.key.access_key_id.clone(),
            secret: secret.clone(),
        };
        self.world
            .keyring
            .add_key(self.key.clone(), secret)
            .unwrap();
    }

    /// Adds the connection again after its removal.
    pub(crate) fn connect_again(&mut self) {
        let keyring = &self.world.keyring;
        keyring.add_connection(spec(&self.shelf)).unwrap();
        self.connection = keyring.connection(VAULT).unwrap();
    }

    pub(crate) fn ask(&self, method: &str, object: &str) -> Ask {
        self.world.ask(method, &format!("/vault/{object}"))
    }

    /// A GET by a link that holds its signature, as bytes on the wire.
    pub(crate) fn presigned(&self, object: &str) -> Vec<u8> {
        let signer = Signer {
            credentials: &self.world.credentials,
            region: &Region::try_from("auto".to_owned()).unwrap(),
            service: Service::S3,
        };
        let host = self.world.address;
        let now = *self.world.clock.now.lock().unwrap();
        let endpoint = format!("http://{host}");
        let path = format!("/vault/{object}");
        let link = signer.presign(&Method::GET, &endpoint, &path, &[], 3600, now);
        let target = link.strip_prefix(&endpoint).unwrap();
        format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n").into_bytes()
    }

    pub(crate) async fn dial(&self) -> Client {
        self.world.dial().await
    }

    /// Waits until nothing is open any more, here and at the provider, and no task is left.
    pub(crate) async fn nothing_is_left(&self) {
        wait(|| self.shelf.open() == 0).await;
        wait(|| self.connection.open_requests() == 0).await;
        wait(|| alive_tasks() == self.tasks).await;
    }
}

pub(crate) fn alive_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// How rights end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Withdrawal {
    /// The key is killed.
    Revocation,
    /// The connection is paused, as a deletion does first.
    Pause,
    /// The connection is removed.
    Removal,
    /// The key's rights are changed: permits are void, and new ones are granted.
    Change,
    /// The key alone is paused.
    KeyPause,
    /// The key is limited to objects that nobody asks for.
    Narrowing,
}

impl Withdrawal {
    pub(crate) const ALL: [Self; 6] = [
        Self::Revocation,
        Self::Pause,
        Self::Removal,
        Self::Change,
        Self::KeyPause,
        Self::Narrowing,
    ];

    pub(crate) fn apply(self, stage: &Stage) {
        self.apply_to(&stage.world.keyring, &stage.key);
    }

    pub(crate) fn apply_to(self, keyring: &Keyring, key: &Key) {
        match self {
            Self::Revocation => assert!(keyring.remove_key(&key.access_key_id)),
            Self::Pause => keyring
                .pause(VAULT, bascule_gateway::PausedBy::User)
                .unwrap(),
            Self::Removal => assert!(keyring.remove_connection(VAULT)),
            Self::Change => keyring
                .change_key(Key {
                    generation: key.generation + 1,
                    ..key.clone()
                })
                .unwrap(),
            Self::KeyPause => keyring
                .change_key(Transition::new(key, key.paused()).then)
                .unwrap(),
            Self::Narrowing => {
                let mut narrow = key.clone();
                narrow.scope.prefixes = vec!["elsewhere/".parse().unwrap()];
                keyring
                    .change_key(Transition::new(key, narrow).then)
                    .unwrap();
            }
        }
    }
}

/// Waits until a number has stopped moving: whatever is behind it has stalled.
pub(crate) async fn stalled(number: impl Fn() -> usize) {
    let still = async {
        let (mut last, mut same) = (number(), 0);
        while same < 50 || last == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = number();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    };
    tokio::time::timeout(PATIENCE, still)
        .await
        .expect("it never stalled");
}
