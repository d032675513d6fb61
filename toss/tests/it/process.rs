//! A sandbox in a process of its own, killed with -9 in the middle of confirms.

use crate::stage::{SECRET, client_of, journal_in};
use contracts::{UnixMs, Won};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use toss::{PaymentStatus, SecretKey, sandbox::SandboxOptions};

const FOLDER_VARIABLE: &str = "TOSS_SANDBOX_TEST_FOLDER";
const PAYMENTS: usize = 40;
const KILL_AFTER: usize = 15;

/// Not a test: the process that the test below starts.
#[test]
#[ignore = "started by the_money_survives_a_kill as a process of its own"]
fn sandbox_process() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE) else { return };
    let folder = Path::new(&folder).to_owned();
    tokio::runtime::Runtime::new().unwrap().block_on(async move {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::fs::write(folder.join("address.new"), address).unwrap();
        std::fs::rename(folder.join("address.new"), folder.join("address")).unwrap();
        let options = SandboxOptions {
            secret_key: SecretKey::new(SECRET),
            journal: journal_in(&folder),
            now: Arc::new(|| UnixMs(1_700_000_000_000)),
        };
        toss::sandbox::serve(listener, options, std::future::pending()).await.unwrap();
    });
}

/// Ends with the test, whatever its end.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        // SIGKILL.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(folder: &Path) -> (Process, SocketAddr) {
    let _ = std::fs::remove_file(folder.join("address"));
    let process = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "process::sandbox_process"])
        .env(FOLDER_VARIABLE, folder)
        .stdout(Stdio::null())
        .spawn()
        .map(Process)
        .unwrap();
    for _ in 0..500 {
        if let Ok(address) = std::fs::read_to_string(folder.join("address")) {
            return (process, address.parse().unwrap());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the sandbox process did not come up within 5 s");
}

async fn checkout(address: SocketAddr, order_id: &str) -> String {
    let body = json!({"orderId": order_id, "amount": 1000});
    let request = reqwest::Client::new().post(format!("http://{address}/sandbox/checkout")).json(&body);
    let redirect: Value = request.send().await.unwrap().json().await.unwrap();
    redirect["paymentKey"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_money_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, address) = start(folder.path()).await;
    let client = client_of(address, SECRET, Duration::from_secs(5));
    let mut keys = BTreeMap::new();
    for number in 0..PAYMENTS {
        let order_id = format!("order-{number}");
        keys.insert(order_id.clone(), checkout(address, &order_id).await);
    }
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let confirming: Vec<_> = keys
        .iter()
        .map(|(order_id, payment_key)| {
            let (client, order_id, payment_key) = (client.clone(), order_id.clone(), payment_key.clone());
            let answered = answered.clone();
            tokio::spawn(async move {
                if client.confirm(&payment_key, &order_id, Won(1_000), &order_id).await.is_ok() {
                    answered.send(order_id).unwrap();
                }
            })
        })
        .collect();
    drop(answered);
    let mut done = Vec::new();
    while done.len() < KILL_AFTER {
        done.push(answers.recv().await.unwrap());
    }
    process.kill();
    while let Some(order_id) = answers.recv().await {
        done.push(order_id);
    }
    for task in confirming {
        task.await.unwrap();
    }

    let (_process, address) = start(folder.path()).await;
    let client = client_of(address, SECRET, Duration::from_secs(5));
    for order_id in &done {
        let payment = client.payment_by_order(order_id).await.unwrap();
        assert_eq!(payment.status, PaymentStatus::Done, "{order_id} was answered before the kill");
    }
    // The rest is asked again under the same keys: each payment is taken once, whether or not its effect came before.
    for (order_id, payment_key) in &keys {
        client.confirm(payment_key, order_id, Won(1_000), order_id).await.unwrap();
    }
    let journal = std::fs::read_to_string(journal_in(folder.path())).unwrap();
    assert_eq!(journal.matches("\"effect\":\"confirmed\"").count(), PAYMENTS);
}
