//! A refusal: its status and code, and that nothing reached the provider.

use super::{
    client::Reply,
    world::{Ask, World},
};

/// Sends a request that must be refused with this status and code.
pub(crate) async fn refused(world: &World, ask: &Ask, status: u16, code: &str) -> Reply {
    let reply = world.send(ask).await;
    assert_eq!(
        reply.status,
        status,
        "{} {:?}: {}",
        ask.path,
        ask.query,
        reply.text()
    );
    if ask.method != http::Method::HEAD {
        assert_eq!(
            reply.code(),
            code,
            "{} {:?}: {}",
            ask.path,
            ask.query,
            reply.text()
        );
    }
    assert_eq!(
        world.provider.requests(),
        0,
        "{} {:?} reached the provider",
        ask.path,
        ask.query
    );
    assert!(
        reply
            .headers
            .iter()
            .all(|(name, _)| !name.starts_with("access-control"))
    );
    reply
}
