//! `gream load`: plays a market day, waits until everything has ended, audits, and reports.

use crate::{arguments::LoadArguments, tasks};
use platform::{Config, config::Mode};
use reqwest::Url;
use std::{process::ExitCode, time::Duration};

type Failure = Box<dyn std::error::Error>;

/// After the last answer, what is still under way (events, follow-up commands, retries) gets this long to end.
const REST_LIMIT: Duration = Duration::from_secs(90);

/// `gream charge`
pub async fn charge(api: &str, sandbox: &str, amount: u32) -> Result<ExitCode, Failure> {
    let wanted = load::ByHand { api: Url::parse(api)?, sandbox: Url::parse(sandbox)?, amount };
    load::charge(wanted, |line| println!("{line}")).await?;
    Ok(ExitCode::SUCCESS)
}

/// Plays the day. Exit status 0 only if the day's own rules and the audit hold.
pub async fn play(arguments: LoadArguments) -> Result<ExitCode, Failure> {
    let config = Config::load()?;
    platform::telemetry::start_logging(&config.telemetry);
    if config.mode == Mode::Production {
        return Err("a market day adds made-up users and trades: it is not played in production mode".into());
    }
    let sources = tasks::sources(&config, &arguments.sources)?;
    let sandbox = sources.sandbox.clone().ok_or("--sandbox is needed: clients pay there")?;
    let journal = sources.journal.clone().ok_or("--journal is needed: clients note there what they were told")?;
    let clock_file = Some(config.clock.offset_file.clone()).filter(|file| !file.as_os_str().is_empty());
    let options = load::Options {
        api: Url::parse(&arguments.api)?,
        sandbox,
        administrator: load::Login { login_id: arguments.admin_login_id, password: arguments.admin_password },
        clock_file,
        journal,
        seed: arguments.seed,
        users: arguments.users,
        products: arguments.products,
        commands: arguments.commands,
        concurrency: arguments.concurrency,
    };
    let day = load::play(options).await?;
    let audit = operator::audit_at_rest(&sources, REST_LIMIT).await?;
    println!("{day}");
    let report = operator::FinalReport::new(serde_json::to_value(&day)?, day.holds(), audit, load::MIN_OF_KIND);
    println!("{report}");
    if let Some(folder) = arguments.report.parent() {
        std::fs::create_dir_all(folder)?;
    }
    report.write(&arguments.report)?;
    println!("Figures: {}", arguments.report.display());
    Ok(if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
