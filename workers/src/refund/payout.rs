//! The payout port: who transfers what cannot go back through Toss, or not any more.
//!
//! ```text
//!  a leg is planned ──► port.begin ──► an administrator, or a bank's service ──► ConfirmPayout ──► leg paid
//!                                                                          └───► FailPayout ─────► points returned
//! ```
//! Promises: each payout leg is handed to the port once, in the transaction that plans it. What became of the transfer
//! comes back as a command, whoever made it.
//! Doesn't: move money. [`Manual`], the only adapter there is, leaves that to administrators.

use super::rows::{PlannedLeg, insert_leg};
use contracts::{RefundId, UnixMs, UserId, Won};
use domain::refund::{Route, leg_command};
use sqlx::MySqlConnection;

/// Has payout legs transferred.
pub(super) trait PayoutPort: Sync {
    /// Sets a leg's transfer going. What it writes (a message in the outbox, say) commits with the leg; it calls nobody.
    fn begin(
        &self,
        connection: &mut MySqlConnection,
        leg: &PlannedLeg<'_>,
        now: UnixMs,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

/// By hand: an administrator finds the leg on the list of payouts, transfers the money, and says so.
pub(super) struct Manual;

impl PayoutPort for Manual {
    async fn begin(&self, _: &mut MySqlConnection, leg: &PlannedLeg<'_>, _: UnixMs) -> Result<(), sqlx::Error> {
        tracing::info!(refund = %leg.refund, leg = leg.leg_no, "a payout waits for an administrator's transfer");
        Ok(())
    }
}

/// Plans a payout leg and hands it over.
pub(super) async fn plan(
    connection: &mut MySqlConnection,
    port: &impl PayoutPort,
    (refund, leg_no): (RefundId, u32),
    user: UserId,
    amount: Won,
    now: UnixMs,
) -> Result<(), sqlx::Error> {
    let command = leg_command(user, refund, leg_no);
    let leg = PlannedLeg { refund, leg_no, route: Route::Payout, order_id: None, amount, command };
    insert_leg(connection, &leg, now).await?;
    port.begin(connection, &leg, now).await
}
