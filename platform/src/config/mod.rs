//! Configuration: the commented defaults compiled in, a file and the environment on top, secrets also from files.
//!
//! Promises: an unknown key, a wrong type or a dangerous combination stops the process at start with a sentence that
//! says what to change. Doesn't: reload while running.

mod refuse;
mod sections;

pub use sections::*;

use serde::Deserialize;
use std::{collections::HashMap, path::PathBuf};

/// The defaults, as documented.
pub const DEFAULTS: &str = include_str!("default.toml");
/// Names the file on top of the defaults.
pub const FILE_VARIABLE: &str = "GREAM_CONFIG";
/// `section.key` of every value that may come from a file, by `…_FILE`.
pub const SECRETS: [&str; 12] = [
    "database.url",
    "database.replica_url",
    "rabbitmq.url",
    "redis.url",
    "auth.jwt_secret",
    "auth.address_secret",
    "account_cipher.key",
    "monitor.rabbitmq_page",
    "toss.secret_key",
    "pictures.s3.key",
    "pictures.s3.secret",
    "kakao.client_secret",
];

/// Why the configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key or value that cannot be read.
    #[error("configuration: {0}. Keys and their meaning are in the default configuration (`gream config`)")]
    Unreadable(#[from] config::ConfigError),
    /// A secret's file that cannot be read.
    #[error("configuration: cannot read {path:?} for {key}: {error}. Check the path and its permissions")]
    SecretFile {
        /// Which key.
        key: String,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A dangerous or contradictory combination.
    #[error("configuration refused: {}", .0.join("; "))]
    Refused(Vec<String>),
}

/// Everything that can be configured. `default.toml` says what each key means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "default.toml documents each key, and `gream config` prints it")]
pub struct Config {
    pub mode: Mode,
    pub database: DatabaseConfig,
    pub rabbitmq: RabbitConfig,
    pub redis: RedisConfig,
    pub partitions: PartitionsConfig,
    pub http: HttpConfig,
    pub admin: AdminConfig,
    pub auth: AuthConfig,
    pub kakao: KakaoConfig,
    pub rate_limits: RateLimitsConfig,
    pub account_cipher: AccountCipherConfig,
    pub toss: TossConfig,
    pub pictures: PicturesConfig,
    pub market: MarketConfig,
    pub commands: CommandsConfig,
    pub bid_worker: BidWorkerConfig,
    pub payment_worker: PaymentWorkerConfig,
    pub scheduler: SchedulerConfig,
    pub monitor: MonitorConfig,
    pub relay: RelayConfig,
    pub notifications: NotificationsConfig,
    pub product_streams: ProductStreamsConfig,
    pub clock: ClockConfig,
    pub telemetry: TelemetryConfig,
    pub shutdown: ShutdownConfig,
    pub test: TestConfig,
}

impl Config {
    /// Reads the process's environment and the file it names, and refuses what is dangerous.
    pub fn load() -> Result<Self, ConfigError> {
        Self::from_environment(std::env::vars().collect())
    }

    /// The same, from given variables.
    pub fn from_environment(variables: HashMap<String, String>) -> Result<Self, ConfigError> {
        let file = variables.get(FILE_VARIABLE).cloned();
        let (secret_files, variables) = split_secret_files(variables);
        let mut builder =
            config::Config::builder().add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml));
        if let Some(file) = file {
            builder = builder.add_source(config::File::new(&file, config::FileFormat::Toml));
        }
        let environment =
            config::Environment::with_prefix("GREAM").prefix_separator("__").separator("__").source(Some(variables));
        builder = builder.add_source(environment);
        for (key, path) in secret_files {
            let value = std::fs::read_to_string(&path).map_err(|error| ConfigError::SecretFile {
                key: key.to_owned(),
                path: path.clone(),
                error,
            })?;
            builder = builder.set_override(key, value.trim_end_matches(['\r', '\n']))?;
        }
        let config: Config = builder.build()?.try_deserialize()?;
        let reasons = refuse::reasons(&config);
        if reasons.is_empty() { Ok(config) } else { Err(ConfigError::Refused(reasons)) }
    }
}

/// Takes the `…_FILE` variables of known secrets out of the environment.
fn split_secret_files(
    mut variables: HashMap<String, String>,
) -> (Vec<(&'static str, PathBuf)>, HashMap<String, String>) {
    let files = SECRETS
        .iter()
        .filter_map(|key| {
            let variable = format!("GREAM__{}_FILE", key.to_uppercase().replace('.', "__"));
            variables.remove(&variable).map(|path| (*key, PathBuf::from(path)))
        })
        .collect();
    (files, variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(extra: &[(&str, &str)]) -> HashMap<String, String> {
        let base = [
            ("GREAM__MODE", "test"),
            ("GREAM__DATABASE__URL", "mysql://u:p@127.0.0.1:3306/gream"),
            ("GREAM__RABBITMQ__URL", "amqp://u:p@127.0.0.1:5672/gream"),
            ("GREAM__REDIS__URL", "redis://127.0.0.1:6379/0"),
            ("GREAM__AUTH__JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("GREAM__AUTH__ADDRESS_SECRET", "fedcba9876543210fedcba9876543210"),
            ("GREAM__ACCOUNT_CIPHER__KEY", "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"),
            ("GREAM__TOSS__SECRET_KEY", "test_sk_123456"),
            ("GREAM__TOSS__BASE_URL", "http://127.0.0.1:1"),
        ];
        base.iter().chain(extra).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn refusal(extra: &[(&str, &str)]) -> String {
        Config::from_environment(variables(extra)).unwrap_err().to_string()
    }

    #[test]
    fn the_environment_stands_above_the_defaults() {
        let config = Config::from_environment(variables(&[("GREAM__BID_WORKER__LANES", "3")])).unwrap();
        assert_eq!(config.bid_worker.lanes, 3);
        assert_eq!(config.bid_worker.batch_max, 500);
    }

    #[test]
    fn the_file_stands_between_and_secrets_come_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gream.toml");
        std::fs::write(&file, "[bid_worker]\nlanes = 4\nlinger_ms = 9\n").unwrap();
        let secret = folder.path().join("url");
        std::fs::write(&secret, "mysql://a:b@c:1/d\n").unwrap();
        let config = Config::from_environment(variables(&[
            ("GREAM_CONFIG", file.to_str().unwrap()),
            ("GREAM__BID_WORKER__LINGER_MS", "5"),
            ("GREAM__DATABASE__URL_FILE", secret.to_str().unwrap()),
        ]))
        .unwrap();
        assert_eq!((config.bid_worker.lanes, config.bid_worker.linger_ms), (4, 5));
        assert_eq!(config.database.url.expose(), "mysql://a:b@c:1/d");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(refusal(&[("GREAM__BID_WORKER__LANEZ", "3")]).contains("lanez"));
        assert!(refusal(&[("GREAM__BID_WORKER__LANES", "many")]).contains("lanes"));
        assert!(refusal(&[("GREAM__DATABASE__URL_FILE", "/nowhere/at/all")]).contains("/nowhere/at/all"));
        assert!(refusal(&[("GREAM__DATABASE__URL", "")]).contains("database.url"));
    }

    #[test]
    fn what_is_dangerous_in_production_is_refused_and_allowed_in_demo() {
        for (key, value, names) in [
            ("GREAM__MARKET__SIGN_UP_GIFT", "100", "market.sign_up_gift"),
            ("GREAM__CLOCK__OFFSET_FILE", "/tmp/x", "clock.offset_file"),
            ("GREAM__TOSS__BASE_URL", "http://127.0.0.1:1", "toss.base_url"),
        ] {
            assert!(Config::from_environment(variables(&[("GREAM__MODE", "demo"), (key, value)])).is_ok());
            let mut production = vec![("GREAM__MODE", "production"), ("GREAM__TOSS__BASE_URL", "https://toss.example")];
            production.push((key, value));
            assert!(refusal(&production).contains(names), "{key}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        assert!(refusal(&[("GREAM__AUTH__JWT_SECRET", "short")]).contains("auth.jwt_secret"));
        assert!(refusal(&[("GREAM__PARTITIONS__COUNT", "0")]).contains("partitions.count"));
        assert!(refusal(&[("GREAM__BID_WORKER__LANES", "0")]).contains("bid_worker.lanes"));
        assert!(refusal(&[("GREAM__ACCOUNT_CIPHER__KEY", "xyz")]).contains("account_cipher.key"));
        assert!(refusal(&[("GREAM__PAYMENT_WORKER__LADDER_MS", "1,zwei")]).contains("ladder_ms"));
        assert!(refusal(&[("GREAM__DATABASE__POOL_MAX", "2")]).contains("database.pool_max"));
        assert!(refusal(&[("GREAM__DATABASE__REPLICA_MAX_LAG_MS", "999")]).contains("database.replica_max_lag_ms"));
        assert!(refusal(&[("GREAM__DATABASE__READ_YOUR_WRITES_MS", "1999")]).contains("database.read_your_writes_ms"));
        assert!(refusal(&[("GREAM__DATABASE__REPLICA_TIMEOUT_MS", "0")]).contains("database.replica_timeout_ms"));
        assert!(refusal(&[("GREAM__HTTP__TRUSTED_PROXIES", "10.0.0.0/8, proxy")]).contains("http.trusted_proxies"));
        assert!(refusal(&[("GREAM__RATE_LIMITS__LOGINS_PER_ACCOUNT", "0")]).contains("rate_limits"));
        assert!(refusal(&[("GREAM__KAKAO__CLIENT_ID", "id")]).contains("kakao.redirect_uri"));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let proxies = |text: &str| Config::from_environment(variables(&[("GREAM__HTTP__TRUSTED_PROXIES", text)]));
        assert_eq!(proxies("").unwrap().http.proxies(), Some(vec![]));
        let some = proxies("10.0.0.0/8, 192.0.2.1,fd00::/8").unwrap().http.proxies().unwrap();
        assert_eq!(
            some.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8"]
        );
    }

    #[test]
    fn a_bucket_needs_its_name_and_key_and_tls_beyond_this_machine() {
        let s3 = |extra: &[(&str, &str)]| {
            let mut all = vec![("GREAM__PICTURES__STORE", "s3"), ("GREAM__PICTURES__S3__BUCKET", "b")];
            all.extend([("GREAM__PICTURES__S3__KEY", "k"), ("GREAM__PICTURES__S3__SECRET", "s")]);
            all.extend(extra);
            Config::from_environment(variables(&all)).map_err(|error| error.to_string())
        };
        let endpoint = "GREAM__PICTURES__S3__ENDPOINT";
        assert!(refusal(&[("GREAM__PICTURES__STORE", "s3")]).contains("pictures.s3.bucket"));
        assert!(!s3(&[]).unwrap().pictures.s3.speaks_plain_http());
        assert!(s3(&[(endpoint, "http://127.0.0.1:9000")]).unwrap().pictures.s3.speaks_plain_http());
        assert!(s3(&[(endpoint, "http://store.lan")]).unwrap_err().contains("pictures.s3.endpoint"));
        assert!(s3(&[(endpoint, "http://127.0.0.1.evil.com:80")]).is_err());
        assert!(s3(&[(endpoint, "http://store.lan"), ("GREAM__PICTURES__S3__ALLOW_HTTP", "true")]).is_ok());
    }

    #[test]
    fn no_secret_is_printed() {
        let config = Config::from_environment(variables(&[
            ("GREAM__PICTURES__S3__KEY", "id-of-the-key"),
            ("GREAM__PICTURES__S3__SECRET", "very-secret"),
        ]))
        .unwrap();
        let printed = format!("{config:?}");
        for secret in ["u:p@", "0123456789abcdef", "fedcba98", "000102", "test_sk", "id-of-the-key", "very-secret"] {
            assert!(!printed.contains(secret), "{secret}");
        }
    }
}
