//! Lists, shows and cancels deletions, and lets stopped ones go on.

use bascule_domain::{
    audit::Asked,
    deletion::{Deletion, Findings},
    ids::DeletionId,
};

use super::{
    App,
    delete::NotCancelled,
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

    /// Calls a deletion off while its keys are not dead yet.
    pub(crate) async fn cancel_deletion(&self, by: Asked, id: DeletionId) -> Result<Deletion> {
        let outcome = self
            .deletions
            .cancel(id, by)
            .await
            .ok_or_else(|| no_deletion(id))?;
        outcome.map_err(|refused| not_done(id, &refused))
    }

    /// Lets the countdown of a scream test that a knock stopped begin anew.
    pub(crate) async fn go_on_with_deletion(&self, id: DeletionId) -> Result<Deletion> {
        let outcome = self.deletions.go_on(id).await;
        let outcome = outcome.ok_or_else(|| no_deletion(id))?;
        outcome.map_err(|refused| not_done(id, &refused))
    }
}

fn not_done(id: DeletionId, refused: &NotCancelled) -> Error {
    let kind = match refused {
        NotCancelled::Refused(_) => Kind::Refused,
        NotCancelled::Failed(_) => Kind::Storage,
        NotCancelled::NoDriver => Kind::Stopping,
    };
    Error::new(kind, refused.to_string()).next(format!("bascule deletion show {id}"))
}

pub(super) fn no_deletion(id: DeletionId) -> Error {
    Error::new(Kind::NotFound, format!("there is no deletion {id}")).next("bascule deletion list")
}
