//! What start-up refuses: each rule is a sentence that says what to change.

use super::{Config, Mode, StoreKind};
use crate::{
    database,
    rabbitmq::{self, ManagementPage},
    redis_master,
};
use contracts::PartitionCount;

/// Connections beside the lanes' own: presence, readiness, one to spare.
/// Less than what an API remembers (`MAX_REMEMBERED` in api/src/commands/vanished.rs).
const MOST_UNRESOLVED: usize = 90_000;
const POOL_MARGIN: u32 = 3;
/// Well below what brokers allow on one connection (2047 by default).
const MOST_PUBLISH_CHANNELS: usize = 256;
/// A breaker that looks at more calls than this would notice nothing in time.
const MOST_WINDOW_CALLS: u32 = 100_000;
/// A transaction of more events would hold too many users' counters.
const MOST_EVENTS_TOGETHER: usize = 1_000;
/// Dead letters are kept for thirty days.
const LEAST_KEPT_DAYS: u32 = 31;
/// A tenth of it is the pause between two looks.
const LEAST_VANISHED_AFTER_MS: u64 = 100;
const MIN_SECRET_LENGTH: usize = 32;

/// Every reason not to start with `config`; empty when there is none.
pub(super) fn reasons(config: &Config) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut refuse = |wrong: bool, sentence: &str| {
        if wrong {
            reasons.push(sentence.to_owned());
        }
    };
    missing(config, &mut refuse);
    dangerous(config, &mut refuse);
    contradictory(config, &mut refuse);
    of_accounts(config, &mut refuse);
    of_streams(config, &mut refuse);
    of_audit(config, &mut refuse);
    reasons
}

fn of_streams(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    let Config { notifications, product_streams, .. } = config;
    refuse(
        notifications.batch_max == 0 || notifications.batch_max > MOST_EVENTS_TOGETHER,
        "notifications.batch_max must be between 1 and 1000",
    );
    let pauses = [notifications.session_check_ms, notifications.heartbeat_ms, notifications.send_timeout_ms];
    refuse(
        pauses.contains(&0) || notifications.poll_ms == 0 || product_streams.interval_ms == 0,
        "an interval of notifications or product_streams is 0: streams would do nothing else; set it to 1 ms at least",
    );
    refuse(
        notifications.kept_days < LEAST_KEPT_DAYS,
        "notifications.kept_days is less than 31: a dead letter that is replayed later would notify twice",
    );
}

fn of_audit(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    let scheduler = &config.scheduler;
    refuse(
        scheduler.audit_interval_ms == 0 || scheduler.audit_slice_ms == 0 || scheduler.audit_round_pause_ms < 0,
        "scheduler.audit_interval_ms or audit_slice_ms is 0, or audit_round_pause_ms negative: the audit would do nothing else, or nothing",
    );
    refuse(
        scheduler.audit_slice_ms > config.database.statement_timeout_ms / 2,
        "scheduler.audit_slice_ms is more than half of database.statement_timeout_ms: slices would be cut off before they end",
    );
    refuse(
        config.commands.vanished_after_ms < LEAST_VANISHED_AFTER_MS,
        "commands.vanished_after_ms is less than 100: what a worker has just been given would count as lost",
    );
}

fn missing(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    refuse(config.database.url.expose().is_empty(), "database.url is empty: set GREAM__DATABASE__URL to mysql://…");
    refuse(config.rabbitmq.url.expose().is_empty(), "rabbitmq.url is empty: set GREAM__RABBITMQ__URL to amqp://…");
    let fault = database::fault(&config.database.url).or_else(|| database::fault(&config.database.replica_url));
    refuse(fault.is_some(), fault.unwrap_or_default());
    let fault = rabbitmq::fault(config.rabbitmq.url.expose());
    refuse(fault.is_some(), fault.unwrap_or_default());
    refuse(config.redis.url.expose().is_empty(), "redis.url is empty: set GREAM__REDIS__URL to redis://…");
    let fault = redis_master::fault(config.redis.url.expose());
    refuse(fault.is_some(), fault.unwrap_or_default());
    for (name, secret) in [("jwt_secret", &config.auth.jwt_secret), ("address_secret", &config.auth.address_secret)] {
        refuse(
            secret.expose().len() < MIN_SECRET_LENGTH,
            &format!(
                "auth.{name} is shorter than {MIN_SECRET_LENGTH} characters: set it to a random string (openssl rand -hex 32)"
            ),
        );
    }
    refuse(
        crate::cipher::parse_key(config.account_cipher.key.expose()).is_none(),
        "account_cipher.key is not 64 hexadecimal digits: set it to the output of openssl rand -hex 32",
    );
    refuse(config.toss.secret_key.expose().is_empty(), "toss.secret_key is empty: set GREAM__TOSS__SECRET_KEY");
    let s3 = &config.pictures.s3;
    refuse(
        config.pictures.store == StoreKind::S3
            && (s3.bucket.is_empty() || s3.key.expose().is_empty() || s3.secret.expose().is_empty()),
        "pictures.store is s3, but pictures.s3.bucket, key or secret is empty: set all three",
    );
}

fn dangerous(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    let production = config.mode == Mode::Production;
    refuse(
        production && config.market.sign_up_gift != 0,
        "market.sign_up_gift is set in production: gift points traded to an accomplice are cash; set it to 0, or mode to demo",
    );
    refuse(
        production && !config.clock.offset_file.as_os_str().is_empty(),
        "clock.offset_file is set in production: nobody may move the market's time; leave it empty, or set mode to demo",
    );
    refuse(
        production && !config.toss.base_url.starts_with("https://"),
        "toss.base_url is not https: the secret key would travel in the clear; use https, or set mode to demo",
    );
    refuse(
        config.mode != Mode::Test && !config.test.halt_at.is_empty(),
        "test.halt_at is set outside test mode: it would stop this process on purpose; leave it empty",
    );
    let s3 = &config.pictures.s3;
    refuse(
        config.pictures.store == StoreKind::S3 && s3.endpoint.starts_with("http://") && !s3.speaks_plain_http(),
        "pictures.s3.endpoint is http and not on this machine: vouchers would travel in the clear; use https, or set \
         pictures.s3.allow_http",
    );
    let kakao = [&config.kakao.token_url, &config.kakao.profile_url, &config.kakao.authorize_url];
    refuse(
        production && config.kakao.is_on() && kakao.iter().any(|url| !url.starts_with("https://")),
        "one of kakao.authorize_url, token_url and profile_url is not https: the client secret and people's codes would travel in the clear; use https, or set mode to demo",
    );
    refuse(
        config.auth.jwt_secret == config.auth.address_secret && !config.auth.jwt_secret.expose().is_empty(),
        "auth.jwt_secret and auth.address_secret are equal: an address's signature must not be usable elsewhere; make two",
    );
}

fn contradictory(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    let commands = &config.commands;
    refuse(
        commands.max_unresolved_per_user == 0
            || commands.max_unresolved_per_user > commands.max_unresolved
            || commands.max_unresolved > MOST_UNRESOLVED,
        &format!(
            "commands.max_unresolved_per_user must be between 1 and max_unresolved, and that at most {MOST_UNRESOLVED}: more would \
             not be remembered, and so not be counted"
        ),
    );
    refuse(PartitionCount::new(config.partitions.count).is_none(), "partitions.count must be between 1 and 256");
    let worker = &config.bid_worker;
    refuse(worker.lanes == 0, "bid_worker.lanes is 0: no command would be carried out; use 1 or more");
    refuse(
        worker.lanes > config.partitions.count,
        "bid_worker.lanes is above partitions.count: the lanes beyond it would have nothing to do; use fewer",
    );
    refuse(worker.batch_max == 0 || worker.prefetch == 0, "bid_worker.batch_max and prefetch must be at least 1");
    refuse(worker.max_attempts == 0, "bid_worker.max_attempts must be at least 1");
    refuse(
        config.database.pool_max < u32::from(worker.lanes) + POOL_MARGIN,
        &format!("database.pool_max is too small for bid_worker.lanes: use at least lanes + {POOL_MARGIN}"),
    );
    refuse(
        !(1_000..=60_000).contains(&config.database.replica_max_lag_ms),
        "database.replica_max_lag_ms must be between 1000 and 60000: the lag is looked at twice a second, and remembered for minutes",
    );
    refuse(
        config.database.read_your_writes_ms < config.database.replica_max_lag_ms,
        "database.read_your_writes_ms is below replica_max_lag_ms: a user would not see their own command on a replica that \
         may be that far behind; use at least replica_max_lag_ms",
    );
    refuse(
        config.database.replica_timeout_ms == 0
            || config.database.replica_timeout_ms > config.database.statement_timeout_ms,
        "database.replica_timeout_ms must lie between 1 and statement_timeout_ms: the primary must be asked in time",
    );
    refuse(
        config.payment_worker.ladder().is_none(),
        "payment_worker.ladder_ms must be numbers between 100 and 86400000, comma separated",
    );
    let breaker = &config.payment_worker;
    refuse(
        !(1..=MOST_WINDOW_CALLS).contains(&breaker.breaker_window_calls)
            || !(1..=breaker.breaker_window_calls).contains(&breaker.breaker_min_calls)
            || !(1..=100).contains(&breaker.breaker_failure_percent)
            || [breaker.breaker_slow_call_ms, breaker.breaker_pause_ms].contains(&0),
        "payment_worker.breaker_… makes no sense: breaker_min_calls must lie between 1 and breaker_window_calls, that \
         between 1 and 100000, breaker_failure_percent between 1 and 100, and no time may be 0",
    );
    let pictures = &config.pictures;
    refuse(
        pictures.max_decoding == 0 || !(1..=1_000).contains(&pictures.max_megapixels),
        "pictures.max_decoding must be at least 1, and pictures.max_megapixels between 1 and 1000",
    );
    refuse(
        config.scheduler.sweep_interval_ms == 0 || !(1..=10_000).contains(&config.scheduler.sweep_batch_max),
        "scheduler.sweep_interval_ms must be at least 1, and sweep_batch_max between 1 and 10000",
    );
    refuse(config.scheduler.sweep_grace_ms < 0, "scheduler.sweep_grace_ms must be 0 or more");
    let page = config.monitor.rabbitmq_page.expose();
    refuse(
        config.monitor.interval_ms == 0 || !(page.is_empty() || ManagementPage::at(page, "gream").is_ok()),
        "monitor.interval_ms must be at least 1, and rabbitmq_page empty or written as http://user:password@host:port",
    );
    refuse(
        !(1..=MOST_PUBLISH_CHANNELS).contains(&config.rabbitmq.publish_channels),
        &format!("rabbitmq.publish_channels must be between 1 and {MOST_PUBLISH_CHANNELS}"),
    );
    refuse(
        config.market.min_price < 1 || config.market.max_price < config.market.min_price,
        "market.min_price and max_price must be at least 1, and in order",
    );
    refuse(
        config.market.max_price > 1_000_000_000_000,
        "market.max_price is above 10^12 won: sums of such prices could leave the range of 64 bits; use less",
    );
    refuse(config.market.fee_per_mille > 1000, "market.fee_per_mille is above 1000: a fee cannot exceed the price");
    refuse(
        config.market.default_period_days == 0 || config.market.default_period_days > config.market.max_period_days,
        "market.default_period_days must lie between 1 and max_period_days",
    );
    refuse(
        u64::from(config.database.session_wait_timeout_s) * 1000 <= config.database.statement_timeout_ms,
        "database.session_wait_timeout_s must be longer than statement_timeout_ms, or the server ends running work",
    );
}

fn of_accounts(config: &Config, refuse: &mut impl FnMut(bool, &str)) {
    refuse(
        config.http.proxies().is_none(),
        "http.trusted_proxies must be addresses or networks such as 10.0.0.0/8, comma separated",
    );
    refuse(
        config.kakao.is_on() && config.kakao.redirect_uri.is_empty(),
        "kakao.redirect_uri is empty: set it to the address that is registered at Kakao, or leave kakao.client_id empty",
    );
    let limits = &config.rate_limits;
    let counts = [limits.logins_per_address, limits.logins_per_account, limits.sign_ups_per_address];
    refuse(
        counts.contains(&0)
            || [limits.sign_ups_per_login_id, limits.login_window_s, limits.sign_up_window_s].contains(&0),
        "one of rate_limits is 0: nobody could log in or sign up; use 1 or more (a large number where it should not limit)",
    );
    refuse(
        [limits.webhook_window_s, limits.webhooks_per_address, limits.webhooks_per_order, limits.webhooks_in_all]
            .contains(&0),
        "one of rate_limits.webhook… is 0: nobody would hear of deposits; use 1 or more",
    );
}
