//! The administrator approves refunds while the market is open.

use crate::{day::Day, http::Request, session::Session};
use contracts::{Kind, ResultCode};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const POLL: Duration = Duration::from_millis(100);

/// Approves whatever awaits approval, until `closing` is set and nothing does any more.
pub(crate) async fn approve(day: &Day, administrator: &mut Session, closing: &AtomicBool) {
    loop {
        // Read before the list: what was requested before the closing is on it.
        let last_round = closing.load(Ordering::Acquire);
        let Ok(answer) = administrator.ask(day, &Request::get("/api/admin/refunds")).await else {
            day.record.broken("the administrator's list of refunds got no answer");
            return;
        };
        let awaiting: Vec<u64> =
            answer.data.as_array().into_iter().flatten().filter_map(|r| r["refundId"].as_u64()).collect();
        if awaiting.is_empty() {
            if last_round {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        for refund in awaiting {
            let request = Request::delete(format!("/api/admin/refund/{refund}")).keyed(format!("approve-{refund}"));
            let ended = administrator.command(day, Kind::ApproveRefund, &request).await;
            // An approval that is still under way, or was refused, would be met again for ever.
            if ended.done().is_none() {
                day.record.expect("an approval", ended.code, &[ResultCode::RefundNotFound]);
                return;
            }
            day.progress.at(day.record.accepted());
        }
    }
}
