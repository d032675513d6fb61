//! What to measure, and where.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// How fast the shipped binary is, beside a bare loop on the same servers. `dev/bench` gives it its surroundings.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// Only these, comma separated. Without it: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Scenario>,
    /// Each is measured so often, in turns.
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Commands in a run from the queue.
    #[arg(long, default_value_t = 20_000)]
    pub(crate) commands: usize,
    /// Commands in a run one by one.
    #[arg(long, default_value_t = 3_000)]
    pub(crate) slow_commands: usize,
    /// Requests in a run over HTTP.
    #[arg(long, default_value_t = 15_000)]
    pub(crate) requests: usize,
    /// Keep-alive connections of the HTTP client.
    #[arg(long, default_value_t = 256)]
    pub(crate) connections: usize,
    /// Seconds of a run at half load.
    #[arg(long, default_value_t = 8)]
    pub(crate) latency_seconds: usize,
    /// Clients of a burst.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) burst: usize,
    /// Seconds of a sustained load.
    #[arg(long, default_value_t = 1_800)]
    pub(crate) sustained_seconds: usize,
    /// No round begins that would probably end later than so many minutes after the beginning.
    #[arg(long, default_value_t = 19)]
    pub(crate) minutes: u64,
    /// What is random depends on this alone.
    #[arg(long, default_value_t = 20_261_122)]
    pub(crate) seed: u64,
    /// The flat JSON object; the chart is beside it.
    #[arg(long, env = "GREAM_BENCH_OUT", default_value = ".gream/bench.json")]
    pub(crate) out: PathBuf,
    /// The shipped binary.
    #[arg(long, env = "GREAM_BENCH_BINARY")]
    pub(crate) binary: PathBuf,
    /// Where the processes' logs go.
    #[arg(long, env = "GREAM_BENCH_LOGS")]
    pub(crate) logs: PathBuf,
    /// The first of four ports for metrics.
    #[arg(long, env = "GREAM_BENCH_ADMIN_PORT")]
    pub(crate) admin_port: u16,
    /// The database's unix socket.
    #[arg(long, env = "GREAM_BENCH_SOCKET")]
    pub(crate) socket: String,
    /// The servers' processes, such as `mysql=1 rabbitmq=2 redis=3`.
    #[arg(long, env = "GREAM_BENCH_PIDS")]
    pub(crate) pids: String,
    /// RabbitMQ's page, with its user.
    #[arg(long, env = "GREAM_RABBITMQ_PAGE", hide_env_values = true)]
    pub(crate) page: String,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The yardstick, with a publisher beside it.
    Bare,
    /// The yardstick, from a filled queue.
    BareFilled,
    /// One transaction a command.
    OneByOne,
    /// The shipped worker, with a publisher beside it, over 50 products.
    Batched,
    /// The same, from a filled queue.
    BatchedFilled,
    /// The same as `batched`, all on one product.
    Hot,
    /// The same as `batched`, over the database's unix socket.
    Unix,
    /// The whole way: HTTP, queue, worker, outcome, answer.
    Http,
    /// HTTP and queue.
    Accept,
    /// The whole way at half the speed of `http`: latencies.
    Latency,
    /// `batched` with 10³, 10⁵ and 10⁶ open bids.
    Standing,
    /// Reads over HTTP with 10³, 10⁵ and 10⁶ open bids and trades.
    Reads,
    /// Everybody at once, on a connection each. Only if it is asked for.
    Burst,
    /// Long, at four fifths of what is possible. Only if it is asked for.
    Sustained,
}

impl Arguments {
    /// Whether nothing but `make load` is measured: no yardstick goes with that.
    pub(crate) fn is_load(&self) -> bool {
        !self.only.is_empty() && self.only.iter().all(|one| matches!(one, Scenario::Burst | Scenario::Sustained))
    }

    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.only.is_empty() || self.only.contains(&scenario)
    }
}
