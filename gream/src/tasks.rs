//! The short tasks: they do one thing and end.

use contracts::{
    PartitionCount,
    topology::{RETRY_LADDER_MS, Topology},
};
use platform::{Clock, Config, clock, database};
use std::{process::ExitCode, time::Duration};

type Failure = Box<dyn std::error::Error>;

/// The vhost of the shipped broker definitions.
const VHOST: &str = "gream";
/// The partition count of the shipped broker definitions, as in the default configuration.
const DEFAULT_PARTITIONS: u16 = 16;
/// How long a health check waits for its answer.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(4);

/// `gream migrate`
pub async fn migrate() -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    platform::telemetry::start_logging(&config.telemetry);
    let partitions =
        PartitionCount::new(config.partitions.count).ok_or("partitions.count must be between 1 and 256")?;
    let pool = database::pool(&config.database)?;
    database::migrate(&pool, partitions, Clock::configured(&config.clock).now()).await?;
    println!("the schema is up to date, for {} partitions", partitions.get());
    Ok(ExitCode::SUCCESS)
}

/// `gream topology`
pub fn topology() -> Result<ExitCode, Failure> {
    let partitions = PartitionCount::new(DEFAULT_PARTITIONS).ok_or("the default partition count is out of range")?;
    println!("{}", serde_json::to_string_pretty(&Topology::new(partitions, &RETRY_LADDER_MS).definitions(VHOST))?);
    Ok(ExitCode::SUCCESS)
}

/// `gream config`
pub fn print_defaults() -> ExitCode {
    print!("{}", platform::config::DEFAULTS);
    ExitCode::SUCCESS
}

/// `gream clock advance`
pub fn advance_clock(by_ms: i64) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let file = &config.clock.offset_file;
    if file.as_os_str().is_empty() {
        return Err("clock.offset_file is empty: this market's time cannot be moved. In demo mode, set GREAM__CLOCK__OFFSET_FILE for every process".into());
    }
    let offset_ms = clock::advance(file, by_ms)?;
    println!("the market's time is now {} s ahead", offset_ms / 1000);
    Ok(ExitCode::SUCCESS)
}

/// `gream health`
pub async fn health(url: &str) -> Result<ExitCode, Failure> {
    let client = reqwest::Client::builder().timeout(HEALTH_TIMEOUT).build()?;
    let ready = client.get(url).send().await?.status().is_success();
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
