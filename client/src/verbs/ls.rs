//! `bascule ls`: browses one level. Entries are printed as they arrive, so memory does not grow
//! with the bucket.

use std::str::FromStr;

use bascule_proto::v1::{self, browse_entry::Entry};
use clap::Args;
use serde::Serialize;

use super::Context;
use crate::{
    error::Error,
    exit::Exit,
    output::{
        self, Output,
        text::{DIM, HEAD, escape, size, styled},
    },
};

/// List the buckets of a connection, or one level of a bucket
///
/// Examples:
///   bascule ls photos
///   bascule ls photos/pics/2025/
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// What to list
    #[arg(value_name = "NAME[/BUCKET[/PREFIX]]")]
    pub(crate) place: Place,
}

/// A connection, and perhaps a bucket and a prefix in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) bucket: String,
    pub(crate) prefix: String,
}

impl FromStr for Place {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, rest) = text.split_once('/').unwrap_or((text, ""));
        // Everything after the second slash is the prefix, further slashes included.
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            name: name.to_owned(),
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Bucket {
        name: &'a str,
    },
    Prefix {
        prefix: &'a str,
    },
    Object {
        key: &'a str,
        size: u64,
        etag: &'a str,
        last_modified: Option<&'a str>,
    },
}

pub(crate) async fn run(arguments: Arguments, context: &Context) -> Result<Exit, Error> {
    let place = arguments.place;
    let request = v1::BrowseRequest {
        name: place.name.clone(),
        bucket: place.bucket.clone(),
        prefix: place.prefix.clone(),
    };
    let mut stream = context
        .client()
        .await?
        .connections()
        .browse(request)
        .await?
        .into_inner();
    let mut listing = Listing {
        output: context.output,
        place,
        entries: 0,
        begun: false,
    };
    while let Some(page) = stream.message().await? {
        listing.page(&page)?;
    }
    listing.end()?;
    Ok(Exit::Ok)
}

struct Listing {
    output: Output,
    place: Place,
    entries: u64,
    begun: bool,
}

impl Listing {
    fn page(&mut self, page: &v1::BrowseResponse) -> Result<(), Error> {
        let mut text = String::new();
        if self.output.is_json() {
            self.begin(&mut text)?;
        }
        for entry in page.entries.iter().filter_map(|entry| entry.entry.as_ref()) {
            if self.output.is_json() {
                text.push_str(if self.entries == 0 {
                    "\n    "
                } else {
                    ",\n    "
                });
                text.push_str(&compact(&item(entry))?);
            } else {
                text.push_str(&line(entry));
            }
            self.entries += 1;
        }
        self.output.raw(&text)
    }

    fn begin(&mut self, text: &mut String) -> Result<(), Error> {
        if !self.begun {
            self.begun = true;
            text.push_str(&format!(
                "{{\n  \"connection\": {},\n  \"bucket\": {},\n  \"prefix\": {},\n  \"entries\": [",
                compact(&self.place.name)?,
                compact(&Some(&self.place.bucket).filter(|bucket| !bucket.is_empty()))?,
                compact(&self.place.prefix)?,
            ));
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.output.is_json() {
            let mut text = String::new();
            self.begin(&mut text)?;
            text.push_str(if self.entries == 0 {
                "]\n}\n"
            } else {
                "\n  ]\n}\n"
            });
            return self.output.raw(&text);
        }
        if self.entries == 0 {
            self.output.status("nothing there");
        }
        Ok(())
    }
}

fn compact(value: &impl Serialize) -> Result<String, Error> {
    // Items are small and flat, so the pretty form only adds line breaks.
    let text = output::json(value)?;
    Ok(text
        .lines()
        .map(str::trim_start)
        .collect::<Vec<_>>()
        .join(" "))
}

fn item(entry: &Entry) -> Item<'_> {
    match entry {
        Entry::Bucket(name) => Item::Bucket { name },
        Entry::Prefix(prefix) => Item::Prefix { prefix },
        Entry::Object(object) => Item::Object {
            key: &object.key,
            size: object.size,
            etag: &object.etag,
            last_modified: Some(object.last_modified.as_str()).filter(|time| !time.is_empty()),
        },
    }
}

fn line(entry: &Entry) -> String {
    match entry {
        Entry::Bucket(name) => format!("{}\n", styled(HEAD, &format!("{}/", escape(name)))),
        Entry::Prefix(prefix) => format!(
            "{:>10}  {:20}  {}\n",
            "-",
            "",
            styled(HEAD, &escape(prefix))
        ),
        Entry::Object(object) => {
            // The fraction of a second says nothing to a person.
            let seconds: String = object.last_modified.chars().take(19).collect();
            format!(
                "{:>10}  {}  {}\n",
                size(object.size),
                styled(DIM, &format!("{:20}", escape(&seconds.replace('T', " ")))),
                escape(&object.key)
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_split_at_its_first_two_slashes_only() {
        for (text, name, bucket, prefix) in [
            ("n", "n", "", ""),
            ("n/", "n", "", ""),
            ("n/b", "n", "b", ""),
            ("n/b/", "n", "b", ""),
            ("n/b/p/q/", "n", "b", "p/q/"),
            ("n/b//odd//key", "n", "b", "/odd//key"),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(
                (&*place.name, &*place.bucket, &*place.prefix),
                (name, bucket, prefix),
                "{text}"
            );
        }
    }

    #[test]
    fn keys_are_shown_escaped_and_documented_whole() {
        let object = Entry::Object(v1::BrowseObject {
            key: "a\u{1b}[2J".into(),
            size: 3,
            etag: "e".into(),
            last_modified: "2026-01-01T00:00:00Z".into(),
        });
        let text = anstream::adapter::strip_str(&line(&object)).to_string();
        assert_eq!(text, "       3 B  2026-01-01 00:00:00   a\\u{1b}[2J\n");
        let json: serde_json::Value =
            serde_json::from_str(&compact(&item(&object)).unwrap()).unwrap();
        assert_eq!(json["type"], "object");
        assert_eq!(json["key"], "a\u{1b}[2J");
    }
}
