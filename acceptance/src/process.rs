//! One process of the built binary. It is killed when the test ends, whatever happened.

use crate::wait::{eventually, within};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A running `gream …`, with its log.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub log: PathBuf,
    what: String,
}

/// The binary beside the test's own executable.
pub fn binary() -> PathBuf {
    let mut path = std::env::current_exe().expect("the test knows its own path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let path = path.join("gream");
    assert!(path.exists(), "{} is missing: run `cargo build -p gream` first (make test does)", path.display());
    path
}

impl Process {
    /// Starts `gream` with `arguments`, logging JSON to a file in `folder`.
    pub fn start(arguments: &[&str], environment: &BTreeMap<String, String>, folder: &Path) -> Self {
        Self::start_program(&binary(), arguments, environment, folder)
    }

    /// The same of another version of the binary.
    pub fn start_program(
        program: &Path,
        arguments: &[&str],
        environment: &BTreeMap<String, String>,
        folder: &Path,
    ) -> Self {
        let what = arguments.join(" ");
        let name: String = what.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(60).collect();
        let log =
            (0..1000).map(|n| folder.join(format!("{name}.{n}.log"))).find(|path| !path.exists()).expect("a free name");
        let file = std::fs::File::create(&log).expect("a log file");
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("gream starts");
        Self { child, log, what }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for the address that it logged in `field` ("admin" or "http").
    pub async fn address(&mut self, field: &str) -> String {
        let needle = format!("\"{field}\":\"");
        for _ in 0..2400 {
            let log = self.logged();
            if let Some(address) = log.split(&needle).nth(1).and_then(|rest| rest.split('"').next()) {
                return address.to_owned();
            }
            assert!(self.is_running(), "`gream {}` ended: {log}", self.what);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("`gream {}` never logged its {field} address: {}", self.what, self.logged());
    }

    /// Waits until `/health/ready` answers 200.
    pub async fn ready(&mut self) -> String {
        let admin = self.address("admin").await;
        let url = format!("http://{admin}/health/ready");
        eventually(&format!("`gream {}` is ready", self.what), || async {
            reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success()).map(drop)
        })
        .await;
        admin
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The processor time it has used so far, all its threads together.
    pub fn cpu_time(&self) -> Duration {
        /// Linux's clock tick, as every process sees it.
        const TICKS_PER_S: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it is running");
        // After the name in parentheses: the state is the 3rd field, user and system time the 14th and 15th.
        let fields: Vec<&str> = stat.rsplit(')').next().expect("its fields").split_whitespace().collect();
        let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(14) + ticks(15)) * 1_000 / TICKS_PER_S)
    }

    /// Sends a signal by its name, to this process alone.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "signal {signal} to `gream {}`", self.what);
    }

    /// kill -9, and waits for its end.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// SIGTERM; its exit code, if it ended within `patience`.
    pub async fn terminate(&mut self, patience: Duration) -> Option<i32> {
        self.signal("TERM");
        self.ended(patience).await
    }

    /// Its exit code, if it ends within `patience`.
    pub async fn ended(&mut self, patience: Duration) -> Option<i32> {
        let child = &mut self.child;
        let ended = std::cell::RefCell::new(child);
        within(patience, &format!("`gream {}` ends", self.what), || async {
            ended.borrow_mut().try_wait().expect("its state is known")
        })
        .await
        .code()
    }
}

/// A counter or gauge of the process with this admin address, over all its labels; zero while it has none.
pub async fn metric(admin: &str, name: &str) -> f64 {
    let text = reqwest::get(format!("http://{admin}/metrics")).await.expect("its metrics").text().await.expect("text");
    let lines = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

impl Drop for Process {
    fn drop(&mut self) {
        // A stopped process is killed like any other. An error only says that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
