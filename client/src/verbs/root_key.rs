//! `bascule root-key`: shows where the root key is kept, and moves it. The daemon moves it; what a service
//! manager lends is put there and taken away by `service/credential`.

use bascule_proto::v1::{self, RootKeyPlace};
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{Context, audit::Why, service::credential};
use crate::{
    channel::Client,
    error::{Error, Kind},
    exit::Exit,
    output::text::{GOOD, WARN, escape, styled},
};

/// Show where the root key is kept, or move it
///
/// Every other key hangs on the root key. It is a file in the state folder (0600), an entry of your
/// desktop's keychain, or a credential that systemd lends the service, encrypted where systemd can.
/// A move is safe to be cut off anywhere: the key opens the store before and after, and the old
/// place is emptied last. The key itself stays the same.
///
/// A credential is bound to this machine: it opens with its own key (/var/lib/systemd/credential.secret)
/// and nowhere else. Before a move there, make a backup with a passphrase, which holds the root key:
/// bascule backup FILE --passphrase-stdin
///
/// Examples:
///   bascule root-key show
///   bascule root-key move keychain
///   sudo bascule root-key move credential --system
///   bascule root-key move file
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Where it is, and how it is protected there
    ///
    /// Examples:
    ///   bascule root-key show
    #[command(verbatim_doc_comment)]
    Show,
    /// Move it; to and from a credential the service is started again
    ///
    /// Examples:
    ///   bascule root-key move keychain
    #[command(verbatim_doc_comment)]
    Move(Move),
}

#[derive(Debug, Args)]
struct Move {
    /// Where to
    to: Place,
    /// The credential is the machine's service's, not yours
    #[arg(long)]
    system: bool,
    #[command(flatten)]
    why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    /// A file in the state folder
    File,
    /// The keychain of your desktop: Secret Service, on macOS the Keychain
    Keychain,
    /// A credential of systemd's
    Credential,
}

impl Place {
    const fn of(wire: RootKeyPlace) -> Option<Self> {
        match wire {
            RootKeyPlace::Unspecified => None,
            RootKeyPlace::File => Some(Self::File),
            RootKeyPlace::Keychain => Some(Self::Keychain),
            RootKeyPlace::Credential => Some(Self::Credential),
        }
    }

    const fn wire(self) -> RootKeyPlace {
        match self {
            Self::File => RootKeyPlace::File,
            Self::Keychain => RootKeyPlace::Keychain,
            Self::Credential => RootKeyPlace::Credential,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keychain => "keychain",
            Self::Credential => "credential",
        }
    }
}

#[derive(Debug, Serialize)]
struct Document {
    kept_in: Option<Place>,
    /// Where it is on its way to.
    moving_to: Option<Place>,
    /// The place that is still to be emptied of it.
    leaving: Option<Place>,
    /// Where there is a copy that is not used.
    copy: Option<Place>,
    /// The file that holds it; `null` if none does.
    file: Option<String>,
    store: String,
}

impl Document {
    fn of(at: &v1::RootKey) -> Self {
        let kept_in = Place::of(at.kept_in());
        Self {
            kept_in,
            moving_to: Place::of(at.moving_to()),
            leaving: Place::of(at.leaving()),
            copy: Place::of(at.copy()),
            file: (kept_in == Some(Place::File)).then(|| at.file.clone()),
            store: at.store.clone(),
        }
    }

    fn text(&self) -> String {
        let place = match self.kept_in {
            Some(Place::File) => format!(
                "file  {}\n  whoever can read this file and the state folder can read everything kept\n",
                escape(self.file.as_deref().unwrap_or_default())
            ),
            Some(Place::Keychain) => format!(
                "keychain  entry \"Bascule root key\" of store {}\n  locked with your session; a copy of the state folder opens nothing without it\n",
                escape(&self.store)
            ),
            Some(Place::Credential) => "credential  lent by the service manager\n  a copy of the state folder opens nothing without it\n  bound to this machine: a backup with a passphrase opens elsewhere, too (bascule backup FILE --passphrase-stdin)\n".to_owned(),
            None => "not known to this version\n".to_owned(),
        };
        let mut text = format!("{} {place}", styled(GOOD, "kept in"));
        let mut warn = |words: String| {
            text.push_str(&format!("{} {words}\n", styled(WARN, "note:")));
        };
        if let Some(to) = self.moving_to {
            let to = to.word();
            warn(format!(
                "on its way to the {to}; go on with: bascule root-key move {to}"
            ));
        }
        if let Some(from) = self.leaving {
            warn(format!(
                "still to be removed from the {}; go on with: bascule root-key move file",
                from.word()
            ));
        }
        if let (Some(copy), Some(kept_in)) = (self.copy, self.kept_in) {
            warn(format!(
                "there is a copy that nobody needs ({}); remove it with: bascule root-key move {}",
                copy.word(),
                kept_in.word()
            ));
        }
        text
    }
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let at = match arguments.verb {
        Verb::Show => show(&context.client().await?).await?,
        Verb::Move(wish) => move_to(&wish, context).await?,
    };
    let document = Document::of(&at);
    context.output.result(&document, || document.text())?;
    Ok(match document.moving_to.or(document.leaving) {
        None => Exit::Ok,
        Some(_) => Exit::StepsRemain,
    })
}

async fn show(client: &Client) -> Result<v1::RootKey, Error> {
    let request = v1::ShowRootKeyRequest {};
    Ok(client.system().show_root_key(request).await?.into_inner())
}

async fn ask(client: &Client, to: Place, reason: &str) -> Result<v1::RootKey, Error> {
    let request = v1::MoveRootKeyRequest {
        to: to.wire().into(),
        reason: reason.to_owned(),
    };
    Ok(client.system().move_root_key(request).await?.into_inner())
}

async fn move_to(wish: &Move, context: &Context) -> Result<v1::RootKey, Error> {
    let client = context.client().await?;
    let reason = wish.why.text();
    let before = show(&client).await?;
    let lent =
        [before.kept_in(), before.copy(), before.leaving()].contains(&RootKeyPlace::Credential);
    if wish.to != Place::Credential {
        if !lent {
            return ask(&client, wish.to, &reason).await;
        }
        let store = credential::Store::of_service(wish.system, daemon(&client).await?).await?;
        store.check_removable()?;
        ask(&client, wish.to, &reason).await?;
        store.remove()?;
        store.restart().await?;
        return show(&context.client().await?).await;
    }
    if before.kept_in() == RootKeyPlace::Credential && before.copy() == RootKeyPlace::Unspecified {
        return Ok(before);
    }
    if before.kept_in() == RootKeyPlace::Credential {
        return Err(Error::new(
            Kind::Refused,
            format!(
                "the credential is used, and {} is there as well",
                before.file
            ),
        )
        .next("bascule root-key move file, then: bascule root-key move credential"));
    }
    let store = credential::Store::of_service(wish.system, daemon(&client).await?).await?;
    let waiting = ask(&client, wish.to, &reason).await?;
    let file = std::path::Path::new(&waiting.file);
    if let Err(error) = store.put(file).await {
        ask(&client, Place::File, &reason).await.ok();
        return Err(error);
    }
    if let Err(error) = store.restart().await {
        return Err(give_up(&store, file, context, &reason, error).await);
    }
    let at = show(&context.client().await?).await?;
    if at.kept_in() != RootKeyPlace::Credential {
        return Err(Error::new(
            Kind::Failed,
            "the service was started and was lent no credential that opens the store; the key is still in its file",
        )
        .next("bascule service logs; to give it up: bascule root-key move file"));
    }
    Ok(at)
}

/// Has the key stay in its file, where it still is. Returns why the move failed, with what is left to do.
async fn give_up(
    store: &credential::Store,
    file: &std::path::Path,
    context: &Context,
    reason: &str,
    why: Error,
) -> Error {
    match store.take_back(file).await {
        Ok(true) => {
            if let Ok(client) = context.client().await {
                ask(&client, Place::File, reason).await.ok();
            }
            why
        }
        Ok(false) => Error::new(
            Kind::Failed,
            format!("{why}; the service has taken the credential, so it stays"),
        )
        .next("bascule service logs, then: bascule root-key show"),
        Err(error) => Error::new(
            Kind::Failed,
            format!("{why}; and the credential could not be taken back: {error}"),
        )
        .next("bascule service logs, then: bascule root-key show"),
    }
}

/// The daemon's process.
async fn daemon(client: &Client) -> Result<u32, Error> {
    let request = v1::StatusRequest {};
    Ok(client.system().status(request).await?.into_inner().pid)
}
