//! Which versions the servers say they are: asked of the servers themselves, never of a package.

use crate::Servers;
use sqlx::{Connection, MySqlConnection};
use std::fmt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Of one stack.
#[derive(Clone, Debug)]
pub struct Versions {
    /// `SELECT VERSION()`.
    pub database: String,
    /// From the server properties in the broker's AMQP greeting.
    pub rabbitmq: String,
    /// `INFO server`.
    pub redis: String,
}

impl Versions {
    pub async fn of(servers: &Servers) -> Self {
        Self {
            database: database(&servers.database_url).await,
            rabbitmq: rabbitmq(&servers.rabbitmq_url).await,
            redis: redis(&servers.redis_url).await,
        }
    }

    /// MySQL calls itself by a bare number.
    pub fn is_mariadb(&self) -> bool {
        self.database.contains("MariaDB")
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flavour = if self.is_mariadb() { "MariaDB" } else { "MySQL" };
        write!(f, "{flavour} {}, RabbitMQ {}, Redis {}", self.database, self.rabbitmq, self.redis)
    }
}

async fn database(url: &str) -> String {
    let mut connection = MySqlConnection::connect(url).await.expect("the database server answers");
    sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut connection).await.expect("its version")
}

/// lapin keeps the server properties to itself, so the greeting is read here. In its table of properties, `version` is
/// followed by `S` and the length of a string.
async fn rabbitmq(url: &str) -> String {
    const KEY: &[u8] = b"\x07versionS";
    let url = reqwest::Url::parse(url).expect("a URL");
    let address = (url.host_str().expect("a host"), url.port().expect("a port"));
    let mut stream = TcpStream::connect(address).await.expect("the broker answers");
    stream.write_all(b"AMQP\0\0\x09\x01").await.expect("a greeting sent");
    // The frame's type, channel and size; then the method with the properties.
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.expect("a frame");
    let mut frame = vec![0; u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize];
    stream.read_exact(&mut frame).await.expect("a whole frame");
    let at = frame.windows(KEY.len()).position(|window| window == KEY).expect("a version among the properties");
    let value = &frame[at + KEY.len()..];
    let length = u32::from_be_bytes([value[0], value[1], value[2], value[3]]) as usize;
    String::from_utf8_lossy(&value[4..4 + length]).into_owned()
}

async fn redis(url: &str) -> String {
    let client = redis::Client::open(url).expect("a Redis URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await.expect("its information");
    info.lines().find_map(|line| line.strip_prefix("redis_version:")).expect("its version").to_owned()
}
