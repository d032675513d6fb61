//! `make bench`: how fast the shipped binary is, beside a bare loop on the same servers; and `make load`: how it bears much at
//! once, and much for long.
//!
//! ```text
//! markets ─► rounds, each scenario once a round ─► audit ─► table, chart, .gream/bench.json
//! ```
//! Promises: the servers are spoken to over TCP (but where a figure says otherwise); each process is a real one of the
//! release binary; every figure has its range; every run is bounded, and one that does not finish fails the bench.
//! Doesn't: start servers or build anything. That is `dev/bench`.

mod arguments;
mod arrivals;
mod bare;
mod bench;
mod broker;
mod chart;
mod figures;
mod fleet;
mod http;
mod load;
mod machine;
mod market;
mod meter;
mod mix;
mod orders;
mod patient;
mod reads;
mod report;
mod runs;
mod servers;
mod statistics;
mod trades;
mod wire;

use arguments::{Arguments, Scenario};
use bare::{Manner, Supply};
use bench::{Bench, Size};
use clap::Parser;
use runs::Shipped;
use std::{process::ExitCode, time::Instant};
use tokio::signal::unix::SignalKind;

/// Whatever went wrong, as a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    platform::install_tls_provider();
    let measured = tokio::select! {
        measured = measure(Arguments::parse()) => measured,
        signal = told_to_stop() => signal,
    };
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Told to stop: what was started ends with us.
async fn told_to_stop() -> Result<bool, Failure> {
    let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
    tokio::select! { _ = terminate.recv() => (), interrupted = tokio::signal::ctrl_c() => interrupted? }
    Err("told to stop".into())
}

async fn measure(arguments: Arguments) -> Result<bool, Failure> {
    let began = Instant::now();
    let many = arguments.wants(Scenario::Standing) || arguments.wants(Scenario::Reads);
    let mut sizes = vec![Size::Usual];
    sizes.extend(Size::COMPARED.into_iter().filter(|_| many));
    let mut bench = Bench::prepare(arguments, &sizes).await?;
    let market = bench.market(Size::Usual)?;
    let mut facts = servers::facts(&market.pool, bench.config.redis.url.expose(), &bench.arguments.page).await?;
    let rounds = run_rounds(&mut bench, began).await?;
    bench.note_memory();
    let holds = bench.audit().await?;
    broker::delete_bare(&bench.amqp()).await?;
    facts.push(("rounds", rounds.into()));
    facts.push(("audit_holds", holds.into()));
    facts.push(("took_s", began.elapsed().as_secs().into()));
    report::write(&bench, facts)?;
    Ok(holds && rounds == bench.arguments.rounds)
}

/// Every scenario once a round, so that a busy moment of the machine does not fall on one of them alone.
async fn run_rounds(bench: &mut Bench, began: Instant) -> Result<usize, Failure> {
    let limit = std::time::Duration::from_secs(bench.arguments.minutes * 60);
    let first = Instant::now();
    for round in 0..bench.arguments.rounds {
        let each = first.elapsed() / u32::try_from(round.max(1))?;
        if began.elapsed() + each > limit {
            println!("no time is left for round {}", round + 1);
            return Ok(round);
        }
        println!("round {} of {}", round + 1, bench.arguments.rounds);
        run_queue(bench).await?;
        run_http(bench).await?;
        run_sizes(bench).await?;
        if bench.arguments.only.contains(&Scenario::Burst) {
            bench.burst().await?;
        }
        if bench.arguments.only.contains(&Scenario::Sustained) {
            bench.sustained().await?;
        }
    }
    Ok(bench.arguments.rounds)
}

async fn run_queue(bench: &mut Bench) -> Result<(), Failure> {
    let commands = bench.arguments.commands;
    let spread = |name, supply| Shipped { name, size: Size::Usual, hot: false, supply, unix: false, commands };
    let wants = |bench: &Bench, scenario| bench.arguments.wants(scenario);
    if wants(bench, Scenario::Bare) {
        bench.bare("bare_batched", Manner::Batched, Supply::Beside).await?;
    }
    if wants(bench, Scenario::Batched) {
        bench.shipped(&spread("batched", Supply::Beside)).await?;
    }
    if wants(bench, Scenario::Hot) {
        bench.shipped(&Shipped { hot: true, ..spread("batched_hot", Supply::Beside) }).await?;
    }
    if wants(bench, Scenario::Unix) {
        bench.shipped(&Shipped { unix: true, ..spread("batched_unix", Supply::Beside) }).await?;
    }
    if wants(bench, Scenario::OneByOne) {
        bench.bare("one_by_one", Manner::OneByOne, Supply::Beside).await?;
    }
    if wants(bench, Scenario::BareFilled) {
        bench.bare("bare_filled", Manner::Batched, Supply::Filled).await?;
    }
    if wants(bench, Scenario::BatchedFilled) {
        bench.shipped(&spread("batched_filled", Supply::Filled)).await?;
    }
    Ok(())
}

async fn run_http(bench: &mut Bench) -> Result<(), Failure> {
    if bench.arguments.wants(Scenario::Http) || bench.arguments.wants(Scenario::Latency) {
        bench.http().await?;
    }
    if bench.arguments.wants(Scenario::Accept) {
        bench.accept().await?;
    }
    if bench.arguments.wants(Scenario::Latency) {
        bench.latency().await?;
    }
    Ok(())
}

async fn run_sizes(bench: &mut Bench) -> Result<(), Failure> {
    let commands = bench.arguments.commands / 2;
    for size in Size::COMPARED {
        if bench.arguments.wants(Scenario::Standing) {
            let name = format!("batched_{}_open_bids", size.name());
            let run = Shipped { name: &name, size, hot: false, supply: Supply::Beside, unix: false, commands };
            bench.shipped(&run).await?;
            let open = bench.market(size)?.open_bids().await?;
            bench.figures.add(format!("open_bids_{}", size.name()), statistics::number(open));
        }
        if bench.arguments.wants(Scenario::Reads) {
            bench.reads(size).await?;
        }
    }
    Ok(())
}
