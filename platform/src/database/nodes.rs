//! Which node of a database cluster takes our writes, when `database.url` lists several.
//!
//! ```text
//!             a look every half second, at all nodes at once
//! well ───────────── read-only, out of the cluster, refused ─────────────► gone: the next well node takes the writes at once
//!   ▲ └── no answer ──► silent ── no answer again ───────────────────────►   │
//!   └───────────────────────────── well for HOLD ────────────────────────────┘
//! ```
//! Promises: the first node of the list that is well takes the writes, and every process decides by this same rule; whoever
//! came back waits for [`HOLD`] before it is trusted again; connections to any other node are given up.
//! Doesn't: promote anybody. That a node without its cluster commits nothing is the cluster's to see to (Galera's quorum,
//! Group Replication's `group_replication_unreachable_majority_timeout`). Nor make two processes switch in the same moment: ARCHITECTURE.md says
//! why what they write meanwhile through two nodes is still decided once.

use super::{Primary, within};
use sqlx::{ConnectOptions, MySqlConnection, MySqlPool, Row, mysql::MySqlConnectOptions};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A node that has not answered a look within this is silent.
const LOOK_LIMIT: Duration = Duration::from_secs(1);
/// A node that came back is well for so long before it takes the writes from one that is.
const HOLD: Duration = Duration::from_secs(10);
/// So many silent looks in a row are an absence; fewer may be a busy machine.
const SILENT_LOOKS: u32 = 2;
/// Galera's number for a node that has all of its cluster's transactions.
const SYNCED: &str = "4";

/// What a look at a node showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It takes writes.
    Well,
    /// It did not answer in time.
    Silent,
    /// It takes none: read-only, out of its quorum, not caught up, or not there.
    Gone,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Since when it has been well without a break.
    well_since: Option<Duration>,
    silent: u32,
}

/// The rule. Times count from any one instant.
#[derive(Debug)]
struct Choice {
    nodes: Vec<Node>,
    writer: usize,
}

impl Choice {
    /// Of so many nodes, at least one. Before the first look the first one is believed in.
    fn of(count: usize) -> Self {
        Self { nodes: vec![Node::default(); count], writer: 0 }
    }

    /// Takes in a look at all nodes; who takes the writes from now on. While nobody is well, it stays who it was.
    fn look(&mut self, seen: &[Seen], now: Duration) -> usize {
        for (node, seen) in self.nodes.iter_mut().zip(seen) {
            node.silent = if *seen == Seen::Silent { node.silent.saturating_add(1) } else { 0 };
            match seen {
                Seen::Well => node.well_since = node.well_since.or(Some(now)),
                Seen::Silent if node.silent < SILENT_LOOKS => (),
                Seen::Silent | Seen::Gone => node.well_since = None,
            }
        }
        let well = |place: &usize| self.nodes[*place].well_since.is_some();
        let trusted = |place: &usize| {
            *place == self.writer
                || self.nodes[*place].well_since.is_some_and(|since| now.saturating_sub(since) >= HOLD)
        };
        let mut places = (0..self.nodes.len()).filter(well);
        let first = places.clone().next();
        self.writer = places.find(trusted).or(first).unwrap_or(self.writer);
        self.writer
    }
}

/// Looks at the nodes as long as the pool is open, and has it connect to the one that takes the writes. What was connecting
/// meanwhile takes at most `connecting`, and goes too.
pub(super) async fn watch(
    pool: MySqlPool,
    nodes: Vec<MySqlConnectOptions>,
    primary: Arc<Primary>,
    connecting: Duration,
) {
    let (mut choice, began) = (Choice::of(nodes.len()), Instant::now());
    let mut looks: Vec<Look> = nodes.iter().map(Look::at).collect();
    let (mut writer, mut changed_at) = (0, None::<Instant>);
    while !pool.is_closed() {
        let seen = futures_util::future::join_all(looks.iter_mut().map(Look::look)).await;
        let next = choice.look(&seen, began.elapsed());
        if next != writer {
            writer = next;
            tracing::warn!(node = %name(&nodes[writer]), "another node of the database takes the writes now");
            metrics::counter!("gream_database_writer_changes_total").increment(1);
            pool.set_connect_options(nodes[writer].clone());
            primary.is_gone();
            changed_at = Some(Instant::now());
        } else if changed_at.is_some_and(|at| at.elapsed() > connecting) {
            // Whoever had begun to connect to the former node is connected, or has failed, by now.
            primary.is_gone();
            changed_at = None;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// `host:port`
pub(super) fn name(node: &MySqlConnectOptions) -> String {
    format!("{}:{}", node.get_host(), node.get_port())
}

/// A node, and the connection by which it is looked at.
struct Look {
    node: MySqlConnectOptions,
    connection: Option<MySqlConnection>,
}

impl Look {
    fn at(node: &MySqlConnectOptions) -> Self {
        Self { node: node.clone(), connection: None }
    }

    async fn look(&mut self) -> Seen {
        let looked = within(LOOK_LIMIT, async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => self.node.connect().await?,
            };
            let takes_writes = takes_writes(&mut connection).await?;
            // Only a connection that answered is asked again.
            self.connection = Some(connection);
            Ok(takes_writes)
        });
        match looked.await {
            Ok(true) => Seen::Well,
            Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut => Seen::Silent,
            Ok(false) | Err(_) => Seen::Gone,
        }
    }
}

/// Whether the server takes writes and, where it is one of Galera's, has a quorum and everything that was committed. A
/// secondary of Group Replication is read-only.
async fn takes_writes(connection: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    let variables = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'wsrep_on')";
    let states = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_local_state')";
    let (mut is_read_only, mut is_galera, mut is_ready, mut is_synced) = (false, false, false, false);
    for sql in [variables, states] {
        for row in sqlx::raw_sql(sql).fetch_all(&mut *connection).await? {
            let (name, value): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            match name.as_str() {
                "read_only" => is_read_only = value != "OFF" && value != "0",
                "wsrep_on" => is_galera = value == "ON",
                "wsrep_ready" => is_ready = value == "ON",
                "wsrep_local_state" => is_synced = value == SYNCED,
                _ => (),
            }
        }
    }
    Ok(!is_read_only && (!is_galera || (is_ready && is_synced)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Seen::{Gone, Silent, Well};
    use proptest::prelude::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_next_one_takes_over_at_once_and_the_first_one_again_after_a_while() {
        let mut choice = Choice::of(3);
        assert_eq!(choice.look(&[Well, Well, Well], at(0)), 0);
        assert_eq!(choice.look(&[Gone, Well, Well], at(500)), 1);
        assert_eq!(choice.look(&[Well, Well, Well], at(1_000)), 1, "it has only just come back");
        assert_eq!(choice.look(&[Well, Well, Well], at(10_999)), 1);
        assert_eq!(choice.look(&[Well, Well, Well], at(11_000)), 0);
    }

    #[test]
    fn a_process_that_starts_takes_whoever_is_well() {
        assert_eq!(Choice::of(3).look(&[Gone, Gone, Well], at(0)), 2);
        let mut choice = Choice::of(2);
        assert_eq!(choice.look(&[Gone, Gone], at(0)), 0, "nobody: it waits where it is");
        assert_eq!(choice.look(&[Gone, Well], at(500)), 1);
    }

    #[test]
    fn one_silent_look_is_no_absence() {
        let mut choice = Choice::of(2);
        choice.look(&[Well, Well], at(0));
        assert_eq!(choice.look(&[Silent, Well], at(500)), 0);
        assert_eq!(choice.look(&[Well, Well], at(1_000)), 0);
        assert_eq!(choice.look(&[Silent, Well], at(1_500)), 0);
        assert_eq!(choice.look(&[Silent, Well], at(2_000)), 1);
    }

    fn seen() -> impl Strategy<Value = Seen> {
        prop_oneof![4 => Just(Well), 1 => Just(Silent), 2 => Just(Gone)]
    }

    proptest! {
        /// Whatever the nodes do: nobody takes the writes who is known to be gone while another is well; and once the
        /// weather is calm, every process has come to the first node that is well, whatever each has seen before.
        #[test]
        fn every_process_comes_to_the_same_writer(
            before in prop::collection::vec(prop::collection::vec(seen(), 3), 0..40),
            others in prop::collection::vec(prop::collection::vec(seen(), 3), 0..40),
            calm in prop::collection::vec(prop_oneof![Just(Well), Just(Gone)], 3),
        ) {
            let mut writers = Vec::new();
            for story in [before, others] {
                let mut choice = Choice::of(3);
                let mut now = at(0);
                for seen in &story {
                    let writer = choice.look(seen, now);
                    prop_assert!(seen[writer] != Gone || seen.iter().all(|seen| *seen != Well));
                    now += LOOK_EVERY;
                }
                for _ in 0..=HOLD.as_millis() / LOOK_EVERY.as_millis() {
                    choice.look(&calm, now);
                    now += LOOK_EVERY;
                }
                writers.push(choice.writer);
            }
            if let Some(first) = calm.iter().position(|seen| *seen == Well) {
                prop_assert_eq!(writers, vec![first, first]);
            }
        }
    }
}
