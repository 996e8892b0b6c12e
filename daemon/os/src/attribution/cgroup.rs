//! Pure: what `/proc/PID/cgroup` says about unit and container, read from the top, as systemd
//! itself does: what a user makes below a group of their own can't name a unit of the system's.

use super::Unit;

/// Where a process belongs. Both are absent for a process that neither systemd nor a container
/// runtime has put anywhere.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) unit: Option<Unit>,
    pub(crate) container: Option<String>,
}

/// Reads the file. systemd's own hierarchy goes first, then version 2; controllers of version 1
/// are asked last, because a container runtime may use nothing else.
pub(crate) fn place(text: &str) -> Place {
    let rank = |line: &str| match line.split(':').nth(1) {
        Some("name=systemd") => 0,
        Some("") => 1,
        _ => 2,
    };
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_by_key(|line| rank(line));
    lines
        .iter()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .map(of_path)
        .find(|place| *place != Place::default())
        .unwrap_or_default()
}

fn of_path(path: &str) -> Place {
    let mut place = Place::default();
    let mut user = None;
    let mut above = "";
    let mut parts = path.split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(raw) = parts.next() {
        // systemd puts `_` before a name that the kernel could take for a file of its own.
        let part = raw.strip_prefix('_').unwrap_or(raw);
        let begins = place.unit.is_none();
        if let Some(id) = container(above, part) {
            place.container = Some(id);
            break;
        } else if let Some(machine) = machine(part, parts.peek().copied()) {
            place.container = Some(machine);
            (place.unit, user) = (None, None);
        } else if part == "payload" {
            // Of a machine: here another systemd begins.
            (place.unit, user) = (None, None);
        } else if begins && is_unit(part, ".slice") {
            // Units are in slices; a slice says nothing about who runs.
        } else if let Some(uid) = user_manager(part).filter(|_| begins && user.is_none()) {
            user = Some(uid);
        } else if begins && UNITS.iter().any(|kind| is_unit(part, kind)) {
            place.unit = Some(Unit {
                name: part.to_owned(),
                user,
            });
        } else if begins && !RUNTIMES.iter().any(|runtime| part.starts_with(runtime)) {
            break;
        }
        above = part;
    }
    if let (Some(uid), None) = (user, &place.unit) {
        // Something that the user's manager did not start below it.
        place.unit = Some(Unit {
            name: format!("user@{uid}.service"),
            user: None,
        });
    }
    place
}

/// Kinds of units that hold processes.
const UNITS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

/// Folders that container runtimes make where systemd does not do it for them.
const RUNTIMES: [&str; 7] = [
    "docker",
    "libpod_parent",
    "kubepods",
    "besteffort",
    "burstable",
    "pod",
    "lxc",
];

/// The longest name that systemd gives a unit.
const LONGEST: usize = 255;

fn is_unit(part: &str, kind: &str) -> bool {
    part.strip_suffix(kind).is_some_and(|stem| {
        !stem.is_empty()
            && part.len() <= LONGEST
            && stem
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
    })
}

fn user_manager(part: &str) -> Option<u32> {
    let uid = part.strip_prefix("user@")?.strip_suffix(".service")?;
    uid.parse().ok()
}

/// `machine-NAME.scope`, or the service of a machine that runs in its payload.
fn machine(part: &str, below: Option<&str>) -> Option<String> {
    let name = match part.strip_prefix("machine-") {
        Some(scope) => scope.strip_suffix(".scope")?,
        None if below == Some("payload") => part
            .strip_prefix("systemd-nspawn@")?
            .strip_suffix(".service")?,
        None => return None,
    };
    is_unit(part, &part[part.rfind('.')?..]).then(|| unescape(name))
}

/// `\x2d` is how systemd writes a character that has another meaning in a unit's name.
fn unescape(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("\\x") {
        text.push_str(&rest[..at]);
        let code = rest.get(at + 2..at + 4);
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte.filter(u8::is_ascii_graphic) {
            Some(byte) => {
                text.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                text.push_str("\\x");
                rest = &rest[at + 2..];
            }
        }
    }
    text + rest
}

fn container(above: &str, part: &str) -> Option<String> {
    // Through systemd: docker-ID.scope, cri-containerd-ID.scope, libpod-payload-ID of a service.
    const PREFIXES: [&str; 6] = [
        "docker-",
        "libpod-payload-",
        "libpod-",
        "cri-containerd-",
        "crio-",
        "nerdctl-",
    ];
    let stem = part.strip_suffix(".scope").unwrap_or(part);
    let id = PREFIXES.iter().find_map(|prefix| stem.strip_prefix(prefix));
    if let Some(id) = id.filter(|id| is_id(id)) {
        return Some(id.to_owned());
    }
    // By the runtime itself: /docker/ID, /kubepods/burstable/podUID/ID.
    if is_id(part) && (above == "docker" || above.starts_with("pod")) {
        return Some(part.to_owned());
    }
    let lxc = part
        .strip_prefix("lxc.payload.")
        .or_else(|| (above == "lxc" || above == "lxc.payload").then_some(part))?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (!lxc.is_empty() && lxc.bytes().all(fits)).then(|| lxc.to_owned())
}

/// The full id of a container.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[track_caller]
    fn check(path: &str, unit: Option<(&str, Option<u32>)>, container: Option<&str>) {
        let path = path.replace("ID", ID);
        let expected = Place {
            unit: unit.map(|(name, user)| Unit {
                name: name.replace("ID", ID),
                user,
            }),
            container: container.map(|text| text.replace("ID", ID)),
        };
        assert_eq!(of_path(&path), expected, "{path}");
        for text in [
            format!("0::{path}\n"),
            format!("12:pids:/\n1:name=systemd:{path}\n0::/\n"),
        ] {
            assert_eq!(place(&text), expected, "{text}");
        }
    }

    #[test]
    fn units_of_the_system_and_of_users_are_named() {
        let system = |name| Some((name, None));
        let user = |name| Some((name, Some(1000)));
        check(
            "/system.slice/backup.service",
            system("backup.service"),
            None,
        );
        check(
            "/system.slice/system-restic.slice/restic@home.service",
            system("restic@home.service"),
            None,
        );
        check("/init.scope", system("init.scope"), None);
        check(
            "/system.slice/_cgroup.service",
            system("cgroup.service"),
            None,
        );
        check(
            "/system.slice/foo.service/control",
            system("foo.service"),
            None,
        );
        check(
            "/user.slice/user-1000.slice/session-4.scope",
            system("session-4.scope"),
            None,
        );
        let own = "/user.slice/user-1000.slice/user@1000.service";
        check(own, system("user@1000.service"), None);
        for (below, name) in [
            ("app.slice/rclone-mount.service", "rclone-mount.service"),
            (
                "app.slice/app-rclone.slice/rclone@r2.service",
                "rclone@r2.service",
            ),
            (
                "app.slice/app-org.gnome.Terminal-42.scope",
                "app-org.gnome.Terminal-42.scope",
            ),
            ("init.scope", "init.scope"),
        ] {
            check(&format!("{own}/{below}"), user(name), None);
        }
    }

    #[test]
    fn containers_and_machines_are_named() {
        let service = Some(("backup.service", None));
        for path in [
            "/system.slice/docker-ID.scope",
            "/docker/ID",
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
            "/machine.slice/libpod-ID.scope",
            "/libpod_parent/libpod-ID",
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-ID.scope",
            "/kubepods/burstable/pod0f-12/ID",
        ] {
            let place = of_path(&path.replace("ID", ID));
            assert_eq!(place.container.as_deref(), Some(ID), "{path}");
        }
        check("/system.slice/docker-ID.scope", None, Some("ID"));
        check(
            "/system.slice/backup.service/libpod-payload-ID",
            service,
            Some("ID"),
        );
        check("/lxc/web", None, Some("web"));
        check("/lxc.payload.web/system.slice/x.service", None, Some("web"));
        check(
            "/machine.slice/machine-my\\x2dbox.scope/payload/system.slice/backup.service",
            service,
            Some("my-box"),
        );
        check(
            "/machine.slice/machine-box.scope/system.slice/backup.service",
            service,
            Some("box"),
        );
        check(
            "/machine.slice/systemd-nspawn@box.service/payload/system.slice/backup.service",
            service,
            Some("box"),
        );
        check(
            "/machine.slice/systemd-nspawn@box.service/supervisor",
            Some(("systemd-nspawn@box.service", None)),
            None,
        );
        check(
            "/system.slice/box.service/payload/system.slice/backup.service",
            service,
            None,
        );
    }

    #[test]
    fn what_is_neither_is_not_guessed() {
        for path in [
            "/",
            "",
            "/../system.slice/backup.service",
            "/user/1000/sshd.service",
            "/system.slice",
            "/system.slice/docker-abc",
            "/system.slice/a b.service",
            "/docker/short",
            "/0123",
            "/.service",
        ] {
            check(path, None, None);
        }
        // What a user makes below their manager is no unit of the system's.
        check(
            "/user.slice/user-1000.slice/user@1000.service/own/system.slice/sshd.service",
            Some(("user@1000.service", None)),
            None,
        );
        assert_eq!(place("nonsense\n::\n0:\n"), Place::default());
    }
}
