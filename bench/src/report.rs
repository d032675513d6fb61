//! What people and machines read.

use crate::{
    Failure,
    bench::{Bench, Size},
    chart,
    figures::Figures,
    reads::{READS, Read},
};
use serde_json::Value;

/// The yardstick must reach these, or figures of this machine cannot be compared with those of `facts-stack.md`.
const BARE_BATCHED_AT_LEAST: f64 = 6_000.0;
const ONE_BY_ONE_AT_LEAST: f64 = 600.0;

/// The figures that are a speed, in the table's and the chart's order, and what they are.
pub(crate) const SPEEDS: [(&str, &str); 12] = [
    ("bare_batched_per_s", "yardstick: bare loop, batches of 100 × 2, publisher beside"),
    ("bare_filled_per_s", "yardstick, from a filled queue"),
    ("one_by_one_per_s", "one transaction a command, 8 tasks, publisher beside"),
    ("batched_per_s", "gream worker bid, 50 products, publisher beside"),
    ("batched_hot_per_s", "the same on one hot product"),
    ("batched_unix_per_s", "the same over the database's unix socket"),
    ("batched_filled_per_s", "the same from a filled queue"),
    ("http_to_outcome_per_s", "HTTP: accept → outcome"),
    ("http_accept_per_s", "HTTP: accept only"),
    ("batched_1k_open_bids_per_s", "gream worker bid, about 10³ open bids"),
    ("batched_100k_open_bids_per_s", "about 10⁵ open bids"),
    ("batched_1m_open_bids_per_s", "about 10⁶ open bids"),
];

/// Other figures of the table.
const OTHERS: [(&str, &str); 9] = [
    ("http_p50_ms", "HTTP at half load, p50, ms"),
    ("http_p99_ms", "HTTP at half load, p99, ms"),
    ("http_half_load_per_s", "half load, requests a second"),
    ("rss_mb_api", "memory at its peak (VmHWM), MiB: api"),
    ("rss_mb_worker", "… worker bid"),
    ("rss_mb_relay", "… relay"),
    ("rss_mb_scheduler", "… scheduler"),
    ("open_bids_1k", "open bids in the markets of 10³"),
    ("open_bids_1m", "… of 10⁶"),
];

/// Runs whose processor time is told, and the processes.
const CPU_RUNS: [&str; 6] = ["bare_batched", "one_by_one", "batched", "batched_hot", "http", "http_accept"];
const PROCESSES: [&str; 8] = ["api", "worker", "relay", "scheduler", "mysql", "rabbitmq", "redis", "bench"];

/// What issue 3 wants to be shown: a figure, what it is held against, and the least (or most) of it.
enum Wanted {
    /// At least so many times the other figure.
    Times(&'static str, f64, &'static str),
    AtLeast(&'static str, f64),
    AtMost(&'static str, f64),
}

const WANTED: [Wanted; 11] = [
    Wanted::Times("batched_per_s", 8.0, "one_by_one_per_s"),
    Wanted::Times("batched_per_s", 0.7, "bare_batched_per_s"),
    Wanted::Times("batched_hot_per_s", 0.8, "batched_per_s"),
    Wanted::Times("batched_1m_open_bids_per_s", 0.8, "batched_1k_open_bids_per_s"),
    Wanted::Times("batched_per_s", 0.8, "batched_unix_per_s"),
    Wanted::AtLeast("http_to_outcome_per_s", 3_000.0),
    Wanted::AtMost("http_p99_ms", 100.0),
    Wanted::AtMost("rss_mb_api", 100.0),
    Wanted::AtMost("rss_mb_worker", 100.0),
    Wanted::AtMost("rss_mb_relay", 100.0),
    Wanted::AtMost("rss_mb_scheduler", 100.0),
];

impl Wanted {
    /// A sentence and whether it is so; `None` when it was not measured.
    fn verdict(&self, figures: &Figures) -> Option<(String, bool)> {
        Some(match *self {
            Wanted::Times(name, least, other) => {
                let times = figures.median(name)? / figures.median(other)?;
                (format!("{name} is {times:.2} × {other} (wanted: {least} or more)"), times >= least)
            }
            Wanted::AtLeast(name, least) => {
                let median = figures.median(name)?;
                (format!("{name} is {median:.0} (wanted: {least} or more)"), median >= least)
            }
            Wanted::AtMost(name, most) => {
                let median = figures.median(name)?;
                (format!("{name} is {median:.1} (wanted: {most} or less)"), median <= most)
            }
        })
    }
}

/// Whether the yardstick is what it is elsewhere.
fn comparable(figures: &Figures) -> bool {
    let reaches = |name, least| figures.median(name).is_some_and(|median| median >= least);
    reaches("bare_batched_per_s", BARE_BATCHED_AT_LEAST) && reaches("one_by_one_per_s", ONE_BY_ONE_AT_LEAST)
}

/// Prints the tables; writes JSON, and the chart beside it.
pub(crate) fn write(bench: &Bench, mut facts: Vec<(&'static str, Value)>) -> Result<(), Failure> {
    let (figures, out) = (&bench.figures, &bench.arguments.out);
    if bench.arguments.is_load() {
        std::fs::write(out, format!("{:#}\n", figures.to_json(&facts)))?;
        println!("\n{}", out.display());
        return Ok(());
    }
    facts.push(("comparable", comparable(figures).into()));
    println!();
    for (name, value) in &facts {
        println!("{name:<32} {value}");
    }
    print_figures(figures);
    print_reads(figures);
    print_cpu(figures);
    print_verdicts(figures);
    if !comparable(figures) {
        println!(
            "\nNOT COMPARABLE: the yardstick was not measured, or is slower than {BARE_BATCHED_AT_LEAST} (batched) and \
             {ONE_BY_ONE_AT_LEAST} (one by one) a second"
        );
    }
    std::fs::write(out, format!("{:#}\n", figures.to_json(&facts)))?;
    let svg = out.with_extension("svg");
    std::fs::write(&svg, chart::svg(figures, &facts))?;
    println!("\n{} and {}", out.display(), svg.display());
    Ok(())
}

fn print_figures(figures: &Figures) {
    println!("\n{:<62} {:>9}   {:>9} – {:<9}", "a second", "median", "min", "max");
    for (name, what) in SPEEDS {
        if let Some(found) = figures.summary(name) {
            println!("{what:<62} {:>9.0}   {:>9.0} – {:<9.0}", found.median, found.min, found.max);
        }
    }
    println!();
    for (name, what) in OTHERS {
        if let Some(found) = figures.summary(name) {
            println!("{what:<62} {:>9.1}   {:>9.1} – {:<9.1}", found.median, found.min, found.max);
        }
    }
}

/// Medians of each read, by size of the market.
fn print_reads(figures: &Figures) {
    let measured = |read: &Read| figures.median(&format!("read_{}_1m_per_s", read.name)).is_some();
    if !READS.iter().any(measured) {
        return;
    }
    println!(
        "\n{:<36} {:>22}   {:>22}   {:>22}",
        "reads: a second, p50 and p99 in ms", "10³", "10⁵", "10⁶ bids and trades"
    );
    for read in &READS {
        print!("{:<36}", read.what);
        for size in Size::COMPARED {
            let of =
                |what: &str| figures.median(&format!("read_{}_{}_{what}", read.name, size.name())).unwrap_or(f64::NAN);
            print!(" {:>8.0} {:>6.1} {:>6.1}  ", of("per_s"), of("p50_ms"), of("p99_ms"));
        }
        println!();
    }
}

/// Medians of what each process takes of a processor for one command.
fn print_cpu(figures: &Figures) {
    print!("\n{:<20}", "µs of CPU a command");
    for run in CPU_RUNS {
        print!(" {run:>13}");
    }
    println!();
    for process in PROCESSES {
        print!("{process:<20}");
        for run in CPU_RUNS {
            match figures.median(&format!("{run}_cpu_us_{process}")) {
                Some(median) => print!(" {median:>13.0}"),
                None => print!(" {:>13}", "–"),
            }
        }
        println!();
    }
}

fn print_verdicts(figures: &Figures) {
    println!();
    for (sentence, holds) in WANTED.iter().filter_map(|wanted| wanted.verdict(figures)) {
        println!("{}  {sentence}", if holds { "yes" } else { "NO " });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(pairs: &[(&str, f64)]) -> Figures {
        let mut figures = Figures::default();
        for (name, value) in pairs {
            figures.add(*name, *value);
        }
        figures
    }

    #[test]
    fn a_slow_yardstick_compares_with_nothing() {
        assert!(comparable(&figures(&[("bare_batched_per_s", 6_000.0), ("one_by_one_per_s", 600.0)])));
        assert!(!comparable(&figures(&[("bare_batched_per_s", 9_000.0), ("one_by_one_per_s", 599.0)])));
        assert!(!comparable(&figures(&[("bare_batched_per_s", 9_000.0)])));
    }

    #[test]
    fn what_is_wanted_is_told_and_what_was_not_measured_is_not() {
        let figures = figures(&[("batched_per_s", 4_000.0), ("one_by_one_per_s", 500.0), ("rss_mb_api", 100.5)]);
        let verdicts: Vec<(String, bool)> = WANTED.iter().filter_map(|wanted| wanted.verdict(&figures)).collect();
        assert_eq!(verdicts.len(), 2);
        assert!(verdicts[0].1 && verdicts[0].0.contains("8.00 × one_by_one_per_s"), "{verdicts:?}");
        assert!(!verdicts[1].1);
    }
}
