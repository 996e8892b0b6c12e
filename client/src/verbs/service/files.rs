//! The files of a service, as text: the ones in `packaging/` with this installation's paths in them.
//! It must never read or write a file.

use std::{net::SocketAddr, path::Path};

/// Whose service it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The calling user's.
    User,
    /// The machine's, which runs as a user of its own.
    System,
}

impl Scope {
    /// The command that sets it up.
    pub(super) const fn install(self) -> &'static str {
        match self {
            Self::User => "bascule service install",
            Self::System => "sudo bascule service install --system",
        }
    }
}

/// A file that a service consists of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnitFile {
    /// Below the folder of units.
    pub(super) name: &'static str,
    pub(super) text: String,
}

/// The units, that which is started by the others last.
pub(super) const UNITS: [&str; 3] = ["bascule.socket", GATEWAY_UNIT, SERVICE_UNIT];
/// Those of them that are sockets.
pub(super) const SOCKETS: [&str; 2] = ["bascule.socket", GATEWAY_UNIT];
pub(super) const SERVICE_UNIT: &str = "bascule.service";
pub(super) const GATEWAY_UNIT: &str = "bascule-gateway.socket";
/// What lets a system's daemon look into everything.
pub(super) const WHOLE_MACHINE: &str = "bascule.service.d/whole-machine.conf";
/// The user that the system's daemon runs as, for systemd-sysusers.
pub(super) const SYSUSERS: &str =
    include_str!("../../../../packaging/systemd/system/sysusers.conf");

/// Where the packaged files expect the daemon and put the gateway.
const PROGRAM: &str = "ExecStart=/usr/bin/basculed";
const CLIENT: &str = "ExecReload=/usr/bin/bascule ";
const ADDRESS: &str = "ListenStream=127.0.0.1:8642";

/// What the units are made of.
pub(super) struct Plan<'a> {
    pub(super) scope: Scope,
    /// The daemon's; absolute.
    pub(super) program: &'a Path,
    /// This one, which reloads the daemon; absolute.
    pub(super) client: &'a Path,
    pub(super) gateway: SocketAddr,
    /// Set for the daemon, beyond what the manager sets.
    pub(super) environment: &'a [(String, String)],
    pub(super) whole_machine: bool,
}

/// The units of systemd.
pub(super) fn units(plan: &Plan<'_>) -> Vec<UnitFile> {
    let [socket, gateway, service] = match plan.scope {
        Scope::User => [
            include_str!("../../../../packaging/systemd/user/bascule.socket"),
            include_str!("../../../../packaging/systemd/user/bascule-gateway.socket"),
            include_str!("../../../../packaging/systemd/user/bascule.service"),
        ],
        Scope::System => [
            include_str!("../../../../packaging/systemd/system/bascule.socket"),
            include_str!("../../../../packaging/systemd/system/bascule-gateway.socket"),
            include_str!("../../../../packaging/systemd/system/bascule.service"),
        ],
    };
    // Variables are expanded in command lines only.
    let command = |program: &Path| quoted(&program.to_string_lossy().replace('$', "$$"));
    let mut start = format!("ExecStart={}", command(plan.program));
    let reload = format!("ExecReload={} ", command(plan.client));
    for (name, value) in plan.environment {
        start.push_str(&format!(
            "\nEnvironment={}",
            quoted(&format!("{name}={value}"))
        ));
    }
    let listen = format!("ListenStream={}", plan.gateway);
    let texts = [
        socket.to_owned(),
        gateway.replace(ADDRESS, &listen),
        service.replace(PROGRAM, &start).replace(CLIENT, &reload),
    ];
    let mut files: Vec<_> = UNITS
        .into_iter()
        .zip(texts)
        .map(|(name, text)| UnitFile { name, text })
        .collect();
    if plan.whole_machine {
        files.push(UnitFile {
            name: WHOLE_MACHINE,
            text: include_str!("../../../../packaging/systemd/system/whole-machine.conf")
                .to_owned(),
        });
    }
    files
}

/// The gateway's address in a unit that was written before.
pub(super) fn address_in(unit: &str) -> Option<SocketAddr> {
    let stated = |line: &str| line.strip_prefix("ListenStream=")?.trim().parse().ok();
    unit.lines().find_map(stated)
}

/// One word of a unit's setting (systemd.syntax(7)): specifiers stay text.
fn quoted(word: &str) -> String {
    let mut safe = String::with_capacity(word.len() + 2);
    for c in word.chars() {
        match c {
            '%' => safe.push_str("%%"),
            '"' | '\\' => safe.extend(['\\', c]),
            '\n' => safe.push_str("\\n"),
            c => safe.push(c),
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=%:@,".contains(c);
    if safe.chars().all(plain) {
        safe
    } else {
        format!("\"{safe}\"")
    }
}

/// The label of the job that launchd runs.
pub(super) const LABEL: &str = "org.bascule.basculed";

/// The property list of launchd.
pub(super) fn property_list(plan: &Plan<'_>, log: &Path) -> String {
    let packaged = match plan.scope {
        Scope::User => include_str!("../../../../packaging/launchd/agent.plist"),
        Scope::System => include_str!("../../../../packaging/launchd/daemon.plist"),
    };
    let mut environment = String::new();
    for (name, value) in plan.environment {
        environment.push_str(&format!(
            "\n    <key>{}</key>\n    <string>{}</string>",
            xml(name),
            xml(value)
        ));
    }
    let variables = "<key>EnvironmentVariables</key>\n  <dict>";
    packaged
        .replace(
            "/usr/local/bin/basculed",
            &xml(&plan.program.to_string_lossy()),
        )
        .replace(
            "/usr/local/var/log/bascule.log",
            &xml(&log.to_string_lossy()),
        )
        .replace(variables, &format!("{variables}{environment}"))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use bascule_formats::{Leaf, Step, Structure, leaves};

    use super::*;

    fn plan<'a>(scope: Scope, program: &'a Path, environment: &'a [(String, String)]) -> Plan<'a> {
        Plan {
            scope,
            program,
            client: Path::new("/usr/bin/bascule"),
            gateway: "127.0.0.1:9000".parse().unwrap(),
            environment,
            whole_machine: false,
        }
    }

    #[test]
    fn units_name_this_installation_and_its_address() {
        for scope in [Scope::User, Scope::System] {
            let files = units(&plan(scope, Path::new("/opt/my apps/100%/basculed"), &[]));
            let [socket, gateway, service] = &files[..] else {
                panic!("{files:?}")
            };
            assert!(socket.text.contains("FileDescriptorName=control"));
            assert!(gateway.text.contains("\nListenStream=127.0.0.1:9000\n"));
            assert_eq!(
                address_in(&gateway.text),
                Some("127.0.0.1:9000".parse().unwrap())
            );
            let start = "\nExecStart=\"/opt/my apps/100%%/basculed\"\n";
            assert!(service.text.contains(start), "{}", service.text);
            let plan = Plan {
                client: Path::new("/opt/my apps/bascule"),
                ..plan(scope, Path::new("/b"), &[])
            };
            let reload =
                "\nExecReload=\"/opt/my apps/bascule\" --socket %t/bascule/bascule.sock reload\n";
            let service = &units(&plan)[2];
            assert!(service.text.contains(reload), "{}", service.text);
        }
    }

    #[test]
    fn what_is_packaged_is_what_is_written_for_the_packaged_program() {
        let program = Path::new("/usr/bin/basculed");
        let plan = Plan {
            gateway: "127.0.0.1:8642".parse().unwrap(),
            ..plan(Scope::System, program, &[])
        };
        let service = &units(&plan)[2];
        let packaged = include_str!("../../../../packaging/systemd/system/bascule.service");
        assert_eq!(service.text, packaged);
    }

    #[test]
    fn the_environment_is_set_as_it_is() {
        let environment = [("XDG_STATE_HOME".to_owned(), "/a \"b\" $c".to_owned())];
        let files = units(&plan(Scope::User, Path::new("/b"), &environment));
        let line = "\nEnvironment=\"XDG_STATE_HOME=/a \\\"b\\\" $c\"\n";
        assert!(files[2].text.contains(line), "{}", files[2].text);
    }

    #[test]
    fn the_whole_machine_is_looked_at_only_when_that_was_asked_for() {
        let mut plan = plan(Scope::System, Path::new("/b"), &[]);
        assert!(
            !units(&plan)
                .iter()
                .any(|file| file.text.contains("CAP_SYS_PTRACE"))
        );
        plan.whole_machine = true;
        assert!(units(&plan)[3].text.contains("CAP_SYS_PTRACE"));
    }

    #[test]
    fn property_lists_are_sound_and_ask_launchd_for_what_units_ask_systemd_for() {
        for (scope, arguments) in [(Scope::User, 1), (Scope::System, 5)] {
            let text = property_list(&plan(scope, Path::new("/b/basculed"), &[]), Path::new("/l"));
            let leaves = leaves(&text, Structure::Plist).unwrap();
            let value = |path: &[&str]| {
                let named = |step: &Step<'_>| match step {
                    Step::Name(name) => name.to_string(),
                    Step::Index(number) => number.to_string(),
                };
                let at = |leaf: &&Leaf<'_>| leaf.path.iter().map(named).eq(path.iter().copied());
                leaves.iter().find(at).map(|leaf| leaf.value.to_string())
            };
            assert_eq!(value(&["Label"]).as_deref(), Some(LABEL));
            assert_eq!(
                value(&["ProgramArguments", "0"]).as_deref(),
                Some("/b/basculed")
            );
            let given = leaves.iter().filter(|leaf| leaf.path.len() == 2);
            let given = given.filter(|leaf| leaf.path[0] == Step::Name("ProgramArguments".into()));
            assert_eq!(given.count(), arguments);
            // Longer than the daemon waits for open requests, and no core that holds secrets.
            assert_eq!(value(&["ExitTimeOut"]).as_deref(), Some("330"));
            assert_eq!(value(&["HardResourceLimits", "Core"]).as_deref(), Some("0"));
            // 077: property lists have no octal numbers.
            assert_eq!(value(&["Umask"]).as_deref(), Some("63"));
            assert_eq!(value(&["ThrottleInterval"]).as_deref(), Some("10"));
            assert_eq!(value(&["StandardErrorPath"]).as_deref(), Some("/l"));
        }
    }

    #[test]
    fn property_lists_are_filled_in_and_escaped() {
        let environment = [("HOME".to_owned(), "/a<b".to_owned())];
        for scope in [Scope::User, Scope::System] {
            let plan = plan(scope, Path::new("/opt/a&b/basculed"), &environment);
            let text = property_list(&plan, Path::new("/log/x.log"));
            assert!(
                text.contains("<string>/opt/a&amp;b/basculed</string>"),
                "{text}"
            );
            assert!(text.contains("<string>/a&lt;b</string>"), "{text}");
            assert!(text.contains("<string>/log/x.log</string>"), "{text}");
        }
    }
}
