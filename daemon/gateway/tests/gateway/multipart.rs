//! Upload ids: names that open nothing but the upload they were given for.

use std::sync::Arc;

use bascule_domain::{
    access_key::AccessKeyId,
    connection::Buckets,
    ids::{ConnectionId, KeyId},
    key::Permission,
    secret::{Credentials, SecretKey},
};
use bascule_gateway::{Admission, ConnectionSpec, Upstream};

use crate::harness::{Ask, SECRET, Script, World, access, key};

fn begun(id: &str) -> Script {
    Script::new(
        200,
        format!(
            "<InitiateMultipartUploadResult><Bucket>photos</Bucket><Key>a</Key><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ),
    )
}

fn begin(world: &World, path: &str) -> Ask {
    world.ask("POST", path).query("uploads", "").announce(0)
}

/// Every request that names an upload.
fn uses(world: &World, path: &str, id: &str) -> Vec<Ask> {
    vec![
        world.ask("GET", path).query("uploadId", id),
        world.ask("DELETE", path).query("uploadId", id),
        world
            .ask("PUT", path)
            .query("partNumber", "1")
            .query("uploadId", id)
            .body("part"),
        world
            .ask("PUT", path)
            .query("partNumber", "1")
            .query("uploadId", id)
            .header("x-amz-copy-source", "/photos/b"),
        world
            .ask("POST", path)
            .query("uploadId", id)
            .body("<CompleteMultipartUpload/>"),
    ]
}

/// A second connection to the same provider, and a world whose requests go through it.
fn neighbour(world: &World) -> Credentials {
    let id = ConnectionId::from_random([9; 10]);
    world
        .keyring
        .add_connection(ConnectionSpec {
            id,
            name: "other".parse().unwrap(),
            buckets: Buckets::try_from(vec!["photos".parse().unwrap()]).unwrap(),
            created_at: *world.clock.now.lock().unwrap(),
            access: access("OTHERKEY", 1),
            upstream: Arc::clone(&world.provider) as Arc<dyn Upstream>,
            limits: Default::default(),
            admission: Admission::Open,
        })
        .unwrap();
    let mut second = key(2, Permission::ReadWrite);
    second.id = KeyId::from_random([9; 10]);
    second.connection = id;
    second.access_key_id = AccessKeyId::issue([9; 15]);
    let secret = SecretKey::parse(SECRET).unwrap();
    let credentials = Credentials {
        access_key_id: second.access_key_id.clone(),
        secret: secret.clone(),
    };
    world.keyring.add_key(second, secret).unwrap();
    credentials
}

#[tokio::test]
async fn b2_an_upload_id_opens_only_the_upload_it_was_given_for() {
    let mut world = World::new().await;
    world.provider.script(begun("u&amp;1"));
    let reply = world.send(&begin(&world, "/photos/a")).await;
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("u&amp;1"), "the answer passes");

    let own = world.credentials.clone();
    let other = neighbour(&world);
    for (credentials, path) in [
        (&own, "/photos/b"),
        (&own, "/music/a"),
        (&other, "/photos/a"),
        (&other, "/photos/b"),
    ] {
        world.credentials = credentials.clone();
        for ask in uses(&world, path, "u&1") {
            let reply = world.send(&ask).await;
            let what = format!("{} {path}", ask.method);
            assert_eq!(
                (reply.status, reply.code().as_str()),
                (404, "NoSuchUpload"),
                "{what}"
            );
        }
    }
    assert_eq!(world.provider.requests(), 1, "the victim is unchanged");

    world.credentials = own;
    for ask in uses(&world, "/photos/a", "u&1").into_iter().skip(2) {
        assert_eq!(world.send(&ask).await.status, 200);
    }
    // Completed: the provider knows better now.
    world.credentials = other;
    let before = world.provider.requests();
    world.send(&uses(&world, "/photos/a", "u&1")[0]).await;
    assert_eq!(world.provider.requests(), before + 1);
}

#[tokio::test]
async fn b2_ids_that_were_given_elsewhere_are_the_providers_to_judge() {
    let world = World::new().await;
    for ask in uses(&world, "/photos/a", "made at the provider") {
        assert_eq!(world.send(&ask).await.status, 200);
    }
    assert_eq!(world.provider.requests(), 5);
}

#[tokio::test]
async fn b2_two_providers_may_give_the_same_id() {
    let mut world = World::new().await;
    world.provider.script(begun("1"));
    assert_eq!(world.send(&begin(&world, "/photos/a")).await.status, 200);
    world.provider.script(begun("1"));
    assert_eq!(world.send(&begin(&world, "/photos/b")).await.status, 200);
    let other = neighbour(&world);
    let own = std::mem::replace(&mut world.credentials, other);
    world.provider.script(begun("1"));
    assert_eq!(world.send(&begin(&world, "/photos/c")).await.status, 200);
    let list = |world: &World, path: &str| world.ask("GET", path).query("uploadId", "1");
    assert_eq!(world.send(&list(&world, "/photos/c")).await.status, 200);
    assert_eq!(world.send(&list(&world, "/photos/a")).await.status, 404);
    world.credentials = own;
    assert_eq!(world.send(&list(&world, "/photos/a")).await.status, 200);
    assert_eq!(world.send(&list(&world, "/photos/b")).await.status, 200);
    assert_eq!(world.send(&list(&world, "/photos/c")).await.status, 404);
}
