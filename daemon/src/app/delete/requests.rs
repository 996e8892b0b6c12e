//! Answers what a user asks of a deletion that is under way: to call it off, to let a stopped countdown
//! begin anew, to give up its verdict. Whoever asks is always answered, with what became of it.

use bascule_domain::deletion::{Event, Phase, Refusal};

use super::{
    drive::Driver,
    running::{NotDone, Request, Wanted},
};

impl Wanted {
    const fn event(self) -> Event {
        match self {
            Self::Cancel => Event::Cancel,
            Self::GoOn => Event::GoOn,
            Self::FinishUnverified => Event::FinishUnverified,
        }
    }

    /// Why nothing comes of it, as far as the phase alone tells.
    pub(super) const fn refusal(self, phase: Phase) -> Option<Refusal> {
        if phase.is_over() {
            return Some(Refusal::Over(phase));
        }
        match (self, phase) {
            (Self::Cancel | Self::GoOn, phase) if phase.keys_are_dead() => Some(Refusal::TooLate),
            (Self::GoOn, Phase::Listening) | (Self::Cancel, _) => None,
            (Self::GoOn, _) => Some(Refusal::NotStopped),
            (Self::FinishUnverified, Phase::Revoked) => None,
            (Self::FinishUnverified, Phase::Judged) => Some(Refusal::Judged),
            (Self::FinishUnverified, _) => Some(Refusal::NotRevoked),
        }
    }
}

impl Request {
    pub(super) fn refuse(self, refusal: Refusal) {
        self.reply.send(Err(NotDone::Refused(refusal))).ok();
    }
}

impl Driver {
    /// Does what is asked for. `Err` says what failed; whoever asked was told.
    pub(super) async fn answer(&mut self, request: Request) -> std::result::Result<(), String> {
        if let Some(refusal) = request.wanted.refusal(self.deletion.phase) {
            request.refuse(refusal);
            return Ok(());
        }
        match request.wanted {
            Wanted::GoOn => self.go_on(request, Ok(())).await,
            Wanted::Cancel if self.revoking => {
                request.refuse(Refusal::TooLate);
                Ok(())
            }
            Wanted::Cancel | Wanted::FinishUnverified => {
                self.asked = Some(request.asked);
                let taken = self.take(request.wanted.event()).await;
                let answer = match &taken {
                    Ok(()) => Ok(self.deletion.clone()),
                    Err(why) => Err(NotDone::Failed(why.clone())),
                };
                request.reply.send(answer).ok();
                taken
            }
        }
    }

    /// Lets a stopped countdown begin anew, if what had to be kept before is kept.
    pub(super) async fn go_on(
        &mut self,
        request: Request,
        kept: std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        let kept = match kept {
            // A knock that is not stored yet comes before the user's word.
            Ok(()) => self.store_knock().await,
            Err(why) => Err(why),
        };
        let done = match kept {
            Ok(()) => self.count_anew(request.asked).await,
            Err(why) => Err(NotDone::Failed(why)),
        };
        let failed = match &done {
            Err(NotDone::Failed(why)) => Err(why.clone()),
            _ => Ok(()),
        };
        request
            .reply
            .send(done.map(|()| self.deletion.clone()))
            .ok();
        failed
    }

    pub(super) fn refuse_what_came_too_late(&mut self) {
        while let Ok(request) = self.requests.try_recv() {
            let phase = self.deletion.phase;
            let refusal = request.wanted.refusal(phase).unwrap_or(Refusal::TooLate);
            request.refuse(refusal);
        }
    }
}
