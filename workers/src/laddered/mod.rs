//! What the payment and the refund worker share: commands that call Toss, and so may have to be tried again later.
//!
//! ```text
//!                 ┌──────────────────────────── retry queues (TTL) ◄─────────────┐
//!                 ▼                                                              │ again (counted), later (not counted)
//! queue ─► crew: at most `prefetch` at once ─► carry out ─► ended: ack, outcome ─┤
//!   ▲                                               │                            └ out of attempts, or a person must look:
//!   │ not consumed while the gate to Toss is shut   └ database away: everything       suspended, dead letter
//!   └───────────────────────────────────────────────  unacked goes back
//! ```
//! After an outage the crew begins with one command at a time and looks at many of those that wait: see `consume`.
//!
//! Promises: a message is acked only after its outcome is committed or the message is safe on another queue. Nothing is
//! burnt while MySQL, the broker or Toss is away: attempts count only while the gate is open.
//! Doesn't: know what the commands do. That is [`CarryOut`]'s, of [`crate::payment`] and [`crate::refund`].

mod books;
mod consume;
mod gate;
mod health;
mod inbox;
mod probe;
mod settle;
mod shared_breaker;
mod transaction;

pub(crate) use books::{
    add_debt, balance, debt, ended, find_balance, insert_command, insert_event, insert_transfer, is_expired, is_stale,
    write_balance,
};
pub use gate::policy as breaker_policy;
pub(crate) use gate::{ENTRY_LIMIT, Gate};
pub(crate) use inbox::{Inbox, Standing};
pub use shared_breaker::{Seen, SharedBreaker};
pub(crate) use transaction::{again_on_contention, command_id, invalid, user_id};

use contracts::{Envelope, Outcome, UnixMs, topology::Role};
use domain::retry::Window;
use platform::{
    Clock, Config, Shutdown,
    database::{Trouble, trouble},
    outcomes::OutcomePublisher,
    rabbitmq::Publisher,
    role_limits::TurnedLimits,
    traces::TraceContext,
};
use sqlx::MySqlPool;
use std::sync::Arc;
use toss::{ClientOptions, SecretKey, client::InvalidOptions};

/// What a worker of either role needs.
#[derive(Clone)]
pub struct Foundation {
    /// The configuration.
    pub config: Arc<Config>,
    /// The time.
    pub clock: Clock,
    /// MySQL.
    pub database: MySqlPool,
    /// For retries and dead letters.
    pub publisher: Publisher,
    /// For outcomes.
    pub outcomes: OutcomePublisher,
    /// What operators have turned.
    pub limits: TurnedLimits,
    /// When to stop.
    pub shutdown: Shutdown,
    /// This process, as it shows in the RabbitMQ page.
    pub name: String,
}

impl Foundation {
    /// The client for Toss.
    pub(crate) fn toss(&self) -> Result<toss::Client, InvalidOptions> {
        toss_client(&self.config)
    }
}

/// A client for Toss, as configured.
pub(crate) fn toss_client(config: &Config) -> Result<toss::Client, InvalidOptions> {
    let config = &config.toss;
    toss::Client::new(ClientOptions {
        base_url: config.base_url.clone(),
        secret_key: SecretKey::new(config.secret_key.expose()),
        connect_timeout: std::time::Duration::from_millis(config.connect_timeout_ms),
        read_timeout: std::time::Duration::from_millis(config.read_timeout_ms),
        trace_headers: || {
            let trace = TraceContext::current();
            trace.iter().flat_map(TraceContext::headers).map(|(name, value)| (name, value.to_owned())).collect()
        },
    })
}

/// Carries the commands of one role out.
pub(crate) trait CarryOut: Send + Sync + 'static {
    /// The role.
    const ROLE: Role;

    /// Whether commands of this role are of no use without Toss. Then nothing is consumed while the gate to Toss is shut.
    const STOPS_WITH_TOSS: bool;

    /// Before when it had better be carried out: when many wait, the nearest is first.
    fn deadline(envelope: &Envelope) -> UnixMs {
        envelope.accepted_at
    }

    /// One delivery of one command. May run at once with another delivery of the same command.
    fn carry_out(&self, envelope: &Envelope) -> impl Future<Output = Result<Ending, Fault>> + Send;
}

/// How a delivery ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The outcome is committed.
    Ended(Outcome),
    /// Not now: the next rung of the ladder.
    Again {
        /// Why, for people.
        error: String,
        /// The time in which it can succeed at all.
        window: Option<Window>,
    },
    /// Not now, and that was not the command's fault: nothing is counted.
    Later {
        /// Why, for people.
        error: String,
    },
    /// A person must look.
    Person {
        /// At what.
        error: String,
    },
    /// Another body under the same command id is under way, and its outcome is this id's.
    Superseded,
}

/// Why a delivery could not be carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The database is away. Nothing is anybody's fault.
    #[error("the database is away: {0}")]
    Away(sqlx::Error),
    /// The statement, the data or we are at fault.
    #[error("{0}")]
    Defect(String),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match trouble(&error) {
            // Contention was waited out as long as it makes sense; whoever holds the locks is stuck.
            Trouble::Away | Trouble::Contention => Fault::Away(error),
            Trouble::Defect => Fault::Defect(error.to_string()),
        }
    }
}

/// The workers of one role in this process.
pub(crate) struct Crew<H> {
    pub(crate) foundation: Foundation,
    pub(crate) gate: Arc<Gate>,
    pub(crate) handler: H,
    inbox: Inbox,
    ladder_ms: Vec<u32>,
}

impl<H: CarryOut> Crew<H> {
    pub(crate) fn new(foundation: Foundation, gate: Arc<Gate>, handler: H) -> Arc<Self> {
        let inbox = Inbox::new(&foundation);
        let ladder_ms = foundation.config.payment_worker.ladder().unwrap_or_default();
        Arc::new(Self { foundation, gate, handler, inbox, ladder_ms })
    }
}
