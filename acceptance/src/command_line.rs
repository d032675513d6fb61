//! `gream …` as an operator types it: run to its end.

use crate::{Market, process::binary};
use serde_json::Value;

/// What it said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
    pub error: String,
}

impl Market {
    /// Runs `gream` with these arguments.
    pub async fn gream(&self, arguments: &[&str]) -> Said {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let environment = self.environment.clone();
        let run = tokio::task::spawn_blocking(move || {
            let mut command = std::process::Command::new(binary());
            command.args(&arguments).env_clear().envs(environment).env("USER", "tester").output().expect("gream runs")
        });
        let output = run.await.expect("gream ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Said { code: output.status.code(), text: text(output.stdout), error: text(output.stderr) }
    }

    /// The same, which must go well; what it said.
    pub async fn gream_ok(&self, arguments: &[&str]) -> String {
        let said = self.gream(arguments).await;
        assert_eq!(said.code, Some(0), "{arguments:?}: {}{}", said.text, said.error);
        said.text
    }

    /// The same, as JSON.
    pub async fn gream_json(&self, arguments: &[&str]) -> Value {
        let text = self.gream_ok(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The same, which must be refused; why.
    pub async fn gream_refused(&self, arguments: &[&str]) -> String {
        let said = self.gream(arguments).await;
        assert_eq!(said.code, Some(1), "{arguments:?}: {}{}", said.text, said.error);
        said.error
    }
}
