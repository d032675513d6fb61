//! Discarding: a letter that nobody will ever carry out is given up, with a reason, and kept for a while; and undoing it.
//!
//! Promises: the letter is in MySQL and its command `discarded` before the message is acked; brought back, it is on its
//! queue before the command is `suspended` again. So whoever is interrupted leaves a letter too much, never one too few.
//! What may have money under way at Toss is not discarded: a replay looks that up.

use super::{Actor, DeadLetters, DlqError, Facts, Filter, Held, Letter, LetterId, LetterKey, facts, queue::to_headers};
use contracts::{
    Command, CommandId, CommandState, ResultCode,
    dead_letter::DISCARDED_KEPT_MS,
    topology::{DEAD_EXCHANGE, Role},
};
use domain::{payment, refund::LegState};
use platform::{
    Shutdown,
    database::within,
    history::{self, Happened, Note},
    rabbitmq::{Message, Subscription},
};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Discarded letters that are restored in one action, at most.
const RESTORED_MAX: u32 = 1_000;

/// What an action on several letters came to.
#[derive(Clone, Debug, Serialize)]
pub struct Discarded {
    /// The action's number.
    pub action: i64,
    /// Letters that were meant.
    pub selected: u64,
    /// On how many it acted.
    pub acted_on: u64,
    /// Those that were left alone, and why.
    pub refused: Vec<(String, String)>,
}

/// Why a letter is not discarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another delivery is at it.
    #[error("its command is {}: another delivery of it is under way. Wait until that has ended", .0.as_str())]
    UnderWay(CommandState),
    /// Toss may have taken the money.
    #[error("its charge is being confirmed, and the money may have been taken: replay it, it is looked up first")]
    ChargeOpen,
    /// Toss may have given the money back.
    #[error(
        "its refund leg is open: replay it, or say what became of the money (the administrators' payouts), then discard it"
    )]
    LegOpen,
}

/// Whether a letter may be given up. Pure.
fn may_discard(letter: &Letter, facts: &Facts) -> Result<(), Refusal> {
    match facts.row.map(|row| row.state) {
        Some(state) if state.is_final() => return Ok(()),
        Some(state @ (CommandState::Executing | CommandState::Retrying)) => return Err(Refusal::UnderWay(state)),
        _ => {}
    }
    let content = facts.revision.clone().map_or_else(|| letter.content(), Ok);
    match content.map(|envelope| envelope.command) {
        Ok(Command::ConfirmCharge { .. }) => {
            let open =
                |charge: &super::ChargeFacts| charge.is_this_commands && charge.state == payment::State::Confirming;
            if facts.charge.as_ref().is_some_and(open) { Err(Refusal::ChargeOpen) } else { Ok(()) }
        }
        Ok(Command::CancelCharge { .. }) => {
            let is_open = facts.leg.is_some_and(|leg| matches!(leg.state, LegState::Planned | LegState::Executing));
            if is_open { Err(Refusal::LegOpen) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// The columns of a discarded letter.
struct KeptRow {
    letter_key: Vec<u8>,
    command_id: Option<Vec<u8>>,
    role: String,
    payload: Vec<u8>,
    headers: String,
}

/// A letter, as it was kept.
struct Kept {
    key: LetterKey,
    command: Option<CommandId>,
    role: Role,
    payload: Vec<u8>,
    headers: BTreeMap<String, Value>,
}

impl DeadLetters {
    /// Gives up the letters that are meant, one by one, until all are or `stop` is requested.
    pub async fn discard(
        &self,
        filter: &Filter,
        actor: &Actor,
        progress: &watch::Sender<super::Progress>,
        stop: &Shutdown,
    ) -> Result<Discarded, DlqError> {
        let action = self.begin("discard", actor, filter).await?;
        let mut told = Discarded { action, selected: 0, acted_on: 0, refused: Vec::new() };
        let result = self.discard_all(filter, actor, &mut told, (progress, stop)).await;
        self.end(action, (told.selected, told.acted_on), &result).await;
        result.map(|()| told)
    }

    async fn discard_all(
        &self,
        filter: &Filter,
        actor: &Actor,
        told: &mut Discarded,
        (progress, stop): (&watch::Sender<super::Progress>, &Shutdown),
    ) -> Result<(), DlqError> {
        let connection = self.connect().await?;
        let mut left = filter.at_most.unwrap_or(usize::MAX);
        for role in filter.roles() {
            let Some(mut held) = Held::take(&connection, role).await? else { continue };
            let found = std::mem::take(&mut held.letters).into_iter();
            let meant: Vec<(u64, Letter)> = found.filter(|(_, letter)| filter.means(letter)).take(left).collect();
            left -= meant.len();
            told.selected += meant.len() as u64;
            progress.send_modify(|progress| progress.selected = told.selected);
            let result = self.discard_some(&held.subscription, &meant, actor, told, (progress, stop)).await;
            held.give_back_the_rest().await?;
            result?;
        }
        Ok(())
    }

    async fn discard_some(
        &self,
        queue: &Subscription,
        meant: &[(u64, Letter)],
        actor: &Actor,
        told: &mut Discarded,
        (progress, stop): (&watch::Sender<super::Progress>, &Shutdown),
    ) -> Result<(), DlqError> {
        for (tag, letter) in meant {
            if stop.is_requested() {
                break;
            }
            let facts = facts::read(&self.database, self.limit, letter).await?;
            if let Err(refusal) = may_discard(letter, &facts) {
                told.refused.push((letter.id().to_string(), refusal.to_string()));
                continue;
            }
            self.keep(letter, actor, told.action).await?;
            platform::halt::point("dlq.discarded").await;
            queue.ack(*tag).await?;
            told.acted_on += 1;
            progress.send_modify(|progress| progress.replayed = told.acted_on);
        }
        Ok(())
    }

    /// The letter into MySQL, and its command discarded, in one transaction.
    async fn keep(&self, letter: &Letter, actor: &Actor, action: i64) -> Result<(), DlqError> {
        let now = self.clock.now();
        let headers = serde_json::to_string(&letter.headers).map_err(facts::invalid)?;
        let id = letter.command.map(CommandId::bytes);
        let mut transaction = within(self.limit, self.database.begin()).await?;
        within(self.limit, async {
            sqlx::query!(
                "INSERT INTO discarded_letters (letter_key, command_id, role, payload, headers, action_id, discarded_at_ms,
                                                keep_until_ms)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                 ON DUPLICATE KEY UPDATE headers = VALUES(headers), action_id = VALUES(action_id),
                     discarded_at_ms = VALUES(discarded_at_ms), keep_until_ms = VALUES(keep_until_ms)",
                &letter.key.0[..],
                id.as_ref().map(|id| &id[..]),
                letter.role.as_str(),
                letter.body,
                headers,
                action,
                now.0,
                now.plus_ms(DISCARDED_KEPT_MS).0
            )
            .execute(&mut *transaction)
            .await?;
            if let (Some(command), Some(id)) = (letter.command, &id) {
                sqlx::query!(
                    "UPDATE commands SET state = 'discarded', result_code = ?, data = '{}', updated_at_ms = ?
                     WHERE command_id = ? AND state = 'suspended'",
                    i32::try_from(ResultCode::CommandDiscarded.code()).unwrap_or(i32::MAX),
                    now.0,
                    &id[..]
                )
                .execute(&mut *transaction)
                .await?;
                let note = Note::new(command, Happened::Discarded, now, actor.who(), actor.why());
                history::write(&mut *transaction, &Note { action: Some(action), ..note }).await?;
            }
            transaction.commit().await
        })
        .await?;
        Ok(())
    }

    /// Brings discarded letters back to their dead-letter queue: those of a command, or the one of a key.
    pub async fn restore(&self, id: LetterId, actor: &Actor) -> Result<Discarded, DlqError> {
        let kept = within(self.limit, self.kept(id)).await?;
        if kept.is_empty() {
            return Err(DlqError::NoLetter(format!("{id} among those that were discarded and are still kept")));
        }
        let action = self.begin("restore", actor, &serde_json::json!({"id": id.to_string()})).await?;
        let mut told = Discarded { action, selected: kept.len() as u64, acted_on: 0, refused: Vec::new() };
        let result = self.restore_all(&kept, actor, &mut told).await;
        self.end(action, (told.selected, told.acted_on), &result).await;
        result.map(|()| told)
    }

    async fn restore_all(&self, kept: &[Kept], actor: &Actor, told: &mut Discarded) -> Result<(), DlqError> {
        let publisher = self.publisher().await?;
        for letter in kept {
            let message = Message {
                exchange: DEAD_EXCHANGE.to_owned(),
                routing_key: letter.role.as_str().to_owned(),
                payload: letter.payload.clone(),
                message_id: letter.command.map_or_else(|| letter.key.to_string(), |id| id.to_string()),
                reply_to: None,
                headers: to_headers(&letter.headers),
                mandatory: true,
            };
            publisher.publish(message).await?;
            platform::halt::point("dlq.restored").await;
            self.forget_discard(letter, actor, told.action).await?;
            told.acted_on += 1;
        }
        Ok(())
    }

    async fn kept(&self, id: LetterId) -> Result<Vec<Kept>, sqlx::Error> {
        // Two statements rather than one with OR: each has its index.
        let rows =
            match id {
                LetterId::Command(command) => {
                    sqlx::query_as!(
                        KeptRow,
                        "SELECT letter_key, command_id, role, payload, headers FROM discarded_letters
                 WHERE command_id = ? LIMIT ?",
                        &command.bytes()[..],
                        RESTORED_MAX
                    )
                    .fetch_all(&self.database)
                    .await?
                }
                LetterId::Key(key) => sqlx::query_as!(
                    KeptRow,
                    "SELECT letter_key, command_id, role, payload, headers FROM discarded_letters WHERE letter_key = ?",
                    &key.0[..]
                )
                .fetch_all(&self.database)
                .await?,
            };
        rows.into_iter().map(read_kept).collect()
    }

    /// It lies on its queue again: the command is suspended, and nothing is kept any more.
    async fn forget_discard(&self, letter: &Kept, actor: &Actor, action: i64) -> Result<(), DlqError> {
        let now = self.clock.now();
        let mut transaction = within(self.limit, self.database.begin()).await?;
        within(self.limit, async {
            sqlx::query!("DELETE FROM discarded_letters WHERE letter_key = ?", &letter.key.0[..])
                .execute(&mut *transaction)
                .await?;
            if let Some(command) = letter.command {
                sqlx::query!(
                    "UPDATE commands SET state = 'suspended', result_code = 0, updated_at_ms = ?
                     WHERE command_id = ? AND state = 'discarded'",
                    now.0,
                    &command.bytes()[..]
                )
                .execute(&mut *transaction)
                .await?;
                let note = Note::new(command, Happened::Restored, now, actor.who(), actor.why());
                history::write(&mut *transaction, &Note { action: Some(action), ..note }).await?;
            }
            transaction.commit().await
        })
        .await?;
        Ok(())
    }
}

fn read_kept(row: KeptRow) -> Result<Kept, sqlx::Error> {
    Ok(Kept {
        key: LetterKey(row.letter_key.try_into().map_err(|_| facts::invalid("a letter's key is 8 bytes"))?),
        command: row.command_id.as_deref().and_then(CommandId::from_slice),
        role: facts::word(&row.role)?,
        payload: row.payload,
        headers: serde_json::from_str(&row.headers).map_err(facts::invalid)?,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            Row,
            letter::tests::{buy, letter},
        },
        *,
    };
    use contracts::{Envelope, Fingerprint, RefundId, UnixMs, UserId, Won};

    fn row(state: CommandState) -> Row {
        Row { state, fingerprint: Fingerprint([0; 32]) }
    }

    #[test]
    fn what_is_under_way_or_has_money_under_way_is_not_given_up() {
        let bid = letter(&buy("a").encode(), "out_of_attempts", "", 1);
        let of = |state| may_discard(&bid, &Facts { row: Some(row(state)), ..Facts::default() });
        assert_eq!(of(CommandState::Suspended), Ok(()));
        assert_eq!(of(CommandState::Done), Ok(()), "a copy of what has ended");
        assert_eq!(of(CommandState::Retrying), Err(Refusal::UnderWay(CommandState::Retrying)));
        assert_eq!(may_discard(&letter(b"x", "undecodable", "", 1), &Facts::default()), Ok(()));

        let money = |command| {
            let envelope = Envelope::new(buy("a").id, UserId(1), UnixMs(1), None, command);
            letter(&envelope.encode(), "needs_a_person", "", 1)
        };
        let confirm = money(Command::ConfirmCharge {
            order_id: "order-1".into(),
            payment_key: "p".into(),
            amount: Won(1),
            confirm_by: UnixMs(1),
        });
        let charge = |state, is_this_commands| {
            let charge = super::super::ChargeFacts {
                is_own: true,
                is_this_commands,
                state,
                amount: Won(1),
                payment_key: None,
                attempt: 1,
                is_key_spent: false,
                confirm_by: None,
            };
            may_discard(
                &confirm,
                &Facts { row: Some(row(CommandState::Suspended)), charge: Some(charge), ..Facts::default() },
            )
        };
        assert_eq!(charge(payment::State::Confirming, true), Err(Refusal::ChargeOpen));
        assert_eq!(charge(payment::State::Confirming, false), Ok(()));
        assert_eq!(charge(payment::State::Failed, true), Ok(()));

        let cancel = money(Command::CancelCharge { refund: RefundId(1), leg: 1 });
        let leg = |state| {
            let leg = super::super::LegFacts {
                route: domain::refund::Route::Cancel,
                state,
                amount: Won(1),
                attempt: 1,
                key_since: UnixMs(1),
                is_key_spent: false,
                charge_left: Won(1),
            };
            may_discard(&cancel, &Facts { row: Some(row(CommandState::Suspended)), leg: Some(leg), ..Facts::default() })
        };
        assert_eq!(leg(LegState::Executing), Err(Refusal::LegOpen));
        assert_eq!(leg(LegState::Paid), Ok(()));
    }
}
