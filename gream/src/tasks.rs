//! The short tasks: they do one thing and end.

use crate::arguments::{AuditSources, BreakerTask};
use contracts::{
    PartitionCount,
    topology::{RETRY_LADDER_MS, Topology},
};
use platform::{Clock, Config, Secret, clock, database, rabbitmq::vhost_of};
use std::{io::IsTerminal, path::Path, process::ExitCode, time::Duration};

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

/// `gream admin create`
pub async fn create_administrator(login_id: &str, password_file: Option<&Path>) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let password = match password_file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?,
        None if std::io::stdin().is_terminal() => rpassword::prompt_password(format!("Password of {login_id}: "))?,
        None => std::io::read_to_string(std::io::stdin())?,
    };
    let password = Secret::new(password.trim_end_matches(['\r', '\n']));
    let database = database::pool(&config.database)?;
    let now = Clock::configured(&config.clock).now();
    match api::create_administrator(&database, login_id, &password, now).await? {
        api::Created::New => println!("administrator {login_id} is there"),
        api::Created::AlreadyThere => println!("administrator {login_id} was there already; nothing was changed"),
    }
    Ok(ExitCode::SUCCESS)
}

/// `gream audit`
pub async fn audit(compared: &AuditSources, limit: Duration, json: bool) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    platform::telemetry::start_logging(&config.telemetry);
    let sources = sources(&config, compared)?;
    let report = operator::audit_within(&sources, limit).await?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{report}");
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `gream breaker`
pub async fn breaker(task: Option<&BreakerTask>) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let limit = Duration::from_millis(config.database.statement_timeout_ms);
    let breaker = workers::SharedBreaker::new(database::pool(&config.database)?, limit, "gream breaker");
    let now = Clock::configured(&config.clock).now();
    match task {
        Some(BreakerTask::Open) => breaker.hold(now).await?,
        Some(BreakerTask::Close) => breaker.let_go(&workers::breaker_policy(&config), now).await?,
        None => (),
    }
    println!("{}", breaker.read().await?.told_at(now));
    Ok(ExitCode::SUCCESS)
}

/// What an audit compares.
pub fn sources(config: &Config, compared: &AuditSources) -> Result<operator::Sources, Failure> {
    let partitions =
        PartitionCount::new(config.partitions.count).ok_or("partitions.count must be between 1 and 256")?;
    let vhost = vhost_of(config.rabbitmq.url.expose()).ok_or("rabbitmq.url is no address")?;
    Ok(operator::Sources {
        database: database::pool(&config.database)?,
        journal: compared.journal.clone(),
        broker: compared.rabbitmq_page.as_deref().map(|page| operator::ManagementPage::at(page, &vhost)).transpose()?,
        sandbox: compared.sandbox.as_deref().map(reqwest::Url::parse).transpose()?,
        partitions,
        clock: Clock::configured(&config.clock),
    })
}

/// `gream topology`
pub fn topology() -> Result<ExitCode, Failure> {
    let partitions = PartitionCount::new(DEFAULT_PARTITIONS).ok_or("the default partition count is out of range")?;
    println!("{}", serde_json::to_string_pretty(&Topology::new(partitions, &RETRY_LADDER_MS).definitions(VHOST))?);
    Ok(ExitCode::SUCCESS)
}

/// `gream asyncapi`
pub fn asyncapi() -> Result<ExitCode, Failure> {
    let partitions = PartitionCount::new(DEFAULT_PARTITIONS).ok_or("the default partition count is out of range")?;
    println!("{}", serde_json::to_string_pretty(&contracts::asyncapi::document(partitions, &RETRY_LADDER_MS))?);
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
