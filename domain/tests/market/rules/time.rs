//! A command's time, and what it is too late for.

use crate::floor::*;
use contracts::{CommandState, Envelope, ResultCode, UnixMs};
use domain::market::{Bid, BidState};

impl Floor {
    fn accepted(&mut self, at: UnixMs, command: contracts::Command) -> Bid {
        let envelope = Envelope { accepted_at: at, ..self.envelope(ANNA, command) };
        let decision = self.send_envelope(envelope).unwrap();
        assert_eq!(decision.state, CommandState::Done);
        self.database.bids.values().next_back().unwrap().clone()
    }
}

#[test]
fn it_is_when_the_command_was_accepted_but_never_goes_back_nor_far_ahead() {
    let mut floor = Floor::new();
    let now = floor.clock;
    assert_eq!(floor.accepted(now.plus_ms(-500), buy(100)).placed_at, now.plus_ms(-500));
    assert_eq!(floor.accepted(now.plus_ms(-900), buy(101)).placed_at, now.plus_ms(-500), "not before its predecessor");
    assert_eq!(floor.accepted(now.plus_ms(60_000), buy(102)).placed_at, now.plus_ms(1_000), "bounded by the skew");
    floor.clock = now.plus_ms(-60_000);
    let cancelled = floor.database.bids.keys().next().unwrap().0;
    floor.done(ANNA, cancel(contracts::Side::Buy, cancelled));
    assert_eq!(floor.bid(cancelled).closed_at, Some(now.plus_ms(1_000)), "whatever the clock does");
}

#[test]
fn refused_commands_move_the_partitions_time_too() {
    let mut floor = Floor::new();
    floor.clock = floor.clock.plus_ms(5_000);
    floor.refused(ANNA, buy(1));
    let late = floor.clock;
    floor.clock = floor.clock.plus_ms(-5_000);
    assert_eq!(floor.accepted(floor.clock, buy(100)).placed_at, late);
}

#[test]
fn a_deadline_is_over_when_it_comes() {
    let mut floor = Floor::new();
    let (now, soon) = (floor.clock, floor.clock.plus_ms(1));
    assert_eq!(floor.refused(ANNA, buy_until(100, now)), ResultCode::DeadlinePassed);
    assert_eq!(floor.refused(ANNA, sell_until(100, now)), ResultCode::DeadlinePassed);
    let resting = floor.done(ANNA, sell_until(500, soon));
    floor.done(BORA, buy_now(500));
    assert_eq!(floor.state(resting), BidState::Traded);
    floor.done(ANNA, sell_until(500, soon));
    floor.clock = soon;
    assert_eq!(floor.refused(BORA, buy_now(500)), ResultCode::SellBidNotFound);
}

#[test]
fn a_command_is_met_before_its_valid_until_or_refused() {
    let mut floor = Floor::new();
    let now = floor.clock;
    let mut send = |valid_until| {
        let envelope = Envelope { valid_until: Some(valid_until), ..floor.envelope(ANNA, buy(100)) };
        floor.send_envelope(envelope).unwrap().code
    };
    assert_eq!(send(now), ResultCode::CommandExpired);
    assert_eq!(send(now.plus_ms(-1)), ResultCode::CommandExpired);
    assert_eq!(send(now.plus_ms(1)), ResultCode::Ok);
    // It comes before every other check.
    let late =
        Envelope { valid_until: Some(now), ..floor.envelope(contracts::UserId(99), cancel(contracts::Side::Buy, 1)) };
    assert_eq!(floor.send_envelope(late).unwrap().code, ResultCode::CommandExpired);
}
