//! The least right that a command line needs, as far as the tool's own verbs tell. What is not known
//! gets everything that a key may have: a job that stops at night is worse than a right too many.

use bascule_domain::key::Permission;

/// What a consumer needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// The least right.
    pub permission: Permission,
    /// Whether its command lines tell; else it is the most that a key may have.
    pub known: bool,
}

/// What one command does with objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Does {
    reads: bool,
    adds: bool,
    overwrites: bool,
    deletes: bool,
    /// Sets a lock and takes it away again, which only the key of somebody who appends may do (below
    /// `locks/`), or that of somebody who may delete.
    locks: bool,
}

const READS: Does = Does {
    reads: true,
    adds: false,
    overwrites: false,
    deletes: false,
    locks: false,
};
/// Uploads look first at what is there.
const WRITES: Does = Does {
    reads: true,
    adds: true,
    overwrites: true,
    deletes: false,
    locks: false,
};
const ADDS: Does = Does {
    reads: true,
    adds: true,
    overwrites: false,
    deletes: false,
    locks: false,
};
const EVERYTHING: Does = Does {
    reads: true,
    adds: true,
    overwrites: true,
    deletes: true,
    locks: false,
};

/// What all command lines together need.
pub(super) fn of<'c>(commands: impl Iterator<Item = &'c str>) -> Need {
    let mut all = Does::default();
    let mut known = true;
    let mut any = false;
    for command in commands {
        any = true;
        match does(command) {
            Some(does) => {
                all.reads |= does.reads;
                all.adds |= does.adds;
                all.overwrites |= does.overwrites;
                all.deletes |= does.deletes;
                all.locks |= does.locks;
            }
            None => known = false,
        }
    }
    if !any || !known {
        return Need {
            permission: Permission::ReadWrite,
            known: false,
        };
    }
    let permission = match all {
        Does { deletes: true, .. }
        | Does {
            overwrites: true,
            locks: true,
            ..
        } => Permission::ReadWrite,
        Does {
            overwrites: true, ..
        } => Permission::ReadWriteNoDelete,
        Does { adds: true, .. } => Permission::Append,
        _ => Permission::Read,
    };
    Need {
        permission,
        known: true,
    }
}

/// What a command does; `None` if its tool or verb is not known.
fn does(command: &str) -> Option<Does> {
    // A long one is shown in part only.
    if command.ends_with('…') {
        return None;
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    let program = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
    let at = words
        .iter()
        .position(|word| TOOLS.iter().any(|(tool, _)| program(word) == *tool))?;
    let (_, rules) = TOOLS.iter().find(|(tool, _)| program(words[at]) == *tool)?;
    rules(&words[at + 1..])
}

type Rules = fn(&[&str]) -> Option<Does>;

const TOOLS: [(&str, Rules); 6] = [
    ("rclone", rclone),
    ("restic", restic),
    ("aws", aws),
    ("s3cmd", s3cmd),
    ("s5cmd", s5cmd),
    ("mc", mc),
];

fn has(words: &[&str], flag: &str) -> bool {
    let given = |word: &&str| {
        let rest = word.strip_prefix(flag);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    words.iter().any(given)
}

/// The first of some words, which is the verb wherever flags with values stand before it.
fn verb<'w>(words: &[&'w str], verbs: &[&str]) -> Option<(&'w str, usize)> {
    let mut words = words.iter().enumerate();
    words.find_map(|(at, word)| verbs.contains(word).then_some((*word, at)))
}

fn rclone(words: &[&str]) -> Option<Does> {
    const READING: [&str; 16] = [
        "ls",
        "lsd",
        "lsl",
        "lsf",
        "lsjson",
        "cat",
        "size",
        "tree",
        "check",
        "cryptcheck",
        "md5sum",
        "sha1sum",
        "hashsum",
        "about",
        "checksum",
        "ncdu",
    ];
    const OTHER: [&str; 4] = ["copy", "copyto", "rcat", "touch"];
    let all = [
        &READING[..],
        &OTHER[..],
        &["mount", "serve", "sync", "move"][..],
    ]
    .concat();
    let (verb, at) = verb(words, &all)?;
    let behind = &words[at + 1..];
    // Moves what would be overwritten or deleted elsewhere, in the storage.
    if has(words, "--backup-dir") {
        return Some(EVERYTHING);
    }
    if READING.contains(&verb) {
        return Some(READS);
    }
    match verb {
        "copy" | "copyto" => {
            // From the storage to a folder is reading; anything else may write.
            let (from, to) = operands(behind)?;
            match (from.contains(':'), to.contains(':')) {
                (true, false) => Some(READS),
                (_, true) if has(behind, "--immutable") => Some(ADDS),
                (_, true) => Some(WRITES),
                (false, false) => None,
            }
        }
        "rcat" | "touch" => Some(WRITES),
        "mount" | "serve" if has(words, "--read-only") => Some(READS),
        _ => Some(EVERYTHING),
    }
}

fn restic(words: &[&str]) -> Option<Does> {
    let verbs = [
        "backup",
        "snapshots",
        "ls",
        "find",
        "stats",
        "restore",
        "dump",
        "diff",
        "cat",
        "check",
        "list",
        "mount",
        "init",
        "copy",
        "forget",
        "prune",
        "unlock",
        "tag",
        "rewrite",
        "repair",
        "key",
        "migrate",
        "rebuild-index",
    ];
    let (verb, _) = verb(words, &verbs)?;
    match verb {
        "forget" | "prune" | "tag" | "rewrite" | "repair" | "key" | "migrate" | "rebuild-index" => {
            Some(EVERYTHING)
        }
        _ if has(words, "--no-lock") && !matches!(verb, "backup" | "init" | "copy") => Some(READS),
        _ => Some(Does {
            locks: true,
            ..ADDS
        }),
    }
}

fn aws(words: &[&str]) -> Option<Does> {
    let (_, at) = verb(words, &["s3"])?;
    let behind = &words[at + 1..];
    let (verb, at) = verb(behind, &["ls", "cp", "sync", "mv", "rm", "presign"])?;
    transfer(verb, &behind[at + 1..], "--delete", "s3://")
}

fn s3cmd(words: &[&str]) -> Option<Does> {
    let verbs = [
        "ls", "la", "get", "put", "sync", "cp", "mv", "del", "rm", "du", "info",
    ];
    let (verb, at) = verb(words, &verbs)?;
    match verb {
        _ if has(words, "--delete-after-fetch") || has(words, "--delete-after") => Some(EVERYTHING),
        "la" | "get" | "du" | "info" => Some(READS),
        "put" => Some(WRITES),
        "del" => Some(EVERYTHING),
        _ if has(words, "--delete-removed") => Some(EVERYTHING),
        _ => transfer(verb, &words[at + 1..], "--delete-removed", "s3://"),
    }
}

fn s5cmd(words: &[&str]) -> Option<Does> {
    let verbs = [
        "ls", "cp", "sync", "mv", "rm", "du", "cat", "head", "pipe", "presign",
    ];
    let (verb, at) = verb(words, &verbs)?;
    match verb {
        "du" | "cat" | "head" => Some(READS),
        "pipe" => Some(WRITES),
        _ => transfer(verb, &words[at + 1..], "--delete", "s3://"),
    }
}

fn mc(words: &[&str]) -> Option<Does> {
    let verbs = [
        "ls", "cat", "head", "stat", "du", "find", "diff", "cp", "put", "pipe", "get", "mirror",
        "mv", "rm",
    ];
    let (verb, _) = verb(words, &verbs)?;
    match verb {
        "ls" | "cat" | "head" | "stat" | "du" | "diff" | "get" => Some(READS),
        "put" | "pipe" => Some(WRITES),
        // Of a path the alias can't be told from a folder here.
        "mirror" if has(words, "--remove") || has(words, "--overwrite") => Some(EVERYTHING),
        "cp" | "mirror" => Some(WRITES),
        _ => Some(EVERYTHING),
    }
}

/// Options of the tools that take no value: behind any other one it is not known which words are paths.
const SWITCHES: [&str; 26] = [
    "-v",
    "-vv",
    "-q",
    "-P",
    "-n",
    "-i",
    "-u",
    "-c",
    "--verbose",
    "--quiet",
    "--progress",
    "--dry-run",
    "--recursive",
    "--delete",
    "--immutable",
    "--checksum",
    "--update",
    "--size-only",
    "--exact-timestamps",
    "--no-progress",
    "--only-show-errors",
    "--delete-removed",
    "--fast-list",
    "--stats-one-line",
    "--no-traverse",
    "--ignore-existing",
];

/// The two paths of a transfer, if there are two and nothing else can be meant. `-` is a path.
fn operands<'w>(words: &[&'w str]) -> Option<(&'w str, &'w str)> {
    let mut paths = Vec::new();
    for word in words {
        if *word == "-" || !word.starts_with('-') {
            paths.push(*word);
        } else if !word.contains('=') && !SWITCHES.contains(word) {
            // What follows may be its value; paths that came before are paths all the same.
            if paths.len() < 2 {
                return None;
            }
            break;
        }
    }
    match paths.as_slice() {
        [from, to] => Some((from, to)),
        _ => None,
    }
}

/// Listings, and transfers whose direction the paths tell.
fn transfer(verb: &str, behind: &[&str], deletes: &str, begins: &str) -> Option<Does> {
    match verb {
        "ls" | "presign" => return Some(READS),
        "mv" | "rm" => return Some(EVERYTHING),
        _ => {}
    }
    let (from, to) = operands(behind)?;
    let stores = |path: &str| path.trim_start_matches(['\'', '"']).starts_with(begins);
    match (stores(from), stores(to)) {
        (true, false) => Some(READS),
        (_, true) if has(behind, deletes) => Some(EVERYTHING),
        (_, true) => Some(WRITES),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_gets_the_least_right_that_it_needs() {
        for (command, expected) in [
            ("rclone lsf r2:photos", Permission::Read),
            ("rclone copy r2:photos /data", Permission::Read),
            (
                "/usr/bin/rclone copy /data r2:photos -v",
                Permission::ReadWriteNoDelete,
            ),
            (
                "rclone copy --immutable /data r2:photos",
                Permission::Append,
            ),
            (
                "rclone --config /x sync /data vault:",
                Permission::ReadWrite,
            ),
            ("rclone mount r2: /mnt --read-only", Permission::Read),
            (
                "flock /run/x rclone sync /data r2:photos",
                Permission::ReadWrite,
            ),
            ("restic -r s3:http://h/b backup /home", Permission::Append),
            (
                "restic forget --prune --keep-daily 7",
                Permission::ReadWrite,
            ),
            ("restic --no-lock snapshots", Permission::Read),
            (
                "aws --profile me s3 sync /data s3://photos",
                Permission::ReadWriteNoDelete,
            ),
            (
                "aws s3 sync /data s3://photos --delete",
                Permission::ReadWrite,
            ),
            ("aws s3 cp s3://photos/a .", Permission::Read),
            (
                "s5cmd --endpoint-url http://h cp s3://b/* .",
                Permission::Read,
            ),
            (
                "s3cmd sync --delete-removed /data s3://photos/",
                Permission::ReadWrite,
            ),
            ("s3cmd put a s3://photos/", Permission::ReadWriteNoDelete),
            ("mc mirror /data play/photos", Permission::ReadWriteNoDelete),
            (
                "aws s3 cp - s3://photos/dump",
                Permission::ReadWriteNoDelete,
            ),
            (
                "aws s3 cp - s3://photos/dump --sse AES256",
                Permission::ReadWriteNoDelete,
            ),
            (
                "rclone copy /data r2:cur --backup-dir r2:old",
                Permission::ReadWrite,
            ),
            (
                "rclone copy --backup-dir r2:old /data r2:cur",
                Permission::ReadWrite,
            ),
            (
                "rclone copy r2:a s4:b --bwlimit 08:00,512k",
                Permission::ReadWriteNoDelete,
            ),
            (
                "s3cmd get --delete-after-fetch s3://photos/a",
                Permission::ReadWrite,
            ),
        ] {
            let need = of([command].into_iter());
            assert_eq!((need.permission, need.known), (expected, true), "{command}");
        }
    }

    #[test]
    fn what_is_not_known_gets_what_a_key_may_have_and_several_get_what_all_need() {
        for commands in [
            &[][..],
            &["backup-tool --now"],
            &["rclone frobnicate r2:"],
            &["rclone lsf r2:", "x"],
            &["rclone copy --bwlimit 08:00,512k r2:a /data"],
            &["aws s3 cp --storage-class X s3://a/b s3://c/d"],
            &["rclone lsf r2:photos …"],
        ] {
            let need = of(commands.iter().copied());
            assert_eq!(
                (need.permission, need.known),
                (Permission::ReadWrite, false),
                "{commands:?}"
            );
        }
        let both = of(["rclone lsf r2:b", "rclone copy /d r2:b"].into_iter());
        assert_eq!(both.permission, Permission::ReadWriteNoDelete);
        // A lock that stays keeps everybody from pruning.
        let with_locks =
            of(["restic -r s3:http://h/b backup /d", "aws s3 sync /d s3://b"].into_iter());
        assert_eq!(with_locks.permission, Permission::ReadWrite);
    }
}
