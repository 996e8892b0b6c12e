//! A world whose provider is reached through a recorder, so that a test sees what the daemon asks
//! for, and decides what becomes of it.

use std::sync::Arc;

use crate::{minio::Minio, recorder::Recorder, world::World};

/// The name of the connection.
pub const NAME: &str = "photos";

/// A world with one connection, [`NAME`], to one bucket, behind a recorder.
#[derive(Debug)]
pub struct Recorded {
    /// The world. Dropped first.
    pub world: World,
    /// Before its provider. What connecting sent was seen.
    pub recorder: Recorder,
    /// The bucket.
    pub bucket: String,
}

impl Recorded {
    /// A new bucket of the MinIO that the tests of this binary share. `None` when the test is to be
    /// skipped.
    #[must_use]
    pub fn new() -> Option<Self> {
        Some(Self::on(Minio::shared()?, ""))
    }

    /// A new bucket of this MinIO, with settings for the daemon, in TOML.
    #[must_use]
    pub fn on(minio: Arc<Minio>, settings: &str) -> Self {
        let world = World::configured_on(minio, settings);
        let bucket = world.minio.bucket();
        Self::of(world, &bucket)
    }

    /// A bucket that the world's MinIO has.
    #[must_use]
    pub fn of(world: World, bucket: &str) -> Self {
        let (address, minio) = (world.minio.address(), Arc::clone(&world.minio));
        Self::before(world, &address, bucket, minio.credentials())
    }

    /// A bucket of a provider at this address (host and port).
    #[must_use]
    pub fn before(world: World, address: &str, bucket: &str, credentials: (&str, &str)) -> Self {
        let recorder = Recorder::start(address);
        world.connect_at(NAME, &[bucket], &recorder.endpoint(), credentials);
        Self {
            world,
            recorder,
            bucket: bucket.to_owned(),
        }
    }

    /// Puts so many objects into the bucket, called `PREFIX00` and so on, past the recorder.
    #[must_use]
    pub fn with_objects(self, number: usize, prefix: &str) -> Self {
        let s3 = self.world.minio.s3();
        for number in 0..number {
            s3.put(&self.bucket, &format!("{prefix}{number:02}"), "x")
                .expect("an object");
        }
        self
    }

    /// Forgets what was seen so far.
    #[must_use]
    pub fn forgetting(self) -> Self {
        self.recorder.forget();
        self
    }
}
