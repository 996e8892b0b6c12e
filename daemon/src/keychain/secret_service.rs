//! The Secret Service (org.freedesktop.secrets) on the session bus, which GNOME Keyring, KWallet and KeePassXC
//! offer. Secrets pass in a plain session: whoever can listen on this bus can ask for them, too.

use std::{collections::HashMap, time::Duration};

use bascule_store::KeychainError;
use futures_util::StreamExt;
use zbus::{
    Connection, DynamicType, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath,
    OwnedVariant, Variant, fdo, message::Type,
};
use zeroize::Zeroizing;

use super::LABEL;
use crate::session_bus::Bus;

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";
const IS_LOCKED: &str = "org.freedesktop.Secret.Error.IsLocked";
/// What stands for "none" where a path has to be.
const NO_PATH: &str = "/";
/// For one call, which nobody has to be asked about.
const LIMIT: Duration = Duration::from_secs(20);
/// For somebody to type a password.
const PATIENCE: Duration = Duration::from_secs(90);

/// Session, parameters, value, content type.
type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

pub(super) fn ready() -> Result<(), KeychainError> {
    on_the_bus(async |service| service.default_collection().await.map(drop))
}

pub(super) fn read(store: &str) -> Result<Option<Zeroizing<Vec<u8>>>, KeychainError> {
    on_the_bus(async |service| {
        let Some(item) = service.items(store).await?.into_iter().next() else {
            return Ok(None);
        };
        let session = service.session().await?;
        let answer = service.call(&item, ITEM, "GetSecret", &(&session,)).await?;
        let (secret,): (Secret,) = body(&answer)?;
        Ok(Some(Zeroizing::new(secret.2)))
    })
}

pub(super) fn write(store: &str, content: &[u8]) -> Result<(), KeychainError> {
    on_the_bus(async |service| {
        let collection = service.default_collection().await?;
        let session = service.session().await?;
        let attributes = attributes(store);
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(LABEL)),
            (
                "org.freedesktop.Secret.Item.Attributes",
                Variant::new(attributes),
            ),
        ]);
        let none: &[u8] = &[];
        let secret = (&session, none, content, "application/octet-stream");
        // Replaces what has the same attributes.
        let request = (properties, secret, true);
        let answer = service
            .call(&collection, COLLECTION, "CreateItem", &request)
            .await?;
        let (_, prompt): (OwnedObjectPath, OwnedObjectPath) = body(&answer)?;
        service.ask(&prompt).await
    })
}

pub(super) fn remove(store: &str) -> Result<(), KeychainError> {
    on_the_bus(async |service| {
        for item in service.items(store).await? {
            let answer = service.call(&item, ITEM, "Delete", &()).await?;
            let (prompt,): (OwnedObjectPath,) = body(&answer)?;
            service.ask(&prompt).await?;
        }
        Ok(())
    })
}

fn attributes(store: &str) -> HashMap<&str, &str> {
    HashMap::from([
        ("application", "bascule"),
        ("kind", "root-key"),
        ("store", store),
    ])
}

/// Connects, does it, and leaves.
fn on_the_bus<T>(
    errand: impl AsyncFnOnce(&Service) -> Result<T, KeychainError>,
) -> Result<T, KeychainError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| KeychainError::Failed(error.to_string()))?;
    runtime.block_on(async {
        let bus = Bus::find().ok_or_else(|| {
            KeychainError::Unreachable(
                "there is no session bus (DBUS_SESSION_BUS_ADDRESS is not set)".into(),
            )
        })?;
        let connected = tokio::time::timeout(LIMIT, bus.connect()).await;
        let connection = connected
            .map_err(|_| KeychainError::Unreachable("the session bus does not answer".into()))?
            .map_err(|error| {
                KeychainError::Unreachable(format!("the session bus can't be used: {error}"))
            })?;
        let service = Service(connection);
        let done = errand(&service).await;
        // Nobody waits for what a broken bus says to that.
        let _ = tokio::time::timeout(LIMIT, service.0.close()).await;
        done
    })
}

struct Service(Connection);

impl Service {
    async fn call<B: serde::Serialize + DynamicType>(
        &self,
        path: &str,
        interface: &str,
        method: &str,
        request: &B,
    ) -> Result<Message, KeychainError> {
        let call = self
            .0
            .call_method(Some(NAME), path, Some(interface), method, request);
        match tokio::time::timeout(LIMIT, call).await {
            Ok(answer) => answer.map_err(|error| told(&error)),
            Err(_) => Err(KeychainError::Failed(format!(
                "{method} was not answered within {} seconds",
                LIMIT.as_secs()
            ))),
        }
    }

    /// A plain session.
    async fn session(&self) -> Result<OwnedObjectPath, KeychainError> {
        let request = ("plain", Variant::from(""));
        let answer = self.call(PATH, SERVICE, "OpenSession", &request).await?;
        let (_, session): (OwnedVariant, OwnedObjectPath) = body(&answer)?;
        Ok(session)
    }

    /// Where entries are made, unlocked.
    async fn default_collection(&self) -> Result<OwnedObjectPath, KeychainError> {
        let answer = self.call(PATH, SERVICE, "ReadAlias", &("default",)).await?;
        let (collection,): (OwnedObjectPath,) = body(&answer)?;
        if collection.as_str() == NO_PATH {
            return Err(KeychainError::Unreachable(
                "it has no default keyring; make one with your desktop's password manager".into(),
            ));
        }
        self.unlock(std::slice::from_ref(&collection)).await?;
        Ok(collection)
    }

    /// The entries of a store, unlocked. There is one, unless somebody copied it.
    async fn items(&self, store: &str) -> Result<Vec<OwnedObjectPath>, KeychainError> {
        let answer = self
            .call(PATH, SERVICE, "SearchItems", &(attributes(store),))
            .await?;
        let (mut items, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) = body(&answer)?;
        self.unlock(&locked).await?;
        items.extend(locked);
        Ok(items)
    }

    /// Unlocks, which may ask the user.
    async fn unlock(&self, wanted: &[OwnedObjectPath]) -> Result<(), KeychainError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let answer = self.call(PATH, SERVICE, "Unlock", &(wanted,)).await?;
        let (_, prompt): (Vec<OwnedObjectPath>, OwnedObjectPath) = body(&answer)?;
        self.ask(&prompt).await
    }

    /// Has a prompt shown, if there is one, and waits for what the user says.
    async fn ask(&self, prompt: &ObjectPath<'_>) -> Result<(), KeychainError> {
        if prompt.as_str() == NO_PATH {
            return Ok(());
        }
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(PROMPT)
            .member("Completed")
            .path(prompt.as_str())
            .build()
            .map_err(|error| told(&error))?;
        // Before it is shown, so that its end is not missed.
        let mut ends = MessageStream::for_match_rule(rule, &self.0, None)
            .await
            .map_err(|error| told(&error))?;
        self.call(prompt.as_str(), PROMPT, "Prompt", &("",)).await?;
        let locked = |why: &str| Err(KeychainError::Locked(why.into()));
        match tokio::time::timeout(PATIENCE, ends.next()).await {
            Ok(Some(Ok(end))) => {
                let (dismissed, _): (bool, OwnedVariant) = body(&end)?;
                match dismissed {
                    true => locked("nobody unlocked it when it asked"),
                    false => Ok(()),
                }
            }
            Ok(_) => locked("the session bus closed while it asked"),
            Err(_) => locked("nobody answered when it asked"),
        }
    }
}

fn body<T>(message: &Message) -> Result<T, KeychainError>
where
    T: serde::de::DeserializeOwned + zbus::Type,
{
    message
        .body()
        .deserialize()
        .map_err(|error| KeychainError::Failed(format!("it answers in another form: {error}")))
}

fn told(error: &zbus::Error) -> KeychainError {
    match error {
        zbus::Error::FDO(inner)
            if matches!(
                **inner,
                fdo::Error::ServiceUnknown(_)
                    | fdo::Error::NameHasNoOwner(_)
                    | fdo::Error::SpawnExecFailed(_)
                    | fdo::Error::SpawnChildExited(_)
            ) =>
        {
            KeychainError::Unreachable(
                "no program on the session bus keeps secrets (org.freedesktop.secrets)".into(),
            )
        }
        zbus::Error::MethodError(name, _, _) if name.as_str() == IS_LOCKED => {
            KeychainError::Locked("it was locked meanwhile".into())
        }
        error => KeychainError::Failed(error.to_string()),
    }
}
