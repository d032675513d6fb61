//! How often one may try to log in or to sign up, by address and by account, and how many webhooks are looked into;
//! counted over all API instances.
//!
//! Promises: what an address is refused counts against nobody's account; an account that does not exist is limited like one that does; whoever storms an account with wrong passwords
//! does not lock out its owner where they have logged in before, and nobody for longer than a window.
//! Doesn't: show Redis an address or a login id; its keys are keyed hashes.

use crate::{client_address::ClientAddress, context::Api, envelope::Failure};
use platform::counters::Window;
use std::time::Duration;

const PURPOSE: &str = "gream rate limit v1";
/// Where somebody logged in, their own tries are counted apart from everybody else's for so long.
const KNOWN_FOR: Duration = Duration::from_hours(30 * 24);

/// One limit: what is counted, and how many are served.
struct Limit {
    window: Window,
    most: u64,
}

impl Api {
    /// Counts a login; 429 when there were too many.
    pub(crate) async fn count_login(&self, client: ClientAddress, login_id: &str) -> Result<(), Failure> {
        let limits = &self.config.rate_limits;
        let length = Duration::from_secs(limits.login_window_s);
        let network = client.network().to_string();
        let of_account = if self.counters.is_noted(&self.known_key(client, login_id)).await {
            self.limit(&["login from a known address", login_id, &network], length, limits.logins_per_account)
        } else {
            self.limit(&["login to", login_id], length, limits.logins_per_account)
        };
        let of_address = self.limit(&["login from", &network], length, limits.logins_per_address);
        self.count("login", [of_address, of_account]).await
    }

    /// The password was right: this address is the owner's.
    pub(crate) async fn know_address(&self, client: ClientAddress, login_id: &str) {
        self.counters.note(&self.known_key(client, login_id), KNOWN_FOR).await;
    }

    /// Counts a login by Kakao, whose account is not known yet.
    pub(crate) async fn count_kakao_login(&self, client: ClientAddress) -> Result<(), Failure> {
        let limits = &self.config.rate_limits;
        let (length, network) = (Duration::from_secs(limits.login_window_s), client.network().to_string());
        self.count("kakao", [self.limit(&["login from", &network], length, limits.logins_per_address)]).await
    }

    /// Counts a sign-up; 429 when there were too many.
    pub(crate) async fn count_sign_up(&self, client: ClientAddress, login_id: &str) -> Result<(), Failure> {
        let limits = &self.config.rate_limits;
        let (length, network) = (Duration::from_secs(limits.sign_up_window_s), client.network().to_string());
        let of_address = self.limit(&["sign-up from", &network], length, limits.sign_ups_per_address);
        let of_login_id = self.limit(&["sign-up as", login_id], length, limits.sign_ups_per_login_id);
        self.count("sign_up", [of_address, of_login_id]).await
    }

    /// Counts a webhook; 429 when there were too many, and Toss sends it again later.
    pub(crate) async fn count_webhook(&self, client: ClientAddress) -> Result<(), Failure> {
        let limits = &self.config.rate_limits;
        let (length, network) = (Duration::from_secs(limits.webhook_window_s), client.network().to_string());
        self.count("webhook", [self.limit(&["webhook from", &network], length, limits.webhooks_per_address)]).await
    }

    /// Counts a new webhook about a charge of ours, which costs a look-up at Toss. Those that are proven to be Toss's are
    /// counted apart, so that nobody else's use up what they are served.
    pub(crate) async fn count_webhook_about(&self, order_id: &str, is_proven: bool) -> Result<(), Failure> {
        let limits = &self.config.rate_limits;
        let length = Duration::from_secs(limits.webhook_window_s);
        if is_proven {
            let of_order = self.limit(&["proven webhook about", order_id], length, limits.webhooks_per_order);
            return self.count("webhook", [of_order]).await;
        }
        let of_order = self.limit(&["webhook about", order_id], length, limits.webhooks_per_order);
        let of_all = self.limit(&["webhook"], length, limits.webhooks_in_all);
        self.count("webhook", [of_order, of_all]).await
    }

    /// In order: what one limit refuses is not counted against the next.
    async fn count<const N: usize>(&self, what: &'static str, limits: [Limit; N]) -> Result<(), Failure> {
        for Limit { window, most } in limits {
            let counts = self.counters.add(&[window]).await;
            if let Some(passed) = counts.iter().find(|count| count.times > most) {
                metrics::counter!("gream_rate_limited_total", "what" => what).increment(1);
                return Err(Failure::too_many(passed.ends_in));
            }
        }
        Ok(())
    }

    fn limit(&self, parts: &[&str], length: Duration, most: u64) -> Limit {
        Limit { window: Window { key: self.key(parts), length }, most }
    }

    fn known_key(&self, client: ClientAddress, login_id: &str) -> String {
        self.key(&["known", login_id, &client.network().to_string()])
    }

    fn key(&self, parts: &[&str]) -> String {
        format!("gream:limit:{}", self.signer.sign(PURPOSE, parts))
    }
}
