//! Each directive of the units that confines the daemon is in effect (J1, systemd#21232): a program that
//! tries what it forbids runs in the daemon's place, in a booted machine, and as a control without the
//! directives, where everything that it tries works.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use bascule_tests::{Machine, machine::Boot, tools};

/// How a directive is shown to be in effect.
#[derive(Clone, Copy)]
enum Shown {
    /// Perl that is true if the thing could be done.
    Tried(&'static str),
    /// A line of `/proc/self/status` or `/proc/self/limits`, and what it says.
    Told(&'static str, &'static str),
    /// What systemd says of the unit in its manager; there is nothing to try, or no right to.
    Loaded(&'static str, &'static str),
}
use Shown::{Loaded, Told, Tried};

/// The lines of a unit that are about its life, and confine nothing.
const LIFE: [&str; 25] = [
    "Type",
    "NotifyAccess",
    "ExecStart",
    "ExecReload",
    "User",
    "Group",
    "StateDirectory",
    "StateDirectoryMode",
    "CacheDirectory",
    "CacheDirectoryMode",
    "ConfigurationDirectory",
    "ConfigurationDirectoryMode",
    "RuntimeDirectory",
    "RuntimeDirectoryMode",
    "RuntimeDirectoryPreserve",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "WatchdogSec",
    "WatchdogSignal",
    "Restart",
    "RestartSec",
    "RestartSteps",
    "RestartMaxDelaySec",
    "RestartPreventExitStatus",
    "LoadCredential",
];

/// By directive. Numbers of system calls are those of x86-64.
const PROBES: [(&str, Shown); 32] = [
    ("UMask", Told("status Umask", "0077")),
    ("NoNewPrivileges", Told("status NoNewPrivs", "1")),
    (
        "CapabilityBoundingSet",
        Told("status CapBnd", "0000000000000000"),
    ),
    (
        "AmbientCapabilities",
        Told("status CapAmb", "0000000000000000"),
    ),
    ("ProtectSystem", Tried("open(my $f, '>', '/usr/probe')")),
    ("ProtectHome", Tried("open(my $f, '>', '/root/probe')")),
    ("PrivateTmp", Tried("-e '/tmp/outside'")),
    ("PrivateDevices", Tried("-e '/dev/probe'")),
    (
        "PrivateMounts",
        Tried("readlink('/proc/self/ns/mnt') eq $ENV{OUTSIDE}"),
    ),
    ("DevicePolicy", Loaded("DevicePolicy", "closed")),
    ("ProtectClock", Loaded("ProtectClock", "yes")),
    (
        "ProtectControlGroups",
        Tried("mkdir('/sys/fs/cgroup/probe')"),
    ),
    // uname keeps what was set, so the same name is set again.
    (
        "ProtectHostname",
        Tried("do { my $n = `uname -n`; chomp $n; syscall(170, $n, length $n) == 0 }"),
    ),
    ("ProtectKernelLogs", Tried("-r '/dev/kmsg'")),
    (
        "ProtectKernelModules",
        Tried("opendir(my $d, '/usr/lib/modules')"),
    ),
    (
        "ProtectKernelTunables",
        Tried("open(my $f, '>', '/proc/sys/kernel/hostname')"),
    ),
    ("ProtectProc", Tried("-e '/proc/1/stat'")),
    // A packet socket.
    (
        "RestrictAddressFamilies",
        Tried("syscall(41, 17, 2, 0) >= 0"),
    ),
    // A user namespace.
    ("RestrictNamespaces", Tried("syscall(272, 0x10000000) == 0")),
    // SCHED_FIFO.
    (
        "RestrictRealtime",
        Tried("do { my $p = pack('i', 1); syscall(144, 0, 1, $p) == 0 }"),
    ),
    (
        "RestrictSUIDSGID",
        Tried(
            "do { my $f = \"$ENV{STATE_DIRECTORY}/suid\"; open(my $h, '>', $f); chmod(04755, $f) == 1 }",
        ),
    ),
    ("RemoveIPC", Loaded("RemoveIPC", "yes")),
    ("KeyringMode", Loaded("KeyringMode", "private")),
    // Addresses that are not drawn by lot.
    ("LockPersonality", Tried("syscall(135, 0x0040000) >= 0")),
    // Memory that can be written to and run.
    (
        "MemoryDenyWriteExecute",
        Tried("syscall(9, 0, 4096, 7, 0x22, -1, 0) > 0"),
    ),
    (
        "SystemCallArchitectures",
        Loaded("SystemCallArchitectures", "native"),
    ),
    ("SystemCallFilter", Told("status Seccomp", "2")),
    // A call of @privileged: EPERM, and not the end of the process.
    (
        "SystemCallErrorNumber",
        Tried("do { my $p = '/'; !(syscall(161, $p) != 0 && $! == 1) }"),
    ),
    ("LimitCORE", Told("limits Max core file size", "0")),
    ("LimitNOFILE", Loaded("LimitNOFILE", "65536")),
    ("IPAddressDeny", Loaded("IPAddressDeny", "::/0 0.0.0.0/0")),
    ("IPAddressAllow", Loaded("IPAddressAllow", "127.0.0.0/8")),
];

fn unit(scope: &str) -> String {
    let path = format!("packaging/systemd/{scope}/bascule.service");
    fs::read_to_string(tools::workspace().join(path)).unwrap()
}

/// The directives of the section `[Service]` that confine.
fn directives(unit: &str) -> BTreeSet<&str> {
    let (_, service) = unit.split_once("[Service]\n").unwrap();
    let (service, _) = service.split_once("\n[").unwrap();
    let lines = service.lines().filter(|line| !line.starts_with('#'));
    let names = lines.filter_map(|line| Some(line.split_once('=')?.0));
    names.filter(|name| !LIFE.contains(name)).collect()
}

#[test]
fn j1_every_directive_of_the_units_has_a_probe() {
    let probed: BTreeSet<_> = PROBES.iter().map(|(name, _)| *name).collect();
    assert_eq!(directives(&unit("system")), probed);
    let user = unit("user");
    let missing: Vec<_> = directives(&user).difference(&probed).copied().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// A program that tries everything and writes a line for each.
fn program() -> String {
    let mut text = String::from("#!/usr/bin/perl\n$| = 1;\n");
    text.push_str("sub told { my ($file, $name) = @_; open(my $f, '<', \"/proc/self/$file\"); for (<$f>) { return $1 if /^\\Q$name\\E:?\\s+(\\S+)/ } }\n");
    for (name, shown) in PROBES {
        match shown {
            Tried(perl) => text.push_str(&format!(
                "print \"{name} \", (eval {{ {perl} }} ? 'open' : 'closed'), \"\\n\";\n"
            )),
            Told(place, _) => {
                let (file, name_there) = place.split_once(' ').unwrap();
                text.push_str(&format!(
                    "print \"{name} \", told('{file}', '{name_there}'), \"\\n\";\n"
                ));
            }
            Loaded(..) => {}
        }
    }
    text
}

/// Runs the program as a unit, and gives what it found by directive.
fn found(machine: &Machine, unit: &str) -> BTreeMap<String, String> {
    machine.install("probe.service", unit);
    machine
        .run(&["systemctl", "start", "probe.service"])
        .exits(0);
    let journal = [
        "journalctl",
        "--no-pager",
        "--output=cat",
        "_SYSTEMD_INVOCATION_ID=",
    ];
    let invocation = machine.run(&[
        "systemctl",
        "show",
        "--value",
        "--property=InvocationID",
        "probe.service",
    ]);
    let of = format!("{}{}", journal[3], invocation.stdout.trim());
    bascule_tests::wait::until("the program's words", || {
        let said = machine.run(&[&journal[..3], &[&of]].concat()).stdout;
        let lines: BTreeMap<_, _> = said
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, what)| (name.to_owned(), what.to_owned()))
            .collect();
        lines.contains_key("LimitCORE").then_some(lines)
    })
}

#[test]
#[cfg(target_arch = "x86_64")]
fn j1_each_directive_of_the_system_unit_is_in_effect() {
    let Some(machine) = Boot::new().start() else {
        return;
    };
    machine.write("/tmp/outside", "x");
    machine.run(&["mkdir", "-p", "/usr/lib/modules"]).exits(0);
    machine
        .run(&["mknod", "-m", "666", "/dev/probe", "c", "1", "3"])
        .exits(0);
    machine.run(&["useradd", "--system", "bascule"]).exits(0);
    machine.write("/usr/local/bin/probe", &program());
    machine
        .run(&["chmod", "755", "/usr/local/bin/probe"])
        .exits(0);
    let outside = machine.run(&["readlink", "/proc/1/ns/mnt"]).stdout;
    let environment = format!("Environment=OUTSIDE={}\n", outside.trim());

    // The unit with another program, which ends.
    let mut confined = String::new();
    for line in unit("system")
        .lines()
        .filter(|line| !line.contains(".socket"))
    {
        match line.split_once('=').map_or("", |(name, _)| name) {
            "ExecStart" => confined += &format!("ExecStart=/usr/local/bin/probe\n{environment}"),
            "Type" => confined += "Type=oneshot\nRemainAfterExit=yes\n",
            "Restart" | "NotifyAccess" | "WatchdogSec" | "LoadCredential" => {}
            _ => {
                confined += line;
                confined.push('\n');
            }
        }
    }
    let inside = found(&machine, &confined);
    let mut wrong = Vec::new();
    for (name, shown) in PROBES {
        let (is, should) = match shown {
            Tried(_) => (inside.get(name).cloned().unwrap_or_default(), "closed"),
            Told(_, value) => (inside.get(name).cloned().unwrap_or_default(), value),
            Loaded(property, value) => {
                let show = [
                    "systemctl",
                    "show",
                    "--value",
                    "--property",
                    property,
                    "probe.service",
                ];
                (machine.run(&show).stdout.trim().to_owned(), value)
            }
        };
        let fits = match name {
            "IPAddressAllow" | "IPAddressDeny" => is.split(' ').any(|part| should.contains(part)),
            _ => is == should,
        };
        if !fits {
            wrong.push(format!("{name}: {is}, not {should}"));
        }
    }
    assert!(wrong.is_empty(), "not in effect: {wrong:#?}");

    // Where nothing confines it, root can do all of it: so each says something.
    machine
        .run(&["systemctl", "stop", "probe.service"])
        .exits(0);
    let free = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nStateDirectory=free\nExecStart=/usr/local/bin/probe\n{environment}"
    );
    let outside = found(&machine, &free);
    let closed: Vec<_> = PROBES
        .iter()
        .filter(|(name, shown)| matches!(shown, Tried(_)) && outside[*name] != "open")
        .map(|(name, _)| *name)
        .collect();
    let known = KNOWN_CLOSED;
    assert_eq!(closed, known, "the control can't do it either");
}

/// What systemd-nspawn keeps from the root of a machine, so that what is closed there proves less.
const KNOWN_CLOSED: [&str; 4] = [
    "ProtectControlGroups",
    "ProtectKernelLogs",
    "ProtectKernelTunables",
    "RestrictRealtime",
];
