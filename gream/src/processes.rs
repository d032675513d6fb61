//! The long-running processes: what each one is made of, and how it starts and stops.

use contracts::{PartitionCount, topology::Role};
use operator::pipeline::{AskBreaker, BreakerNow};
use platform::{
    Clock, Config, Shutdown,
    admin::{self, Check},
    config::Mode,
    database, gauges,
    outcomes::OutcomePublisher,
    pictures::{self, HomeError, PictureStore},
    rabbitmq::{Publisher, announce_dead_letters},
    role_limits::{TurnedLimits, WorkerRole},
};
use sqlx::MySqlPool;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use workers::scheduler::DutyName;

type Failure = Box<dyn std::error::Error>;

/// The one process that others send to.
const API: &str = "api";
/// What a worker of several roles is called.
const SEVERAL_ROLES: &str = "workers";

/// What every long-running process has.
struct Foundation {
    config: Arc<Config>,
    clock: Clock,
    database: MySqlPool,
    publisher: Publisher,
    shutdown: Shutdown,
    partitions: PartitionCount,
    /// Tells this process from every other one, also from its own former life.
    name: String,
}

/// Unlike that of any other process, also one with the same pid in another container. It fits the columns that hold it
/// (64 characters), however many roles a process has.
fn process_name(what: &str) -> String {
    format!("{what}-{}-{:08x}", std::process::id(), rand::random::<u32>())
}

impl Foundation {
    async fn lay(what: &str) -> Result<Self, Failure> {
        let config = Arc::new(Config::load()?);
        // Nothing is sent to workers: they take, or stop taking.
        let announce_ms = if what == API { config.shutdown.announce_ms } else { 0 };
        platform::telemetry::start(&config.telemetry, what)?;
        platform::halt::arm(&config.test);
        let shutdown = Shutdown::new();
        shutdown.on_signals(Duration::from_millis(announce_ms))?;
        let partitions =
            PartitionCount::new(config.partitions.count).ok_or("partitions.count must be between 1 and 256")?;
        let database = database::pool(&config.database)?;
        let clock = Clock::configured(&config.clock);
        let name = process_name(what);
        wait_for_installation(&database, partitions, &shutdown).await?;
        let ladder = config.payment_worker.ladder().ok_or("payment_worker.ladder_ms is no ladder")?;
        let topology = contracts::topology::Topology::new(partitions, &ladder);
        let publisher = Publisher::start(config.rabbitmq.clone(), topology, name.clone(), &shutdown);
        gauges::show_pool("primary", &database);
        Ok(Self { config, clock, database, publisher, shutdown, partitions, name })
    }

    /// The picture store, if it is the one where this installation's pictures are. Waits for the first process to decide
    /// that, as for the database; later a store that is away keeps nobody from trading.
    async fn pictures(&self) -> Result<PictureStore, Failure> {
        let store = PictureStore::open(&self.config.pictures)?;
        let mut pauses = platform::pause::Pauses::new();
        loop {
            match pictures::settle(&store, &self.database).await {
                Ok(()) => return Ok(store),
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(HomeError::Store(error)) if matches!(pictures::is_settled(&self.database).await, Ok(true)) => {
                    tracing::warn!(%error, "the picture store is away; uploads are refused until it is back");
                    self.shutdown.spawn(settle_later(store.clone(), self.database.clone(), self.shutdown.clone()));
                    return Ok(store);
                }
                Err(error) => tracing::warn!(%error, "the picture store cannot be settled on; trying again"),
            }
            if !self.shutdown.sleep(pauses.next_pause()).await {
                return Err("stopped before the picture store was there".into());
            }
        }
    }

    fn checks(&self) -> Vec<Check> {
        let (database, publisher) = (self.database.clone(), self.publisher.clone());
        vec![
            admin::check("database", move || {
                let database = database.clone();
                async move { database::is_ready(&database).await }
            }),
            admin::check("broker", move || std::future::ready(publisher.is_ready())),
        ]
    }

    /// Waits for the process's tasks, at most the configured grace.
    async fn finish(self) -> ExitCode {
        let grace = Duration::from_millis(self.config.shutdown.grace_ms);
        let orderly = self.shutdown.finish(grace).await;
        if !orderly {
            tracing::warn!("some work had not ended within shutdown.grace_ms; its messages go to the next worker");
        }
        self.database.close().await;
        platform::traces::finish().await;
        if orderly { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Waiting would not help.
fn is_final(error: &HomeError) -> bool {
    matches!(error, HomeError::Elsewhere { .. } | HomeError::Anothers { .. })
}

/// Looks at the store as soon as it is back, and ends the process when it is not the one that it should be.
async fn settle_later(store: PictureStore, database: MySqlPool, shutdown: Shutdown) {
    let mut pauses = platform::pause::Pauses::new();
    while shutdown.sleep(pauses.next_pause()).await {
        match pictures::settle(&store, &database).await {
            Ok(()) => return tracing::info!("the picture store is back"),
            Err(error) if is_final(&error) => {
                tracing::error!(%error, "stopping: the picture store that came back is another one");
                return shutdown.request();
            }
            Err(error) => tracing::debug!(%error, "the picture store is still away"),
        }
    }
}

/// A process may start before the database does. What it must not do is work on a database that was made otherwise.
async fn wait_for_installation(
    database: &MySqlPool,
    partitions: PartitionCount,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut pauses = platform::pause::Pauses::new();
    loop {
        match database::check_installation(database, partitions).await {
            Ok(()) => return Ok(()),
            Err(database::InstallationError::Database(error)) => {
                tracing::warn!(%error, "the database is away; waiting for it");
            }
            Err(error) => return Err(error.into()),
        }
        if !shutdown.sleep(pauses.next_pause()).await {
            return Err("stopped before the database was there".into());
        }
    }
}

/// `gream worker …`
pub async fn worker(roles: &[WorkerRole]) -> Result<ExitCode, Failure> {
    let names: Vec<&str> = roles.iter().map(|role| role.as_str()).collect();
    let what = if let [role] = names.as_slice() { role } else { SEVERAL_ROLES };
    let foundation = Foundation::lay(what).await?;
    let listen = admin::serve(foundation.config.admin.listen, foundation.checks(), &foundation.shutdown).await?;
    tracing::info!(roles = names.join(" "), admin = %listen, name = foundation.name, "worker started");
    let outcomes = OutcomePublisher::start(foundation.config.redis.clone());
    for role in roles {
        start_role(*role, &foundation, &outcomes)?;
    }
    foundation.shutdown.requested().await;
    Ok(foundation.finish().await)
}

fn start_role(role: WorkerRole, foundation: &Foundation, outcomes: &OutcomePublisher) -> Result<(), Failure> {
    let Foundation { config, clock, database, publisher, shutdown, partitions, name } = foundation;
    let (config, clock, database) = (config.clone(), clock.clone(), database.clone());
    let (publisher, name, outcomes, partitions) = (publisher.clone(), name.clone(), outcomes.clone(), *partitions);
    let stop = shutdown.clone();
    show_role(role.as_str());
    let statement_limit = Duration::from_millis(config.database.statement_timeout_ms);
    let limits = TurnedLimits::watch(role, database.clone(), statement_limit, shutdown);
    match role {
        WorkerRole::Bid => {
            announce_dead_letters(Role::Bid);
            let worker =
                workers::bid::BidWorker { config, clock, database, publisher, outcomes, limits, shutdown: stop, name };
            shutdown.spawn(worker.run(partitions));
        }
        WorkerRole::Relay => {
            let monitor = workers::monitor::Monitor {
                config: config.clone(),
                clock: clock.clone(),
                database: database.clone(),
                shutdown: stop.clone(),
            };
            shutdown.spawn(monitor.run());
            let relay = workers::relay::Relay { config, clock, database, publisher, limits, shutdown: stop, name };
            shutdown.spawn(relay.run(partitions));
        }
        WorkerRole::Scheduler => {
            let pictures = PictureStore::open(&config.pictures)?;
            let scheduler = workers::scheduler::Scheduler {
                config,
                clock,
                database,
                publisher,
                pictures,
                limits,
                shutdown: stop,
                name,
            };
            shutdown.spawn(scheduler.run(partitions));
        }
        WorkerRole::Notifier => {
            let notifier =
                workers::notifier::Notifier { config, clock, database, publisher, limits, shutdown: stop, name };
            shutdown.spawn(notifier.run());
        }
        WorkerRole::Payment => {
            announce_dead_letters(Role::Payment);
            let foundation =
                workers::Foundation { config, clock, database, publisher, outcomes, limits, shutdown: stop, name };
            shutdown.spawn(workers::payment::PaymentWorker::new(foundation)?.run());
        }
        WorkerRole::Refund => {
            announce_dead_letters(Role::Refund);
            let foundation =
                workers::Foundation { config, clock, database, publisher, outcomes, limits, shutdown: stop, name };
            shutdown.spawn(workers::refund::RefundWorker::new(foundation)?.run());
        }
    }
    Ok(())
}

/// By its absence an alert knows that nobody has a role any more, wherever processes come and go.
fn show_role(role: &'static str) {
    metrics::gauge!("gream_role_up", "role" => role).set(1.0);
}

/// `gream api`
pub async fn api() -> Result<ExitCode, Failure> {
    let foundation = Foundation::lay(API).await?;
    show_role(API);
    let config = foundation.config.clone();
    let dependencies = api::Dependencies {
        config: config.clone(),
        clock: foundation.clock.clone(),
        database: foundation.database.clone(),
        publisher: foundation.publisher.clone(),
        pictures: foundation.pictures().await?,
        shutdown: foundation.shutdown.clone(),
        watched: watched(&foundation),
    };
    let checks = api::checks(&dependencies);
    let server = api::Server::new(dependencies)?;
    let admin = admin::serve_with(config.admin.listen, checks, server.operator_page(), &foundation.shutdown).await?;
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| format!("http.listen {listen}: {error}. Set GREAM__HTTP__LISTEN to a free address"))?;
    tracing::info!(%admin, http = %listener.local_addr()?, name = foundation.name, "API started");
    server.serve(listener).await;
    // Whether it was asked to or not: without its listener this process is of no use.
    foundation.shutdown.request();
    Ok(foundation.finish().await)
}

/// What the operators' page shows of the workers.
fn watched(foundation: &Foundation) -> api::Watched {
    let limit = Duration::from_millis(foundation.config.database.statement_timeout_ms);
    let breaker = workers::SharedBreaker::new(foundation.database.clone(), limit, &foundation.name);
    let clock = foundation.clock.clone();
    let ask: AskBreaker = Arc::new(move || {
        let (breaker, clock) = (breaker.clone(), clock.clone());
        Box::pin(async move {
            let seen = breaker.read().await?;
            Ok(BreakerNow { passes: seen.state.lets_pass(), told: seen.told_at(clock.now()) })
        })
    });
    api::Watched { duties: DutyName::ALL.map(DutyName::as_str).to_vec(), breaker: ask }
}

/// `gream sandbox`
pub async fn sandbox(
    listen: SocketAddr,
    journal: PathBuf,
    clock_file: Option<PathBuf>,
    webhooks: Option<String>,
) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    platform::telemetry::start_logging(&config.telemetry);
    if config.mode == Mode::Production {
        return Err("the Toss sandbox takes no money: it does not run in production mode".into());
    }
    let shutdown = Shutdown::new();
    shutdown.on_signals(Duration::ZERO)?;
    let clock = clock_file.map_or_else(|| Clock::configured(&config.clock), Clock::movable);
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("--listen {listen}: {error}"))?;
    tracing::info!(http = %listener.local_addr()?, "Toss sandbox started");
    let options = toss::sandbox::SandboxOptions {
        secret_key: toss::SecretKey::new(config.toss.secret_key.expose()),
        journal,
        now: Arc::new(move || clock.now()),
    };
    let webhooks = webhooks.map(toss::sandbox::webhooks::WebhookOptions::to);
    toss::sandbox::serve_with_webhooks(listener, options, webhooks, async move { shutdown.requested().await }).await?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The width of `partitions.owner` and of the other columns that hold it.
    const WIDTH: usize = 64;

    #[test]
    fn a_process_name_fits_its_columns_and_is_nobody_elses() {
        let longest =
            WorkerRole::ALL.iter().map(|role| role.as_str()).chain([SEVERAL_ROLES]).max_by_key(|name| name.len());
        let names = [(); 2].map(|()| process_name(longest.unwrap()));
        assert!(names.iter().all(|name| name.len() <= WIDTH), "{names:?}");
        assert_ne!(names[0], names[1]);
    }
}
