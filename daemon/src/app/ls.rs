//! Browses one level of a connection: its buckets, or what a bucket holds below a prefix. Reads
//! only, through the same witness as the survey.

use bascule_adapters::Browser;
use bascule_domain::names::BucketName;

use super::{
    App,
    error::{Error, Kind, Result},
};

/// What there is to browse.
pub(crate) enum Level {
    Buckets(Vec<BucketName>),
    Objects(Box<Browser>),
}

impl App {
    pub(crate) fn ls(
        &self,
        name: &str,
        bucket: Option<&BucketName>,
        prefix: &str,
    ) -> Result<Level> {
        let entry = self.living(name)?;
        let Some(bucket) = bucket else {
            return Ok(Level::Buckets(
                entry.connection.buckets.iter().cloned().collect(),
            ));
        };
        if !entry.connection.buckets.contains(bucket) {
            return Err(
                Error::new(Kind::NotFound, format!("{name} has no bucket {bucket}"))
                    .next(format!("bascule ls {name}")),
            );
        }
        let storage = self
            .storage(&entry)
            .map_err(|trouble| Error::new(Kind::Provider, trouble))?;
        let witness = storage.witness((*entry.credentials).clone());
        Ok(Level::Objects(Box::new(witness.browse(bucket, prefix))))
    }
}
