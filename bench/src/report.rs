//! What people and machines read.

use crate::{Failure, bench::Bench};
use serde_json::Value;

/// The yardstick must reach these, or figures of this machine cannot be compared with those of `facts-stack.md`.
const BARE_BATCHED_AT_LEAST: f64 = 6_000.0;
const ONE_BY_ONE_AT_LEAST: f64 = 600.0;

/// Prints the table, and writes JSON.
pub(crate) fn write(bench: &Bench, mut facts: Vec<(&'static str, Value)>) -> Result<(), Failure> {
    let figures = &bench.figures;
    let reaches = |name, least| figures.median(name).is_some_and(|median| median >= least);
    let comparable =
        reaches("bare_batched_per_s", BARE_BATCHED_AT_LEAST) && reaches("one_by_one_per_s", ONE_BY_ONE_AT_LEAST);
    println!();
    for (name, value) in &facts {
        println!("{name:<34} {value}");
    }
    println!("\n{:<34} {:>11} {:>11} {:>11}", "", "median", "min", "max");
    for (name, summary) in figures.all() {
        println!("{name:<34} {:>11.1} {:>11.1} {:>11.1}", summary.median, summary.min, summary.max);
    }
    if !comparable {
        println!(
            "\nnot comparable: the yardstick was not measured, or is slower than {BARE_BATCHED_AT_LEAST} and {ONE_BY_ONE_AT_LEAST} a second"
        );
    }
    facts.push(("comparable", comparable.into()));
    std::fs::write(&bench.arguments.out, format!("{:#}\n", figures.to_json(&facts)))?;
    Ok(())
}
