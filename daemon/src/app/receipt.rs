//! Hands out receipts.

use bascule_domain::{ids::DeletionId, receipt::Receipt};

use super::{
    App,
    error::{Error, Kind, Result},
};

impl App {
    /// All, the latest first. A receipt exists from the verdict on.
    pub(crate) async fn receipts(&self) -> Result<Vec<Receipt>> {
        let mut receipts = self.stored(bascule_store::Store::receipts).await?;
        receipts.sort_by_key(|receipt| std::cmp::Reverse(receipt.requested_at));
        Ok(receipts)
    }

    pub(crate) async fn receipt(&self, id: DeletionId) -> Result<Receipt> {
        self.stored(move |store| store.receipt(id))
            .await?
            .ok_or_else(|| {
                Error::new(Kind::NotFound, format!("there is no receipt {id}"))
                    .next("bascule receipt list")
            })
    }
}
