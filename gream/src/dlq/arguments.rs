//! The command line of `gream dlq`.

use crate::arguments::duration_ms;
use clap::{Args, Subcommand};
use contracts::{CommandId, DeadLetterReason, Kind, UnixMs, topology::Role};
use operator::dlq::{Filter, LetterId};
use std::path::PathBuf;

/// What to do with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqTask {
    /// What there is, by cause.
    List {
        /// Which.
        #[command(flatten)]
        filter: Filters,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// One letter with its headers, its body, and what a replay of it would come to.
    Show {
        /// A command's id, or the letter's 16 digits.
        id: LetterId,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Send letters back to where they came from.
    Replay {
        /// Which.
        #[command(flatten)]
        filter: Filters,
        /// Only say what it would come to.
        #[arg(long)]
        dry_run: bool,
        /// Letters a second, at most.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// Who and why.
        #[command(flatten)]
        signature: Signature,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a new revision of a suspended command's payload, under the same id. Replay it afterwards.
    Edit {
        /// Which command.
        id: CommandId,
        /// A file with the whole new body, as JSON (the message's field `body`); - for standard input.
        #[arg(long, conflicts_with = "set")]
        body: Option<PathBuf>,
        /// One field of the body: price=500, or picture.key="a/b" for text that looks like JSON. May be repeated.
        #[arg(long, value_name = "FIELD=VALUE", required_unless_present = "body")]
        set: Vec<String>,
        /// The kind, where the old message's cannot be read.
        #[arg(long)]
        kind: Option<Kind>,
        /// Who and why.
        #[command(flatten)]
        signature: Signature,
    },
    /// Give letters up. They are kept for 30 days, and can be restored so long.
    Discard {
        /// Which.
        #[command(flatten)]
        filter: Filters,
        /// Who and why.
        #[command(flatten)]
        signature: Signature,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bring discarded letters back to their dead-letter queue.
    Restore {
        /// A command's id, or the letter's 16 digits.
        id: LetterId,
        /// Who and why.
        #[command(flatten)]
        signature: Signature,
    },
    /// Who did what, when and why; the latest first.
    Actions {
        /// How many.
        #[arg(long, default_value_t = 20)]
        at_most: u32,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Who acts, and why.
#[derive(Clone, Debug, Args)]
pub struct Signature {
    /// Who you are.
    #[arg(long = "as", env = "USER", value_name = "NAME")]
    pub who: Option<String>,
    /// Why, for whoever reads `gream dlq actions` or `gream trace` later.
    #[arg(long)]
    pub why: Option<String>,
}

/// Which letters: those to which all of it applies.
#[derive(Clone, Debug, Default, Args)]
pub struct Filters {
    /// Commands' ids, or letters' 16 digits.
    pub ids: Vec<LetterId>,
    /// bid, payment or refund.
    #[arg(long)]
    pub role: Option<Role>,
    /// Such as `out_of_attempts`.
    #[arg(long)]
    pub reason: Option<DeadLetterReason>,
    /// Such as `place_sell_bid`.
    #[arg(long, value_parser = kind)]
    pub kind: Option<Kind>,
    /// A part of the error.
    #[arg(long)]
    pub error: Option<String>,
    /// Those that failed last longer ago than this, such as 2h.
    #[arg(long, value_parser = duration_ms)]
    pub older_than: Option<i64>,
    /// Those that failed last within this time, such as 15m.
    #[arg(long, value_parser = duration_ms)]
    pub newer_than: Option<i64>,
    /// No more than so many, oldest first.
    #[arg(long)]
    pub at_most: Option<usize>,
    /// Every dead letter.
    #[arg(long)]
    pub all: bool,
}

fn kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|_| {
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("no kind of this version: {}", known.join(", "))
    })
}

impl Filters {
    /// At this moment.
    pub fn at(self, now: UnixMs) -> Filter {
        Filter {
            ids: self.ids,
            role: self.role,
            reason: self.reason.map(|reason| reason.to_string()),
            kind: self.kind.map(|kind| kind.as_str().to_owned()),
            error: self.error,
            failed_before: self.older_than.map(|ms| now.plus_ms(-ms)),
            failed_since: self.newer_than.map(|ms| now.plus_ms(-ms)),
            at_most: self.at_most,
        }
    }
}
