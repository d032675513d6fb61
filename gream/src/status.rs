//! `gream status`

use platform::{Clock, Config, database, rabbitmq::ManagementPage};
use serde_json::json;
use std::{process::ExitCode, time::Duration};
use workers::scheduler::DutyName;

type Failure = Box<dyn std::error::Error>;

/// Asks MySQL and RabbitMQ's page, and prints. What is bad enough to act on is the alerts' business: the exit status only
/// says whether both could be read.
pub async fn show(rabbitmq_page: Option<&str>, as_json: bool) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    let configured = Some(config.monitor.rabbitmq_page.expose()).filter(|page| !page.is_empty());
    let page = rabbitmq_page.or(configured);
    let page = page.map(|page| ManagementPage::beside(page, config.rabbitmq.url.expose())).transpose()?;
    let limit = Duration::from_millis(config.database.statement_timeout_ms);
    let (database, now) = (database::pool(&config.database)?, Clock::configured(&config.clock).now());
    let breaker = workers::SharedBreaker::new(database.clone(), limit, "gream status").read().await?.told_at(now);
    let duties = DutyName::ALL.map(DutyName::as_str);
    let status = operator::status(&database, page.as_ref(), &duties, now, limit).await?;
    if as_json {
        let mut value = serde_json::to_value(&status)?;
        value["breaker"] = json!(breaker);
        println!("{}", serde_json::to_string_pretty(&value)?);
    } else {
        println!("{status}\n{breaker}");
    }
    Ok(ExitCode::SUCCESS)
}
