//! The commands that one transaction carries out: requests, decisions, and what became of transfers.
//!
//! Promises: a command that ended is answered as it ended; what its rules say, and its end, commit together.

use super::{Store, approve, reject, request, transfer};
use crate::laddered::{Ending, Fault, Inbox, Standing, again_on_contention, ended, invalid, is_expired, is_stale};
use contracts::{Command, Envelope, Outcome, RefundId, ResultCode, UnixMs};
use platform::{database::within, halt};
use serde_json::json;
use sqlx::MySqlConnection;

impl Store {
    pub(super) async fn at_once(&self, envelope: &Envelope, now: UnixMs) -> Result<Ending, Fault> {
        Ok(again_on_contention(|| self.try_at_once(envelope, now)).await?)
    }

    async fn try_at_once(&self, envelope: &Envelope, now: UnixMs) -> Result<Ending, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = match Inbox::lock(&mut transaction, envelope).await? {
                Standing::Ended(outcome) => return Ok(Ending::Ended(outcome)),
                Standing::Superseded => return Ok(Ending::Superseded),
                standing => standing,
            };
            let outcome = if is_too_late(envelope, now) {
                ended(envelope, ResultCode::CommandExpired, json!({}), now)
            } else {
                self.decide(&mut transaction, envelope, now).await?
            };
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("refund.at_once", transaction.commit()).await?;
            Ok(Ending::Ended(outcome))
        })
        .await
    }

    async fn decide(
        &self,
        connection: &mut MySqlConnection,
        envelope: &Envelope,
        now: UnixMs,
    ) -> Result<Outcome, sqlx::Error> {
        match &envelope.command {
            Command::RequestRefund { .. } => request::hold(connection, envelope, now).await,
            Command::ApproveRefund { refund } => {
                approve::approve(connection, &self.payouts, envelope, *refund, now).await
            }
            Command::RejectRefund { refund, reason } => {
                reject::reject(connection, envelope, *refund, reason, now).await
            }
            Command::ConfirmPayout { refund, leg } => transfer::made(connection, envelope, (*refund, *leg), now).await,
            Command::FailPayout { refund, leg, reason } => {
                transfer::failed(connection, envelope, (*refund, *leg), reason, now).await
            }
            other => Err(invalid(format!("a {} is not carried out at once", other.kind()))),
        }
    }
}

/// Nobody means it any more. What became of a transfer is true however late it is told.
fn is_too_late(envelope: &Envelope, now: UnixMs) -> bool {
    let tells = matches!(envelope.command, Command::ConfirmPayout { .. } | Command::FailPayout { .. });
    is_expired(envelope, now) || (is_stale(envelope, now) && !tells)
}

/// There is no such refund, or leg of one, or it does not await this command.
pub(super) fn not_awaited(envelope: &Envelope, now: UnixMs) -> Outcome {
    ended(envelope, ResultCode::RefundNotFound, json!({}), now)
}

/// A refund's id as a column's value.
pub(super) fn column(refund: RefundId) -> Result<i64, sqlx::Error> {
    i64::try_from(refund.0).map_err(invalid)
}
