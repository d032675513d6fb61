//! What users owe, since Toss took money back that was spent already, and how it is repaid: by each later credit of a
//! charge at once, and by `CollectDebt` from whatever else they come to have.

use super::store::Store;
use crate::laddered::{
    Ending, Fault, Inbox, Standing, add_debt, again_on_contention, debt, ended, find_balance, insert_transfer, invalid,
    write_balance,
};
use contracts::{Envelope, ResultCode, UnixMs, UserId, Won};
use domain::ledger::{Balance, Heading, Transfer, apply};
use platform::{database::within, halt};
use serde_json::json;
use sqlx::MySqlConnection;

impl Store {
    /// Carries `CollectDebt` out.
    pub(super) async fn collect(&self, envelope: &Envelope, debtor: UserId, now: UnixMs) -> Result<Ending, Fault> {
        Ok(again_on_contention(|| self.try_collect(envelope, debtor, now)).await?)
    }

    async fn try_collect(&self, envelope: &Envelope, debtor: UserId, now: UnixMs) -> Result<Ending, sqlx::Error> {
        let mut transaction = within(self.limit, self.pool.begin()).await?;
        within(self.limit, async {
            let standing = match Inbox::lock(&mut transaction, envelope).await? {
                Standing::Ended(outcome) => return Ok(Ending::Ended(outcome)),
                Standing::Superseded => return Ok(Ending::Superseded),
                standing => standing,
            };
            let mut repaid = Won::ZERO;
            if let Some(mut points) = find_balance(&mut transaction, debtor).await? {
                let heading = Heading { command: envelope.id, no: 0, reference: format!("user:{debtor}"), at: now };
                repaid = repay(&mut transaction, heading, debtor, &mut points).await?;
                write_balance(&mut transaction, debtor, &points).await?;
            }
            let outcome = ended(envelope, ResultCode::Ok, json!({"repaid": repaid}), now);
            Inbox::end(&mut transaction, envelope, &standing, &outcome).await?;
            halt::around("payment.collect", transaction.commit()).await?;
            Ok(Ending::Ended(outcome))
        })
        .await
    }
}

/// Takes what the user owes from the points of a balance that the caller has locked, and will write; how much it was.
pub(super) async fn repay(
    connection: &mut MySqlConnection,
    heading: Heading,
    user: UserId,
    points: &mut Balance,
) -> Result<Won, sqlx::Error> {
    let amount = debt(connection, user).await?.min(points.available);
    if amount <= Won::ZERO {
        return Ok(Won::ZERO);
    }
    let now = heading.at;
    let transfer = Transfer::repayment(heading, user, amount).map_err(invalid)?;
    apply(points, user, &transfer).map_err(invalid)?;
    insert_transfer(connection, &transfer).await?;
    add_debt(connection, user, transfer.owed(user), now).await?;
    metrics::counter!("gream_debts_repaid_won_total").increment(amount.0.unsigned_abs());
    Ok(amount)
}
