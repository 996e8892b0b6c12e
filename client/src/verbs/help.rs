//! `bascule help`: the concepts, as plain texts, and the help of each verb.

use std::{
    io::{IsTerminal, Write},
    process::{Command, Stdio},
};

use clap::{Args, CommandFactory};
use serde::Serialize;

use super::Context;
use crate::{
    cli,
    error::{Error, Kind},
    exit::Exit,
};

/// Explain a concept, or a verb
///
/// Without a word it lists both. On a terminal a long text is shown with $PAGER, else less.
///
/// Examples:
///   bascule help offline
///   bascule help restic
///   bascule help key rotate
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// A topic, such as key, deletion, offline or rclone (bascule help lists them), or a verb
    words: Vec<String>,
}

/// Name, one line about it, text.
const TOPICS: [(&str, &str, &str); 14] = [
    (
        "connection",
        "what a connection is, and what it keeps",
        include_str!("help/connection.txt"),
    ),
    (
        "key",
        "a key for each tool: rights, ends, rotation",
        include_str!("help/key.txt"),
    ),
    (
        "deletion",
        "what happens from delete to the receipt",
        include_str!("help/deletion.txt"),
    ),
    (
        "verdicts",
        "what intact and the others mean",
        include_str!("help/verdicts.txt"),
    ),
    (
        "erasure",
        "what is destroyed, and what nobody can promise",
        include_str!("help/erasure.txt"),
    ),
    (
        "gateway",
        "how requests pass, and when not to use a gateway",
        include_str!("help/gateway.txt"),
    ),
    (
        "offline",
        "daemon down, laptop asleep: what each tool does",
        include_str!("help/offline.txt"),
    ),
    (
        "multi-user",
        "a machine with several users, and containers",
        include_str!("help/multi-user.txt"),
    ),
    (
        "minio",
        "a MinIO of yours: the least rights, replacing its key",
        include_str!("help/minio.txt"),
    ),
    (
        "aws",
        "S3 at Amazon, profiles, the aws cli",
        include_str!("help/aws.txt"),
    ),
    (
        "r2",
        "Cloudflare's R2: tokens, and what R2 does not tell",
        include_str!("help/r2.txt"),
    ),
    (
        "rclone",
        "remotes, archives, what a dead key looks like",
        include_str!("help/rclone.txt"),
    ),
    (
        "restic",
        "backups that a stolen key can't destroy",
        include_str!("help/restic.txt"),
    ),
    ("cyberduck", "bookmarks", include_str!("help/cyberduck.txt")),
];

#[derive(Serialize)]
struct Document<'a> {
    topic: &'a str,
    text: &'a str,
}

/// The topics, each with a line about it.
pub(crate) fn topics() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOPICS.iter().map(|(name, about, _)| (*name, *about))
}

pub(crate) fn run(arguments: &Arguments, context: &Context) -> Result<Exit, Error> {
    let words: Vec<_> = arguments.words.iter().map(String::as_str).collect();
    let (topic, text) = match words.as_slice() {
        [] => (String::new(), overview()),
        [word] if topic(word).is_some() => (
            (*word).to_owned(),
            topic(word).unwrap_or_default().to_owned(),
        ),
        words => (words.join(" "), verb(words)?),
    };
    if context.output.is_json() {
        let document = Document {
            topic: &topic,
            text: &text,
        };
        context.output.document(&document)?;
    } else if !(std::io::stdout().is_terminal() && paged(&text)) {
        context.output.raw(&text)?;
    }
    Ok(Exit::Ok)
}

fn topic(word: &str) -> Option<&'static str> {
    TOPICS
        .iter()
        .find(|(name, ..)| *name == word)
        .map(|(_, _, text)| *text)
}

fn overview() -> String {
    let mut text = cli::Arguments::command().render_help().to_string();
    text.push_str("\nTopics (bascule help TOPIC):\n");
    for (name, about) in topics() {
        text.push_str(&format!("  {name:<14}  {about}\n"));
    }
    text
}

fn verb(words: &[&str]) -> Result<String, Error> {
    let mut command = cli::Arguments::command();
    command.build();
    let mut found = &mut command;
    for word in words {
        found = found.find_subcommand_mut(word).ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                format!("there is no topic or verb {:?}", words.join(" ")),
            )
            .next("bascule help")
        })?;
    }
    Ok(found.render_long_help().to_string())
}

/// Whether a pager has shown it.
fn paged(text: &str) -> bool {
    let set = ["BASCULE_PAGER", "PAGER"]
        .into_iter()
        .find_map(std::env::var_os);
    let set = set.and_then(|pager| pager.into_string().ok());
    let pager = set.unwrap_or_else(|| "less -FRX".to_owned());
    let mut words = pager.split_whitespace();
    let Some(program) = words.next() else {
        return false;
    };
    let started = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut pager) = started else {
        return false;
    };
    if let Some(mut input) = pager.stdin.take() {
        // A pager that was left has shown enough.
        input.write_all(text.as_bytes()).ok();
    }
    pager.wait().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_has_a_text_that_fits_a_terminal() {
        for (name, about, text) in TOPICS {
            assert!(!about.is_empty() && text.ends_with('\n'), "{name}");
            assert!(text.lines().count() > 8, "{name}");
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            let shown = cli::Arguments::command();
            assert!(
                shown.find_subcommand(name).is_none() || name == "deletion" || name == "key",
                "{name}"
            );
        }
    }

    #[test]
    fn what_topics_tell_to_type_is_taken() {
        for (name, _, text) in TOPICS {
            // A line that is broken for the width of a page is one command.
            for line in text
                .replace("\\\n", "")
                .lines()
                .filter_map(|line| line.strip_prefix("    bascule "))
            {
                cli::shown_is_taken(&format!("bascule {line}"))
                    .unwrap_or_else(|error| panic!("{name}: {line}\n{error}"));
            }
        }
    }

    #[test]
    fn a_verb_and_its_own_verbs_are_explained_and_nothing_else_is() {
        assert!(verb(&["key", "rotate"]).unwrap().contains("Example"));
        assert_eq!(verb(&["nothing"]).unwrap_err().kind, Kind::NotFound);
        assert!(overview().contains("offline"));
    }
}
