//! What the test binaries of the gateway share: a gateway on a port of its own, a client that
//! writes raw bytes, and a provider in memory that records what reaches it.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each binary uses a part of it"
)]

mod chunks;
mod client;
#[path = "../../../sigv4/tests/common/dice.rs"]
pub(crate) mod dice;
mod forged;
mod provider;
mod refused;
mod world;

pub(crate) use chunks::*;
pub(crate) use client::*;
pub(crate) use dice::*;
pub(crate) use forged::*;
pub(crate) use provider::*;
pub(crate) use refused::*;
pub(crate) use world::*;
