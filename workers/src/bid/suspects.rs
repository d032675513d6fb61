//! What becomes of a command that fails alone, of one that seems to end its workers, and of what is no command: tried
//! again, counted, set aside. Where it is known, its history is noted for people.

use super::{
    intake::Taken,
    lane::{Lane, LaneError, Life},
    port::StoreError,
};
use contracts::{DeadLetterReason, Envelope, Outcome, topology::Role};
use platform::{
    history::{self, Happened, Note},
    rabbitmq::Failure,
};
use std::time::Duration;
use tokio::time::Instant;

/// Why a command is set aside.
pub(super) struct Verdict {
    pub(super) reason: DeadLetterReason,
    pub(super) error: String,
    pub(super) attempts: u32,
    /// Those of the attempts that were counted in MySQL before they began.
    pub(super) counted: u32,
}

impl Lane {
    /// The guilty one, alone: tried again, then set aside.
    pub(super) async fn attempt_alone(
        &self,
        life: &mut Life<'_>,
        (taken, envelope): (&Taken, &Envelope),
        mut error: String,
        answers: &mut Vec<(String, Outcome)>,
    ) -> Result<(), LaneError> {
        let max_attempts = self.worker.config.bid_worker.max_attempts;
        for attempt in 2..=max_attempts {
            tracing::warn!(command = %envelope.id, attempt, error, "a command failed alone; trying it again");
            let started = Instant::now();
            match self.carry_out(life, &[(taken, envelope)]).await {
                Ok(outcomes) => {
                    answers.extend(
                        outcomes.into_iter().filter_map(|outcome| Some((taken.reply_to()?.to_owned(), outcome))),
                    );
                    return Ok(());
                }
                Err(error @ (StoreError::Away(_) | StoreError::Contention { .. })) => return Err(error.into()),
                Err(StoreError::Defect(again)) => {
                    self.note_failure(envelope, attempt, &again, started).await;
                    error = again;
                }
            }
        }
        let counted = u32::from(life.counted.contains(&envelope.id));
        let verdict = Verdict { reason: DeadLetterReason::OutOfAttempts, error, attempts: max_attempts, counted };
        self.set_aside(life, taken, Some(envelope), verdict).await
    }

    pub(super) async fn note_failure(&self, envelope: &Envelope, attempt: u32, error: &str, started: Instant) {
        let now = self.worker.clock.now();
        let note = Note::new(envelope.id, Happened::Failed, now, &self.worker.name, error);
        self.note(&Note { took: Some(started.elapsed()), attempt: Some(attempt), ..note }).await;
    }

    /// Over the pool: whatever becomes of it, the lane's own connection is none the worse.
    async fn note(&self, note: &Note<'_>) {
        let limit = Duration::from_millis(self.worker.config.database.statement_timeout_ms);
        history::try_write(&self.worker.database, limit, note).await;
    }

    /// Counts an attempt of a command that seems to end its workers; sets it aside when there were too many.
    pub(super) async fn may_begin(
        &self,
        life: &mut Life<'_>,
        taken: &Taken,
        envelope: &Envelope,
    ) -> Result<bool, LaneError> {
        let max_attempts = self.worker.config.bid_worker.max_attempts;
        if life.store.begin_attempt(envelope, max_attempts, self.worker.clock.now()).await? {
            life.counted.push(envelope.id);
            return Ok(true);
        }
        let verdict = Verdict {
            reason: DeadLetterReason::OutOfAttempts,
            error: "workers ended while they carried it out".to_owned(),
            attempts: max_attempts,
            counted: max_attempts,
        };
        self.set_aside(life, taken, Some(envelope), verdict).await?;
        Ok(false)
    }

    /// Marks the command suspended and publishes the dead letter. The original is acked with its batch.
    pub(super) async fn set_aside(
        &self,
        life: &mut Life<'_>,
        taken: &Taken,
        envelope: Option<&Envelope>,
        Verdict { reason, error, attempts, counted }: Verdict,
    ) -> Result<(), LaneError> {
        let now = self.worker.clock.now();
        let command = match &taken.content {
            Ok(envelope) => Some(envelope.id),
            Err((_, undecodable)) => undecodable.id(),
        };
        if let Some(id) = command {
            life.store.suspend(id, envelope, attempts.saturating_sub(counted), now).await?;
        }
        let failure = Failure { reason, error, attempts, at: now, command };
        self.worker
            .publisher
            .dead_letter(Role::Bid, &taken.delivered.queue, &taken.delivered.delivery, &failure)
            .await?;
        if let Some(id) = command {
            let note = Note::new(id, Happened::SetAside, now, &self.worker.name, &failure.error);
            self.note(&Note { attempt: Some(attempts), reason: Some(reason), ..note }).await;
        }
        Ok(())
    }
}
