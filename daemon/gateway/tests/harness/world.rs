//! A gateway on a port of its own, with one connection and one key.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bascule_domain::{
    Timestamp,
    access_key::AccessKeyId,
    connection::Buckets,
    endpoint::{Addressing, Region},
    ids::{ConnectionId, KeyId},
    key::{Key, KeyKind, KeyState, Origin, Permission, Scope},
    limits::Limits,
    operation::Action,
    secret::{Credentials, SecretKey},
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::{
    Admission, Alarm, Clock, ConnectionSpec, DeadKeys, Ends, Exchange, FindingSink, Gateway,
    Keyring, Knock, Outcome, Reason, Settings, Upstream, UpstreamAccess, UsageSink, Visit, Visitor,
    Workers,
};
use bascule_sigv4::{Payload, Service, Signer, encode_path, encode_query};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Client, Reply},
    provider::{Provider, Script},
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const CONNECTION: ConnectionId = ConnectionId::from_random([2; 10]);
pub(crate) const SECRET: &str = "issuedsecretissuedsecretissuedsecret1234";

type Hook = Box<dyn FnOnce() + Send>;

/// A clock that stands still, and can do something when it is asked for the nth time.
pub(crate) struct TestClock {
    pub(crate) now: Mutex<Timestamp>,
    pub(crate) hook: Mutex<Option<(usize, Hook)>>,
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let due = {
            let mut hook = self.hook.lock().unwrap();
            match &mut *hook {
                Some((0, _)) => hook.take(),
                Some((left, _)) => {
                    *left -= 1;
                    None
                }
                None => None,
            }
        };
        if let Some((_, run)) = due {
            run();
        }
        *self.now.lock().unwrap()
    }
}

impl Alarm for TestClock {
    async fn until(&self, due: Option<Timestamp>) {
        let now = || *self.now.lock().unwrap();
        let before = now();
        while now() == before && due.is_none_or(|due| now() < due) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
}

#[derive(Default)]
pub(crate) struct Graves(pub(crate) Mutex<Vec<(AccessKeyId, Tombstone)>>);

impl DeadKeys for Graves {
    fn find(&self, id: &AccessKeyId) -> Option<Tombstone> {
        let graves = self.0.lock().unwrap();
        graves
            .iter()
            .find(|(dead, _)| dead == id)
            .map(|(_, stone)| stone.clone())
    }
}

#[derive(Default)]
pub(crate) struct Meter {
    /// Exchanges: action, outcome, bytes in and out.
    pub(crate) exchanges: Mutex<Vec<(&'static str, Outcome, u64, u64)>>,
    /// What visitors were told, a line each.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
}

/// Writes down what it is told.
struct Scribe(Arc<Mutex<Vec<String>>>);

impl Scribe {
    fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Visitor for Scribe {
    fn names(&self, _: KeyId, _: ConnectionId, user_agent: &[u8], _: IpAddr) -> Arc<dyn Visit> {
        self.note(format!("names {}", String::from_utf8_lossy(user_agent)));
        Arc::new(Self(Arc::clone(&self.0)))
    }
}

impl Visit for Scribe {
    fn used(&self, _: Timestamp) {
        self.note("used".into());
    }

    fn answered(&self, action: Option<Action>) {
        self.note(format!("answered {}", action.map_or("", Action::name)));
    }

    fn refused(&self, reason: Reason) {
        self.note(format!("refused {reason}"));
    }

    fn moved(&self, action: Action, received: u64, sent: u64) {
        self.note(format!("moved {} {received} {sent}", action.name()));
    }
}

impl UsageSink for Meter {
    fn connected(&self, ends: &Ends) -> Option<Box<dyn Visitor>> {
        assert!(ends.open.strong_count() > 0);
        let scribe = Scribe(Arc::clone(&self.told));
        scribe.note(format!("connected {}", ends.peer.ip()));
        Some(Box::new(scribe))
    }

    fn began(&self, exchange: &Exchange<'_>) {
        self.ended(exchange);
    }

    fn ended(&self, exchange: &Exchange<'_>) {
        self.exchanges.lock().unwrap().push((
            exchange.action.name(),
            exchange.outcome,
            exchange.bytes_in,
            exchange.bytes_out,
        ));
    }
}

/// Refusals that became findings: reason, label, peer and user agent.
#[derive(Default)]
pub(crate) struct Knocks(pub(crate) Mutex<Vec<(Reason, String, IpAddr, String)>>);

impl FindingSink for Knocks {
    fn knock(&self, knock: &Knock<'_>) -> String {
        let mut knocks = self.0.lock().unwrap();
        knocks.push((
            knock.reason,
            knock.label.to_string(),
            knock.peer,
            String::from_utf8_lossy(knock.user_agent).into_owned(),
        ));
        format!("F{}", knocks.len())
    }
}

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) graves: Arc<Graves>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) knocks: Arc<Knocks>,
    pub(crate) credentials: Credentials,
    pub(crate) shutdown: CancellationToken,
}

pub(crate) fn key(number: u8, permission: Permission) -> Key {
    Key {
        id: KeyId::from_random([number; 10]),
        access_key_id: AccessKeyId::issue([number; 15]),
        connection: CONNECTION,
        kind: KeyKind::Gateway,
        origin: Origin::Issued,
        label: "laptop".parse().unwrap(),
        permission,
        scope: Scope::default(),
        expires_at: None,
        state: KeyState::Active,
        generation: 1,
        predecessor: None,
        successor: None,
        issued_at: Timestamp::UNIX_EPOCH,
    }
}

pub(crate) fn access(id: &str, generation: u64) -> UpstreamAccess {
    UpstreamAccess {
        credentials: Credentials {
            access_key_id: id.parse().unwrap(),
            secret: SecretKey::parse("providersecret").unwrap(),
        },
        region: Region::try_from("us-east-1".to_owned()).unwrap(),
        addressing: Addressing::Path,
        tls: false,
        authority: "provider.test:9000".into(),
        honours_conditions: false,
        generation,
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(key(1, Permission::ReadWrite), Settings::default()).await
    }

    pub(crate) async fn with(key: Key, settings: Settings) -> Self {
        Self::listening(([127, 0, 0, 1], 0).into(), key, settings).await
    }

    pub(crate) async fn listening(listen: SocketAddr, key: Key, settings: Settings) -> Self {
        Self::start(listen, None, key, settings).await
    }

    /// On threads of their own, as in the daemon.
    pub(crate) async fn served_by(workers: &Workers, key: Key, settings: Settings) -> Self {
        Self::start(([127, 0, 0, 1], 0).into(), Some(workers), key, settings).await
    }

    async fn start(
        listen: SocketAddr,
        workers: Option<&Workers>,
        key: Key,
        settings: Settings,
    ) -> Self {
        let keyring = Arc::new(Keyring::new());
        let provider = Arc::new(Provider::default());
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let clock = Arc::new(TestClock {
            now: Mutex::new(now),
            hook: Mutex::default(),
        });
        let graves = Arc::new(Graves::default());
        let meter = Arc::new(Meter::default());
        let knocks = Arc::new(Knocks::default());
        let buckets = vec!["photos".parse().unwrap(), "music".parse().unwrap()];
        keyring
            .add_connection(ConnectionSpec {
                id: CONNECTION,
                name: "vault".parse().unwrap(),
                buckets: Buckets::try_from(buckets).unwrap(),
                created_at: now,
                access: access("PROVIDERKEY", 1),
                upstream: Arc::clone(&provider) as Arc<dyn Upstream>,
                admission: Admission::Open,
                limits: Limits::default(),
            })
            .unwrap();
        let secret = SecretKey::parse(SECRET).unwrap();
        let credentials = Credentials {
            access_key_id: key.access_key_id.clone(),
            secret: secret.clone(),
        };
        keyring.add_key(key, secret).unwrap();
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Gateway::new(
            Arc::clone(&keyring),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&graves) as Arc<dyn DeadKeys>,
            Arc::clone(&meter) as Arc<dyn UsageSink>,
            Arc::clone(&knocks) as Arc<dyn FindingSink>,
            settings,
        );
        let gateway = Arc::new(match workers {
            Some(workers) => gateway.on(workers),
            None => gateway,
        });
        let shutdown = CancellationToken::new();
        tokio::spawn(gateway.serve(listener, shutdown.clone()));
        let (watched, alarm) = (Arc::clone(&keyring), Arc::clone(&clock));
        tokio::spawn(async move { watched.end_keys_in_time(&*alarm, &*alarm).await });
        Self {
            address,
            keyring,
            provider,
            clock,
            graves,
            meter,
            knocks,
            credentials,
            shutdown,
        }
    }

    /// A download of so many bytes, of which the provider sent the beginning and no more.
    pub(crate) async fn downloading(&self, length: u64) -> (Client, mpsc::Sender<Bytes>) {
        let (send, receive) = mpsc::channel(1);
        self.provider.script(
            Script {
                stream: Some(receive),
                ..Script::new(200, "begin")
            }
            .header("content-length", length.to_string()),
        );
        let mut client = self.dial().await;
        client.write(&self.ask("GET", "/photos/a").wire(self)).await;
        assert_eq!(client.reply_head().await.unwrap().status, 200);
        assert_eq!(client.take(5).await.unwrap(), b"begin");
        (client, send)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask {
        Ask {
            method: method.parse().unwrap(),
            path: encode_path(path.as_bytes()),
            query: vec![],
            headers: HeaderMap::new(),
            unsigned: vec![],
            payload: Payload::EMPTY,
            body: vec![],
            host: self.address.to_string(),
        }
    }

    pub(crate) async fn dial(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            read: vec![],
        }
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, ask: &Ask) -> Reply {
        let head = ask.method == Method::HEAD;
        let mut client = self.dial().await;
        client.write(&ask.wire(self)).await;
        client.reply(head).await.expect("an answer")
    }

    /// Kills the key as a revocation does.
    pub(crate) fn revoke(&self) {
        self.bury();
        assert!(self.keyring.remove_key(&self.credentials.access_key_id));
    }

    pub(crate) fn bury(&self) {
        let stone = Tombstone {
            key: KeyId::from_random([1; 10]),
            masked: self.credentials.access_key_id.masked(),
            label: "laptop".parse().unwrap(),
            connection: CONNECTION,
            connection_name: "vault".parse().unwrap(),
            died_at: *self.clock.now.lock().unwrap(),
            cause: CauseOfDeath::Revoked,
        };
        self.graves
            .0
            .lock()
            .unwrap()
            .push((self.credentials.access_key_id.clone(), stone));
    }

    /// Waits until no request is open.
    pub(crate) async fn idle(&self) {
        wait(|| self.keyring.open_requests() == 0).await;
    }
}

/// Waits for a condition that nothing announces.
pub(crate) async fn wait(condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met)
        .await
        .expect("the condition was never met");
}

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// Added after signing.
    pub(crate) unsigned: Vec<(&'static str, String)>,
    pub(crate) payload: Payload,
    pub(crate) body: Vec<u8>,
    pub(crate) host: String,
}

impl Ask {
    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    pub(crate) fn unsigned(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.unsigned.push((name, value.into()));
        self
    }

    pub(crate) fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// A body of unsigned payload.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.payload = Payload::Unsigned;
        let length = self.body.len();
        self.announce(length)
    }

    pub(crate) fn announce(mut self, length: usize) -> Self {
        self.headers.insert("content-length", length.into());
        self
    }

    pub(crate) fn signed(&self, world: &World) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert("host", self.host.parse().unwrap());
        let signer = Signer {
            credentials: &world.credentials,
            region: &Region::try_from("auto".to_owned()).unwrap(),
            service: Service::S3,
        };
        let now = *world.clock.now.lock().unwrap();
        signer.sign(
            &self.method,
            &self.path,
            &encode_query(&self.query),
            &mut headers,
            &self.payload,
            now,
        );
        headers
    }

    pub(crate) fn head(&self, world: &World) -> Vec<u8> {
        let query = encode_query(&self.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut wire =
            format!("{} {}{mark}{query} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        for (name, value) in &self.signed(world) {
            wire.extend_from_slice(name.as_str().as_bytes());
            wire.extend_from_slice(b": ");
            wire.extend_from_slice(value.as_bytes());
            wire.extend_from_slice(b"\r\n");
        }
        for (name, value) in &self.unsigned {
            wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire
    }

    pub(crate) fn wire(&self, world: &World) -> Vec<u8> {
        let mut wire = self.head(world);
        wire.extend_from_slice(&self.body);
        wire
    }
}
