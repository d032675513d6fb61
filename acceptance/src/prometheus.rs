//! A real Prometheus that scrapes the processes of a test, with the rules that are shipped.

use crate::{servers::root, wait::eventually};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

/// The labels of a series or of an alert.
pub type Labels = BTreeMap<String, String>;

/// A running Prometheus. It is killed when the test ends, whatever happened.
pub struct Prometheus {
    child: Child,
    base: String,
    client: reqwest::Client,
}

impl Prometheus {
    /// One that looks every second at the processes with these admin addresses, and needs no `for:` to be over: how long
    /// something must last is tested by promtool.
    pub async fn start(folder: &Path, targets: &[&str]) -> Self {
        let home = folder.join("prometheus");
        fs::create_dir_all(&home).expect("a folder");
        let rules = fs::read_to_string(root().join("deploy/prometheus/gream.rules.yml")).expect("the rules");
        fs::write(home.join("rules.yml"), without_patience(&rules)).expect("a file");
        let targets: Vec<String> = targets.iter().map(|target| format!("\"{target}\"")).collect();
        let config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}\nrule_files: [rules.yml]\n\
             scrape_configs: [{{ job_name: gream, static_configs: [{{ targets: [{}] }}] }}]\n",
            targets.join(", ")
        );
        fs::write(home.join("prometheus.yml"), config).expect("a file");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let log = fs::File::create(home.join("log")).expect("a log file");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is installed: run dev/install tests");
        let prometheus = Self { child, base: format!("http://127.0.0.1:{port}"), client: reqwest::Client::new() };
        let ready = format!("{}/-/ready", prometheus.base);
        eventually("Prometheus is ready", || async {
            let answer = prometheus.client.get(&ready).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        prometheus
    }

    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let request = self.client.get(format!("{}/api/v1/{path}", self.base)).query(query);
        let answer: Value = request.send().await.expect("it answers").json().await.expect("JSON");
        if answer["status"] == "success" { Ok(answer["data"].clone()) } else { Err(answer["error"].to_string()) }
    }

    /// An expression's result now; the error when it is none.
    pub async fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let data = self.ask("query", &[("query", expression)]).await?;
        Ok(data["result"].as_array().cloned().unwrap_or_default())
    }

    /// The series that a selector finds.
    pub async fn series(&self, selector: &str) -> Vec<Labels> {
        let found =
            self.ask("series", &[("match[]", selector)]).await.unwrap_or_else(|error| panic!("{selector}: {error}"));
        serde_json::from_value(found).expect("label sets")
    }

    /// The labels of every alert that fires.
    pub async fn firing(&self) -> Vec<Labels> {
        let data = self.ask("alerts", &[]).await.expect("the alerts");
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        let firing = alerts.into_iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| serde_json::from_value(alert["labels"].clone()).expect("labels")).collect()
    }

    /// Whether this alert fires, with this label.
    pub async fn fires(&self, alert: &str, (label, value): (&str, &str)) -> bool {
        let firing = self.firing().await;
        firing
            .iter()
            .any(|labels| labels["alertname"] == alert && labels.get(label).is_some_and(|found| found == value))
    }

    /// Waits until it does.
    pub async fn alarms(&self, alert: &str, label: (&str, &str)) {
        let patience = crate::wait::PATIENCE * 2;
        crate::wait::within(patience, &format!("{alert} {label:?}"), || async {
            self.fires(alert, label).await.then_some(())
        })
        .await;
    }
}

fn without_patience(rules: &str) -> String {
    let patient = |line: &&str| !line.trim_start().starts_with("for: ");
    rules.lines().filter(patient).collect::<Vec<_>>().join("\n")
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // An error only says that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
