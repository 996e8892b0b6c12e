//! `/etc/fstab` and `/proc/self/mountinfo`, as far as they name what is mounted where.

/// A line of fstab. Octal escapes are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is mounted.
    pub source: String,
    /// Where.
    pub target: String,
    /// Such as `fuse.s3fs`.
    pub kind: String,
    /// Between the commas.
    pub options: Vec<String>,
    /// Counted from 1.
    pub line: u32,
}

impl Entry {
    /// The value of an option, or an empty one where it has none.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options
            .iter()
            .rev()
            .find_map(|option| match option.split_once('=') {
                Some((own, value)) if own == name => Some(value),
                None if option == name => Some(""),
                _ => None,
            })
    }
}

/// The entries of an fstab. Lines with fewer than three words are left out.
#[must_use]
pub fn parse(text: &str) -> Vec<Entry> {
    let of_line = |(raw, line): (&str, u32)| {
        let raw = raw.trim();
        let mut words = raw.split_ascii_whitespace();
        let mut next = || words.next().map(unescape);
        let (source, target, kind) = (next()?, next()?, next()?);
        let options = words.next().map_or_else(Vec::new, options);
        (!raw.starts_with('#')).then_some(Entry {
            source,
            target,
            kind,
            options,
            line,
        })
    };
    text.lines().zip(1..).filter_map(of_line).collect()
}

/// The mounts that `/proc/PID/mountinfo` tells. Its options are those of the file system.
#[must_use]
pub fn mounts(text: &str) -> Vec<Entry> {
    let of_line = |(raw, line): (&str, u32)| {
        let (before, after) = raw.split_once(" - ")?;
        let target = before.split(' ').nth(4).map(unescape)?;
        let mut words = after.split(' ');
        let (kind, source) = (words.next()?.to_owned(), words.next().map(unescape)?);
        Some(Entry {
            source,
            target,
            kind,
            options: words.next().map_or_else(Vec::new, options),
            line,
        })
    };
    text.lines().zip(1..).filter_map(of_line).collect()
}

/// What stands between commas. Those behind a backslash or within quotes are part of a value.
#[must_use]
pub fn options(text: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut quoted = false;
    let mut escaped = false;
    for c in unescape(text).chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            ',' if !quoted && !escaped => {
                options.push(String::new());
                continue;
            }
            _ => {
                if let Some(last) = options.last_mut() {
                    if escaped && c != ',' {
                        last.push('\\');
                    }
                    last.push(c);
                }
            }
        }
        escaped = false;
    }
    options.retain(|option| !option.is_empty());
    options
}

/// Replaces `\040` and its like.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| {
            first == b'\\' && digits[0] < b'4' && digits.iter().all(|b| (b'0'..=b'7').contains(b))
        });
        match digits {
            Some(digits) => {
                bytes.push(digits.iter().fold(0, |value, b| value << 3 | (b - b'0')));
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_options_and_escapes_are_read() {
        let text = "# /dev/sda1 / ext4\n\nr2:my\\040bucket /mnt/r2 rclone rw,noauto,config=/etc/r\\,2.conf,env.X=\"a,b\" 0 0\n\
                    s3fs#data /mnt/s3 fuse _netdev,passwd_file=/etc/passwd-s3fs\nshort line\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].source, "r2:my bucket");
        assert_eq!(
            found[0].options,
            ["rw", "noauto", "config=/etc/r,2.conf", "env.X=a,b"]
        );
        assert_eq!(found[0].option("noauto"), Some(""));
        assert_eq!(found[1].option("passwd_file"), Some("/etc/passwd-s3fs"));
        assert_eq!((found[1].line, found[1].option("noauto")), (4, None));
    }

    #[test]
    fn mounts_are_read_from_the_kernels_list() {
        let text = "36 35 98:0 / /mnt\\0402 rw,nosuid shared:1 - fuse.rclone w{abcde}:b rw,user_id=1000,group_id=0\nx - y\n";
        let found = mounts(text);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (&*found[0].target, &*found[0].source),
            ("/mnt 2", "w{abcde}:b")
        );
        assert_eq!(found[0].option("user_id"), Some("1000"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "([a-z]{1,3}| |\t|\n|\\\\[0-7]{0,4}|[,=\"#-]| - |ä){0,40}") {
            let _ = (parse(&text), mounts(&text), options(&text));
        }
    }
}
