//! Lists and shows deletions, and passes on what is asked of those under way.

use bascule_domain::{
    audit::Asked,
    deletion::{Deletion, Findings},
    ids::DeletionId,
};

use super::{
    App,
    delete::{NotDone, Wanted},
    error::{Error, Kind, Result},
};

impl App {
    /// All that are remembered, the latest first.
    pub(crate) fn deletions(&self) -> Vec<Deletion> {
        self.deletions.all()
    }

    pub(crate) fn deletion(&self, id: DeletionId) -> Result<(Deletion, Option<Findings>)> {
        self.deletions.get(id).ok_or_else(|| no_deletion(id))
    }

    /// Asks something of a deletion that is under way.
    pub(crate) async fn ask_deletion(
        &self,
        by: Asked,
        id: DeletionId,
        wanted: Wanted,
    ) -> Result<Deletion> {
        let outcome = self.deletions.ask(id, wanted, by).await;
        let outcome = outcome.ok_or_else(|| no_deletion(id))?;
        outcome.map_err(|refused| not_done(id, &refused))
    }
}

fn not_done(id: DeletionId, refused: &NotDone) -> Error {
    let kind = match refused {
        NotDone::Refused(_) => Kind::Refused,
        NotDone::Failed(_) => Kind::Storage,
        NotDone::NoDriver => Kind::Stopping,
    };
    Error::new(kind, refused.to_string()).next(format!("bascule deletion show {id}"))
}

pub(super) fn no_deletion(id: DeletionId) -> Error {
    Error::new(Kind::NotFound, format!("there is no deletion {id}")).next("bascule deletion list")
}
