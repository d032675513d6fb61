//! Which Redis is spoken to: the one that is configured, or the one that its sentinels call the master.
//!
//! Promises: each new connection asks the sentinels anew, all at once, and is with a server that says itself that it is the
//! master. So whoever reconnects after an error has followed a failover. Doesn't: reconnect, or bound the time; its callers do.

use crate::config::RedisConfig;
use redis::{
    Client, ErrorKind, RedisConnectionInfo, RedisError,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};

/// `redis-sentinel://:password@host:port,host:port/0#master`
const SCHEME: &str = "redis-sentinel://";

/// A client of the server that takes writes.
pub(crate) async fn client(config: &RedisConfig) -> Result<Client, RedisError> {
    let url = config.url.expose();
    let Some(sentinels) = Sentinels::read(url).map_err(invalid)? else { return Client::open(url) };
    let mut server = RedisConnectionInfo::default().set_db(sentinels.database);
    if let Some(password) = sentinels.password {
        server = server.set_password(password);
    }
    let server = SentinelNodeConnectionInfo::default().set_redis_connection_info(server);
    // Each by itself: asked together they would be heard in the order of the list, and one that is silent holds up the rest.
    let asked = sentinels.hosts.iter().map(|host| {
        let (server, master) = (&server, sentinels.master);
        Box::pin(async move {
            Sentinel::build(vec![format!("redis://{host}/")])?.async_master_for(master, Some(server)).await
        })
    });
    futures_util::future::select_ok(asked).await.map(|(client, _)| client)
}

/// Why `url` cannot be spoken to; nothing where it can.
pub(crate) fn fault(url: &str) -> Option<&'static str> {
    Sentinels::read(url).err()
}

fn invalid(sentence: &'static str) -> RedisError {
    (ErrorKind::InvalidClientConfig, sentence).into()
}

#[derive(Debug, PartialEq, Eq)]
struct Sentinels<'a> {
    /// `host:port`
    hosts: Vec<&'a str>,
    /// Of the servers; the sentinels are asked without one.
    password: Option<&'a str>,
    database: i64,
    /// What the sentinels call the master that they watch.
    master: &'a str,
}

impl<'a> Sentinels<'a> {
    /// `None`: this is the address of a server itself.
    fn read(url: &'a str) -> Result<Option<Self>, &'static str> {
        let Some(rest) = url.strip_prefix(SCHEME) else { return Ok(None) };
        let (rest, master) = rest.rsplit_once('#').filter(|(_, master)| !master.is_empty()).ok_or(
            "redis.url names no master: end it with # and the name that the sentinels have for it (…/0#gream)",
        )?;
        let (login, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
        let has_port = |host: &&str| {
            host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
        };
        if !hosts.iter().all(has_port) {
            return Err("redis.url has a sentinel that is no host:port: list them as host:26379,host:26379");
        }
        let database = if database.is_empty() { Ok(0) } else { database.parse() };
        let database = database.map_err(|_| "redis.url has no number of a database behind its sentinels: write /0")?;
        let password = login.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty());
        Ok(Some(Self { hosts, password, database, master }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_sentinels_is_read() {
        let read = |url| Sentinels::read(url).unwrap().unwrap();
        let whole = read("redis-sentinel://:secret@a:26379, b:26380,10.0.0.3:26381/2#gream");
        assert_eq!(whole.hosts, ["a:26379", "b:26380", "10.0.0.3:26381"]);
        assert_eq!((whole.password, whole.database, whole.master), (Some("secret"), 2, "gream"));
        let plain = read("redis-sentinel://a:1#m");
        assert_eq!((plain.hosts, plain.password, plain.database, plain.master), (vec!["a:1"], None, 0, "m"));
        assert_eq!(Sentinels::read("redis://:x@a:6379/0"), Ok(None));
    }

    #[test]
    fn what_is_wrong_with_it_is_said() {
        let wrong = [
            ("redis-sentinel://a:1/0", "names no master"),
            ("redis-sentinel://a:1/0#", "names no master"),
            ("redis-sentinel://a/0#m", "no host:port"),
            ("redis-sentinel://a:1,/0#m", "no host:port"),
            ("redis-sentinel://a:1/x#m", "no number"),
        ];
        for (url, what) in wrong {
            let sentence = fault(url).unwrap();
            assert!(sentence.contains(what), "{url}: {sentence}");
        }
        assert_eq!(fault("redis://a"), None);
    }
}
