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
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use bascule_tests::{Home, Machine, machine::Boot, tools, user::User, wait};
use data_encoding::HEXLOWER;

/// How a directive is shown to be in effect.
#[derive(Clone, Copy)]
enum Shown {
    /// Perl that is true if the thing could be done, or was refused for another reason than the directive's.
    Tried(&'static str),
    /// Perl that is true in the daemon's place, too.
    Allowed(&'static str),
    /// A line of `/proc/self/status` or `/proc/self/limits`, and what it says.
    Told(&'static str, &'static str),
    /// What it does at the unit's end, in a test of its own.
    AtItsEnd,
}
use Shown::{Allowed, AtItsEnd, Told, Tried};

/// What the probes use: errors are EPERM (1), EROFS (30) and EAFNOSUPPORT (97).
const PRELUDE: &str = r#"#!/usr/bin/perl
use POSIX ();
use Socket;
$| = 1;
sub told {
    my ($file, $name) = @_;
    open(my $f, '<', "/proc/self/$file");
    for (<$f>) { return $1 if /^\Q$name\E:?\s+(\S+)/ }
}
sub reach {
    socket(my $s, AF_INET, SOCK_DGRAM, 0) or return 0;
    defined send($s, 'x', 0, pack_sockaddr_in(9, inet_aton($_[0])));
}
sub own_group {
    open(my $f, '<', '/proc/self/cgroup');
    my ($line) = grep { /^0::/ } <$f>;
    chomp $line;
    '/sys/fs/cgroup' . substr($line, 3);
}
# Attaches to a process that is not there.
sub trace { syscall(101, 16, 0x7fffffff, 0, 0) }
sub trace_in_a_child {
    my $child = fork;
    if (!$child) { trace(); POSIX::_exit($! == 1 ? 7 : 8) }
    waitpid($child, 0);
    $?;
}
sub hold {
    my ($held, @held) = (shift);
    for (1 .. $held) { my $one = POSIX::dup(0); last unless defined $one; push @held, $one }
    POSIX::close($_) for @held;
    @held == $held;
}
"#;

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
    (
        "ProtectSystem",
        Tried("open(my $f, '>', '/usr/probe') || $! != 30"),
    ),
    (
        "ProtectHome",
        Tried("open(my $f, '>', '/home/probe') || $! != 30"),
    ),
    ("PrivateTmp", Tried("-e '/tmp/outside'")),
    ("PrivateDevices", Tried("-e '/dev/probe'")),
    (
        "PrivateMounts",
        Tried("readlink('/proc/self/ns/mnt') eq $ENV{OUTSIDE}"),
    ),
    ("DevicePolicy", Tried("open(my $f, '<', '/var/fuse-probe')")),
    // Asks how the clock is adjusted, which anybody may.
    (
        "ProtectClock",
        Tried("syscall(159, my $b = \"\\0\" x 256) >= 0"),
    ),
    (
        "ProtectControlGroups",
        Tried("mkdir(own_group() . '/probe') ? rmdir(own_group() . '/probe') : $! != 30"),
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
        Tried("syscall(41, 17, 2, 0) >= 0 || $! != 97"),
    ),
    // A user namespace, and something that can't be.
    (
        "RestrictNamespaces",
        Tried("syscall(272, 0x10000001) == 0 || $! != 1"),
    ),
    // SCHED_FIFO, with a priority that it does not have.
    (
        "RestrictRealtime",
        Tried("do { my $p = pack('i', 0); syscall(144, 0, 1, $p) == 0 || $! != 1 }"),
    ),
    (
        "RestrictSUIDSGID",
        Tried(
            "do { my $f = ($ENV{STATE_DIRECTORY} // $ENV{HOME}) . '/suid'; open(my $h, '>', $f); chmod(04755, $f) == 1 }",
        ),
    ),
    ("RemoveIPC", AtItsEnd),
    // Looks in the session's keyring for what the one before, of the same user, left in the user's.
    (
        "KeyringMode",
        Tried(
            "do { my ($t, $n) = ('user', 'bascule-probe'); syscall(250, 10, -3, $t, $n, 0) > 0 }",
        ),
    ),
    // Addresses that are not drawn by lot.
    ("LockPersonality", Tried("syscall(135, 0x0040000) >= 0")),
    // Memory that can be written to and run.
    (
        "MemoryDenyWriteExecute",
        Tried("syscall(9, 0, 4096, 7, 0x22, -1, 0) > 0"),
    ),
    (
        "SystemCallArchitectures",
        Tried("system('/usr/local/bin/thirty-two') == 42 << 8"),
    ),
    ("SystemCallFilter", Tried("trace() == 0 || $! != 1")),
    // EPERM, and not the end of the process.
    (
        "SystemCallErrorNumber",
        Tried("trace_in_a_child() != 7 << 8"),
    ),
    ("LimitCORE", Told("limits Max core file size", "0")),
    ("LimitNOFILE", Tried("hold(66000)")),
    ("IPAddressDeny", Tried("reach('169.254.169.254')")),
    (
        "IPAddressAllow",
        Allowed("reach('127.0.0.1') && reach('192.0.2.1') && reach('169.255.0.1')"),
    ),
];

/// A program of 32 bits that ends with 42.
const THIRTY_TWO: &str = "7f454c46010101000000000000000000020003000100000054800408340000000000000000000000340020000100000000000000\
    0100000000000000008004080080040860000000600000000500000000100000b801000000bb2a000000cd80";

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
    let mut text = PRELUDE.to_owned();
    for (name, shown) in PROBES {
        match shown {
            Tried(perl) | Allowed(perl) => text.push_str(&format!(
                "print \"{name} \", (eval {{ {perl} }} ? 'open' : 'closed'), \"\\n\";\n"
            )),
            Told(place, _) => {
                let (file, name_there) = place.split_once(' ').unwrap();
                text.push_str(&format!(
                    "print \"{name} \", told('{file}', '{name_there}'), \"\\n\";\n"
                ));
            }
            AtItsEnd => {}
        }
    }
    text
}

/// Leaves a key in the user's keyring, for ten minutes.
const LEAVE_A_KEY: &str = r#"#!/usr/bin/perl
my ($type, $name, $content) = ('user', 'bascule-probe', 'x');
# By way of its own, since only what is its own can be made to end.
my $key = syscall(248, $type, $name, $content, 1, -3);
die "no key: $!" if $key < 0;
syscall(250, 15, $key, 600) == 0 or die "it stays: $!";
syscall(250, 8, $key, -4) == 0 or die "it can't be left: $!";
"#;

/// Has the loopback interface a cloud's metadata address, and others that are nobody's.
const ADDRESSES: &str = r#"
use Socket;
socket(my $s, AF_INET, SOCK_DGRAM, 0) or die $!;
my $number = 0;
for my $address ('169.254.169.254', '192.0.2.1', '169.255.0.1') {
    my $name = 'lo:' . ++$number;
    for ([0x8916, $address], [0x891c, '255.255.255.255']) {
        my $wish = pack('a16 S n a4 x8', $name, AF_INET, 0, inet_aton($$_[1]));
        ioctl($s, $$_[0], $wish) or die "$name: $!";
    }
}
"#;

/// A machine in which all can be tried.
fn prepared() -> Option<Machine> {
    let machine = Boot::new().own_network().sandboxes().start()?;
    machine.run(&["perl", "-e", ADDRESSES]).exits(0);
    machine.write("/tmp/outside", "x");
    machine.run(&["mkdir", "-p", "/usr/lib/modules"]).exits(0);
    for (node, number) in [("/dev/probe", "3"), ("/var/fuse-probe", "229")] {
        let major = if number == "3" { "1" } else { "10" };
        machine
            .run(&["mknod", "-m", "666", node, "c", major, number])
            .exits(0);
    }
    machine.run(&["useradd", "--system", "bascule"]).exits(0);
    let thirty_two = format!("print pack('H*', '{THIRTY_TWO}')");
    let write = format!("perl -e \"{thirty_two}\" >/usr/local/bin/thirty-two");
    machine.run(&["sh", "-c", &write]).exits(0);
    machine.write("/usr/local/bin/probe", &program());
    machine.write("/usr/local/bin/leave-a-key", LEAVE_A_KEY);
    for file in ["probe", "leave-a-key", "thirty-two"] {
        let path = format!("/usr/local/bin/{file}");
        machine.run(&["chmod", "755", &path]).exits(0);
    }
    Some(machine)
}

/// Whether this kernel runs programs of 32 bits.
fn runs_thirty_two() -> bool {
    let home = Home::new();
    let path = home.path("thirty-two");
    fs::write(&path, HEXLOWER.decode(THIRTY_TWO.as_bytes()).unwrap()).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    let ended = Command::new(path).status();
    ended.is_ok_and(|ended| ended.code() == Some(42))
}

/// The unit with another program, which ends.
fn in_place_of_the_daemon(scope: &str, run: &str) -> String {
    let mut text = String::new();
    for line in unit(scope).lines().filter(|line| !line.contains(".socket")) {
        match line.split_once('=').map_or("", |(name, _)| name) {
            "ExecStart" => text += run,
            "Type" => text += "Type=oneshot\nRemainAfterExit=yes\n",
            "Restart" | "NotifyAccess" | "WatchdogSec" | "LoadCredential" => {}
            _ => {
                text += line;
                text.push('\n');
            }
        }
    }
    text
}

/// Starts it, and gives what the probes found by directive.
fn found(machine: &Machine, user: &User<'_>, unit: &str, output: &str) -> BTreeMap<String, String> {
    user.install("probe.service", unit);
    let started = user.systemctl(&["restart", "probe.service"]);
    assert_eq!(
        started.code,
        Some(0),
        "{started}\n{}",
        machine.run(&["journalctl", "--no-pager", "--lines=30"])
    );
    let said = machine.run(&["cat", output]).exits(0).stdout;
    let lines = said.lines().filter_map(|line| line.split_once(' '));
    lines
        .map(|(name, what)| (name.to_owned(), what.to_owned()))
        .collect()
}

/// Tries the directives in the daemon's place, and without them, where everything is open but `known`.
fn in_effect(machine: &Machine, user: &User<'_>, scope: &str, output: &str, known: &[&str]) {
    let outside = machine.run(&["readlink", "/proc/1/ns/mnt"]).stdout;
    let run = format!(
        "ExecStartPre=/usr/local/bin/leave-a-key\nExecStart=/usr/local/bin/probe\n\
         StandardOutput=truncate:{output}\nEnvironment=OUTSIDE={}\n",
        outside.trim()
    );
    let text = unit(scope);
    let probes: Vec<_> = PROBES
        .iter()
        .filter(|(name, _)| directives(&text).contains(name))
        .collect();
    let inside = found(machine, user, &in_place_of_the_daemon(scope, &run), output);
    let is =
        |found: &BTreeMap<String, String>, name: &str| found.get(name).cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, shown) in &probes {
        let should = match shown {
            Tried(_) => "closed",
            Allowed(_) => "open",
            Told(_, value) => value,
            AtItsEnd => continue,
        };
        let is = is(&inside, name);
        if is != should {
            wrong.push(format!("{name}: {is}, not {should}"));
        }
    }
    assert!(wrong.is_empty(), "not in effect: {wrong:#?}");
    // Where these can't be tried, systemd has at least read them.
    let loaded = |name| user.property("probe.service", name);
    assert_eq!(loaded("SystemCallArchitectures"), "native");
    if scope == "system" {
        assert_eq!(loaded("LimitNOFILE"), "65536");
    }

    // What systemd confines by itself is opened: so each says something.
    let free = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nKeyringMode=shared\nLimitNOFILE=524288\n{run}{}",
        if scope == "system" {
            "StateDirectory=free\n"
        } else {
            ""
        }
    );
    let outside = found(machine, user, &free, output);
    let closed: Vec<_> = probes
        .iter()
        .filter(|(name, shown)| {
            matches!(shown, Tried(_) | Allowed(_)) && is(&outside, name) != "open"
        })
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(closed, known, "the control can't do it either");
}

/// What this host keeps from everybody: a kernel that runs no programs of 32 bits, or a machine that may hold
/// fewer descriptors than the unit.
fn closed_by_the_host(machine: &Machine) -> Vec<&'static str> {
    let limits = machine.run(&["cat", "/proc/1/limits"]).exits(0).stdout;
    let descriptors = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    let mut closed = Vec::new();
    if !runs_thirty_two() {
        closed.push("SystemCallArchitectures");
    }
    if descriptors.is_some_and(|most| most < 66_100) {
        closed.push("LimitNOFILE");
    }
    closed
}

#[test]
#[cfg(target_arch = "x86_64")]
fn j1_each_directive_of_the_system_unit_is_in_effect() {
    let Some(machine) = prepared() else {
        return;
    };
    let root = User::root(&machine);
    // systemd-nspawn keeps the kernel's log and its settings from the root of a machine, too, so that
    // what is closed there proves less.
    let mut known = vec!["ProtectKernelLogs", "ProtectKernelTunables"];
    known.extend(closed_by_the_host(&machine));
    in_effect(&machine, &root, "system", "/run/probe.out", &known);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn j1_each_directive_of_the_users_unit_is_in_effect() {
    let Some(machine) = prepared() else {
        return;
    };
    let alice = User::alice(&machine);
    let output = "/run/user/1000/probe.out";
    let mut known = closed_by_the_host(&machine);
    known.retain(|name| *name != "LimitNOFILE");
    in_effect(&machine, &alice, "user", output, &known);
}

#[test]
fn j1_what_the_system_unit_leaves_in_shared_memory_is_gone_at_its_end() {
    let Some(machine) = prepared() else {
        return;
    };
    let root = User::root(&machine);
    let left =
        "ExecStart=/usr/bin/perl -e 'exit(defined shmget(0x42534300, 4096, 01600) ? 0 : 1)'\n";
    let confined = in_place_of_the_daemon("system", left);
    let is_there = || {
        let segments = machine.run(&["cat", "/proc/sysvipc/shm"]).exits(0).stdout;
        segments.contains(&0x4253_4300_u32.to_string())
    };
    for (unit, stays) in [
        (confined.replace("RemoveIPC=yes\n", ""), true),
        (confined, false),
    ] {
        root.install("probe.service", &unit);
        machine.run(&["ipcrm", "--all=shm"]).exits(0);
        root.systemctl(&["start", "probe.service"]).exits(0);
        assert!(is_there());
        root.systemctl(&["stop", "probe.service"]).exits(0);
        match stays {
            true => assert!(is_there()),
            false => wait::until("it to be gone", || (!is_there()).then_some(())),
        }
    }
}
