//! How a file that a consumer reads is written: its syntax, and within it the part that belongs to the
//! consumer.

use std::path::Path;

use bascule_formats::{
    Dialect, Document,
    environment_file::Dialect as Variables,
    revise::{self, Scope, Syntax},
};

use crate::picture::{Link, LinkKind, Use};

/// A part of a file in which settings stand side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    pub(super) syntax: Syntax,
    /// The section, profile, alias or service; `None`: the whole file.
    pub(super) section: Option<String>,
}

impl Site {
    const fn whole(syntax: Syntax) -> Self {
        Self {
            syntax,
            section: None,
        }
    }

    fn section(syntax: Syntax, section: impl Into<String>) -> Self {
        Self {
            syntax,
            section: Some(section.into()),
        }
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        self.section.as_deref().map_or(Scope::Whole, Scope::Section)
    }

    /// The value that counts for a setting, if there is one.
    pub(super) fn value(&self, text: &str, name: &str) -> Option<String> {
        let found = revise::read(text, self.syntax, &self.scope(), name).ok()??;
        Some(found.to_string())
    }
}

/// How a file is written that one step of a use's way leads through, where the line is that the step
/// names. `None` for a file whose syntax is not known, in which only what stands there word for word can
/// be replaced.
pub(super) fn of(found: &Use, path: &Path, line: u32, text: &str) -> Option<Site> {
    let kind = &*found.kind;
    let name = path.file_name()?.to_str()?;
    let has_end = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
    // Lines of an encrypted file are not known, its remotes are.
    let s3 = |link: &&Link| link.kind == LinkKind::Entry && link.name.ends_with(": (s3)");
    if line == 0
        && let Some(link) = found.chain.iter().rev().find(s3)
        && let Some(remote) = link.name.strip_suffix(": (s3)")
        && has_type(text, remote)
    {
        return Some(Site::section(Syntax::Rclone, remote));
    }
    if let Some(section) = section_at(text, Dialect::Rclone, line)
        && (name == "rclone.conf" || has_type(text, &section))
    {
        return Some(Site::section(Syntax::Rclone, section));
    }
    let is_aws = text.contains("aws_access_key_id")
        || path
            .parent()?
            .file_name()
            .is_some_and(|folder| folder == ".aws");
    if is_aws && let Some(section) = section_at(text, Dialect::GoSdk, line) {
        let config = section.starts_with("profile ") || name == "config";
        return Some(match config {
            true => Site::section(Syntax::AwsConfig, profile(&section)),
            false => Site::section(Syntax::AwsCredentials, section),
        });
    }
    match kind {
        "mc" if has_end(&[".json"]) => {
            let entry = found.chain.iter().rev();
            let alias = entry
                .filter(|link| link.kind == LinkKind::Entry)
                .find_map(|link| link.name.split_once(' '))?;
            return Some(Site::section(Syntax::Mc, alias.1));
        }
        "s3cmd" if section_at(text, Dialect::GoSdk, line).is_some() => {
            return Some(Site::whole(Syntax::S3cfg));
        }
        "s3fs" => {
            // Of any name: a mount says which one it takes.
            let own = (line as usize).checked_sub(1);
            let own = own.and_then(|at| text.lines().nth(at)).unwrap_or_default();
            let fields: Vec<_> = own.trim().split(':').collect();
            match fields.as_slice() {
                [bucket, id, _] if *id == found.key.id.as_str() => {
                    return Some(Site::section(Syntax::S3fsPasswords, *bucket));
                }
                [id, _] if *id == found.key.id.as_str() => {
                    return Some(Site::whole(Syntax::S3fsPasswords));
                }
                _ => {}
            }
        }
        _ => {}
    }
    let leads = |kinds: &[LinkKind]| {
        found.chain.iter().any(|link| {
            let at = link.place.as_ref().and_then(crate::Place::file);
            kinds.contains(&link.kind) && at.is_some_and(|(at, _)| at == path)
        })
    };
    let has = |kind: LinkKind| found.chain.iter().any(|link| link.kind == kind);
    if has_end(&[
        ".service",
        ".timer",
        ".socket",
        ".mount",
        ".path",
        ".container",
        ".pod",
        ".kube",
    ]) || has_end(&[".conf"]) && path.parent()?.extension().is_some_and(|end| end == "d")
    {
        return Some(Site::whole(Syntax::Unit));
    }
    if leads(&[LinkKind::Cron]) {
        return Some(Site::whole(Syntax::Crontab));
    }
    if has_end(&[".yml", ".yaml"]) {
        let mut links = found.chain.iter().rev();
        let service = links.find(|link| link.kind == LinkKind::Container)?;
        return Some(Site::section(Syntax::Compose, service.name.clone()));
    }
    if leads(&[LinkKind::Script]) || has_end(&[".sh", ".bash", ".zsh", "profile", "rc"]) {
        return Some(Site::whole(Syntax::Shell));
    }
    if leads(&[LinkKind::Mount, LinkKind::At, LinkKind::Launchd]) {
        return None;
    }
    let syntax = if has(LinkKind::Container) {
        Syntax::EnvironmentFile(Variables::Compose)
    } else if text
        .lines()
        .any(|line| line.trim_start().starts_with("export "))
    {
        Syntax::Shell
    } else if has(LinkKind::Unit) && !has(LinkKind::Script) {
        Syntax::EnvironmentFile(Variables::Systemd)
    } else {
        Syntax::Shell
    };
    Some(Site::whole(syntax))
}

/// The section of an INI file that a line belongs to.
fn section_at(text: &str, dialect: Dialect, line: u32) -> Option<String> {
    let document = Document::parse(text, dialect).ok()?;
    let mut sections = document.sections().iter().rev();
    let section = sections.find(|section| section.line > 0 && section.line <= line)?;
    Some(section.name.to_owned())
}

fn has_type(text: &str, section: &str) -> bool {
    let document = Document::parse(text, Dialect::Rclone).ok();
    document.is_some_and(|document| document.entry(section, "type").is_some())
}

fn profile(section: &str) -> &str {
    let rest = section.strip_prefix("profile").unwrap_or(section);
    rest.trim().trim_matches(['"', '\''])
}
