//! kill -9 at every point between two steps of charges, deposits, debts, refunds and payouts.
//!
//! Nobody keeps a list of the points. `sources` reads out of the workers' sources which there are, and that no step goes
//! without; `rounds` lets a worker halt at whatever point it has not been killed at yet, whichever that is; the ways that
//! money can go are played until none has a new point left; and a point that no way comes by fails the test.

mod charges;
mod follows;
mod refunds;
mod rounds;
mod sources;

use std::collections::BTreeSet;

#[tokio::test]
async fn killed_between_any_two_steps_of_money_a_worker_loses_and_repeats_nothing() {
    let (charges, follows, decided, cancelled) =
        tokio::join!(charges::play(), follows::play(), refunds::decided(), refunds::cancelled());
    let struck: BTreeSet<String> = [charges, follows, decided, cancelled].into_iter().flatten().collect();
    let missed: Vec<String> = sources::points().difference(&struck).cloned().collect();
    assert_eq!(missed, [""; 0], "points that nothing comes by here: play a way that does, or remove them");
}
