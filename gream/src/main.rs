//! The one binary: parsing and wiring only. `gream help` lists what it can do.

mod arguments;
mod dlq;
mod limits;
mod market_day;
mod processes;
mod status;
mod tasks;

use arguments::{AdminTask, Arguments, Task};
use clap::Parser;
use std::{process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    platform::install_tls_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("gream: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments.task)) {
        Ok(code) => code,
        Err(error) => {
            // Errors end here as something a person can act on; the chain of causes is in their texts.
            eprintln!("gream: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(task: Task) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match task {
        Task::Api => processes::api().await,
        Task::Worker { roles } => processes::worker(&roles).await,
        Task::Scheduler => processes::worker(&[platform::role_limits::WorkerRole::Scheduler]).await,
        Task::Sandbox { listen, journal, clock_file, webhooks } => {
            processes::sandbox(listen, journal, clock_file, webhooks).await
        }
        Task::Migrate => tasks::migrate().await,
        Task::Admin { task: AdminTask::Create { login_id, password_file } } => {
            tasks::create_administrator(&login_id, password_file.as_deref()).await
        }
        Task::Audit { sources, limit_s, json } => tasks::audit(&sources, Duration::from_secs(limit_s), json).await,
        Task::Status { rabbitmq_page, json } => status::show(rabbitmq_page.as_deref(), json).await,
        Task::Limits { task, json } => limits::run(task, json).await,
        Task::Dlq { task } => dlq::run(task).await,
        Task::Trace { subject, json } => dlq::trace(&subject, json).await,
        Task::Breaker { task } => tasks::breaker(task.as_ref()).await,
        Task::Load(arguments) => market_day::play(arguments).await,
        Task::Charge { api, sandbox, amount } => market_day::charge(&api, &sandbox, amount).await,
        Task::Topology => tasks::topology(),
        Task::Asyncapi => tasks::asyncapi(),
        Task::Config => Ok(tasks::print_defaults()),
        Task::Clock { task: arguments::ClockTask::Advance { by } } => tasks::advance_clock(by),
        Task::Health { url } => tasks::health(&url).await,
    }
}
