//! Rounds: one command each, one kill each, and a look at the money.
//!
//! ```text
//!  in peace: set the round up ─► arm ─► publish its command ─┬─ halted at a point that is new: kill -9, a successor ─┐
//!      ▲                                                     └─ ended without: this way has no new points            │
//!      └──────────── its money is right, the audit holds ◄─── ended, and nothing of it is under way ◄────────────────┘
//! ```

use crate::stage::Stage;
use acceptance::{
    broker::depth_on,
    process::Process,
    wait::{becomes, eventually},
};
use contracts::{
    Envelope, RefundId, UserId,
    topology::{RETRY_JITTER_PERCENT, Role, retry_queue},
};
use platform::halt;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const LADDER_MS: [u32; 2] = [100, 400];
/// Divides the list of points that are to be passed from those that were.
const HERE: &str = "-- from here on";

/// Route, amount and state.
pub type Leg = (&'static str, i64, &'static str);

/// What a round's command is, and what must have come of it.
pub struct Round {
    pub command: Envelope,
    pub user: UserId,
    pub ends: &'static str,
    /// Available and held.
    pub points: (i64, i64),
    pub owed: i64,
    /// How often money was taken and given back for an order.
    pub at_toss: Option<(String, (usize, usize))>,
    pub legs: Option<(RefundId, Vec<Leg>)>,
    /// Messages that it leaves in the outbox.
    pub tells: i64,
}

impl Round {
    /// One that leaves its user with these points, and nothing else.
    pub fn new(command: Envelope, user: UserId, points: (i64, i64)) -> Self {
        Self { command, user, ends: "done", points, owed: 0, at_toss: None, legs: None, tells: 0 }
    }
}

pub struct Rounds {
    stage: Stage,
    /// The only worker: whoever has not been killed yet.
    worker: Process,
    channel: lapin::Channel,
    halt_file: PathBuf,
    /// On the way that is being played.
    struck: BTreeSet<String>,
    struck_before: BTreeSet<String>,
    played: u64,
}

impl Rounds {
    pub async fn new(test: &str) -> Self {
        let mut stage = Stage::new(test).await;
        stage.market.set("GREAM__PAYMENT_WORKER__LADDER_MS", LADDER_MS.map(|step| step.to_string()).join(","));
        let halt_file = stage.market.folder().join("halted");
        in_peace(&halt_file);
        let worker = start(&stage, &halt_file).await;
        let (struck, struck_before) = (BTreeSet::new(), BTreeSet::new());
        let channel = stage.market.broker.channel().await;
        Self { stage, worker, channel, halt_file, struck, struck_before, played: 0 }
    }

    /// From here on points that were struck before count as new: another kind of command comes by.
    pub fn anew(&mut self) {
        self.struck_before.append(&mut self.struck);
    }

    /// Plays rounds of one way until the worker comes by no point where it has not been killed.
    pub async fn play(&mut self, way: &str, set_up: impl AsyncFn(&Stage, u64) -> Round) {
        loop {
            self.played += 1;
            let round = set_up(&self.stage, self.played).await;
            let told = self.outbox().await;
            self.arm();
            self.stage.publish(&round.command).await;
            let point = eventually(&format!("{way}: it halts or ends"), || async {
                if self.has_ended(&round).await {
                    return Some(halted(&self.halt_file));
                }
                halted(&self.halt_file).map(Some)
            })
            .await;
            if let Some(point) = &point {
                self.worker.kill();
                in_peace(&self.halt_file);
                fs::remove_file(&self.halt_file).unwrap();
                self.worker = start(&self.stage, &self.halt_file).await;
                becomes(&format!("{way}, killed at {point}: it ends"), true, || self.has_ended(&round)).await;
            }
            in_peace(&self.halt_file);
            let what = format!("{way}, killed at {point:?}");
            self.money_is_right(&what, &round).await;
            assert_eq!(self.outbox().await - told, round.tells, "{what}: told once");
            let Some(point) = point else { return };
            self.struck.insert(point);
        }
    }

    /// Every point where a worker was killed; once the audit holds.
    pub async fn end(mut self) -> BTreeSet<String> {
        self.stage.audit_holds().await;
        self.anew();
        self.struck_before
    }

    fn arm(&self) {
        let list: Vec<&str> = self.struck.iter().map(String::as_str).chain([HERE, ""]).collect();
        fs::write(halt::list_of(&self.halt_file), list.join("\n")).unwrap();
    }

    /// Whether the command has ended and no message of it is left. Dead letters are replayed, as by an operator.
    async fn has_ended(&self, round: &Round) -> bool {
        let state = self.stage.state_of(round.command.id).await;
        if !is_quiet(&self.halt_file) {
            return false;
        }
        for queue in queues() {
            if depth_on(&self.channel, &queue).await > 0 {
                return false;
            }
        }
        for role in [Role::Payment, Role::Refund] {
            let dead = format!("dead.{role}");
            if depth_on(&self.channel, &dead).await > 0 {
                let dead = self.stage.market.broker.take(&dead).await.unwrap();
                self.stage.publish(&Envelope::decode(&dead.delivery.data).unwrap()).await;
                return false;
            }
        }
        ["done", "rejected"].contains(&state.as_str())
    }

    async fn money_is_right(&self, what: &str, round: &Round) {
        let (stage, user) = (&self.stage, round.user);
        assert_eq!(stage.state_of(round.command.id).await, round.ends, "{what}");
        assert_eq!((stage.points(user).await, stage.debt(user).await), (round.points, round.owed), "{what}");
        if let Some((order, moves)) = &round.at_toss {
            assert_eq!(stage.moves(order).await, *moves, "{what}");
        }
        if let Some((refund, legs)) = &round.legs {
            let found = stage.legs(*refund).await;
            let found: Vec<_> =
                found.iter().map(|(route, won, state)| (route.as_str(), *won, state.as_str())).collect();
            assert_eq!(found, *legs, "{what}");
        }
        let report = operator::audit(&stage.audit_sources()).await.expect("the audit runs");
        assert!(report.holds(), "{what}: {}", serde_json::to_string_pretty(&report).unwrap());
    }

    async fn outbox(&self) -> i64 {
        self.stage.market.number("SELECT COUNT(*) FROM outbox").await
    }
}

/// Nothing halts anywhere.
fn in_peace(halt_file: &Path) {
    fs::write(halt::list_of(halt_file), format!("{}\n{HERE}\n", halt::ALL)).unwrap();
}

fn halted(halt_file: &Path) -> Option<String> {
    fs::read_to_string(halt_file).ok().filter(|point| !point.is_empty())
}

/// Whether the worker has met the command, and is done with every message that it took.
fn is_quiet(halt_file: &Path) -> bool {
    let list = fs::read_to_string(halt::list_of(halt_file)).unwrap();
    let passed = list.split(HERE).nth(1).unwrap_or_default();
    let times = |point: &str| passed.lines().filter(|line| *line == point).count();
    let acked = times("laddered.before_ack");
    acked > 0 && times("laddered.arrived") == acked
}

fn queues() -> Vec<String> {
    let of_role = |role: Role| {
        let picks =
            LADDER_MS.into_iter().flat_map(|step| (0..RETRY_JITTER_PERCENT.len()).map(move |pick| (step, pick)));
        picks.map(move |(step, pick)| retry_queue(role, step, pick)).chain([role.to_string()])
    };
    [Role::Payment, Role::Refund].into_iter().flat_map(of_role).collect()
}

async fn start(stage: &Stage, halt_file: &Path) -> Process {
    let file = halt_file.to_str().unwrap();
    let halting = [("GREAM__TEST__HALT_AT", halt::ANEW), ("GREAM__TEST__HALT_FILE", file)];
    let mut worker = stage.market.spawn_with(&["worker", "payment", "refund"], &halting);
    worker.address("admin").await;
    worker
}
