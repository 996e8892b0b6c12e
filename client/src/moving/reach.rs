//! Which buckets and objects command lines name, as far as their words tell. It asks nobody.

use std::collections::BTreeSet;

use bascule_watch::{LinkKind, adopt::Consumer};

/// Whether a command line names a bucket where a bucket can stand: behind a remote (`r2:bucket`), in an
/// address (`s3://bucket`, `s3:https://host/bucket`), behind an alias (`nas/bucket`, as mc writes it), or as
/// what `--bucket` is given.
pub(super) fn names_bucket(line: &str, bucket: &str) -> bool {
    let words: Vec<_> = line
        .split([' ', '\t', '='])
        .map(|word| word.trim_matches(['"', '\'']))
        .collect();
    let first = |path: &str| path.trim_start_matches('/').split('/').next() == Some(bucket);
    let in_word = |word: &str| match word.split_once("://") {
        Some((scheme, rest)) if scheme.ends_with("http") || scheme.ends_with("https") => {
            rest.split_once('/').is_some_and(|(_, path)| first(path))
        }
        Some((_, rest)) => first(rest),
        None => match word.rsplit_once(':') {
            Some((_, path)) => first(path),
            // A path of this machine begins with a slash or a dot.
            None => word.split_once('/').is_some_and(|(alias, path)| {
                !alias.is_empty() && !alias.starts_with('.') && first(path)
            }),
        },
    };
    let given = |pair: &[&str]| matches!(pair[0], "--bucket" | "-b") && pair[1] == bucket;
    words.iter().any(|word| in_word(word)) || words.windows(2).any(given)
}

/// The beginnings of all objects that a consumer's command lines name; empty where one of them names none, or
/// what it names can't be told.
pub(super) fn prefixes(consumer: &Consumer) -> Vec<String> {
    let remote = consumer.name.strip_prefix("rclone:");
    let lines = consumer.uses.iter().map(|found| {
        let mut links = found.chain.iter().rev();
        let line = links.find(|link| matches!(link.kind, LinkKind::Command | LinkKind::Process));
        line.map(|link| link.name.as_str())
    });
    let mut all = BTreeSet::new();
    for line in lines {
        match line.and_then(|line| prefixes_on(line, remote)) {
            Some(prefixes) => all.extend(prefixes),
            None => return Vec::new(),
        }
    }
    all.into_iter().collect()
}

/// The beginnings of the objects that one command line names, with the remote's name where it is rclone's.
fn prefixes_on(line: &str, remote: Option<&str>) -> Option<Vec<String>> {
    // A long one is shown in part only.
    if line.ends_with('…') {
        return None;
    }
    let mut prefixes = Vec::new();
    for word in line.split([' ', '\t', '=']) {
        let word = word.trim_matches(['"', '\'']);
        let of_remote = remote.and_then(|remote| word.strip_prefix(remote)?.strip_prefix(':'));
        let path = if let Some(path) = of_remote.or_else(|| word.strip_prefix("s3://")) {
            path
        } else if let Some(address) = word.strip_prefix("s3:") {
            let address = address.split_once("://").map_or(address, |(_, rest)| rest);
            address.split_once('/')?.1
        } else {
            continue;
        };
        let (_, object) = path.trim_start_matches('/').split_once('/')?;
        if object.is_empty() || object.contains(['$', '%', '*', '?', '[', '{', '`', '\\']) {
            return None;
        }
        // A repository is a folder; any other path may be an object.
        let folder = word.starts_with("s3:") && !word.starts_with("s3://");
        prefixes.push(match folder {
            true => format!("{}/", object.trim_end_matches('/')),
            false => object.to_owned(),
        });
    }
    (!prefixes.is_empty()).then_some(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_named_only_where_one_can_stand() {
        for line in [
            "rclone sync /srv/x r2:photos",
            "rclone sync /srv/x 'r2:photos/2026'",
            "aws s3 sync . s3://photos/x",
            "restic -r s3:https://s3.example.com/photos backup /",
            "mc mirror /srv nas/photos",
            "tool --bucket photos",
            "tool --bucket=photos",
        ] {
            assert!(names_bucket(line, "photos"), "{line}");
        }
        for line in [
            "rclone sync /srv/photos r2:films",
            "photos --all",
            "mc mirror ./photos nas/films",
            "aws s3 sync /photos s3://films/photos",
            "restic -r s3:https://photos.example.com/films backup /photos",
        ] {
            assert!(!names_bucket(line, "photos"), "{line}");
        }
    }

    #[test]
    fn objects_are_known_only_where_every_path_of_a_line_names_some() {
        let on = |line: &str| prefixes_on(line, Some("pre"));
        let some = |prefixes: &[&str]| Some(prefixes.iter().map(ToString::to_string).collect());
        assert_eq!(on("rclone copy /f pre:photos/2026/x"), some(&["2026/x"]));
        assert_eq!(
            on("rclone copy 'pre:photos/a/' pre:photos/b --backup-dir=pre:photos/c"),
            some(&["a/", "b", "c"])
        );
        assert_eq!(on("aws s3 sync /f s3://photos/2026/"), some(&["2026/"]));
        assert_eq!(
            on("restic -r s3:https://s3.example.com/photos/r backup /"),
            some(&["r/"])
        );
        for line in [
            "rclone copy /f pre:photos",
            "rclone copy /f pre:photos/",
            "rclone copy /f vault:photos/x",
            "rclone copy pre:photos/x pre:films",
            "aws s3 sync /f s3://photos/$(date)",
            "rclone copy /f pre:photos/2026 …",
            "mc mirror /f nas/photos/x",
        ] {
            assert_eq!(on(line), None, "{line}");
        }
    }
}
