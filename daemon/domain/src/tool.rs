//! Which tool a client says it is, out of its user agent. What it says is not proven: this is for
//! people to read and must never decide about access.

/// Programs that name the library they use before themselves, or themselves anywhere.
const PROGRAMS: [&str; 17] = [
    "rclone",
    "aws-cli",
    "restic",
    "mc",
    "s3cmd",
    "s5cmd",
    "s3fs",
    "duckdb",
    "cyberduck",
    "kopia",
    "duplicati",
    "duplicity",
    "goofys",
    "geesefs",
    "juicefs",
    "velero",
    "veeam",
];

/// Words that stand before the name of the product and are none.
const PREFIXES: [&str; 2] = ["minio", "apn"];

/// What is said of a client that names nothing.
pub const UNKNOWN_TOOL: &str = "unknown";

const LONGEST: usize = 40;

/// The tool's name in lower case, such as `rclone`: a program that is named anywhere, else the
/// first product; [`UNKNOWN_TOOL`] where there is none.
#[must_use]
pub fn tool(user_agent: &str) -> String {
    let products: Vec<String> = products(user_agent).collect();
    let program = products.iter().find(|name| PROGRAMS.contains(&&***name));
    let product = || {
        products
            .iter()
            .find(|name| !PREFIXES.contains(&&***name))
            .or(products.first())
    };
    program
        .or_else(product)
        .cloned()
        .unwrap_or_else(|| UNKNOWN_TOOL.to_owned())
}

/// The names of the products, comments left out.
fn products(user_agent: &str) -> impl Iterator<Item = String> {
    let mut depth = 0_usize;
    let outside = user_agent.chars().map(move |c| {
        match c {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                return ' ';
            }
            _ => {}
        }
        if depth > 0 { ' ' } else { c }
    });
    let outside: String = outside.collect();
    let words: Vec<_> = outside.split_whitespace().filter_map(name).collect();
    words.into_iter()
}

/// The name in `name/version`.
fn name(word: &str) -> Option<String> {
    let name = word.split('/').next()?;
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= LONGEST
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    fits.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_told_by_what_they_really_send() {
        for (agent, expected) in [
            ("rclone/v1.60.1-DEV", "rclone"),
            (
                "aws-cli/1.44.7 md/Botocore#1.42.17 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.2",
                "aws-cli",
            ),
            (
                "Boto3/1.42.17 md/Botocore#1.42.17 ua/2.1 os/linux#6.1",
                "boto3",
            ),
            ("MinIO (linux; amd64) minio-go/v7.0.91", "minio-go"),
            (
                "MinIO (linux; amd64) minio-go/v7.0.90 mc/RELEASE.2025-08-13T08-35-41Z",
                "mc",
            ),
            (
                "aws-sdk-go/1.44.256 (go1.22.5; linux; amd64) S3Manager",
                "aws-sdk-go",
            ),
            ("duckdb/v1.4.2(linux_amd64) python/3.11", "duckdb"),
            (
                "Cyberduck/8.7.0.40629 (Mac OS X/13.5) (x86_64)",
                "cyberduck",
            ),
            ("s3fs/1.90 (commit hash unknown; GnuTLS(gcrypt))", "s3fs"),
            ("APN/1.0 Veeam/1.0 Backup/12.0", "veeam"),
            ("My-Backup/3", "my-backup"),
            ("MinIO", "minio"),
        ] {
            assert_eq!(tool(agent), expected, "{agent}");
        }
    }

    #[test]
    fn nothing_and_nonsense_are_unknown() {
        let long = "x".repeat(5_000);
        for agent in [
            "",
            "   ",
            "(rclone)",
            "\u{1b}[2J",
            "((((",
            "/1.0",
            "日本",
            &long,
        ] {
            assert_eq!(tool(agent), UNKNOWN_TOOL, "{agent}");
        }
    }
}
