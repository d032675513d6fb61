//! An S3 server of the test's own: moto from `PyPI`, which `dev/test` installs. It forgets everything when it ends.

use crate::{market::Market, wait::eventually};
use std::process::{Child, Command, Stdio};

/// Names `moto_server`.
const VARIABLE: &str = "GREAM_TEST_S3_SERVER";
const BUCKET: &str = "vouchers";

/// A running server with one bucket.
#[derive(Debug)]
pub struct S3 {
    child: Child,
    /// `http://127.0.0.1:port`
    pub endpoint: String,
}

impl S3 {
    pub async fn start() -> Self {
        // Free a moment ago; a test that loses the race fails at once and says so.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port).await
    }

    /// Ends it, and starts it again at the same address, empty.
    pub async fn start_again(&mut self) {
        self.stop();
        let port = self.endpoint.rsplit(':').next().and_then(|port| port.parse().ok()).expect("its port");
        *self = Self::start_at(port).await;
    }

    pub fn stop(&mut self) {
        // An error only says that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    async fn start_at(port: u16) -> Self {
        let program = std::env::var(VARIABLE)
            .unwrap_or_else(|_| panic!("{VARIABLE} is not set: run the tests by `make test`, or see dev/test"));
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the S3 server starts");
        let s3 = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let bucket = format!("{}/{BUCKET}", s3.endpoint);
        eventually("the S3 server makes a bucket", || async {
            let made = reqwest::Client::new().put(&bucket).send().await.ok()?;
            made.status().is_success().then_some(())
        })
        .await;
        s3
    }

    /// Processes that are started from now on keep their pictures there.
    pub fn serve(&self, market: &mut Market) {
        for (key, value) in [
            ("GREAM__PICTURES__STORE", "s3"),
            ("GREAM__PICTURES__S3__ENDPOINT", &self.endpoint),
            ("GREAM__PICTURES__S3__BUCKET", BUCKET),
            ("GREAM__PICTURES__S3__KEY", "test-key-id"),
            ("GREAM__PICTURES__S3__SECRET", "test-secret"),
        ] {
            market.set(key, value);
        }
    }

    /// What an object holds, for whoever has the key that the processes of `market` have.
    pub async fn object(&self, market: &Market, key: &str) -> Option<Vec<u8>> {
        let variables = market.environment.clone().into_iter().collect();
        let config = platform::Config::from_environment(variables).expect("a configuration").pictures;
        let store = platform::pictures::PictureStore::open(&config).expect("a store");
        store.get(key).await.expect("the S3 server answers").map(|bytes| bytes.to_vec())
    }

    /// The status that somebody without a key is told.
    pub async fn without_key(&self, key: &str) -> u16 {
        let answer = reqwest::get(format!("{}/{BUCKET}/{key}", self.endpoint)).await.expect("the S3 server answers");
        answer.status().as_u16()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop();
    }
}
