//! The sections of the configuration, as plain values. `default.toml` says what each key means.
#![allow(missing_docs, reason = "default.toml documents each key, and `gream config` prints it")]

use crate::secret::Secret;
use ipnet::IpNet;
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

macro_rules! section {
    ($name:ident { $($field:ident: $kind:ty),* $(,)? }) => {
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $(pub $field: $kind,)* }
    };
}

/// What kind of installation this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    Production,
    Demo,
    Test,
}

section!(DatabaseConfig {
    url: Secret,
    pool_max: u32,
    acquire_timeout_ms: u64,
    statement_timeout_ms: u64,
    session_wait_timeout_s: u32,
    lock_wait_timeout_s: u32,
    replica_url: Secret,
    replica_max_lag_ms: u64,
    replica_timeout_ms: u64,
    read_your_writes_ms: u64,
});
section!(RabbitConfig {
    url: Secret,
    heartbeat_s: u16,
    connect_timeout_ms: u64,
    publish_channels: usize,
    publish_timeout_ms: u64,
});
section!(RedisConfig { url: Secret, timeout_ms: u64 });
section!(PartitionsConfig { count: u16 });
section!(HttpConfig {
    listen: SocketAddr,
    public_url: String,
    cors_origins: String,
    json_body_limit_bytes: usize,
    request_timeout_ms: u64,
    max_in_flight: usize,
    bid_wait_ms: u64,
    payment_wait_ms: u64,
    payment_success_url: String,
    payment_fail_url: String,
    trusted_proxies: String,
});
section!(AdminConfig { listen: SocketAddr });
section!(AuthConfig {
    jwt_secret: Secret,
    address_secret: Secret,
    access_token_minutes: u32,
    refresh_token_days: u32,
    max_password_hashes: usize,
});
section!(KakaoConfig {
    client_id: String,
    client_secret: Secret,
    redirect_uri: String,
    authorize_url: String,
    token_url: String,
    profile_url: String,
    connect_timeout_ms: u64,
    read_timeout_ms: u64,
});
section!(RateLimitsConfig {
    login_window_s: u64,
    logins_per_address: u64,
    logins_per_account: u64,
    sign_up_window_s: u64,
    sign_ups_per_address: u64,
    sign_ups_per_login_id: u64,
    webhook_window_s: u64,
    webhooks_per_address: u64,
    webhooks_per_order: u64,
    webhooks_in_all: u64,
});
section!(AccountCipherConfig { key: Secret });
section!(TossConfig {
    base_url: String,
    secret_key: Secret,
    connect_timeout_ms: u64,
    read_timeout_ms: u64,
    confirm_window_ms: i64,
});
section!(PicturesConfig {
    store: StoreKind,
    folder: PathBuf,
    max_bytes: usize,
    max_megapixels: u32,
    max_decoding: usize,
    barcode_required: bool,
    s3: S3Config,
});
section!(S3Config {
    endpoint: String,
    bucket: String,
    region: String,
    key: Secret,
    secret: Secret,
    path_style: bool,
    allow_http: bool,
});
section!(MarketConfig {
    min_price: i64,
    max_price: i64,
    default_period_days: u32,
    max_period_days: u32,
    max_open_bids_per_user_and_product: u32,
    fee_per_mille: u32,
    sign_up_gift: i64,
});
section!(CommandsConfig {
    instant_valid_ms: i64,
    bid_valid_ms: i64,
    accepted_at_skew_ms: i64,
    vanished_after_ms: u64,
    max_unresolved: usize,
    max_unresolved_per_user: usize,
});
section!(BidWorkerConfig {
    lanes: u16,
    batch_max: usize,
    linger_ms: u64,
    prefetch: u16,
    max_attempts: u32,
    presence_interval_ms: u64,
});
section!(PaymentWorkerConfig {
    prefetch: u16,
    ladder_ms: String,
    breaker_window_calls: u32,
    breaker_min_calls: u32,
    breaker_failure_percent: u32,
    breaker_slow_call_ms: u64,
    breaker_pause_ms: u64,
});
section!(SchedulerConfig {
    interval_ms: u64,
    batch_max: u32,
    max_commands_per_s: u32,
    prices_interval_ms: u64,
    sweep_interval_ms: u64,
    sweep_batch_max: usize,
    sweep_grace_ms: i64,
    clean_up_interval_ms: u64,
    charges_interval_ms: u64,
    stuck_after_ms: i64,
    deposit_look_ms: i64,
    compare_interval_ms: u64,
    compare_pace_ms: u64,
    audit_interval_ms: u64,
    audit_slice_ms: u64,
    audit_round_pause_ms: i64,
});
section!(MonitorConfig { interval_ms: u64, rabbitmq_page: Secret });
section!(RelayConfig { interval_ms: u64, batch_max: u32 });
section!(NotificationsConfig {
    batch_max: usize,
    kept_days: u32,
    stream_length_max: usize,
    stream_kept_s: u64,
    streams_per_user: usize,
    streams_per_process: usize,
    session_check_ms: u64,
    heartbeat_ms: u64,
    send_timeout_ms: u64,
    poll_ms: u64,
    expiring_days: u32,
    expiring_interval_ms: u64,
});
section!(ProductStreamsConfig { interval_ms: u64, levels: u32, products_max: usize, streams_max: usize });
section!(ClockConfig { offset_file: PathBuf });
section!(TelemetryConfig {
    log_format: LogFormat,
    log_filter: String,
    otlp_endpoint: String,
    otlp_sample_ratio: f64,
    otlp_timeout_ms: u64
});
section!(TestConfig { halt_at: String, halt_file: PathBuf });
section!(ShutdownConfig { grace_ms: u64, announce_ms: u64 });

impl HttpConfig {
    /// The configured origins, one by one.
    pub fn origins(&self) -> impl Iterator<Item = &str> {
        self.cors_origins.split(',').map(str::trim).filter(|origin| !origin.is_empty())
    }

    /// The networks of the configured proxies; `None` when one of them is no address.
    pub fn proxies(&self) -> Option<Vec<IpNet>> {
        let proxies = self.trusted_proxies.split(',').map(str::trim).filter(|proxy| !proxy.is_empty());
        proxies.map(|proxy| proxy.parse().or_else(|_| proxy.parse::<IpAddr>().map(IpNet::from)).ok()).collect()
    }
}

impl KakaoConfig {
    /// Whether people can log in by Kakao.
    pub fn is_on(&self) -> bool {
        !self.client_id.is_empty()
    }
}

impl S3Config {
    /// Whether the endpoint is asked without TLS: on this machine, or because somebody said so.
    pub fn speaks_plain_http(&self) -> bool {
        self.endpoint.starts_with("http://") && (self.allow_http || self.is_on_this_machine())
    }

    /// Whether the endpoint is a loopback address.
    pub fn is_on_this_machine(&self) -> bool {
        let host = self.endpoint.strip_prefix("http://").unwrap_or_default();
        let host = host.split('/').next().unwrap_or_default();
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let loopback = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        !host.contains('@') && (name == "localhost" || loopback)
    }

    /// For people: where the bucket is.
    pub fn endpoint_or_region(&self) -> &str {
        if self.endpoint.is_empty() { &self.region } else { &self.endpoint }
    }
}

impl PaymentWorkerConfig {
    /// The retry ladder's steps in milliseconds; `None` when one of them is no number that makes sense.
    pub fn ladder(&self) -> Option<Vec<u32>> {
        let steps: Option<Vec<u32>> = self.ladder_ms.split(',').map(|step| step.trim().parse().ok()).collect();
        steps.filter(|steps| steps.iter().all(|step| (100..=86_400_000).contains(step)))
    }
}

/// What keeps the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    Folder,
    S3,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Human,
    Json,
}
