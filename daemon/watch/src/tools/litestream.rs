//! litestream: its configuration, then variables, of which those of the AWS tools stand before its own,
//! then the AWS files (consumers.md 3; replayed with litestream 0.5).

use super::{listed, order::Order};
use crate::{
    catalogue::Catalogue,
    command::Command,
    machine::Machine,
    picture::{Picture, Trail},
};

/// Adds the keys that a run of `litestream` would use.
pub(super) fn uses(command: &Command, machine: &Machine, trail: &Trail, picture: &mut Picture) {
    let Some(row) = Catalogue::builtin().row("litestream") else {
        return;
    };
    let mut order = Order::new(picture);
    order.then(|picture| listed::files(row, command, None, trail, picture));
    let of_aws = command.environment.variable("AWS_ACCESS_KEY_ID").is_some();
    if of_aws {
        order.then(|picture| listed::aws(row, command, machine, trail, picture));
    }
    order.then(|picture| listed::of_variables(row, command, trail, picture));
    if !of_aws {
        order.then(|picture| listed::aws(row, command, machine, trail, picture));
    }
}
