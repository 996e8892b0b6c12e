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
/// A credential is bound to this machine: it opens with its own key
/// (/var/lib/systemd/credential.secret) and nowhere else. Before a move there, make a backup with a
/// passphrase, which holds the root key: bascule backup FILE --passphrase-stdin
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

/// The command that moves it. What the machine's service is lent is root's to put and take away.
fn command(to: Place, credential: bool, system: bool) -> String {
    let to = to.word();
    match credential && system {
        true => format!("sudo bascule root-key move {to} --system"),
        false => format!("bascule root-key move {to}"),
    }
}

/// Whether the key's file is in the machine's service's state folder.
fn is_the_machines(file: &str) -> bool {
    std::path::Path::new(file).starts_with(bascule_proto::location::SYSTEM_STATE)
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
    /// A place that could not be asked when the key had left it, and so may still have it.
    left_in: Option<Place>,
    /// The file that holds it; `null` if none does.
    file: Option<String>,
    store: String,
    /// Whether it is the machine's service's.
    #[serde(skip)]
    system: bool,
}

impl Document {
    fn of(at: &v1::RootKey) -> Self {
        let kept_in = Place::of(at.kept_in());
        Self {
            kept_in,
            moving_to: Place::of(at.moving_to()),
            leaving: Place::of(at.leaving()),
            copy: Place::of(at.copy()),
            left_in: Place::of(at.left_in()),
            file: (kept_in == Some(Place::File)).then(|| at.file.clone()),
            store: at.store.clone(),
            system: is_the_machines(&at.file),
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
        let again = |to: Place, place: Place| {
            let credential = [to, place].contains(&Place::Credential);
            command(to, credential, self.system)
        };
        if let Some(to) = self.moving_to {
            let from = self.kept_in.unwrap_or(to);
            warn(format!(
                "on its way to the {}; the only copy that counts is in the {}; go on with: {}",
                to.word(),
                from.word(),
                again(to, from)
            ));
        }
        if let Some(from) = self.leaving {
            warn(format!(
                "still to be removed from the {}; go on with: {}",
                from.word(),
                again(Place::File, from)
            ));
        }
        if let Some(left_in) = self.left_in {
            warn(format!(
                "the {} could not be reached when the key had left it, so entry \"Bascule root key\" of store {} may still be in it; once it can be: {}",
                left_in.word(),
                escape(&self.store),
                again(Place::File, left_in)
            ));
        }
        if let (Some(copy), Some(kept_in)) = (self.copy, self.kept_in) {
            let way = match kept_in {
                // What is lent can't be compared with a file before a move has begun.
                Place::Credential => format!(
                    "{}, then: {}",
                    again(Place::File, kept_in),
                    again(kept_in, kept_in)
                ),
                _ => again(kept_in, copy),
            };
            warn(format!(
                "there is a copy that nobody needs ({}); remove it with: {way}",
                copy.word(),
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
        let store =
            credential::Store::of_service(wish.system, daemon(&client).await?, &before.store)
                .await?;
        store.check_removable()?;
        ask(&client, wish.to, &reason).await?;
        for left in store.remove().await? {
            context.output.status(&format!(
                "{} {} is left: it can't be read, or is not this store's root key",
                styled(WARN, "note:"),
                escape(&left.display().to_string())
            ));
        }
        store.restart().await?;
        return show(&context.client().await?).await;
    }
    if before.kept_in() == RootKeyPlace::Credential && before.copy() == RootKeyPlace::Unspecified {
        return Ok(before);
    }
    if before.kept_in() == RootKeyPlace::Credential {
        let system = is_the_machines(&before.file);
        return Err(Error::new(
            Kind::Refused,
            format!(
                "the credential is used, and {} is there as well",
                before.file
            ),
        )
        .next(format!(
            "{}, then: {}",
            command(Place::File, true, system),
            command(Place::Credential, true, system)
        )));
    }
    let store =
        credential::Store::of_service(wish.system, daemon(&client).await?, &before.store).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_under_way_names_the_place_that_has_the_only_copy() {
        let text = Document::of(&v1::RootKey {
            kept_in: RootKeyPlace::Keychain.into(),
            moving_to: RootKeyPlace::File.into(),
            ..v1::RootKey::default()
        })
        .text();
        let told = "on its way to the file; the only copy that counts is in the keychain; go on with: bascule root-key move file\n";
        assert!(text.contains(told), "{text}");
        assert!(!text.contains("to be removed"), "{text}");
    }

    #[test]
    fn what_is_shown_names_a_move_that_is_not_refused_and_roots_where_it_is_the_machines() {
        let at = |kept_in: RootKeyPlace, copy: RootKeyPlace, file: &str| {
            let at = v1::RootKey {
                kept_in: kept_in.into(),
                copy: copy.into(),
                file: file.to_owned(),
                ..v1::RootKey::default()
            };
            Document::of(&at).text()
        };
        let (file, lent) = (RootKeyPlace::File, RootKeyPlace::Credential);
        let own = at(lent, file, "/home/a/.local/state/bascule/root.key");
        let way = "with: bascule root-key move file, then: bascule root-key move credential\n";
        assert!(own.contains(way), "{own}");
        let machines = at(lent, file, "/var/lib/bascule/root.key");
        let way = "with: sudo bascule root-key move file --system, then: sudo bascule root-key move credential --system\n";
        assert!(machines.contains(way), "{machines}");
        let machines = at(file, lent, "/var/lib/bascule/root.key");
        let way = "with: sudo bascule root-key move file --system\n";
        assert!(machines.contains(way), "{machines}");
    }
}
