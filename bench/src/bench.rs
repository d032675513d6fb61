//! The bench's surroundings, and what every run shares: markets, processes, processor time, and looking after a run.

use crate::{
    Failure,
    arguments::Arguments,
    bare::Yardstick,
    figures::Figures,
    fleet::{Fleet, Role},
    market::Market,
    servers::Pids,
    statistics::number,
};
use contracts::{PartitionCount, UnixMs};
use platform::Config;
use rand::{SeedableRng, rngs::StdRng};
use sqlx::Row;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The outbox must be empty within this after a run.
const OUTBOX_LIMIT: Duration = Duration::from_mins(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The audit of one market; a million bids and a million trades take minutes.
const AUDIT_LIMIT_S: &str = "900";

/// How long the book of a market is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Size {
    /// As long as the runs make it: every run but those that compare sizes.
    Usual,
    /// As long as the stock of one run.
    Thousand,
    HundredThousand,
    Million,
}

impl Size {
    /// Those that are compared.
    pub(crate) const COMPARED: [Size; 3] = [Size::Thousand, Size::HundredThousand, Size::Million];

    /// Bids that stand in the book beside those that the runs take: a run's own stock is a thousand or two.
    pub(crate) fn standing(self) -> usize {
        match self {
            Size::Usual | Size::Thousand => 0,
            Size::HundredThousand => 100_000,
            Size::Million => 1_000_000,
        }
    }

    /// Trades of the past.
    pub(crate) fn trades(self) -> usize {
        match self {
            Size::Usual => 0,
            Size::Thousand => 1_000,
            Size::HundredThousand => 100_000,
            Size::Million => 1_000_000,
        }
    }

    /// As in the figures' names, and in the database's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Size::Usual => "usual",
            Size::Thousand => "1k",
            Size::HundredThousand => "100k",
            Size::Million => "1m",
        }
    }
}

/// Processor times at a moment.
pub(crate) type CpuTimes = BTreeMap<&'static str, Duration>;

/// See the module's words.
pub(crate) struct Bench {
    pub(crate) arguments: Arguments,
    pub(crate) config: Config,
    pub(crate) markets: BTreeMap<Size, Market>,
    pub(crate) yardstick: Yardstick,
    pub(crate) fleet: Fleet,
    pub(crate) figures: Figures,
    pub(crate) luck: StdRng,
    pids: Pids,
}

impl Bench {
    /// Makes markets of these sizes, and the yardstick's tables.
    pub(crate) async fn prepare(arguments: Arguments, sizes: &[Size]) -> Result<Self, Failure> {
        let config = Config::load()?;
        let partitions = PartitionCount::new(config.partitions.count).ok_or("partitions.count is out of range")?;
        let mut luck = StdRng::seed_from_u64(arguments.seed);
        let mut markets = BTreeMap::new();
        for size in sizes {
            let began = Instant::now();
            let name = format!("gream_{}", size.name());
            let market = Market::make(config.database.url.expose(), &name, partitions).await?;
            market.trade(size.trades(), &mut luck).await?;
            market.stand(size.standing(), &mut luck).await?;
            println!(
                "market {name}: {} trades and {} standing bids are in it, in {:.1} s",
                size.trades(),
                size.standing(),
                began.elapsed().as_secs_f64()
            );
            markets.insert(*size, market);
        }
        let first = markets.get(&Size::Usual).ok_or("there is no usual market")?;
        let yardstick = Yardstick::make(first, config.rabbitmq.url.expose()).await?;
        let pictures = config.pictures.folder.clone();
        let fleet = Fleet::new(arguments.binary.clone(), arguments.logs.clone(), pictures, arguments.admin_port);
        let pids = Pids::read(&arguments.pids)?;
        Ok(Self { arguments, config, markets, yardstick, fleet, figures: Figures::default(), luck, pids })
    }

    pub(crate) fn market(&self, size: Size) -> Result<Market, Failure> {
        Ok(self.markets.get(&size).ok_or("this market was not made")?.clone())
    }

    pub(crate) fn amqp(&self) -> String {
        self.config.rabbitmq.url.expose().to_owned()
    }

    /// Everybody's processor time so far.
    pub(crate) fn cpu_times(&self) -> Result<CpuTimes, Failure> {
        let mut times = self.pids.cpu_times()?;
        times.extend(self.fleet.cpu_times()?);
        Ok(times)
    }

    /// Notes what each process has used a command since `before`.
    pub(crate) fn note_cpu(&mut self, prefix: &str, before: &CpuTimes, commands: usize) -> Result<(), Failure> {
        for (name, now) in self.cpu_times()? {
            let used = now.saturating_sub(before.get(name).copied().unwrap_or_default());
            let per_command = used.as_secs_f64() * 1_000_000.0 / number(commands);
            self.figures.add(format!("{prefix}_cpu_us_{name}"), per_command);
        }
        Ok(())
    }

    /// All commands accepted at `at` must have ended: the share of those refused is noted, anything else is an error.
    pub(crate) async fn check_ended(
        &mut self,
        name: &str,
        market: &Market,
        at: std::ops::RangeInclusive<UnixMs>,
        commands: usize,
    ) -> Result<(), Failure> {
        let rows = sqlx::query(
            "SELECT state, COUNT(*) FROM commands WHERE accepted_at_ms BETWEEN ? AND ? AND kind <> 'sign_up' GROUP BY state",
        )
        .bind(at.start().0)
        .bind(at.end().0)
        .fetch_all(&market.pool)
        .await?;
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows {
            states.insert(row.try_get(0)?, usize::try_from(row.try_get::<i64, _>(1)?)?);
        }
        let of = |state: &str| states.get(state).copied().unwrap_or(0);
        if of("done") + of("rejected") != commands {
            return Err(format!("{name}: of {commands} commands, {states:?} are in the database").into());
        }
        self.figures.add(format!("{name}_rejected_share"), number(of("rejected")) / number(commands));
        Ok(())
    }

    /// Waits until the relay has sent everything; notes what was left when the run ended.
    pub(crate) async fn drain_outbox(&mut self, name: &str, market: &Market) -> Result<(), Failure> {
        let began = Instant::now();
        let mut first = true;
        loop {
            let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM outbox").fetch_one(&market.pool).await?;
            if std::mem::take(&mut first) {
                self.figures.add(format!("{name}_outbox_left"), number(usize::try_from(left)?));
            }
            if left == 0 {
                return Ok(());
            }
            if began.elapsed() > OUTBOX_LIMIT {
                return Err(format!("{name}: the relay has left {left} rows in the outbox").into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How many commands the running worker has carried out.
    pub(crate) async fn carried_out(admin: &str) -> Result<usize, Failure> {
        let (_, body) = crate::wire::get(admin, "/metrics").await?;
        Ok(crate::fleet::counter(std::str::from_utf8(&body)?, "gream_commands_total"))
    }

    /// The audit of every market; `true` when all hold.
    pub(crate) async fn audit(&mut self) -> Result<bool, Failure> {
        self.fleet.stop_all().await?;
        let mut holds = true;
        for (size, market) in &self.markets {
            let began = Instant::now();
            let output = tokio::process::Command::new(&self.arguments.binary)
                .args(["audit", "--limit-s", AUDIT_LIMIT_S])
                .env("GREAM__DATABASE__URL", &market.url)
                // Nothing of these is in these markets.
                .env_remove("GREAM_SANDBOX")
                .env_remove("GREAM_JOURNAL")
                .output()
                .await?;
            let verdict = if output.status.success() { "holds" } else { "DOES NOT HOLD" };
            println!("audit of gream_{}: {verdict}, in {:.1} s", size.name(), began.elapsed().as_secs_f64());
            if !output.status.success() {
                holds = false;
                println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            }
        }
        Ok(holds)
    }

    /// What each process took of memory, at its highest.
    pub(crate) fn note_memory(&mut self) {
        for (role, memory) in self.fleet.memory() {
            let (name, mib) = (role.name(), |kib: u32| f64::from(kib) / 1024.0);
            self.figures.add(format!("rss_mb_{name}"), mib(memory.peak_kib));
            self.figures.add(format!("rss_mb_{name}_running"), mib(memory.now_kib));
        }
    }

    /// A worker and a relay on this market, from the beginning.
    pub(crate) async fn start_workers(&mut self, url: &str) -> Result<(), Failure> {
        for role in [Role::Scheduler, Role::Relay, Role::Worker] {
            self.fleet.start(role, url).await?;
        }
        Ok(())
    }
}
