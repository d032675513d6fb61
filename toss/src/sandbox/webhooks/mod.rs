//! Webhooks: what the sandbox tells the merchant of its own accord.
//!
//! `PAYMENT_STATUS_CHANGED` goes out when a payment becomes `DONE`, `ABORTED`, `EXPIRED`, `CANCELED` or
//! `PARTIAL_CANCELED`; `DEPOSIT_CALLBACK` when a virtual account's becomes `DONE` or either kind of cancelled, or falls
//! back to `WAITING_FOR_DEPOSIT`. So a deposit is told of twice, once in either form. What is not answered with 200 in
//! time is sent again 1, 4, 16, 64, 256, 1024 and 4096 minutes later, by the injected clock; `minute_ms` says how long
//! such a minute is. The headers are `tosspayments-webhook-transmission-id`, `-time` and `-retried-count`.
//!
//! Promises: a bounded queue and a bounded number under way; every webhook ends in a count: answered, given up, lost
//! (by a fault) or dropped (for want of room).
//! Doesn't: keep an order, or survive a restart: target and queue are gone then, and whoever hears nothing has to ask,
//! as with the real ones.

mod deliver;
mod event;

pub(super) use deliver::deliver;
pub(super) use event::events;

use super::{
    carry_out::random_key,
    fault::{Fault, WebhookFault},
};
use contracts::UnixMs;
use reqwest::{Client, Url};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// Webhooks that wait to be sent, or sent again. Another one is dropped.
pub const MAX_PENDING: usize = 10_000;
/// Webhooks under way at once.
pub const MAX_UNDER_WAY: usize = 8;
/// Webhooks that wait this many minutes after each attempt that failed; after the last one they are given up.
pub const RETRY_MINUTES: [i64; 7] = [1, 4, 16, 64, 256, 1_024, 4_096];
/// The longest that an answer can be waited for.
pub const MAX_ANSWER_WITHIN_MS: u64 = 60_000;
/// A minute is never longer than one.
const WHOLE_MINUTE_MS: i64 = 60_000;

/// Where webhooks go, and how patiently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// The merchant's address.
    pub url: String,
    /// How long a minute of the retries is; tests make it short.
    #[serde(default = "whole_minute")]
    pub minute_ms: i64,
    /// How long an answer is waited for.
    #[serde(default = "ten_seconds")]
    pub answer_within_ms: u64,
}

impl WebhookOptions {
    /// To this address, as patiently as Toss.
    pub fn to(url: String) -> Self {
        Self { url, minute_ms: whole_minute(), answer_within_ms: ten_seconds() }
    }
}

fn whole_minute() -> i64 {
    WHOLE_MINUTE_MS
}

fn ten_seconds() -> u64 {
    10_000
}

/// Why webhooks cannot be sent like that.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWebhooks {
    /// It is no address.
    #[error("webhooks go to an http or https address")]
    Url,
    /// The times are out of bounds.
    #[error("minute_ms is from 0 to {WHOLE_MINUTE_MS}, answer_within_ms from 1 to {MAX_ANSWER_WITHIN_MS}")]
    Times,
    /// reqwest would panic without one.
    #[error("no TLS provider is installed; call rustls::crypto::ring::default_provider().install_default() first")]
    NoTlsProvider,
    /// The HTTP library refused.
    #[error("the HTTP client for webhooks could not be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Where webhooks go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    url: Url,
    http: Client,
    options: WebhookOptions,
}

impl Target {
    fn new(options: WebhookOptions) -> Result<Self, InvalidWebhooks> {
        let url =
            Url::parse(&options.url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or(InvalidWebhooks::Url)?;
        let times_are_fine = (0..=WHOLE_MINUTE_MS).contains(&options.minute_ms)
            && (1..=MAX_ANSWER_WITHIN_MS).contains(&options.answer_within_ms);
        if !times_are_fine {
            return Err(InvalidWebhooks::Times);
        }
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            return Err(InvalidWebhooks::NoTlsProvider);
        }
        let http = Client::builder()
            .timeout(Duration::from_millis(options.answer_within_ms))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()?;
        Ok(Self { url, http, options })
    }
}

/// One webhook on its way.
#[derive(Clone, Debug)]
pub(super) struct Transmission {
    number: u64,
    id: String,
    body: String,
    made_at: UnixMs,
    retried: usize,
}

/// What became of the webhooks.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counts {
    /// Webhooks that were due, before any fault.
    made: u64,
    attempts: u64,
    answered: u64,
    failed_attempts: u64,
    given_up: u64,
    dropped: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
}

/// Every webhook that has not ended.
#[derive(Debug, Default)]
pub(super) struct Webhooks {
    target: Option<Target>,
    /// By when they are due, then by number.
    pending: BTreeMap<(UnixMs, u64), Transmission>,
    /// Those among them that wait for one after them to be sent.
    held_back: Vec<(UnixMs, u64)>,
    under_way: usize,
    numbered: u64,
    counts: Counts,
}

impl Webhooks {
    pub(super) fn send_to(&mut self, options: WebhookOptions) -> Result<(), InvalidWebhooks> {
        self.target = Some(Target::new(options)?);
        Ok(())
    }

    /// No more of them, and what waits is forgotten.
    pub(super) fn stop(&mut self) {
        self.target = None;
        self.pending.clear();
        self.held_back.clear();
    }

    pub(super) fn are_wanted(&self) -> bool {
        self.target.is_some()
    }

    pub(super) fn show(&self) -> Value {
        let target = self.target.as_ref().map(|target| &target.options);
        let pending = self.pending.len();
        json!({"target": target, "pending": pending, "under_way": self.under_way, "counts": self.counts})
    }

    /// Takes a webhook in, and what a fault makes of it.
    pub(super) fn queue(&mut self, body: String, fault: Option<&Fault>, now: UnixMs) {
        self.counts.made += 1;
        let transmission = Transmission { number: 0, id: random_key("whtrans"), body, made_at: now, retried: 0 };
        match fault {
            Some(Fault::Webhook { webhook: WebhookFault::Loss }) => self.counts.lost += 1,
            Some(Fault::Webhook { webhook: WebhookFault::Duplicate }) => {
                self.counts.duplicated += 1;
                self.push(transmission.clone(), now);
                self.push(transmission, now);
            }
            Some(Fault::Webhook { webhook: WebhookFault::Reorder }) => {
                self.counts.reordered += 1;
                let minute_ms = self.target.as_ref().map_or(0, |target| target.options.minute_ms);
                let key = self.push(transmission, now.plus_ms(minute_ms));
                self.held_back.extend(key);
            }
            _ => {
                self.push(transmission, now);
            }
        }
    }

    fn push(&mut self, transmission: Transmission, due: UnixMs) -> Option<(UnixMs, u64)> {
        self.numbered += 1;
        self.put(Transmission { number: self.numbered, ..transmission }, due)
    }

    fn put(&mut self, transmission: Transmission, due: UnixMs) -> Option<(UnixMs, u64)> {
        if self.pending.len() >= MAX_PENDING {
            self.counts.dropped += 1;
            tracing::warn!(pending = MAX_PENDING, "the Toss sandbox drops a webhook: too many are pending");
            return None;
        }
        let key = (due, transmission.number);
        self.pending.insert(key, transmission);
        Some(key)
    }

    /// The next one that is due, for whoever sends it and then calls [`Webhooks::settle`].
    pub(super) fn next_due(&mut self, now: UnixMs) -> Option<(Target, Transmission)> {
        if self.under_way >= MAX_UNDER_WAY {
            return None;
        }
        let target = self.target.clone()?;
        let entry = self.pending.first_entry().filter(|entry| entry.key().0 <= now)?;
        self.under_way += 1;
        self.counts.attempts += 1;
        Some((target, entry.remove()))
    }

    /// An attempt has ended, with 200 or otherwise.
    pub(super) fn settle(&mut self, mut transmission: Transmission, is_answered: bool, now: UnixMs) {
        self.under_way = self.under_way.saturating_sub(1);
        self.release(transmission.number, now);
        if is_answered {
            self.counts.answered += 1;
            return;
        }
        self.counts.failed_attempts += 1;
        let minute_ms = self.target.as_ref().map_or(0, |target| target.options.minute_ms);
        match RETRY_MINUTES.get(transmission.retried) {
            Some(minutes) => {
                transmission.retried += 1;
                self.put(transmission, now.plus_ms(minutes * minute_ms));
            }
            None => self.counts.given_up += 1,
        }
    }

    /// Webhook `number` was sent: those before it that were held back for it may go.
    fn release(&mut self, number: u64, now: UnixMs) {
        let (released, held_back) = self.held_back.drain(..).partition(|(_, held)| *held < number);
        self.held_back = held_back;
        let released: Vec<(UnixMs, u64)> = released;
        for key in released {
            if let Some(transmission) = self.pending.remove(&key) {
                self.pending.insert((now, key.1), transmission);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webhooks() -> Webhooks {
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut webhooks = Webhooks::default();
        let url = "http://127.0.0.1:9/hook".to_owned();
        webhooks.send_to(WebhookOptions { url, minute_ms: 1_000, answer_within_ms: 10_000 }).unwrap();
        webhooks
    }

    #[test]
    fn the_queue_is_bounded_and_drops_are_counted() {
        let mut webhooks = webhooks();
        (0..=MAX_PENDING).for_each(|_| webhooks.queue(String::new(), None, UnixMs(0)));
        let shown = webhooks.show();
        assert_eq!((&shown["pending"], &shown["counts"]["dropped"]), (&json!(MAX_PENDING), &json!(1)));
    }

    #[test]
    fn no_more_are_under_way_than_allowed() {
        let mut webhooks = webhooks();
        (0..20).for_each(|_| webhooks.queue(String::new(), None, UnixMs(0)));
        let taken: Vec<_> = std::iter::from_fn(|| webhooks.next_due(UnixMs(0))).collect();
        assert_eq!(taken.len(), MAX_UNDER_WAY);
        webhooks.settle(taken.into_iter().next().unwrap().1, true, UnixMs(0));
        assert!(webhooks.next_due(UnixMs(0)).is_some() && webhooks.next_due(UnixMs(0)).is_none());
    }

    #[test]
    fn retries_come_at_their_minutes_and_end() {
        let mut webhooks = webhooks();
        webhooks.queue(String::new(), None, UnixMs(0));
        let mut now = UnixMs(0);
        for (retried, minutes) in RETRY_MINUTES.into_iter().enumerate() {
            let (_, transmission) = webhooks.next_due(now).unwrap();
            assert_eq!(transmission.retried, retried);
            webhooks.settle(transmission, false, now);
            now = now.plus_ms(minutes * 1_000);
            assert!(webhooks.next_due(now.plus_ms(-1)).is_none());
        }
        let (_, last) = webhooks.next_due(now).unwrap();
        assert_eq!(last.retried, RETRY_MINUTES.len());
        webhooks.settle(last, false, now);
        assert_eq!(webhooks.show()["pending"], 0);
        assert_eq!(webhooks.show()["counts"]["given_up"], 1);
    }

    #[test]
    fn one_that_is_held_back_goes_after_the_next_or_after_a_minute() {
        let reorder = Fault::Webhook { webhook: WebhookFault::Reorder };
        let mut webhooks = webhooks();
        webhooks.queue("first".to_owned(), Some(&reorder), UnixMs(0));
        assert!(webhooks.next_due(UnixMs(0)).is_none());
        webhooks.queue("second".to_owned(), None, UnixMs(0));
        let (_, second) = webhooks.next_due(UnixMs(0)).unwrap();
        assert!(second.body == "second" && webhooks.next_due(UnixMs(0)).is_none());
        webhooks.settle(second, false, UnixMs(0));
        assert_eq!(webhooks.next_due(UnixMs(0)).unwrap().1.body, "first");
        webhooks.stop();
        webhooks.target = self::webhooks().target;
        webhooks.queue("alone".to_owned(), Some(&reorder), UnixMs(0));
        assert_eq!(webhooks.next_due(UnixMs(1_000)).unwrap().1.body, "alone");
    }

    #[test]
    fn a_target_that_cannot_be_is_refused() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let refused = |url: &str, minute_ms, answer_within_ms| {
            let options = WebhookOptions { url: url.to_owned(), minute_ms, answer_within_ms };
            Webhooks::default().send_to(options).is_err()
        };
        assert!(refused("ftp://host/", 1, 1) && refused("nonsense", 1, 1));
        assert!(refused("http://host/", -1, 1) && refused("http://host/", 60_001, 1) && refused("http://host/", 1, 0));
        assert!(!refused("http://host/", 0, 1));
    }
}
