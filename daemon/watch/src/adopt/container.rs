//! Whether what runs in a container reaches the gateway: the loopback of this machine is a container's only if
//! it shares the host's network.

use std::path::Path;

use bascule_formats::{Pattern, Structure, leaves};
use zeroize::Zeroizing;

use crate::{
    found::Place,
    picture::{Link, LinkKind, Use},
};

/// The container of a use that has a network of its own, as far as its settings tell.
pub(super) fn cut_off<'u>(
    found: &'u Use,
    read: &dyn Fn(&Path) -> Result<Zeroizing<String>, String>,
) -> Option<&'u str> {
    let mut links = found.chain.iter().rev();
    let container = links.find(|link| link.kind == LinkKind::Container)?;
    let shares = on_command_line(found) || in_settings(container, read);
    (!shares).then_some(&container.name)
}

/// As `docker run` and `podman run` are told.
fn on_command_line(found: &Use) -> bool {
    let commands = found.chain.iter();
    let mut commands = commands.filter(|link| link.kind == LinkKind::Command);
    commands.any(|link| {
        let words: Vec<_> = link.name.split([' ', '=']).collect();
        let told = |pair: &[&str]| matches!(pair[0], "--network" | "--net") && pair[1] == "host";
        words.windows(2).any(told)
    })
}

/// As Compose and Quadlet are told.
fn in_settings(
    container: &Link,
    read: &dyn Fn(&Path) -> Result<Zeroizing<String>, String>,
) -> bool {
    let Some((path, _)) = container.place.as_ref().and_then(Place::file) else {
        return false;
    };
    let Ok(text) = read(path) else { return false };
    let ends = |end: &str| path.extension().is_some_and(|its| its == end);
    if ends("yml") || ends("yaml") {
        return shares_in_compose(&text, &container.name);
    }
    ends("container")
        && text
            .lines()
            .any(|line| line.split_whitespace().collect::<String>() == "Network=host")
}

fn shares_in_compose(text: &str, service: &str) -> bool {
    let (Ok(pattern), Ok(leaves)) = (
        "services.*.network_mode".parse::<Pattern>(),
        leaves::leaves(text, Structure::Yaml),
    ) else {
        return false;
    };
    leaves.iter().any(|leaf| {
        let found = pattern.of(leaf);
        found.is_some_and(|found| found.value == "host" && found.bound.iter().eq([service]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_on_the_hosts_network_reaches_its_loopback() {
        let text = "services:\n  backup:\n    network_mode: host\n  other:\n    image: x\n  none:\n    network_mode: none\n";
        assert!(shares_in_compose(text, "backup"));
        assert!(!shares_in_compose(text, "other"));
        assert!(!shares_in_compose(text, "none"));
        assert!(!shares_in_compose("services: [", "backup"));
    }
}
