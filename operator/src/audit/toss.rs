//! The sandbox's own journal against the payments: the money that Toss took is the money that was credited.
//!
//! The market moves while both are read, so the sandbox's last entry is noted before the database's snapshot and the
//! journal read after it: what Toss did before the snapshot must be known to the database, and what the database says
//! must have been done by Toss.

use super::{AuditError, report::Check, snapshot::Snapshot};
use contracts::{UnixMs, Won};
use reqwest::{Client, Url};
use serde::Deserialize;
use std::collections::BTreeMap;
use toss::sandbox::journal::{Effect, Entry, MAX_PAGE};

/// A journal longer than this is refused, for it would not fit into memory.
const MAX_ENTRIES: usize = 10_000_000;
/// A deposit that the bank took back so long ago and is credited still is nothing that is under way.
const REVERSAL_IS_FOLLOWED_WITHIN_MS: i64 = 3_600_000;

/// The sandbox that plays Toss.
pub(super) struct Sandbox<'a> {
    pub(super) http: &'a Client,
    pub(super) base_url: &'a Url,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
}

impl Sandbox<'_> {
    /// Adds to `entries` those after its last one, and gives the number of the last.
    pub(super) async fn read_on(&self, entries: &mut Vec<Entry>) -> Result<u64, AuditError> {
        loop {
            let last = entries.last().map_or(0, |entry| entry.seq);
            let page = self.page(last).await?;
            if page.is_empty() {
                return Ok(last);
            }
            entries.extend(page);
            if entries.len() > MAX_ENTRIES {
                return Err(AuditError::Sandbox(format!("more than {MAX_ENTRIES} journal entries")));
            }
        }
    }

    async fn page(&self, after: u64) -> Result<Vec<Entry>, AuditError> {
        let failed = |error: reqwest::Error| AuditError::Sandbox(error.without_url().to_string());
        let mut url = self.base_url.join("/sandbox/journal").map_err(|error| AuditError::Sandbox(error.to_string()))?;
        url.set_query(Some(&format!("after={after}&limit={MAX_PAGE}")));
        let response = self.http.get(url).send().await.map_err(failed)?.error_for_status().map_err(failed)?;
        Ok(response.json::<Page>().await.map_err(failed)?.entries)
    }
}

/// What Toss did with one order's money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Moved {
    captured: i64,
    cancelled: i64,
    /// When a deposit was last taken back.
    reversed_at: Option<UnixMs>,
    /// The account was closed: nothing can be paid into it any more.
    is_closed: bool,
}

impl Moved {
    fn note(&mut self, effect: &Effect, at: UnixMs) {
        match effect {
            Effect::Confirmed { amount: Won(won), .. } | Effect::Deposited { amount: Won(won), .. } => {
                self.captured = self.captured.saturating_add(*won);
            }
            Effect::DepositReversed { amount: Won(won), .. } => {
                self.captured = self.captured.saturating_sub(*won);
                self.reversed_at = Some(at);
            }
            Effect::Cancelled { amount: Won(won), .. } => self.cancelled = self.cancelled.saturating_add(*won),
            Effect::AccountClosed { .. } => self.is_closed = true,
            Effect::Opened { .. }
            | Effect::Authenticated { .. }
            | Effect::AccountChosen { .. }
            | Effect::AccountIssued { .. }
            | Effect::Aborted { .. }
            | Effect::Expired { .. }
            | Effect::Refused => {}
        }
    }
}

/// One order at Toss: when the snapshot was about to be taken, and after it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AtToss {
    before: Moved,
    after: Moved,
}

/// A payment as the database tells it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    order_id: String,
    state: String,
    amount: i64,
    /// By our refunds, and by others, as far as that was followed.
    cancelled: i64,
    /// What refund legs are about to cancel, or have already without our knowing.
    cancelling: i64,
}

/// The payments of the snapshot.
pub(super) async fn stored(snapshot: &mut Snapshot) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as!(
        Stored,
        r#"SELECT p.order_id, p.state, p.amount, p.cancelled_amount + p.reversed_amount AS "cancelled!: i64",
                  CAST(COALESCE(l.cancelling, 0) AS SIGNED) AS "cancelling!: i64"
           FROM payments p LEFT JOIN
                (SELECT order_id, SUM(amount) AS cancelling FROM refund_legs
                 WHERE route = 'cancel' AND state IN ('planned', 'executing') GROUP BY order_id) AS l
                ON l.order_id = p.order_id"#
    )
    .fetch_all(snapshot.connection())
    .await
}

/// What the comparison leaves beside its check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// What Toss took less what it gave back in all.
    pub(super) net: i64,
    /// Deposits that came, or were just taken back, and that nobody has followed yet: a webhook is on its way.
    pub(super) unfollowed: u64,
}

/// Compares, at `now`.
pub(super) fn compare(stored: &[Stored], journal: &[Entry], last_before: u64, now: UnixMs) -> (Check, Sums) {
    let mut check = Check::new(
        "sandbox_money_is_credited_money",
        "The sandbox took the amount of every payment that is done and of no other, and gave back exactly what is noted as \
         cancelled or taken back; captured less cancelled is credited less cancelled.",
    );
    let mut orders = by_order(journal, last_before);
    let net = orders.values().map(|order| order.after.captured - order.after.cancelled).sum();
    let mut unfollowed = 0;
    check.examined = stored.len() as u64;
    for payment in stored {
        let at_toss = orders.remove(payment.order_id.as_str()).unwrap_or_default();
        if is_given_back_by_the_bank(payment, at_toss.after) {
            continue;
        }
        if is_unfollowed(payment, at_toss.after, now) {
            unfollowed += 1;
        } else if let Some(difference) = difference(payment, at_toss) {
            check.findings.add(format!("payment {} ({}): {difference}", payment.order_id, payment.state));
        }
    }
    for (order_id, AtToss { before, .. }) in orders.into_iter().filter(|(_, order)| order.before != Moved::default()) {
        check
            .findings
            .add(format!("order {order_id}: the sandbox took {} won, and no payment says so", before.captured));
    }
    (check, Sums { net, unfollowed })
}

/// The bank took the deposit back before a refund of ours cancelled it, which Toss then did by closing the account: the
/// payer has their money once, and the points are gone once.
fn is_given_back_by_the_bank(payment: &Stored, after: Moved) -> bool {
    let was_reversed = after.captured == 0 && after.reversed_at.is_some();
    payment.state == "done" && was_reversed && after.is_closed && payment.cancelled == payment.amount
}

fn is_unfollowed(payment: &Stored, after: Moved, now: UnixMs) -> bool {
    let was_just_reversed = || after.reversed_at.is_some_and(|at| now.ms_since(at) < REVERSAL_IS_FOLLOWED_WITHIN_MS);
    match payment.state.as_str() {
        "awaiting_deposit" => after.captured == payment.amount,
        "done" => after.captured == 0 && was_just_reversed(),
        _ => false,
    }
}

fn by_order(journal: &[Entry], last_before: u64) -> BTreeMap<&str, AtToss> {
    let mut orders: BTreeMap<&str, AtToss> = BTreeMap::new();
    for entry in journal {
        let (Effect::Confirmed { order_id, .. }
        | Effect::Deposited { order_id, .. }
        | Effect::DepositReversed { order_id, .. }
        | Effect::AccountClosed { order_id, .. }
        | Effect::Cancelled { order_id, .. }) = &entry.effect
        else {
            continue;
        };
        let order = orders.entry(order_id).or_default();
        order.after.note(&entry.effect, entry.at);
        if entry.seq <= last_before {
            order.before.note(&entry.effect, entry.at);
        }
    }
    orders
}

fn difference(payment: &Stored, AtToss { before, after }: AtToss) -> Option<String> {
    let Stored { amount, cancelled, cancelling, .. } = *payment;
    // Taken, and wholly cancelled by others before it was credited: nothing has happened.
    if payment.state == "failed" && after.captured == amount && after.cancelled == amount {
        return None;
    }
    let captured_as_told = match payment.state.as_str() {
        "done" => after.captured == amount,
        // The confirm is on its way, or came back without an answer.
        "confirming" => before.captured == 0 || before.captured == amount,
        _ => before.captured == 0,
    };
    if !captured_as_told {
        return Some(format!("{amount} won, of which the sandbox took {}", after.captured));
    }
    let cancelled_as_told = cancelled <= after.cancelled && before.cancelled <= cancelled.saturating_add(cancelling);
    (!cancelled_as_told).then(|| {
        format!("cancelled {cancelled} won (and {cancelling} under way), but the sandbox gave back {}", after.cancelled)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::UnixMs;

    fn payment(state: &str, cancelled: i64, cancelling: i64) -> Stored {
        Stored { order_id: "o1".into(), state: state.into(), amount: 1_000, cancelled, cancelling }
    }

    fn journal(moves: &[(&str, i64)]) -> Vec<Entry> {
        let entry = |(index, (order, won)): (usize, &(&str, i64))| {
            let (payment_key, order_id) = (String::from("k"), (*order).to_owned());
            let effect = if *won > 0 {
                Effect::Confirmed { payment_key, order_id, amount: Won(*won) }
            } else {
                let (reason, transaction_key) = (String::new(), String::new());
                Effect::Cancelled { payment_key, order_id, amount: Won(-won), balance: Won(0), reason, transaction_key }
            };
            Entry { seq: index as u64 + 1, at: UnixMs(0), effect, bound: None }
        };
        moves.iter().enumerate().map(entry).collect()
    }

    /// Findings of `stored` against moves of which the first `before` happened before the snapshot.
    fn findings(stored: &Stored, moves: &[(&str, i64)], before: u64) -> u64 {
        compare(std::slice::from_ref(stored), &journal(moves), before, UnixMs(0)).0.findings.total
    }

    #[test]
    fn the_same_money_on_both_sides_holds() {
        let (check, sums) = compare(&[payment("done", 300, 0)], &journal(&[("o1", 1_000), ("o1", -300)]), 2, UnixMs(0));
        assert_eq!((check.findings.total, sums), (0, Sums { net: 700, unfollowed: 0 }));
        assert_eq!(findings(&payment("failed", 0, 0), &[], 0), 0);
    }

    #[test]
    fn credited_without_being_taken_and_the_other_way_round_are_found() {
        assert_eq!(findings(&payment("done", 0, 0), &[], 0), 1);
        assert_eq!(findings(&payment("done", 0, 0), &[("o1", 1_000), ("o1", 1_000)], 2), 1);
        assert_eq!(findings(&payment("requested", 0, 0), &[("o1", 1_000)], 1), 1);
        assert_eq!(findings(&payment("failed", 0, 0), &[("o1", 1_000)], 1), 1);
        assert_eq!(findings(&payment("failed", 0, 0), &[("o2", 1_000)], 1), 1);
    }

    #[test]
    fn a_deposit_that_nobody_followed_yet_is_under_way_and_no_finding() {
        let (payment_key, order_id) = (String::from("k"), String::from("o1"));
        let (amount, transaction_key) = (Won(1_000), String::from("t"));
        let came = Effect::Deposited {
            payment_key: payment_key.clone(),
            order_id: order_id.clone(),
            amount,
            transaction_key: transaction_key.clone(),
        };
        let went = Effect::DepositReversed { payment_key, order_id, amount, transaction_key };
        let entries: Vec<Entry> = [came, went]
            .into_iter()
            .zip(1..)
            .map(|(effect, seq)| Entry { seq, at: UnixMs(0), effect, bound: None })
            .collect();
        let closed = Effect::AccountClosed {
            payment_key: String::from("k"),
            order_id: String::from("o1"),
            amount,
            reason: String::new(),
            transaction_key: String::from("u"),
        };
        let closed = [entries.clone(), vec![Entry { seq: 3, at: UnixMs(0), effect: closed, bound: None }]].concat();
        let told =
            |cancelled: i64| compare(&[payment("done", cancelled, 0)], &closed, 3, UnixMs(i64::MAX)).0.findings.total;
        assert_eq!((told(1_000), told(999), told(0)), (0, 1, 1), "a refund of ours closed it, and was booked");
        let told_at = |state: &str, moves: usize, now: i64| {
            let (check, sums) = compare(&[payment(state, 0, 0)], &entries[..moves], 2, UnixMs(now));
            (check.findings.total, sums.unfollowed)
        };
        let told = |state: &str, moves: usize| told_at(state, moves, REVERSAL_IS_FOLLOWED_WITHIN_MS - 1);
        assert_eq!((told("awaiting_deposit", 0), told("awaiting_deposit", 1)), ((0, 0), (0, 1)));
        assert_eq!((told("done", 1), told("done", 2)), ((0, 0), (0, 1)));
        assert_eq!((told("failed", 1), told("awaiting_deposit", 2)), ((1, 0), (0, 0)));
        let later = REVERSAL_IS_FOLLOWED_WITHIN_MS;
        assert_eq!(told_at("done", 2, later), (1, 0), "credited for ever, if nobody follows it by now");
        assert_eq!(told_at("awaiting_deposit", 1, later), (0, 1), "the scheduler looks for those");
    }

    #[test]
    fn what_others_cancelled_whole_before_it_was_credited_never_happened() {
        let (took, gave_back) = (("o1", 1_000), ("o1", -1_000));
        for before in 0..=2 {
            assert_eq!(findings(&payment("failed", 0, 0), &[took, gave_back], before), 0, "{before}");
        }
        assert_eq!(findings(&payment("failed", 0, 0), &[took, ("o1", -400)], 2), 1, "600 are nobody's");
        assert_eq!(findings(&payment("requested", 0, 0), &[took, gave_back], 2), 1, "nobody confirmed it");
    }

    #[test]
    fn cancels_must_agree_too() {
        let took = ("o1", 1_000);
        assert_eq!(findings(&payment("done", 300, 0), &[took], 1), 1);
        assert_eq!(findings(&payment("done", 0, 0), &[took, ("o1", -300)], 2), 1);
        assert_eq!(findings(&payment("done", 300, 0), &[took, ("o1", -300), ("o1", -300)], 3), 1);
    }

    #[test]
    fn what_moves_while_the_audit_reads_is_no_finding() {
        let took = ("o1", 1_000);
        assert_eq!(findings(&payment("requested", 0, 0), &[took], 0), 0, "taken after the snapshot");
        assert_eq!(findings(&payment("confirming", 0, 0), &[took], 1), 0, "taken, not yet credited");
        assert_eq!(findings(&payment("done", 0, 300), &[took, ("o1", -300)], 2), 0, "the leg is executing");
        assert_eq!(findings(&payment("done", 0, 0), &[took, ("o1", -300)], 1), 0, "cancelled after the snapshot");
        assert_eq!(findings(&payment("done", 0, 0), &[took, ("o2", 5)], 1), 0, "an order from after the snapshot");
    }
}
