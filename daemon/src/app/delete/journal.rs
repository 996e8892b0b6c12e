//! Journals the steps of a deletion, each in one transaction with its entry in the audit. It decides
//! nothing.

use bascule_domain::{
    audit::{self, Asked, Change, Details, Part},
    deletion::{Deletion, Findings, Phase},
    receipt::Receipt,
};

use crate::{
    app::{App, error::Result},
    crash::{self, Side},
};

fn named(deletion: &Deletion) -> Details {
    Details {
        connection: Some(deletion.name.clone()),
        ..Details::default()
    }
}

impl App {
    pub(super) fn audit_step(&self, asked: Option<Asked>, deletion: &Deletion) -> audit::Entry {
        let change = Change::Deletion {
            connection: deletion.connection,
            deletion: deletion.id,
            phase: deletion.phase,
        };
        let mut details = named(deletion);
        if deletion.phase == Phase::Listening
            || deletion.phase == Phase::Requested && deletion.scream.is_none()
        {
            let none: [&str; 0] = [];
            let boxes = deletion.acknowledged.iter().map(|name| name.as_str());
            let emergency = deletion.emergency.then_some("yes");
            details = details.differs(Part::Acknowledged, none, boxes).differs(
                Part::Emergency,
                none,
                emergency,
            );
        }
        self.audit(asked, change, details)
    }

    pub(super) async fn journal(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        asked: Option<Asked>,
    ) -> Result<()> {
        crash::point(Side::Before, deletion.phase);
        let audit = self.audit_step(asked, deletion);
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.journal_deletion(&written, &evidence, &audit))
            .await?;
        crash::point(Side::After, deletion.phase);
        Ok(())
    }

    /// Keeps what happened within a phase: a restart, or that it waits.
    pub(super) async fn note(&self, deletion: &Deletion, findings: &Findings) -> Result<()> {
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.note_deletion(&written, &evidence, None))
            .await
    }

    /// Keeps that the user let a stopped countdown begin anew, with who did.
    pub(super) async fn note_go_on(
        &self,
        asked: Asked,
        deletion: &Deletion,
        findings: &Findings,
    ) -> Result<()> {
        let change = Change::DeletionWentOn {
            connection: deletion.connection,
            deletion: deletion.id,
        };
        let audit = self.audit(Some(asked), change, named(deletion));
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.note_deletion(&written, &evidence, Some(&audit)))
            .await
    }

    pub(super) async fn journal_verdict(
        &self,
        deletion: &Deletion,
        findings: &Findings,
        receipt: Receipt,
        asked: Option<Asked>,
    ) -> Result<()> {
        crash::point(Side::Before, deletion.phase);
        let audit = self.audit_step(asked, deletion);
        let (written, evidence) = (deletion.clone(), findings.clone());
        self.stored(move |store| store.judge_deletion(&written, &evidence, &receipt, &audit))
            .await?;
        crash::point(Side::After, deletion.phase);
        Ok(())
    }

    pub(super) async fn journal_cancellation(
        &self,
        deletion: &Deletion,
        asked: Option<Asked>,
    ) -> Result<()> {
        crash::point(Side::Before, deletion.phase);
        let audit = self.audit_step(asked, deletion);
        let written = deletion.clone();
        self.stored(move |store| store.cancel_deletion(&written, &audit))
            .await?;
        crash::point(Side::After, deletion.phase);
        Ok(())
    }
}
