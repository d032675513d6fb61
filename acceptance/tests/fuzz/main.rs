//! Hostile bytes, by the million: nothing that reads what others wrote may panic, hang, or answer 5xx.
//!
//! Each target takes valid samples and damages them (`mutate`), from a seed that is printed, for a second or two in
//! `make test`, for ten minutes by `make fuzz`. It runs on the stable toolchain, so it knows nothing of coverage: the
//! samples must lead it to where it could hurt.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod envelopes;
mod mutate;
mod uploads;

use rand::{SeedableRng, rngs::StdRng};
use std::time::{Duration, Instant};

/// How long and with which luck, as `make fuzz` says it.
struct Session {
    until: Instant,
    luck: StdRng,
}

fn session() -> Session {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let seed = number("GREAM_FUZZ_SEED").unwrap_or_else(rand::random);
    let seconds = number("GREAM_FUZZ_SECONDS").unwrap_or(2);
    println!("GREAM_FUZZ_SEED={seed}, for {seconds} s");
    Session { until: Instant::now() + Duration::from_secs(seconds), luck: StdRng::seed_from_u64(seed) }
}
