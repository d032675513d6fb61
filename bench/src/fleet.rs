//! The shipped binary's processes: each one real, with the settings that `dev/bench` gave us, ended in order.

use crate::{Failure, machine, machine::Memory, wire};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

const READY_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Api,
    Worker,
    Relay,
    Scheduler,
}

impl Role {
    pub(crate) const ALL: [Role; 4] = [Role::Api, Role::Worker, Role::Relay, Role::Scheduler];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Api => "api",
            Role::Worker => "worker",
            Role::Relay => "relay",
            Role::Scheduler => "scheduler",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Role::Api => &["api"],
            Role::Worker => &["worker", "bid"],
            // Events must be taken from their queue, or the outbox fills up.
            Role::Relay => &["worker", "relay", "notifier"],
            Role::Scheduler => &["worker", "scheduler"],
        }
    }

    fn number(self) -> u16 {
        match self {
            Role::Api => 0,
            Role::Worker => 1,
            Role::Relay => 2,
            Role::Scheduler => 3,
        }
    }
}

/// Who runs.
pub(crate) struct Fleet {
    binary: PathBuf,
    logs: PathBuf,
    pictures: PathBuf,
    first_admin_port: u16,
    running: BTreeMap<Role, Child>,
    peaks: BTreeMap<Role, Memory>,
}

impl Fleet {
    pub(crate) fn new(binary: PathBuf, logs: PathBuf, pictures: PathBuf, first_admin_port: u16) -> Self {
        Self { binary, logs, pictures, first_admin_port, running: BTreeMap::new(), peaks: BTreeMap::new() }
    }

    /// Starts `role` on the database of `database_url`, and waits until it is ready.
    pub(crate) async fn start(&mut self, role: Role, database_url: &str) -> Result<(), Failure> {
        self.stop(role).await?;
        let log =
            std::fs::File::options().create(true).append(true).open(self.logs.join(format!("{}.log", role.name())))?;
        let child = Command::new(&self.binary)
            .args(role.arguments())
            .env("GREAM__DATABASE__URL", database_url)
            .env("GREAM__PICTURES__FOLDER", self.pictures_of(database_url))
            .env("GREAM__ADMIN__LISTEN", self.admin(role))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        self.running.insert(role, child);
        let began = Instant::now();
        while !matches!(wire::get(&self.admin(role), "/health/ready").await, Ok((200, _))) {
            let ended = self.running.get_mut(&role).is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || began.elapsed() > READY_LIMIT {
                return Err(format!("gream {} is not ready: see its log", role.arguments().join(" ")).into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends `role` in order, if it runs.
    /// Each market is an installation of its own, and so has a folder of its own.
    fn pictures_of(&self, database_url: &str) -> PathBuf {
        let database = database_url.rsplit('/').next().unwrap_or_default();
        self.pictures.join(database.split('?').next().unwrap_or_default())
    }

    pub(crate) async fn stop(&mut self, role: Role) -> Result<(), Failure> {
        self.look_at_memory();
        let Some(mut child) = self.running.remove(&role) else { return Ok(()) };
        let Some(pid) = child.id() else { return Err(format!("gream {} ended by itself", role.name()).into()) };
        Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        if tokio::time::timeout(END_LIMIT, child.wait()).await.is_err() {
            child.kill().await?;
            return Err(format!("gream {} did not end within {END_LIMIT:?}", role.name()).into());
        }
        Ok(())
    }

    pub(crate) async fn stop_all(&mut self) -> Result<(), Failure> {
        for role in Role::ALL {
            self.stop(role).await?;
        }
        Ok(())
    }

    /// Where `role` serves its metrics.
    pub(crate) fn admin(&self, role: Role) -> String {
        format!("127.0.0.1:{}", self.first_admin_port + role.number())
    }

    /// The processor time of everybody who runs.
    pub(crate) fn cpu_times(&self) -> Result<BTreeMap<&'static str, Duration>, Failure> {
        let pids = self.running.iter().filter_map(|(role, child)| Some((role.name(), child.id()?)));
        pids.map(|(name, pid)| Ok((name, machine::cpu_time(pid)?))).collect()
    }

    /// The highest memory of each role so far.
    pub(crate) fn memory(&mut self) -> BTreeMap<Role, Memory> {
        self.look_at_memory();
        self.peaks.clone()
    }

    /// What each role holds now, in KiB.
    pub(crate) fn memory_now(&self) -> BTreeMap<&'static str, u32> {
        let found = |(role, child): (&Role, &Child)| Some((role.name(), machine::memory(child.id()?).ok()?.now_kib));
        self.running.iter().filter_map(found).collect()
    }

    fn look_at_memory(&mut self) {
        for (role, child) in &self.running {
            let Some(Ok(found)) = child.id().map(machine::memory) else { continue };
            let peak = self.peaks.entry(*role).or_default();
            peak.peak_kib = peak.peak_kib.max(found.peak_kib);
            peak.now_kib = peak.now_kib.max(found.now_kib);
        }
    }
}

/// The sum of a counter over all its labels, in the text of `/metrics`; zero while it has none.
pub(crate) fn counter(metrics: &str, name: &str) -> usize {
    let lines = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let text = "# TYPE a counter\na{x=\"1\"} 4\na{x=\"2\"} 5\nab 7\n";
        assert_eq!((counter(text, "a"), counter(text, "ab"), counter(text, "b")), (9, 7, 0));
    }
}
