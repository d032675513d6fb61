//! The market day: a seeded crowd of clients that speaks only HTTP, like any client.
//!
//! ```text
//! opening ─► (open market ─► night) × 3 ─► open market ─► refusals ─► jumps of time ─► counting ─► long night
//!             every client wants something           each kind, often enough      trades      all bids end,
//!             again and again; refunds are                                                    logins expire
//!             approved meanwhile
//! ```
//! Promises: what a client wants depends on the seed and on the answers it got, on nothing else; every answer about an
//! accepted command is in the journal before it is used; each wait ends. A second day on the same market brings new
//! clients and new products.
//! Doesn't: look into the system. What clients cannot see is `operator::audit`'s to compare.

mod acts;
mod by_hand;
mod charge;
mod clock_file;
mod day;
mod http;
mod journal;
mod mind;
mod names;
mod person;
pub mod picture;
mod plan;
mod progress;
mod pulse;
mod record;
mod report;
mod session;

pub use acts::night::Night;
pub use by_hand::{ByHand, ByHandError, charge};
pub use pulse::{Beat, Pulse};
pub use report::{CLIENT_KINDS, DayReport, KindFigures, MIN_OF_KIND, MIN_OF_REFUSAL, REFUSALS, REFUSALS_IN_TIME};
pub use session::Login;

use acts::{
    approving, closing, jump,
    night::{self, Ends},
    opening, provoking, trading,
};
use clock_file::ClockFile;
use day::Day;
use futures_util::future::join;
use http::Http;
use journal::Journal;
use names::Names;
use person::Person;
use plan::Assortment;
use progress::Progress;
use record::Record;
use report::Frame;
use reqwest::Url;
use session::Session;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often the market opens; a night lies between two openings.
const OPENINGS: u64 = 4;
/// Past the deadline of a bid of one day, wherever in the day it was placed.
const NIGHT: Duration = Duration::from_hours(2 * 24);
/// Past the deadline of every bid of the crowd, and past every login.
const LONG_NIGHT: Duration = Duration::from_hours(10 * 24);
/// Requests that a jump of time shall overtake.
const OVERTAKEN: u64 = 6;

/// How the day is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The API's address, such as `http://127.0.0.1:8080`.
    pub api: Url,
    /// The Toss sandbox's address.
    pub sandbox: Url,
    /// An administrator's login.
    pub administrator: Login,
    /// The market's movable clock; without one no night passes.
    pub clock_file: Option<PathBuf>,
    /// Where answers are journaled; appended to.
    pub journal: PathBuf,
    /// The crowd's luck.
    pub seed: u64,
    /// Clients.
    pub users: u32,
    /// Products.
    pub products: u32,
    /// Commands to be accepted while the market is open, at least.
    pub commands: u64,
    /// Clients that act at once.
    pub concurrency: usize,
}

/// Why a day could not be played. Broken promises are no errors: they are in the report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The API gives no answer.
    #[error("the API cannot be reached: {0}. Check that `gream api` runs at the address given")]
    Unreachable(String),
    /// The market cannot be opened.
    #[error("the market day cannot begin: {0}")]
    Opening(String),
    /// The journal cannot be opened.
    #[error("the clients' journal {path:?} cannot be opened: {error}")]
    Journal {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The clock cannot be moved.
    #[error("the market's clock cannot be moved: {0}. Check the clock file")]
    Clock(io::Error),
}

/// Plays a whole market day. The process must have installed its TLS provider before.
///
/// # Errors
/// When the day cannot begin, or the clock cannot be moved.
pub async fn play(options: Options) -> Result<DayReport, LoadError> {
    let began = Instant::now();
    let (mut day, mut administrator) = begin(&options).await?;
    day.progress.act("opening");
    opening::list_products(&day, &mut administrator, options.products).await?;
    day.assortment = opening::assortment(&day.http, &day.names).await?;
    let mut people = opening::gather(&day, options.users, options.seed).await?;

    let mut nights = Vec::new();
    let (mut open, mut accepted_open) = (Duration::ZERO, 0);
    for opening in 1..=OPENINGS {
        day.progress.act("open market");
        let (opened, before) = (Instant::now(), day.record.accepted());
        let goal = options.commands * opening / OPENINGS;
        open_market(&day, &mut administrator, &mut people, goal).await;
        open += opened.elapsed();
        accepted_open += day.record.accepted() - before;
        if let Some(clock) = day.clock.as_ref().filter(|_| opening < OPENINGS) {
            day.progress.act("night");
            nights.push(night::pass(&day, clock, &mut people, NIGHT, Ends::Short).await?);
        }
    }
    day.progress.act("refusals");
    provoking::provoke(&day, &mut administrator, &mut people).await;
    if let Some(clock) = &day.clock {
        jump::jump(&day, clock, &mut people, OVERTAKEN).await?;
    }
    day.progress.act("counting");
    let turnover = closing::count(&day, &mut people).await;
    if let Some(clock) = &day.clock {
        day.progress.act("long night");
        nights.push(night::pass(&day, clock, &mut people, LONG_NIGHT, Ends::All).await?);
    }
    day.progress.finish();
    let frame = Frame { nights, ..frame(&day, &options, turnover, began, open, accepted_open) };
    Ok(DayReport::new(frame, day.record.snapshot()))
}

/// Opens a market and keeps it open until `pulse` is closed, whatever is done to the system meanwhile: no night, and nothing
/// that is provoked. Clients know that there is trouble: a picture that cannot be stored is sent again, and so is what
/// Toss's window does not answer. `options.commands` and its clock are not looked at.
///
/// # Errors
/// When the market cannot be opened.
pub async fn keep_open(options: Options, pulse: Arc<Pulse>) -> Result<DayReport, LoadError> {
    let began = Instant::now();
    let (mut day, mut administrator) = begin(&options).await?;
    opening::list_products(&day, &mut administrator, options.products).await?;
    day.assortment = opening::assortment(&day.http, &day.names).await?;
    let mut people = opening::gather(&day, options.users, options.seed).await?;
    day.pulse = Some(pulse.clone());
    day.progress.act("open market");
    let opened = Instant::now();
    let closing = AtomicBool::new(false);
    let trading = async {
        trading::trade(&day, &mut people, || !pulse.is_closing()).await;
        closing.store(true, Ordering::Release);
    };
    join(trading, approving::approve(&day, &mut administrator, &closing)).await;
    let open = opened.elapsed();
    let turnover = closing::count(&day, &mut people).await;
    let accepted_open = day.record.accepted();
    let frame = frame(&day, &options, turnover, began, open, accepted_open);
    // It is no whole day: nothing has to come so often.
    Ok(DayReport { too_few: Vec::new(), ..DayReport::new(frame, day.record.snapshot()) })
}

fn frame(
    day: &Day,
    options: &Options,
    turnover: closing::Turnover,
    began: Instant,
    open: Duration,
    accepted_open: u64,
) -> Frame {
    Frame {
        run: day.names.tag().to_owned(),
        seed: options.seed,
        users: options.users,
        products: options.products,
        trades: turnover.trades,
        volume_won: turnover.volume_won,
        took: began.elapsed(),
        open,
        accepted_open,
        nights: Vec::new(),
        clock_moved: day.clock.is_some(),
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

async fn begin(options: &Options) -> Result<(Day, Session), LoadError> {
    let began_unix_s = since_1970().as_secs();
    let http = |url: &Url| Http::new(url.clone()).map_err(|error| LoadError::Opening(error.to_string()));
    let journal =
        Journal::open(&options.journal).map_err(|error| LoadError::Journal { path: options.journal.clone(), error })?;
    let day = Day {
        http: http(&options.api)?,
        sandbox: http(&options.sandbox)?,
        names: Names::of_run(began_unix_s),
        began_unix_s,
        assortment: Assortment::new(Vec::new()),
        clock: options.clock_file.clone().map(ClockFile::new),
        record: Record::default(),
        journal,
        progress: Progress::towards(options.commands),
        concurrency: options.concurrency.max(1),
        pulse: None,
    };
    let administrator = Session::open(&day, options.administrator.clone())
        .await
        .map_err(|error| LoadError::Unreachable(error.to_string()))?;
    Ok((day, administrator))
}

/// Everybody acts, and the administrator approves; then what was requested last is approved too.
async fn open_market(day: &Day, administrator: &mut Session, people: &mut [Person], goal: u64) {
    let closing = AtomicBool::new(false);
    let trading = async {
        trading::until(day, people, goal).await;
        closing.store(true, Ordering::Release);
    };
    join(trading, approving::approve(day, administrator, &closing)).await;
}
