//! `gream limits`: shown and turned.

use crate::dlq::arguments::Signature;
use clap::Subcommand;
use contracts::PartitionCount;
use operator::{
    dlq::Actor,
    limits::{Turn, TurnedRole, drained, limits, turn},
};
use platform::{Clock, Config, database, role_limits::WorkerRole};
use std::{process::ExitCode, time::Duration};

type Failure = Box<dyn std::error::Error>;

/// What to do with limits; nothing: show them.
#[derive(Debug, Subcommand)]
pub enum LimitsTask {
    /// Let a role take nothing more: it ends what it has in hand, and commands wait on their queues.
    Pause {
        /// bid, payment, refund, relay, notifier or scheduler.
        role: WorkerRole,
        /// Wait so many seconds, at most, until it holds nothing any more, in any process.
        #[arg(long, default_value_t = 60)]
        drain_s: u64,
        /// Who, and why.
        #[command(flatten)]
        signature: Signature,
    },
    /// Let it go on.
    Resume {
        /// bid, payment, refund, relay, notifier or scheduler.
        role: WorkerRole,
        /// Who, and why.
        #[command(flatten)]
        signature: Signature,
    },
    /// Turn how much it does in a batch (bid, relay, notifier), or at once in each process (payment, refund).
    Set {
        /// bid, payment, refund, relay or notifier.
        role: WorkerRole,
        /// Commands of a transaction (bid), rows of a look (relay), events (notifier); or `configured`.
        #[arg(long, value_parser = number_or_configured::<u32>)]
        batch: Option<Setting<u32>>,
        /// Commands at once; or `configured`.
        #[arg(long, value_parser = number_or_configured::<u16>)]
        concurrency: Option<Setting<u16>>,
        /// Who, and why.
        #[command(flatten)]
        signature: Signature,
    },
}

/// A number, or what the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct Setting<T>(Option<T>);

fn number_or_configured<T: std::str::FromStr>(text: &str) -> Result<Setting<T>, String> {
    if text == "configured" {
        return Ok(Setting(None));
    }
    text.parse().map(|number| Setting(Some(number))).map_err(|_| "a number, or `configured`".to_owned())
}

/// Does it.
pub async fn run(task: Option<LimitsTask>, as_json: bool) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let limit = Duration::from_millis(config.database.statement_timeout_ms);
    let database = database::pool(&config.database)?;
    let now = Clock::configured(&config.clock).now();
    let (role, wanted, signature, drain) = match task {
        None => {
            let all = limits(&database, limit).await?;
            if as_json {
                println!("{}", serde_json::to_string_pretty(&all)?);
            } else {
                for role in &all {
                    println!("{}", line(role));
                }
            }
            return Ok(ExitCode::SUCCESS);
        }
        Some(LimitsTask::Pause { role, drain_s, signature }) => {
            (role, Turn { is_paused: Some(true), ..Turn::default() }, signature, Some(Duration::from_secs(drain_s)))
        }
        Some(LimitsTask::Resume { role, signature }) => {
            (role, Turn { is_paused: Some(false), ..Turn::default() }, signature, None)
        }
        Some(LimitsTask::Set { role, batch, concurrency, signature }) => {
            if batch.is_none() && concurrency.is_none() {
                return Err("say what to turn: --batch or --concurrency".into());
            }
            let turn = Turn { is_paused: None, batch_max: batch.map(|s| s.0), concurrency: concurrency.map(|s| s.0) };
            (role, turn, signature, None)
        }
    };
    let actor = Actor::new(signature.who.as_deref().unwrap_or_default(), signature.why.as_deref().unwrap_or_default())?;
    turn(&database, limit, (role, wanted), &actor, now).await?;
    if let Some(patience) = drain {
        let partitions =
            PartitionCount::new(config.partitions.count).ok_or("partitions.count must be between 1 and 256")?;
        drained(&config.rabbitmq, role, partitions, patience).await?;
        println!("{role} is paused, and holds nothing; commands wait until: gream limits resume {role} --why …");
    } else {
        println!("turned; every process follows within two seconds");
    }
    Ok(ExitCode::SUCCESS)
}

fn line(TurnedRole { role, limits, last }: &TurnedRole) -> String {
    let mut parts = vec![if limits.is_paused { "PAUSED".to_owned() } else { "takes".to_owned() }];
    parts.extend(limits.batch_max.map(|most| format!("batch {most}")));
    parts.extend(limits.concurrency.map(|most| format!("{most} at once")));
    if let Some(last) = last {
        parts.push(format!("turned by {} at {} ({})", last.by, operator::moment::utc(last.at), last.why));
    }
    format!("{:<10} {}", role.as_str(), parts.join(", "))
}
