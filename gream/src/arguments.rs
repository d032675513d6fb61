//! The command line.

use crate::{dlq::arguments::DlqTask, limits::LimitsTask};
use clap::{Args, Parser, Subcommand};
use platform::role_limits::WorkerRole;
use std::{net::SocketAddr, path::PathBuf};

/// A market for gifticons: a message-queue driven worker pipeline.
#[derive(Debug, Parser)]
#[command(
    name = "gream",
    version,
    about,
    after_help = "Configuration: `gream config` prints every key with its default. \
    Set keys in the file named by GREAM_CONFIG or as GREAM__SECTION__KEY."
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub task: Task,
}

/// What the binary can do.
#[derive(Debug, Subcommand)]
pub enum Task {
    /// Serve the HTTP API.
    Api,
    /// Carry commands out: one or several roles in one process.
    Worker {
        /// Which roles.
        #[arg(required = true)]
        roles: Vec<WorkerRole>,
    },
    /// Notice what became due (the same as `worker scheduler`).
    Scheduler,
    /// Serve a sandbox that behaves like Toss Payments (never in production).
    Sandbox {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8099")]
        listen: SocketAddr,
        /// The file that records every effect; it is the sandbox's memory.
        #[arg(long, default_value = "toss-sandbox.jsonl")]
        journal: PathBuf,
        /// The market's movable clock, if any (`clock.offset_file`).
        #[arg(long)]
        clock_file: Option<PathBuf>,
        /// Where webhooks go, such as <http://127.0.0.1:8080/api/payments/toss/webhook>; without it, nowhere.
        #[arg(long)]
        webhooks: Option<String>,
    },
    /// Make the schema, or bring it up to date.
    Migrate,
    /// Administrators.
    Admin {
        /// What to do with them.
        #[command(subcommand)]
        task: AdminTask,
    },
    /// Compare database, queues and journals; read-only, on the live system. Exit status 0 when every rule holds.
    Audit {
        /// What is compared beside the database.
        #[command(flatten)]
        sources: AuditSources,
        /// Reading the database may take so long.
        #[arg(long, default_value_t = operator::DATABASE_LIMIT.as_secs())]
        limit_s: u64,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show how the market is: the scheduler's duties, the queues, the breaker, and what waits too long.
    Status {
        /// RabbitMQ's management page, such as <http://user:password@127.0.0.1:15672>; without it, `monitor.rabbitmq_page`.
        #[arg(long, env = "GREAM_RABBITMQ_PAGE", hide_env_values = true)]
        rabbitmq_page: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Limits of roles that run: shown, or turned (pause, resume, set).
    Limits {
        /// What to do with them.
        #[command(subcommand)]
        task: Option<LimitsTask>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Dead letters: list, show, replay, edit, discard, restore.
    Dlq {
        /// What to do with them.
        #[command(subcommand)]
        task: DlqTask,
    },
    /// The whole life of a command, bid, order, payment, refund or user, on one screen.
    Trace {
        /// A command's id, bid:N, order:N, refund:N, user:N or `payment:ORDER_ID`; a number alone where it is clear.
        subject: operator::trace::Subject,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the circuit breaker to Toss that all payment and refund workers share, or move it by hand.
    Breaker {
        /// What to do with it; without it, it is shown.
        #[command(subcommand)]
        task: Option<BreakerTask>,
    },
    /// Play a market day over HTTP, then audit. Exit status 0 when both the day and the audit hold. Adds users, products
    /// and trades: for demo and test markets.
    Load(LoadArguments),
    /// Charge points by hand: prints the address of the sandbox's payment window, and does what a front end does once your
    /// browser has come back from it. Adds a user: for demo and test markets.
    Charge {
        /// The API, such as <http://127.0.0.1:8080>.
        #[arg(long, env = "GREAM_API")]
        api: String,
        /// The Toss sandbox, such as <http://127.0.0.1:8099>.
        #[arg(long, env = "GREAM_SANDBOX")]
        sandbox: String,
        /// Won.
        #[arg(default_value_t = 10_000)]
        amount: u32,
    },
    /// Print the broker's definitions, as in rabbitmq/definitions.json.
    Topology,
    /// Print the AsyncAPI document of the messages, as in contracts/asyncapi.json.
    Asyncapi,
    /// Print the default configuration, with comments.
    Config,
    /// Move the market's time (demo and test mode only).
    Clock {
        /// How.
        #[command(subcommand)]
        task: ClockTask,
    },
    /// Ask a process whether it is ready, for health checks: exit status 0 when it is.
    Health {
        /// Its readiness address, such as <http://127.0.0.1:9090/health/ready>.
        url: String,
    },
}

/// What an audit compares beside the database.
#[derive(Clone, Debug, Args)]
pub struct AuditSources {
    /// The clients' journal, as `gream load` writes it.
    #[arg(long, env = "GREAM_JOURNAL")]
    pub journal: Option<PathBuf>,
    /// The Toss sandbox, such as <http://127.0.0.1:8099>.
    #[arg(long, env = "GREAM_SANDBOX")]
    pub sandbox: Option<String>,
    /// RabbitMQ's management page, such as <http://user:password@127.0.0.1:15672>.
    #[arg(long, env = "GREAM_RABBITMQ_PAGE", hide_env_values = true)]
    pub rabbitmq_page: Option<String>,
}

/// How the market day is to be.
#[derive(Clone, Debug, Args)]
pub struct LoadArguments {
    /// The API, such as <http://127.0.0.1:8080>.
    #[arg(long, env = "GREAM_API")]
    pub api: String,
    /// An administrator's login id.
    #[arg(long, env = "GREAM_ADMIN_LOGIN_ID")]
    pub admin_login_id: String,
    /// Their password.
    #[arg(long, env = "GREAM_ADMIN_PASSWORD", hide_env_values = true)]
    pub admin_password: String,
    /// Journal, sandbox and RabbitMQ's page; the first two are needed.
    #[command(flatten)]
    pub sources: AuditSources,
    /// Where the figures go, as JSON.
    #[arg(long, default_value = ".gream/report.json")]
    pub report: PathBuf,
    /// The crowd's luck.
    #[arg(long, default_value_t = 20_261_122)]
    pub seed: u64,
    /// Clients.
    #[arg(long, default_value_t = 250)]
    pub users: u32,
    /// Products.
    #[arg(long, default_value_t = 50)]
    pub products: u32,
    /// Commands to be accepted while the market is open, at least.
    #[arg(long, default_value_t = 21_000)]
    pub commands: u64,
    /// Clients that act at once.
    #[arg(long, default_value_t = 48)]
    pub concurrency: usize,
}

/// What to do with administrators.
#[derive(Debug, Subcommand)]
pub enum AdminTask {
    /// Make one. Changes nothing when there is one of this login id already.
    Create {
        /// The login id, which becomes the nickname too.
        #[arg(long)]
        login_id: String,
        /// A file that holds the password; without it, it is asked for, or read from standard input.
        #[arg(long)]
        password_file: Option<PathBuf>,
    },
}

/// What to do with the circuit breaker.
#[derive(Debug, Subcommand)]
pub enum BreakerTask {
    /// Stop every call to Toss until `gream breaker close`; commands wait.
    Open,
    /// Let calls pass again, few at first.
    Close,
}

/// How to move the market's time.
#[derive(Debug, Subcommand)]
pub enum ClockTask {
    /// Move it forward, for example by 90s, 15m, 12h or 8d.
    Advance {
        /// How far, in milliseconds once parsed.
        #[arg(value_parser = duration_ms)]
        by: i64,
    },
}

/// Milliseconds of `90s`, `15m`, `12h` or `8d`.
pub fn duration_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration: write a whole number and s, m, h or d, such as 8d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let unit_ms: i64 = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: i64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    number.checked_mul(unit_ms).filter(|ms| *ms > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration_ms("8d"), Ok(691_200_000));
        assert_eq!(duration_ms("90s"), Ok(90_000));
        for wrong in ["", "8", "d", "-1d", "0s", "8ü", "99999999999999d"] {
            assert!(duration_ms(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }
}
