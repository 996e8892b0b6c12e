//! What adoptions tell about a plan's consumers: which of them were adopted, those that no look has seen,
//! and the commands that move each. It changes nothing.

use bascule_domain::{access_key::AccessKeyId, adoption::Adoption, plan};
use bascule_watch::{Place, Rank, Use};

use super::plan::Holder;
use crate::app::{App, findings::shell_word, registry::Entry};

impl App {
    /// Names the adopted ones among the holders of a connection's keys, and adds those that were not
    /// seen: an adoption counts until it is ejected, undone, or replaced by one to another connection.
    /// Fails with why adoptions are not known.
    pub(super) async fn name_adopted(
        &self,
        entry: &Entry,
        holders: &mut Vec<Holder>,
    ) -> Result<(), String> {
        let known = self.adoptions().await;
        let known = known.map_err(|error| format!("what was adopted: {}", error.message))?;
        for adoption in known.in_force() {
            if adoption.connection != entry.connection.id {
                continue;
            }
            let Some((label, id)) = self.key_given_to(adoption) else {
                // It holds a dead key already.
                continue;
            };
            let moves = vec![
                format!("bascule repair {id}"),
                format!("bascule eject {}", shell_word(adoption.consumer.as_str())),
            ];
            let seen = holders.iter().any(|held| held.label == label);
            if !seen {
                holders.push(not_seen(adoption, &label, id.masked()));
            }
            for held in holders.iter_mut().filter(|held| held.label == label) {
                held.adopted = Some(adoption.consumer.clone());
                held.consumer.moves.clone_from(&moves);
            }
        }
        Ok(())
    }

    /// Label and id of the living key that an adopted consumer has; a successor of the one it was given
    /// has the same label.
    fn key_given_to(&self, adoption: &Adoption) -> Option<(String, AccessKeyId)> {
        let labelled = || self.registry.labelled(adoption.connection, &adoption.label);
        let given = self.registry.key_by_id(adoption.key);
        let key = given.or_else(|| labelled().pop())?;
        Some((key.label.to_string(), key.access_key_id))
    }
}

/// An adopted consumer whose key no look has seen: its file can't be read, or was changed by hand.
fn not_seen(adoption: &Adoption, label: &str, key: String) -> Holder {
    let mut chain = vec![format!("{} (adopted)", adoption.consumer)];
    chain.extend(adoption.paths.first().map(|path| path.as_str().to_owned()));
    let tool = adoption.consumer.as_str().split(':').next();
    Holder {
        consumer: plan::Consumer {
            chain: chain.join(" → "),
            tool: tool.unwrap_or_default().to_owned(),
            user: None,
            next_run: String::new(),
            moves: Vec::new(),
        },
        label: label.to_owned(),
        key,
        chain,
        rank: Rank::Configuration,
        next_run: None,
        adopted: None,
    }
}

/// With the command that gives it a key of its own, if it takes its key from a file.
pub(super) fn adoptable(mut held: Holder, found: &Use) -> Holder {
    if let Place::File { path, .. } = &found.key.place {
        let path = shell_word(&path.display().to_string());
        held.consumer.moves.push(format!("bascule adopt {path}"));
    }
    held
}
