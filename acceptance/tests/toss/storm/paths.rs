//! Which ways were taken, and how often. The lists are the code's own: states, reasons, routes, faults, effects.

use crate::stage::Stage;
use contracts::dead_letter::DeadLetterReason;
use domain::{
    ledger::Reason,
    payment,
    refund::{self, LegState, Route},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use toss::sandbox::journal::Effect;

/// How legs end.
const LEG_ENDS: [(Route, LegState); 4] = [
    (Route::Cancel, LegState::Paid),
    (Route::Cancel, LegState::Moved),
    (Route::Payout, LegState::Paid),
    (Route::Payout, LegState::Returned),
];
/// What Toss can do and yet answer with an error.
const HIDEABLE: [&str; 3] = ["confirmed", "account_issued", "cancelled"];
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How often each was taken.
#[derive(Default)]
pub(super) struct Paths(BTreeMap<String, u64>);

impl Paths {
    pub(super) fn count(&mut self, path: &str, times: u64) {
        *self.0.entry(path.to_owned()).or_default() += times;
    }

    pub(super) fn never(&self) -> Vec<&str> {
        self.0.iter().filter(|(_, times)| **times == 0).map(|(path, _)| path.as_str()).collect()
    }

    pub(super) fn weather(&mut self, drawn: &[(String, u64)]) {
        for (fault, struck) in drawn {
            self.count(&format!("fault, {fault}"), *struck);
        }
    }

    /// Those that a storm can bring about: the others are a publisher's fault.
    pub(super) fn dead_letters(&mut self, replayed: &BTreeMap<String, u64>) {
        for reason in [DeadLetterReason::OutOfAttempts, DeadLetterReason::NeedsAPerson] {
            self.count(&format!("dead letter replayed, {}", reason.as_str()), 0);
        }
        for (reason, times) in replayed {
            self.count(&format!("dead letter replayed, {reason}"), *times);
        }
    }

    pub(super) fn webhooks(&mut self, counts: &[(String, u64)]) {
        for (count, times) in counts {
            self.count(&format!("webhooks, {count}"), *times);
        }
    }

    /// How often the breaker was seen to change, and a command to be tried again.
    pub(super) async fn watch(&mut self, stage: &Stage, over: &AtomicBool) {
        let (mut since, mut opened, mut closed) = (0, 0, 0);
        while !over.load(Ordering::Relaxed) {
            let phase: Option<(String, i64)> = sqlx::query_as("SELECT phase, phase_since_ms FROM circuit_breakers")
                .fetch_optional(&stage.market.database)
                .await
                .unwrap();
            if let Some((phase, at)) = phase.filter(|(_, at)| *at != since) {
                (opened, closed) = (opened + u64::from(phase == "open"), closed + u64::from(phase == "closed"));
                since = at;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.count("the breaker opened", opened);
        self.count("the breaker closed", closed);
    }

    /// Where everything ended, by the tables.
    pub(super) async fn of_books(&mut self, stage: &Stage) {
        let unended = [payment::State::Requested, payment::State::Confirming];
        for state in payment::State::ALL.iter().filter(|state| !unended.contains(state)) {
            let sql = format!("SELECT COUNT(*) FROM payments WHERE state = '{state}'");
            self.asked(stage, &format!("charge, {state}"), sql).await;
        }
        let unended = [refund::State::Requested, refund::State::Paying];
        for state in refund::State::ALL.iter().filter(|state| !unended.contains(state)) {
            let sql = format!("SELECT COUNT(*) FROM refunds WHERE state = '{state}'");
            self.asked(stage, &format!("refund, {state}"), sql).await;
        }
        for (route, state) in LEG_ENDS {
            let sql = format!("SELECT COUNT(*) FROM refund_legs WHERE route = '{route}' AND state = '{state}'");
            self.asked(stage, &format!("leg, {route} {state}"), sql).await;
        }
        let others = [Reason::Gift, Reason::Hold, Reason::Release, Reason::Trade];
        for reason in Reason::ALL.iter().filter(|reason| !others.contains(reason)) {
            let sql = format!("SELECT COUNT(*) FROM ledger_entries WHERE reason = '{reason}'");
            self.asked(stage, &format!("ledger, {reason}"), sql).await;
        }
        for (path, sql) in [
            ("a charge was sent under a second key", "SELECT COUNT(*) FROM payments WHERE attempt > 1"),
            ("a cancel was sent under a second key", "SELECT COUNT(*) FROM refund_legs WHERE attempt > 1"),
            ("a command was tried again", "SELECT COUNT(*) FROM commands WHERE attempts > 1"),
            (
                "a charge ended past its window",
                "SELECT COUNT(*) FROM payments WHERE failure_code IN ('EXPIRED', 'NOT_FOUND_PAYMENT')",
            ),
            (
                "a charge was given back whole before it was credited",
                "SELECT COUNT(*) FROM payments WHERE failure_code = 'CANCELED'",
            ),
            (
                "others gave a part back before the credit",
                "SELECT COUNT(DISTINCT credit.command_id) FROM ledger_entries credit JOIN ledger_entries reversal \
                 ON reversal.command_id = credit.command_id WHERE credit.reason = 'charge' AND reversal.reason = 'reversal'",
            ),
            ("a webhook came", "SELECT COUNT(*) FROM toss_webhooks"),
            ("a debt was made", "SELECT COUNT(*) FROM receivables"),
            (
                "an approval was refused for a debt",
                "SELECT COUNT(*) FROM commands WHERE kind = 'approve_refund' AND result_code = 1016",
            ),
            (
                "a refund went over several legs",
                "SELECT COUNT(*) FROM (SELECT 1 FROM refund_legs GROUP BY refund_id HAVING COUNT(*) > 1) several",
            ),
        ] {
            self.asked(stage, path, sql.to_owned()).await;
        }
    }

    async fn asked(&mut self, stage: &Stage, path: &str, sql: String) {
        let found: i64 =
            sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&stage.market.database).await.expect("a count");
        self.count(path, found.unsigned_abs());
    }

    /// What Toss did, by its journal.
    pub(super) async fn of_journal(&mut self, stage: &Stage) {
        for effect in effects() {
            self.count(&format!("at Toss, {effect}"), 0);
        }
        for effect in HIDEABLE {
            self.count(&format!("at Toss, {effect}, but answered with an error: found by a look-up"), 0);
        }
        let mut last = 0;
        loop {
            let page = stage.ask("GET", &format!("/sandbox/journal?after={last}"), &Value::Null).await;
            let entries = page["entries"].as_array().expect("a page");
            let Some(end) = entries.last() else { return };
            last = end["seq"].as_u64().expect("a number");
            for entry in entries {
                let effect = entry["effect"].as_str().expect("an effect");
                self.count(&format!("at Toss, {effect}"), 1);
                let is_hidden = entry["bound"]["http"].as_u64().is_some_and(|http| http >= 400);
                if is_hidden && HIDEABLE.contains(&effect) {
                    self.count(&format!("at Toss, {effect}, but answered with an error: found by a look-up"), 1);
                }
            }
        }
    }
}

/// Every effect that the journal knows, as serde lists them for whoever names another.
fn effects() -> Vec<String> {
    let error =
        serde_json::from_value::<Effect>(json!({"effect": ""})).expect_err("no effect is called that").to_string();
    let (_, known) = error.split_once("expected one of ").expect("a list");
    known.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(path, times)| writeln!(f, "{times:>8}  {path}"))
    }
}
