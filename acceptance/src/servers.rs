//! Where the real servers are, as `dev/test` says, and how a crash test kills and starts them.

use sqlx::{Connection, MySqlConnection};
use std::{path::PathBuf, process::Command};

/// The name of the stack of several nodes.
const CLUSTERS: &str = "ha";

/// The servers of one local stack.
#[derive(Clone, Debug)]
pub struct Servers {
    /// `mysql://user:password@host:port`, without a database.
    pub database_url: String,
    /// `amqp://user:password@host:port`, without a vhost.
    pub rabbitmq_url: String,
    /// `http://user:password@host:port` of the management API.
    pub rabbitmq_http: String,
    /// `redis://…`
    pub redis_url: String,
    /// Every node of the database, the first one that of `database_url`; of the broker likewise.
    pub database_nodes: Vec<String>,
    pub rabbitmq_nodes: Vec<String>,
    /// The stack's name for `dev/stack`, where a test may kill its servers.
    pub stack: Option<String>,
}

impl Servers {
    /// From the environment.
    pub fn from_environment() -> Self {
        platform::install_tls_provider();
        let variable = |name: &str| {
            std::env::var(name)
                .unwrap_or_else(|_| panic!("{name} is not set: run the tests by `make test`, or see dev/test"))
        };
        let nodes = |list: &str, one: &str| -> Vec<String> {
            std::env::var(list).unwrap_or_else(|_| variable(one)).split(',').map(ToOwned::to_owned).collect()
        };
        Self {
            database_nodes: nodes("GREAM_TEST_DATABASE_NODES", "GREAM_TEST_DATABASE_URL"),
            rabbitmq_nodes: nodes("GREAM_TEST_RABBITMQ_NODES", "GREAM_TEST_RABBITMQ_URL"),
            database_url: variable("GREAM_TEST_DATABASE_URL"),
            rabbitmq_url: variable("GREAM_TEST_RABBITMQ_URL"),
            rabbitmq_http: variable("GREAM_TEST_RABBITMQ_HTTP"),
            redis_url: variable("GREAM_TEST_REDIS_URL"),
            stack: std::env::var("GREAM_TEST_STACK").ok(),
        }
    }

    /// Whether there are several of each, which `dev/ha` runs.
    pub fn are_clusters(&self) -> bool {
        self.stack.as_deref() == Some(CLUSTERS)
    }

    /// Starts whatever an earlier test has left broken, in a stack that tests may break.
    pub async fn mend(&self) {
        if let Some(stack) = &self.stack {
            self.dev_stack(&["up", stack]).await;
        }
    }

    /// Stops a server in order, as a maintainer would.
    pub async fn shut_down(&self, server: &str) {
        self.dev_stack(&["stop", self.stack_name(), server]).await;
    }

    /// Sends a signal to a server; after KILL it is gone.
    pub async fn signal(&self, server: &str, signal: &str) {
        self.dev_stack(&["stop", self.stack_name(), server, signal]).await;
    }

    /// rabbitmqctl on the stack's broker.
    pub async fn rabbitmqctl(&self, arguments: &[&str]) {
        self.dev_stack(&[&["ctl", self.stack_name()], arguments].concat()).await;
    }

    /// A connection that may change the database server's settings.
    pub async fn database_administrator(&self) -> MySqlConnection {
        self.stack_name();
        let url = std::env::var("GREAM_TEST_DATABASE_ADMIN_URL").expect("GREAM_TEST_DATABASE_ADMIN_URL is set");
        MySqlConnection::connect(&url).await.expect("the database server answers")
    }

    /// `dev/stack start NAME SERVER`, which returns once the server answers.
    pub async fn start(&self, server: &str) {
        self.dev_stack(&["start", self.stack_name(), server]).await;
    }

    fn stack_name(&self) -> &str {
        self.stack.as_deref().expect("GREAM_TEST_STACK is not set: only a stack of one's own may be broken")
    }

    async fn dev_stack(&self, arguments: &[&str]) {
        let script = if self.are_clusters() { "dev/ha" } else { "dev/stack" };
        // There is only one of that.
        let arguments = arguments.iter().filter(|argument| **argument != CLUSTERS);
        let arguments: Vec<String> = arguments.map(|argument| (*argument).to_owned()).collect();
        let done = tokio::task::spawn_blocking(move || {
            let output = Command::new(root().join(script)).args(&arguments).output().expect("the script runs");
            assert!(
                output.status.success(),
                "{script} {arguments:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        });
        done.await.expect("dev/stack ends");
    }
}

/// The checkout.
pub fn root() -> PathBuf {
    // Asked when it runs: a build folder may be shared by several checkouts, and the one that compiled is not the one
    // whose servers are to be killed.
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("tests run by cargo")).join("..")
}
