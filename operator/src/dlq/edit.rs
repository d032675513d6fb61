//! Editing: a new revision of a suspended command's payload, under the same id and with a new fingerprint.
//!
//! The revision is a row of `command_revisions` first; the relay carries it out, whichever copy of the message is
//! replayed. Only then the letter itself is replaced, so that the RabbitMQ page shows what will be carried out.
//! Promises: interrupted at any moment, the old letter or both lie on the queue, and either leads to the new revision.

use super::{Actor, DeadLetters, DlqError, Letter, LetterId, facts, queue::to_headers};
use contracts::{
    Command, CommandId, CommandState, Envelope, Fingerprint, PartitionCount, UnixMs, UserId,
    dead_letter::{HEADER_COMMAND_ID, HEADER_ORIGIN, HEADER_REVISION},
    topology::{DEAD_EXCHANGE, Role, origin, routing_key},
};
use lapin::types::AMQPValue;
use platform::{
    database::within,
    history::{self, Happened, Note},
    rabbitmq::{Message, Publisher, Subscription},
};
use serde::Serialize;
use serde_json::Value;

/// What an edit came to.
#[derive(Clone, Debug, Serialize)]
pub struct Edited {
    /// The action's number.
    pub action: i64,
    /// Which revision it is; the first one is 1.
    pub revision: i32,
    /// As a replay will carry it out.
    pub envelope: Envelope,
}

/// Why something is no revision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviseError {
    /// Neither id nor user can be read.
    #[error(
        "the letter's body names no command and no user: there is nothing to keep. Discard it, and have it sent anew"
    )]
    Nameless,
    /// The new body is none of that kind.
    #[error("that is no body of a {kind}: {error}")]
    NoBody {
        /// The kind.
        kind: String,
        /// What the parser says.
        error: String,
    },
    /// It would be another command.
    #[error("an edit may not make another command of it ({0}): discard this one, and have that one sent")]
    OtherCommand(&'static str),
    /// It names a bid that cannot exist.
    #[error("no queue carries that out: it names a bid that cannot exist here")]
    Nowhere,
}

/// What stays of any body.
struct Kept {
    id: CommandId,
    user: UserId,
    accepted_at: UnixMs,
    valid_until: Option<UnixMs>,
}

/// The new revision of a message body: `kind` (where the old one cannot be read) and `body` replaced; id, user and times
/// kept, because a command stays who asked it and when.
///
/// # Errors
/// See [`ReviseError`].
pub fn revise(
    old: &[u8],
    kind: Option<&str>,
    body: &Value,
    partitions: PartitionCount,
) -> Result<Envelope, ReviseError> {
    let loose: Value = serde_json::from_slice(old).map_err(|_| ReviseError::Nameless)?;
    let kept = kept(&loose).ok_or(ReviseError::Nameless)?;
    let kind = kind.or_else(|| loose["kind"].as_str()).unwrap_or_default().to_owned();
    let command: Command = serde_json::from_value(serde_json::json!({"kind": kind, "body": body}))
        .map_err(|error| ReviseError::NoBody { kind, error: error.to_string() })?;
    if let Ok(old) = Envelope::decode(old) {
        stays_itself(&old.command, &command)?;
    }
    routing_key(&command, partitions).ok_or(ReviseError::Nowhere)?;
    Ok(Envelope::new(kept.id, kept.user, kept.accepted_at, kept.valid_until, command))
}

fn kept(loose: &Value) -> Option<Kept> {
    Some(Kept {
        id: loose["id"].as_str()?.parse().ok()?,
        user: UserId(loose["user"].as_u64()?),
        accepted_at: UnixMs(loose["accepted_at"].as_i64()?),
        valid_until: loose["valid_until"].as_i64().map(UnixMs),
    })
}

/// What whoever sent the old body was told that they had asked, where that can be read.
fn fingerprint_of(body: &[u8]) -> Option<Fingerprint> {
    let loose: Value = serde_json::from_slice(body).ok()?;
    loose["fingerprint"].as_str()?.parse().ok()
}

/// Money that may be under way at Toss belongs to this command: it may not be pointed at other money.
fn stays_itself(old: &Command, new: &Command) -> Result<(), ReviseError> {
    if old.kind() != new.kind() {
        return Err(ReviseError::OtherCommand("its kind"));
    }
    let (same, what) = match (old, new) {
        (
            Command::ConfirmCharge { order_id: a, payment_key: key_a, .. },
            Command::ConfirmCharge { order_id: b, payment_key: key_b, .. },
        ) => (a == b && key_a == key_b, "the order or payment key of its charge"),
        (Command::FollowPayment { order_id: a }, Command::FollowPayment { order_id: b }) => {
            (a == b, "the order it follows")
        }
        (
            Command::CancelCharge { refund: a, leg: leg_a }
            | Command::ConfirmPayout { refund: a, leg: leg_a }
            | Command::FailPayout { refund: a, leg: leg_a, .. },
            Command::CancelCharge { refund: b, leg: leg_b }
            | Command::ConfirmPayout { refund: b, leg: leg_b }
            | Command::FailPayout { refund: b, leg: leg_b, .. },
        ) => ((a, leg_a) == (b, leg_b), "the leg it is about"),
        (
            Command::ApproveRefund { refund: a } | Command::RejectRefund { refund: a, .. },
            Command::ApproveRefund { refund: b } | Command::RejectRefund { refund: b, .. },
        ) => (a == b, "the refund it decides"),
        (Command::CollectDebt { debtor: a }, Command::CollectDebt { debtor: b }) => (a == b, "whose debt it collects"),
        (
            Command::RequestRefund { account_hash: a, account_cipher: cipher_a, .. },
            Command::RequestRefund { account_hash: b, account_cipher: cipher_b, .. },
        ) => ((a, cipher_a) == (b, cipher_b), "the account it is to be paid to"),
        _ => (true, ""),
    };
    if same { Ok(()) } else { Err(ReviseError::OtherCommand(what)) }
}

impl DeadLetters {
    /// Makes a new revision of a suspended command: `body` takes the place of the old one.
    pub async fn edit(
        &self,
        command: CommandId,
        kind: Option<&str>,
        body: &Value,
        actor: &Actor,
    ) -> Result<Edited, DlqError> {
        let publisher = self.publisher().await?;
        let id = LetterId::Command(command);
        let (held, letters) = self.hold(id).await?;
        let begun =
            self.begin("edit", actor, &serde_json::json!({"command": command, "kind": kind, "body": body})).await;
        let result = match begun {
            Ok(action) => {
                let made = self.make_revision(action, actor, command, (kind, body), &letters).await;
                let result = match made {
                    Ok(edited) => self.replace(publisher, &held.subscription, &letters, &edited).await.map(|()| edited),
                    Err(error) => Err(error),
                };
                self.end(action, (1, u64::from(result.is_ok())), &result).await;
                result
            }
            Err(error) => Err(error),
        };
        held.give_back_the_rest().await?;
        result
    }

    /// The row that decides what is carried out. Locks the command's own, so that it is suspended for sure.
    async fn make_revision(
        &self,
        action: i64,
        actor: &Actor,
        command: CommandId,
        (kind, body): (Option<&str>, &Value),
        letters: &[(u64, Letter)],
    ) -> Result<Edited, DlqError> {
        let now = self.clock.now();
        let newest = within(self.limit, facts::newest_revision(&self.database, command)).await?;
        let found = letters.first().map(|(_, letter)| letter.body.clone()).unwrap_or_default();
        let before = newest.as_ref().map_or(found, |(_, envelope)| envelope.encode());
        let envelope = revise(&before, kind, body, self.partitions)?;
        let revision = newest.map_or(1, |(number, _)| number + 1);
        let payload = String::from_utf8(envelope.encode()).map_err(facts::invalid)?;
        let fingerprint_before = fingerprint_of(&before).map(|fingerprint| fingerprint.0.to_vec());
        let mut transaction = within(self.limit, self.database.begin()).await?;
        within(self.limit, async {
            let bytes = command.bytes();
            let state = sqlx::query_scalar!("SELECT state FROM commands WHERE command_id = ? FOR UPDATE", &bytes[..])
                .fetch_optional(&mut *transaction)
                .await?;
            let state = state.as_deref().map(facts::word).transpose()?;
            if state != Some(CommandState::Suspended) {
                return Ok(Err(DlqError::NotSuspended { id: command, state }));
            }
            sqlx::query!(
                "INSERT INTO command_revisions (command_id, revision, fingerprint, fingerprint_before, payload, payload_before,
                                                action_id, made_at_ms)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                &bytes[..],
                revision,
                &envelope.fingerprint.0[..],
                fingerprint_before,
                payload,
                String::from_utf8_lossy(&before).into_owned(),
                action,
                now.0
            )
            .execute(&mut *transaction)
            .await?;
            let note = Note::new(command, Happened::Edited, now, actor.who(), actor.why());
            history::write(&mut *transaction, &Note { action: Some(action), ..note }).await?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(Ok(()))
        })
        .await??;
        platform::halt::point("dlq.revised").await;
        Ok(Edited { action, revision, envelope })
    }

    /// Puts the new revision in the place of the letter: published, then acked.
    async fn replace(
        &self,
        publisher: &Publisher,
        queue: &Subscription,
        letters: &[(u64, Letter)],
        edited: &Edited,
    ) -> Result<(), DlqError> {
        let Some((_, letter)) = letters.first() else { return Ok(()) };
        let mut headers = to_headers(&letter.headers);
        let key = routing_key(&edited.envelope.command, self.partitions).ok_or(ReviseError::Nowhere)?;
        let text = |text: String| AMQPValue::LongString(text.into());
        headers.insert(HEADER_ORIGIN.into(), text(origin(&key)));
        headers.insert(HEADER_COMMAND_ID.into(), text(edited.envelope.id.to_string()));
        headers.insert(HEADER_REVISION.into(), AMQPValue::LongLongInt(i64::from(edited.revision)));
        let message = Message {
            exchange: DEAD_EXCHANGE.to_owned(),
            // Where its command is looked for when it is suspended: the audit counts by kind.
            routing_key: Role::of(edited.envelope.command.kind()).as_str().to_owned(),
            payload: edited.envelope.encode(),
            message_id: edited.envelope.id.to_string(),
            reply_to: None,
            headers,
            mandatory: true,
        };
        publisher.publish(message).await?;
        for (tag, _) in letters {
            queue.ack(*tag).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::letter::tests::buy, *};
    use contracts::{ProductId, RefundId, Won};
    use serde_json::json;

    fn partitions() -> PartitionCount {
        PartitionCount::new(4).unwrap()
    }

    #[test]
    fn a_revision_is_the_same_command_with_another_fingerprint() {
        let old = buy("a");
        let new =
            revise(&old.encode(), None, &json!({"product": 3, "price": 700, "coupon": null}), partitions()).unwrap();
        assert_eq!(
            (new.id, new.user, new.accepted_at, new.valid_until),
            (old.id, old.user, old.accepted_at, old.valid_until)
        );
        assert_ne!(new.fingerprint, old.fingerprint);
        assert_eq!(new.fingerprint, Fingerprint::of(&new.command));
        assert_eq!(Envelope::decode(&new.encode()).unwrap(), new);
        assert_eq!(new.command, Command::BuyNow { product: ProductId(3), price: Won(700), coupon: None });
    }

    #[test]
    fn what_no_worker_could_read_can_be_mended_as_long_as_it_names_its_command() {
        let mut body: Value = serde_json::from_slice(&buy("a").encode()).unwrap();
        body["kind"] = "teleport".into();
        let new = json!({"product": 3, "price": 700, "coupon": null});
        let broken = body.to_string();
        assert!(matches!(revise(broken.as_bytes(), None, &new, partitions()), Err(ReviseError::NoBody { .. })));
        assert!(revise(broken.as_bytes(), Some("buy_now"), &new, partitions()).is_ok());
        body["id"] = Value::Null;
        let nameless = body.to_string();
        assert_eq!(revise(nameless.as_bytes(), Some("buy_now"), &new, partitions()), Err(ReviseError::Nameless));
        assert_eq!(revise(b"x", None, &new, partitions()), Err(ReviseError::Nameless));
    }

    #[test]
    fn it_stays_the_command_that_it_is_and_its_money_the_money_that_it_was() {
        let envelope = |command| Envelope::new(buy("a").id, UserId(1), UnixMs(1), None, command).encode();
        let other = |old: Command, kind: Option<&str>, body: Value| revise(&envelope(old), kind, &body, partitions());
        let charge = Command::ConfirmCharge {
            order_id: "order-1".into(),
            payment_key: "p".into(),
            amount: Won(1_000),
            confirm_by: UnixMs(9),
        };
        let body =
            |order: &str, key: &str| json!({"order_id": order, "payment_key": key, "amount": 900, "confirm_by": 9});
        assert!(other(charge.clone(), None, body("order-1", "p")).is_ok());
        assert!(matches!(other(charge.clone(), None, body("order-2", "p")), Err(ReviseError::OtherCommand(_))));
        assert!(matches!(other(charge.clone(), None, body("order-1", "q")), Err(ReviseError::OtherCommand(_))));
        let follow = json!({"order_id": "order-1"});
        assert_eq!(other(charge, Some("follow_payment"), follow), Err(ReviseError::OtherCommand("its kind")));
        let leg = Command::CancelCharge { refund: RefundId(1), leg: 1 };
        assert!(matches!(other(leg, None, json!({"refund": 1, "leg": 2})), Err(ReviseError::OtherCommand(_))));
        let nowhere = json!({"bid": 99, "side": "buy"});
        let cancel = Command::CancelBid { bid: contracts::BidId(257), side: contracts::Side::Buy };
        assert_eq!(other(cancel, None, nowhere), Err(ReviseError::Nowhere));
    }
}
