//! What the nemesis will do: pure chance from a seed.
//!
//! Promises: the same seed strikes the same way; every fault of [`every_fault`] comes in each round, kills more often; what
//! is broken at a time is one thing. Doesn't: know how a fault is brought about (`nemesis.rs`), or how long a healing takes.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Serialize;
use std::{collections::BTreeSet, fmt, time::Duration};

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Victim {
    Api,
    BidWorker,
    /// Payment and refund.
    TossWorker,
    /// Relay, monitor and notifier.
    Relay,
    Scheduler,
    /// Toss itself.
    Sandbox,
    MySql,
    RabbitMq,
    Redis,
}

impl Victim {
    pub(super) const ALL: [Self; 9] = [
        Self::Api,
        Self::BidWorker,
        Self::TossWorker,
        Self::Relay,
        Self::Scheduler,
        Self::Sandbox,
        Self::MySql,
        Self::RabbitMq,
        Self::Redis,
    ];

    pub(super) fn is_server(self) -> bool {
        matches!(self, Self::MySql | Self::RabbitMq | Self::Redis)
    }
}

/// The connections of all processes to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Link {
    MySql,
    RabbitMq,
    Redis,
    Toss,
}

impl Link {
    pub(super) const ALL: [Self; 4] = [Self::MySql, Self::RabbitMq, Self::Redis, Self::Toss];
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Fault {
    /// kill -9; started again at the end.
    Kill(Victim),
    /// SIGSTOP; SIGCONT at the end.
    Freeze(Victim),
    /// SIGTERM, and started again as soon as it has ended.
    Restart(Victim),
    /// Every connection is closed, once.
    Cut(Link),
    /// Every connection is closed, and every new one.
    Unplug(Link),
    /// Nothing arrives, and nobody is told; it arrives at the end.
    Hold(Link),
    /// Every piece takes longer.
    Slow(Link),
    /// What is asked arrives and is carried out, its answer is lost, and then the connection: commits, confirms, replies of
    /// Toss.
    LoseAnswers(Link),
    /// `RabbitMQ` says that its memory is short, and takes nothing.
    MemoryAlarm,
    /// The same of its disk.
    DiskAlarm,
    /// The APIs' quota is used up: no file can be written, no picture and no log.
    FullDisk,
}

impl Fault {
    /// Its kind, whoever is struck.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::Freeze(_) => "stop (SIGSTOP)",
            Self::Restart(_) => "restart (SIGTERM)",
            Self::Cut(_) => "cut connections",
            Self::Unplug(_) => "unplug",
            Self::Hold(_) => "hold bytes",
            Self::Slow(_) => "slow network",
            Self::LoseAnswers(_) => "lose answers",
            Self::MemoryAlarm => "memory alarm",
            Self::DiskAlarm => "disk alarm",
            Self::FullDisk => "disk quota full",
        }
    }

    /// Whom or what it strikes.
    pub(super) fn target(self) -> String {
        match self {
            Self::Kill(victim) | Self::Freeze(victim) | Self::Restart(victim) => snake(&victim),
            Self::Cut(link) | Self::Unplug(link) | Self::Hold(link) | Self::Slow(link) | Self::LoseAnswers(link) => {
                format!("link to {}", snake(&link))
            }
            Self::MemoryAlarm | Self::DiskAlarm => snake(&Victim::RabbitMq),
            Self::FullDisk => snake(&Victim::Api),
        }
    }

    /// How long it may last: some are over at once, a server is away as long as an operator needs.
    fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::Restart(_) | Self::Cut(_) => (0, 0),
            Self::Kill(_) => (200, 2_500),
            Self::LoseAnswers(_) => (100, 600),
            _ => (1_000, 5_000),
        }
    }

    /// How often it comes in a round.
    fn weight(self) -> usize {
        match self {
            Self::Kill(victim) if victim.is_server() => 2,
            Self::Kill(_) => 6,
            _ => 1,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.kind(), self.target())
    }
}

fn snake(what: &impl Serialize) -> String {
    serde_json::to_value(what)
        .ok()
        .and_then(|name| name.as_str().map(|name| name.replace('_', " ")))
        .unwrap_or_default()
}

/// Everything that can go wrong.
pub(super) fn every_fault() -> Vec<Fault> {
    let of_victims = Victim::ALL.into_iter().flat_map(|v| [Fault::Kill(v), Fault::Freeze(v), Fault::Restart(v)]);
    let of_links = Link::ALL.into_iter().flat_map(|link| {
        [Fault::Cut(link), Fault::Unplug(link), Fault::Hold(link), Fault::Slow(link), Fault::LoseAnswers(link)]
    });
    of_victims.chain(of_links).chain([Fault::MemoryAlarm, Fault::DiskAlarm, Fault::FullDisk]).collect()
}

/// What can go wrong with several nodes of each server: a link is the one to a node. Redis's nodes are found by its sentinels,
/// past any wire.
pub(super) fn faults_of_clusters() -> Vec<Fault> {
    let is_redis = |fault: &Fault| match fault {
        Fault::Cut(link) | Fault::Unplug(link) | Fault::Hold(link) | Fault::Slow(link) | Fault::LoseAnswers(link) => {
            *link == Link::Redis
        }
        _ => false,
    };
    every_fault().into_iter().filter(|fault| !is_redis(fault)).collect()
}

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Strike {
    /// So long nothing happens before.
    pub(super) pause: Duration,
    pub(super) fault: Fault,
    /// Which of several: take the remainder.
    pub(super) which: usize,
    /// So long before it is healed.
    pub(super) lasts: Duration,
}

/// An endless row of blows.
pub(super) struct Plan {
    random: StdRng,
    /// What comes in each round.
    faults: Vec<Fault>,
    /// What is left of this round.
    bag: Vec<Fault>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        Self::of(seed, every_fault())
    }

    /// With these faults only, at least one.
    pub(super) fn of(seed: u64, faults: Vec<Fault>) -> Self {
        Self { random: StdRng::seed_from_u64(seed), faults, bag: Vec::new() }
    }

    fn strike(&mut self, fault: Fault) -> Strike {
        let (least, most) = fault.lasts_ms();
        Strike {
            pause: Duration::from_millis(self.random.random_range(200..=1_500)),
            fault,
            which: self.random.random_range(0..12),
            lasts: Duration::from_millis(self.random.random_range(least..=most)),
        }
    }

    /// A short plan, in which nothing lasts: each kind of fault once, whoever it strikes; and kill -9 of each kind of process and
    /// of `MySQL`. `RabbitMQ` is not started again in it: that alone takes it a quarter of a minute.
    pub(super) fn short(mut self) -> Vec<Strike> {
        let mut faults = every_fault();
        faults.retain(|fault| !matches!(fault, Fault::Kill(Victim::RabbitMq) | Fault::Restart(Victim::RabbitMq)));
        faults.shuffle(&mut self.random);
        let mut kinds = BTreeSet::new();
        faults.retain(|fault| match fault {
            Fault::Kill(victim) => *victim != Victim::Redis,
            _ => kinds.insert(fault.kind()),
        });
        let strikes = faults.into_iter().map(|fault| self.strike(fault));
        strikes.map(|s| Strike { pause: s.pause / 4, lasts: s.lasts / 4, ..s }).collect()
    }
}

impl Iterator for Plan {
    type Item = Strike;

    fn next(&mut self) -> Option<Strike> {
        if self.bag.is_empty() {
            self.bag = self.faults.iter().flat_map(|fault| vec![*fault; fault.weight()]).collect();
            self.bag.shuffle(&mut self.random);
        }
        let fault = self.bag.pop()?;
        Some(self.strike(fault))
    }
}

mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round() -> usize {
        every_fault().into_iter().map(Fault::weight).sum()
    }

    proptest! {
        #[test]
        fn the_same_seed_strikes_the_same_way(seed: u64) {
            let strikes = |seed| Plan::new(seed).take(200).collect::<Vec<_>>();
            prop_assert_eq!(strikes(seed), strikes(seed));
            prop_assert_ne!(strikes(seed), strikes(seed ^ 1));
        }

        #[test]
        fn every_round_has_every_fault_and_each_is_over_soon(seed: u64) {
            let strikes: Vec<Strike> = Plan::new(seed).take(2 * round()).collect();
            for round in strikes.chunks(round()) {
                let struck: BTreeSet<Fault> = round.iter().map(|strike| strike.fault).collect();
                prop_assert_eq!(struck, every_fault().into_iter().collect());
                let kills = round.iter().filter(|strike| matches!(strike.fault, Fault::Kill(_))).count();
                prop_assert!(kills * 2 >= round.len(), "{} kills", kills);
            }
            for strike in &strikes {
                prop_assert!(strike.lasts <= Duration::from_secs(5) && strike.pause >= Duration::from_millis(200));
            }
        }

        #[test]
        fn the_short_plan_has_each_kind_and_kills_each_kind_of_process(seed: u64) {
            let faults: Vec<Fault> = Plan::new(seed).short().iter().map(|strike| strike.fault).collect();
            let kinds = |faults: &[Fault]| faults.iter().map(|fault| fault.kind()).collect::<BTreeSet<_>>();
            prop_assert_eq!(kinds(&faults), kinds(&every_fault()));
            for victim in Victim::ALL.into_iter().filter(|victim| !victim.is_server()) {
                prop_assert!(faults.contains(&Fault::Kill(victim)));
            }
        }
    }
}
