//! Wrappers that are alike: their own options, and then what they run.

/// A wrapper whose arguments are its own options, some words, and then the command.
pub(super) struct Plain {
    pub(super) name: &'static str,
    /// Options that take the next word.
    pub(super) valued: &'static [&'static str],
    /// Words between the options and the command.
    pub(super) words: usize,
}

const fn plain(name: &'static str, valued: &'static [&'static str], words: usize) -> Plain {
    Plain {
        name,
        valued,
        words,
    }
}

pub(super) const PLAIN: [Plain; 29] = [
    plain("builtin", &[], 0),
    plain("caffeinate", &["-t", "-w"], 0),
    plain("chronic", &[], 0),
    plain("chrt", &["-T", "-P", "-D"], 1),
    plain("command", &[], 0),
    plain("cpulimit", &["-l", "-p", "-e", "--limit"], 0),
    plain("dbus-run-session", &["--config-file", "--dbus-daemon"], 0),
    plain("eatmydata", &[], 0),
    plain("exec", &["-a"], 0),
    plain("fakeroot", &["-l", "-s", "-i", "-b"], 0),
    plain("firejail", &[], 0),
    plain("ionice", &["-c", "-n", "--class", "--classdata"], 0),
    plain("nice", &["-n", "--adjustment"], 0),
    plain("nohup", &[], 0),
    plain("proxychains", &["-f"], 0),
    plain("runitor", &["-uuid", "-slug", "-ping-key", "-api-url"], 0),
    plain("setsid", &[], 0),
    plain(
        "stdbuf",
        &["-i", "-o", "-e", "--input", "--output", "--error"],
        0,
    ),
    plain("strace", &["-o", "-e", "-p", "-s", "-u"], 0),
    plain(
        "systemd-cat",
        &["-t", "-p", "--identifier", "--priority"],
        0,
    ),
    plain(
        "systemd-inhibit",
        &["--what", "--who", "--why", "--mode"],
        0,
    ),
    plain("taskset", &["-c"], 0),
    plain("time", &["-f", "-o", "--format", "--output"], 0),
    plain("timeout", &["-k", "-s", "--kill-after", "--signal"], 1),
    plain("tini", &["-p", "-e"], 0),
    plain("trickle", &["-u", "-d"], 0),
    plain("unbuffer", &[], 0),
    plain("xargs", XARGS, 0),
    plain("gxargs", XARGS, 0),
];

const XARGS: &[&str] = &[
    "-I",
    "-n",
    "-P",
    "-d",
    "-L",
    "-a",
    "-s",
    "-E",
    "--max-args",
    "--max-procs",
    "--delimiter",
    "--arg-file",
    "--replace",
];
