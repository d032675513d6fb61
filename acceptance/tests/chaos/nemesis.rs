//! How each fault is brought about, and healed.

use crate::{
    fleet::Fleet,
    plan::{Fault, Link, Strike, Victim},
};
use acceptance::{Servers, process::Process, wire::Wire};
use std::{process::Command, time::Duration};

/// What a slow network adds to each piece.
const SLOW: Duration = Duration::from_millis(60);
/// As rabbitmq/rabbitmq.conf has them.
const MEMORY_AS_SHIPPED: &str = "0.4";
const DISK_AS_SHIPPED: &str = "1GB";

/// Its name for the stack; of a cluster, that of one of the nodes.
fn server(servers: &Servers, victim: Victim, which: usize) -> String {
    let (name, nodes) = match victim {
        Victim::MySql => ("mysql", 3),
        Victim::RabbitMq => ("rabbitmq", 3),
        Victim::Redis => ("redis", 2),
        _ => unreachable!("{victim:?} is a process of ours"),
    };
    if servers.are_clusters() { format!("{name}{}", 1 + which % nodes) } else { name.to_owned() }
}

/// The most that a process may write into any file.
fn limit_files(process: &Process, bytes: &str) {
    let pid = process.pid().to_string();
    let done = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status();
    assert!(done.is_ok_and(|status| status.success()), "prlimit (util-linux) limits our own process");
}

impl Fleet {
    /// The way to the server, or to one of its nodes.
    fn wire(&self, link: Link, which: usize) -> &Wire {
        let nodes = &self.wires[&link];
        &nodes[which % nodes.len()]
    }

    /// Strikes, and waits as long as it lasts. How many answers were lost, where that is the fault.
    pub(super) async fn suffers(&mut self, strike: Strike) -> u32 {
        let Strike { fault, which, lasts, .. } = strike;
        let lost_before = self.answers_lost();
        let servers = self.market.servers.clone();
        let server = |victim| server(&servers, victim, which);
        match fault {
            Fault::Kill(victim) if victim.is_server() => servers.signal(&server(victim), "KILL").await,
            Fault::Kill(victim) => self.post(victim, which).process.kill(),
            Fault::Freeze(victim) if victim.is_server() => servers.signal(&server(victim), "STOP").await,
            Fault::Freeze(victim) => self.post(victim, which).process.signal("STOP"),
            Fault::Restart(victim) if victim.is_server() => servers.shut_down(&server(victim)).await,
            Fault::Restart(victim) => self.post(victim, which).leaves().await,
            Fault::Cut(link) => self.wire(link, which).cut(),
            Fault::Unplug(link) => self.wire(link, which).unplug(),
            Fault::Hold(link) => self.wire(link, which).hold(),
            Fault::Slow(link) => self.wire(link, which).slow_down(SLOW),
            Fault::LoseAnswers(link) => self.wire(link, which).lose_answers(),
            Fault::MemoryAlarm => {
                self.market.servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.000001"]).await;
            }
            Fault::DiskAlarm => self.market.servers.rabbitmqctl(&["set_disk_free_limit", "1000000GB"]).await,
            Fault::FullDisk => self.apis().for_each(|api| limit_files(api, "0")),
        }
        tokio::time::sleep(lasts).await;
        self.answers_lost() - lost_before
    }

    /// Begins to be as before; what must start first may not be ready yet when this returns.
    pub(super) async fn is_healed(&mut self, strike: Strike) {
        let Strike { fault, which, .. } = strike;
        match fault {
            Fault::Kill(victim) | Fault::Freeze(victim) | Fault::Restart(victim) if victim.is_server() => {
                // `start` wakes up what stands still.
                let servers = &self.market.servers;
                servers.start(&server(servers, victim, which)).await;
            }
            Fault::Kill(victim) | Fault::Restart(victim) => {
                let Self { market, posts, .. } = self;
                let mut posts: Vec<_> = posts.iter_mut().filter(|post| post.victim == victim).collect();
                let which = which % posts.len();
                posts[which].fill(market);
            }
            Fault::Freeze(victim) => self.post(victim, which).process.signal("CONT"),
            Fault::Cut(link)
            | Fault::Unplug(link)
            | Fault::Hold(link)
            | Fault::Slow(link)
            | Fault::LoseAnswers(link) => {
                self.wire(link, which).mend();
            }
            Fault::MemoryAlarm => {
                self.market.servers.rabbitmqctl(&["set_vm_memory_high_watermark", MEMORY_AS_SHIPPED]).await;
            }
            Fault::DiskAlarm => self.market.servers.rabbitmqctl(&["set_disk_free_limit", DISK_AS_SHIPPED]).await,
            Fault::FullDisk => self.apis().for_each(|api| limit_files(api, "unlimited")),
        }
    }

    fn apis(&self) -> impl Iterator<Item = &Process> {
        self.posts.iter().filter(|post| post.victim == Victim::Api).map(|post| &post.process)
    }

    fn answers_lost(&self) -> u32 {
        self.wires.values().flatten().map(Wire::answers_lost).sum()
    }
}
