//! A real `HAProxy` before several APIs, which asks each whether it is ready.

use crate::wait::eventually;
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Where an API listens: for users and for operators.
#[derive(Clone, Debug)]
pub struct Place {
    pub http: String,
    pub admin: String,
}

impl Place {
    /// Two addresses that nobody has at the moment, to be used again and again.
    pub fn free() -> Self {
        let address = || {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
            free.to_string()
        };
        Self { http: address(), admin: address() }
    }
}

/// A running `HAProxy`. It is killed when the test ends, whatever happened.
pub struct Balancer {
    child: Child,
    /// Where clients go.
    pub address: String,
    statistics: String,
    log: PathBuf,
}

impl Balancer {
    /// Sends to those of `apis` that answer 200 on `/health/ready`, asked twice a second.
    pub async fn start(folder: &Path, apis: &[Place]) -> Self {
        let (address, statistics) = (Place::free().http, Place::free().http);
        let mut servers = String::new();
        for (n, api) in apis.iter().enumerate() {
            let port = api.admin.rsplit(':').next().expect("a port");
            writeln!(servers, "    server api{n} {} check port {port}", api.http).expect("a String");
        }
        let config = format!(
            "global\n    maxconn 2000\n    log stdout format raw local0\ndefaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    \
             timeout server 60s\n    option redispatch\n    retries 2\n    log global\n    option httplog\nfrontend users\n    bind {address}\n    \
             http-response set-log-level silent if {{ status lt 500 }}\n    \
             default_backend apis\nbackend apis\n    option httpchk GET /health/ready\n    \
             default-server inter 500ms fall 1 rise 1\n{servers}frontend statistics\n    no log\n    bind {statistics}\n    \
             stats enable\n    stats uri /\n"
        );
        let file = folder.join("haproxy.cfg");
        fs::write(&file, config).expect("a file");
        let log_file = folder.join("haproxy.log");
        let log = fs::File::create(&log_file).expect("a log file");
        let child = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("haproxy is installed: run dev/install tests");
        let balancer = Self { child, address, statistics, log: log_file };
        balancer.knows(apis.len()).await;
        balancer
    }

    /// Waits until so many APIs are up.
    pub async fn knows(&self, apis: usize) {
        eventually("the balancer knows who is up", || async {
            let up = self
                .counts()
                .await?
                .iter()
                .filter(|(name, row)| name.starts_with("api") && row["status"] == "UP")
                .count();
            (up == apis).then_some(())
        })
        .await;
    }

    /// The requests that were answered 5xx, a line each.
    pub fn failed(&self) -> Vec<String> {
        let log = fs::read_to_string(&self.log).expect("a log");
        log.lines().filter(|line| line.contains(" HTTP/1.1\"")).map(ToOwned::to_owned).collect()
    }

    /// What it has counted, by column, of each server and of the whole backend (`BACKEND`).
    pub async fn counts(&self) -> Option<BTreeMap<String, BTreeMap<String, String>>> {
        let csv = reqwest::get(format!("http://{}/;csv", self.statistics)).await.ok()?.text().await.ok()?;
        let mut lines = csv.lines();
        let columns: Vec<&str> = lines.next()?.trim_start_matches("# ").split(',').collect();
        let rows = lines.map(|line| {
            let cells = columns.iter().zip(line.split(',')).map(|(name, cell)| ((*name).to_owned(), cell.to_owned()));
            cells.collect::<BTreeMap<_, _>>()
        });
        let of_apis = rows.filter(|row| row["pxname"] == "apis");
        Some(of_apis.map(|row| (row["svname"].clone(), row)).collect())
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // An error only says that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
