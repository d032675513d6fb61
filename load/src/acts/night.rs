//! A night: the market is quiet, the clock moves, deadlines pass, and what short bids held comes back.
//!
//! No row is touched and nobody is told: the clients see it in their points and lists.

use crate::{
    LoadError,
    clock_file::{ClockFile, SEEN_WITHIN},
    day::Day,
    http::{Request, Tokens},
    mind::OpenBid,
    person::Person,
    plan::Manner,
};
use contracts::{ResultCode, Side};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

/// Clients whose points and lists are watched in one night.
const WATCHED: usize = 80;
/// Of them, those who try to take a stale bid back before anybody else has noticed.
const LATE_CANCELS: usize = 16;
/// Clients whose access token is tried alone after the night.
const STALE_TOKENS: usize = 5;
/// By then every stale bid's points must be back.
const RETURN_LIMIT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(150);

/// Which bids end with the night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Those of one day.
    Short,
    /// All that the crowd placed.
    All,
}

/// What a night brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Night {
    /// How far the clock moved.
    pub moved_hours: u64,
    /// Open bids of the watched clients whose deadline passed.
    pub watched_bids: u64,
    /// What of it came back to the watched clients.
    pub points_returned: i64,
    /// Until all of it was back.
    pub waited_ms: u64,
}

/// What a watched client must see after the night.
struct Watch<'a> {
    person: &'a mut Person,
    /// Stale bids of both sides.
    stale: Vec<OpenBid>,
    points: i64,
    returned: i64,
}

/// Moves the clock by `by` and waits until nothing of the bids that end with it is left.
pub(crate) async fn pass(
    day: &Day,
    clock: &ClockFile,
    people: &mut [Person],
    by: Duration,
    ends: Ends,
) -> Result<Night, LoadError> {
    let stale_tokens: Vec<Tokens> =
        people.iter().take(STALE_TOKENS).map(|person| person.session.tokens.clone()).collect();
    let mut watches = watch(day, people, ends).await;

    clock.advance(by).map_err(LoadError::Clock)?;
    // Before this, a process may still believe that it is yesterday.
    tokio::time::sleep(SEEN_WITHIN).await;
    cancel_late(day, &mut watches).await;
    let began = Instant::now();
    stream::iter(watches.iter_mut()).for_each_concurrent(day.concurrency, |watch| see_return(day, watch)).await;
    let waited = began.elapsed();
    stream::iter(watches.iter_mut()).for_each_concurrent(day.concurrency, |watch| see_lists(day, watch)).await;
    for tokens in stale_tokens {
        try_access_alone(day, tokens).await;
    }
    let night = Night {
        moved_hours: by.as_secs() / 3_600,
        watched_bids: watches.iter().map(|watch| watch.stale.len() as u64).sum(),
        points_returned: watches.iter().map(|watch| watch.returned).sum(),
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
    };
    for person in people {
        match ends {
            Ends::Short => drop(person.mind.forget_short()),
            Ends::All => person.mind.bids.clear(),
        }
    }
    Ok(night)
}

/// Notes what clients with stale bids have now, and what must come back.
async fn watch<'a>(day: &Day, people: &'a mut [Person], ends: Ends) -> Vec<Watch<'a>> {
    let watched =
        people.iter_mut().filter(|person| person.mind.bids.iter().any(|bid| is_stale(*bid, ends))).take(WATCHED);
    let looking = stream::iter(watched).map(async |person| {
        let stale: Vec<OpenBid> = person.mind.bids.iter().copied().filter(|bid| is_stale(*bid, ends)).collect();
        let ids: BTreeSet<u64> = stale.iter().map(|bid| bid.id).collect();
        let buying = person.list(day, "/api/buy/history/onprogress").await;
        let selling = person.list(day, "/api/sell/history/onprogress").await;
        let ends_tonight =
            |bid: &&Value, id: &str| bid[id].as_u64().is_some_and(|id| ends == Ends::All || ids.contains(&id));
        let holds = buying.iter().filter(|bid| ends_tonight(bid, "buyId"));
        let returned = holds.clone().filter_map(|bid| bid["discountPrice"].as_i64()).sum();
        let open = |side: Side, bids: &[Value], field: &str| -> Vec<OpenBid> {
            let period = stale.first().map_or(crate::mind::Period::Short, |bid| bid.period);
            let ids = bids.iter().filter(|bid| ends_tonight(bid, field)).filter_map(|bid| bid[field].as_u64());
            ids.map(|id| OpenBid { id, side, period }).collect()
        };
        let mut stale = open(Side::Buy, &buying, "buyId");
        stale.extend(open(Side::Sell, &selling, "sellId"));
        let points = person.points(day).await.unwrap_or(0);
        Watch { person, stale, points, returned }
    });
    looking.buffer_unordered(day.concurrency).collect().await
}

fn is_stale(bid: OpenBid, ends: Ends) -> bool {
    ends == Ends::All || bid.period.days().is_some()
}

/// Owners come too late for their bids. Whoever noticed first, the points are theirs again.
async fn cancel_late(day: &Day, watches: &mut [Watch<'_>]) {
    let late = watches.iter_mut().filter(|watch| !watch.stale.is_empty()).take(LATE_CANCELS);
    stream::iter(late)
        .for_each_concurrent(LATE_CANCELS, async |watch| {
            let bid = watch.stale[0];
            watch.person.cancel(day, Manner::Keyed, bid).await;
        })
        .await;
}

async fn see_return(day: &Day, watch: &mut Watch<'_>) {
    let due = watch.points + watch.returned;
    let began = Instant::now();
    loop {
        let points = watch.person.points(day).await;
        if points == Some(due) {
            return;
        }
        if began.elapsed() >= RETURN_LIMIT {
            let (index, before, returned) = (watch.person.index, watch.points, watch.returned);
            day.record.broken(format!(
                "client {index} had {before} points and {returned} in bids that ended, and has {points:?} after {RETURN_LIMIT:?}"
            ));
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn see_lists(day: &Day, watch: &mut Watch<'_>) {
    for (path, field) in [("/api/buy/history/onprogress", "buyId"), ("/api/sell/history/onprogress", "sellId")] {
        let listed = watch.person.list(day, path).await;
        let shown: BTreeSet<u64> = listed.iter().filter_map(|bid| bid[field].as_u64()).collect();
        for bid in watch.stale.iter().filter(|bid| shown.contains(&bid.id)) {
            day.record.broken(format!("bid {} ended in the night and is still listed in progress", bid.id));
        }
    }
}

/// An expired access token without its refresh token renews nothing.
async fn try_access_alone(day: &Day, tokens: Tokens) {
    let alone = Tokens { refresh: None, ..tokens };
    if let Ok(answer) = day.http.send(&Request::get("/api/users/points"), &alone).await {
        day.record.refused(answer.code);
        day.record.expect("an expired access token", answer.code, &[ResultCode::AccessTokenExpired]);
    }
}
