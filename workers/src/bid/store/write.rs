//! Writing what a batch changed, and its outcomes: round trips four and five.

use super::{
    Store,
    literal::{Hex, Nullable, Text, list, ms, numbers, won},
};
use crate::bid::port::Finished;
use contracts::{UnixMs, topology::EVENTS_EXCHANGE};
use domain::{
    ledger::Transfer,
    market::{BidState, Changes},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

impl Store {
    /// Writes and commits. An error means that nothing of it happened, except when the connection broke: then the
    /// commit may have been carried out, and the inbox will tell when the messages come again.
    pub(super) async fn write_and_commit(
        &mut self,
        changes: &Changes,
        finished: &[Finished<'_>],
        now: UnixMs,
    ) -> Result<(), sqlx::Error> {
        let mut sql = Statements::default();
        sql.commands(finished);
        sql.changes(changes, now);
        self.end_whole(&sql.0).await
    }
}

#[derive(Default)]
struct Statements(String);

impl Statements {
    fn push(&mut self, statement: &str) {
        if !self.0.is_empty() {
            self.0.push_str("; ");
        }
        self.0.push_str(statement);
    }

    /// `INSERT INTO table (columns) VALUES rows`, when there are rows.
    fn insert(&mut self, head: &str, rows: &str, tail: &str) {
        if !rows.is_empty() {
            self.push(&format!("INSERT INTO {head} VALUES {rows}{tail}"));
        }
    }

    fn commands(&mut self, finished: &[Finished<'_>]) {
        let rows = list(finished.iter().filter(|one| !one.has_row), |text, one| {
            let (envelope, outcome) = (one.envelope, one.outcome);
            write!(
                text,
                "({},'{}',{},{},'{}',{},{},1,{},{})",
                Hex(&envelope.id.bytes()),
                envelope.command.kind(),
                envelope.user,
                Hex(&envelope.fingerprint.0),
                outcome.state.as_str(),
                outcome.code.code(),
                Text(&outcome.data.to_string()),
                ms(envelope.accepted_at),
                ms(outcome.finished_at)
            )
        });
        let head = "commands (command_id, kind, user_id, fingerprint, state, result_code, data, attempts, accepted_at_ms, \
                    updated_at_ms)";
        self.insert(head, &rows, "");
        for one in finished.iter().filter(|one| one.has_row) {
            // Attempts first: MySQL evaluates from left to right. One that is executing was counted when it began.
            let (envelope, outcome) = (one.envelope, one.outcome);
            self.push(&format!(
                "UPDATE commands SET attempts = IF(state = 'executing', GREATEST(attempts, 1), attempts + 1), \
                 kind = '{}', user_id = {}, fingerprint = {}, state = '{}', result_code = {}, data = {}, \
                 accepted_at_ms = {}, updated_at_ms = {} \
                 WHERE command_id = {} AND state NOT IN ('done', 'rejected', 'discarded')",
                envelope.command.kind(),
                envelope.user,
                Hex(&envelope.fingerprint.0),
                outcome.state.as_str(),
                outcome.code.code(),
                Text(&outcome.data.to_string()),
                ms(envelope.accepted_at),
                ms(outcome.finished_at),
                Hex(&envelope.id.bytes())
            ));
        }
    }

    fn changes(&mut self, changes: &Changes, now: UnixMs) {
        for (partition, progress) in &changes.partitions {
            self.push(&format!(
                "UPDATE partitions SET last_sequence = {}, last_time_ms = {} WHERE partition_id = {}",
                progress.last_sequence,
                ms(progress.last_time),
                partition.0
            ));
        }
        self.bids(changes);
        self.gifticons_and_orders(changes);
        self.accounts(changes);
        self.ledger(&changes.transfers);
        self.events(changes, now);
    }

    fn bids(&mut self, changes: &Changes) {
        let rows = list(&changes.bids_placed, |text, bid| {
            write!(
                text,
                "({},'{}',{},{},{},{},{},{},'{}',{},{},{},{})",
                bid.id,
                bid.side.as_str(),
                bid.product,
                bid.user,
                won(bid.price),
                won(bid.hold),
                Nullable(bid.coupon),
                Nullable(bid.gifticon),
                bid.state,
                ms(bid.placed_at),
                ms(bid.deadline),
                Nullable(bid.closed_at.map(ms)),
                Hex(&bid.command.bytes())
            )
        });
        let head = "bids (bid_id, side, product_id, user_id, price, hold, coupon_id, gifticon_id, state, placed_at_ms, \
                    deadline_ms, closed_at_ms, command_id)";
        self.insert(head, &rows, "");
        let mut closed: BTreeMap<(BidState, UnixMs), BTreeSet<u64>> = BTreeMap::new();
        for (bid, state, at) in &changes.bids_closed {
            closed.entry((*state, *at)).or_default().insert(bid.0);
        }
        for ((state, at), ids) in closed {
            let ids = numbers(ids);
            self.push(&format!("UPDATE bids SET state = '{state}', closed_at_ms = {} WHERE bid_id IN ({ids})", ms(at)));
        }
    }

    fn gifticons_and_orders(&mut self, changes: &Changes) {
        let rows = list(&changes.gifticons, |text, gifticon| {
            write!(
                text,
                "({},{},{},{},{},{},{},{},{},{})",
                gifticon.id,
                gifticon.owner,
                gifticon.product,
                Text(&gifticon.picture.key),
                // Not our own hex: whatever was sent, checked by the column's length.
                format_args!("UNHEX({})", Text(&gifticon.picture.sha256)),
                Nullable(gifticon.picture.barcode.as_ref().map(|barcode| Hex(&barcode.0))),
                Nullable(gifticon.picture.expires_at.map(ms)),
                Nullable(gifticon.bid),
                Hex(&gifticon.command.bytes()),
                ms(gifticon.created_at)
            )
        });
        let head = "gifticons (gifticon_id, owner_id, product_id, picture_key, picture_sha256, barcode_hash, \
                    expires_at_ms, bid_id, command_id, created_at_ms)";
        self.insert(head, &rows, "");
        self.claims(changes);
        let rows = list(&changes.orders, |text, order| {
            write!(
                text,
                "({},{},{},{},{},{},{},{},{},{},{},{},{})",
                order.id,
                order.product,
                order.buyer,
                order.seller,
                Nullable(order.buy_bid),
                Nullable(order.sell_bid),
                order.gifticon,
                Nullable(order.coupon),
                won(order.price),
                won(order.final_price),
                won(order.fee),
                Hex(&order.command.bytes()),
                ms(order.traded_at)
            )
        });
        let head = "orders (order_id, product_id, buyer_id, seller_id, buy_bid_id, sell_bid_id, gifticon_id, coupon_id, price, \
                    final_price, fee, command_id, traded_at_ms)";
        self.insert(head, &rows, "");
    }

    /// In order, as they were locked.
    fn claims(&mut self, changes: &Changes) {
        let rows =
            list(&changes.claims_made, |text, (barcode, gifticon)| write!(text, "({},{gifticon})", Hex(&barcode.0)));
        self.insert("barcode_claims (barcode_hash, gifticon_id)", &rows, "");
        for (barcode, gifticon) in &changes.claims_passed_on {
            let barcode = Hex(&barcode.0);
            self.push(&format!("UPDATE barcode_claims SET gifticon_id = {gifticon} WHERE barcode_hash = {barcode}"));
        }
    }

    fn accounts(&mut self, changes: &Changes) {
        let rows = list(&changes.balances, |text, (user, balance)| {
            write!(text, "({user},{},{})", won(balance.available), won(balance.held))
        });
        // The rows exist and are locked; this is an update of many rows in one statement.
        let tail = " ON DUPLICATE KEY UPDATE available = VALUES(available), held = VALUES(held)";
        self.insert("balances (user_id, available, held)", &rows, tail);
        for (coupon, state) in &changes.coupons {
            self.push(&format!("UPDATE coupons SET state = '{state}' WHERE coupon_id = {coupon}"));
        }
        let rows = list(&changes.coupon_entries, |text, entry| {
            let (command, reference) = (entry.command.bytes(), Text(&entry.reference));
            write!(text, "({},'{}',{reference},{},{})", entry.coupon, entry.step, Hex(&command), ms(entry.at))
        });
        self.insert("coupon_entries (coupon_id, step, reference, command_id, created_at_ms)", &rows, "");
    }

    fn ledger(&mut self, transfers: &[Transfer]) {
        let entries = transfers.iter().flat_map(|transfer| transfer.entries.iter().map(move |entry| (transfer, entry)));
        let rows = list(entries, |text, (transfer, entry)| {
            write!(
                text,
                "({},{},'{}','{}',{},{},{},{})",
                Hex(&transfer.command.bytes()),
                transfer.no,
                transfer.reason,
                entry.account,
                entry.user,
                won(entry.amount),
                Text(&transfer.reference),
                ms(transfer.at)
            )
        });
        let head =
            "ledger_entries (command_id, transfer_no, reason, account, user_id, amount, reference, created_at_ms)";
        self.insert(head, &rows, "");
    }

    fn events(&mut self, changes: &Changes, now: UnixMs) {
        let rows = list(&changes.events, |text, caused| {
            // Plain data with string keys: serialising it has no way to fail.
            let payload = serde_json::to_string(caused).unwrap_or_default();
            write!(text, "('{EVENTS_EXCHANGE}','{}',{},{})", caused.event.routing_key(), Text(&payload), ms(now))
        });
        self.insert("outbox (exchange_name, routing_key, payload, created_at_ms)", &rows, "");
    }
}
