//! Faults on request: which call, how often, and what goes wrong.
//!
//! Promises: of the faults that fit a call, the oldest strikes; it is used up by one, and what it struck is counted.
//! Doesn't: carry them out ([`super::carry_out`], [`super::webhooks`]), or draw any at random ([`super::mix`]).

use super::call::Endpoint;
use serde::{Deserialize, Serialize};

/// More faults than this cannot be pending at once.
pub const MAX_FAULTS: usize = 1_000;
/// The longest delay or hang.
pub const MAX_WAIT_MS: u64 = 600_000;
/// How much more often than once a duplicated call arrives, at most.
pub const MAX_DUPLICATES: u32 = 10;

/// What `POST /sandbox/faults` takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    /// Which calls it strikes.
    #[serde(rename = "match")]
    pub matching: Matching,
    /// How many of them.
    #[serde(default = "once")]
    pub times: u32,
    /// What happens to them.
    pub fault: Fault,
}

fn once() -> u32 {
    1
}

/// Which calls a fault strikes: those that fit everything that is said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Matching {
    /// `confirm`, `cancel`, `payment` for look-ups by key and by order, `transactions`, or `webhook`.
    pub path: FaultPath,
    /// Only this order's payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Only this payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_key: Option<String>,
}

/// What can be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultPath {
    /// Confirms.
    Confirm,
    /// Cancels.
    Cancel,
    /// Look-ups.
    Payment,
    /// Listings of transactions. They are nobody's in particular: an order or payment named beside it never fits.
    Transactions,
    /// Webhooks on their way to the merchant.
    Webhook,
}

impl From<Endpoint> for FaultPath {
    fn from(endpoint: Endpoint) -> Self {
        match endpoint {
            Endpoint::Confirm => FaultPath::Confirm,
            Endpoint::Cancel => FaultPath::Cancel,
            Endpoint::Payment | Endpoint::Order => FaultPath::Payment,
            Endpoint::Transactions => FaultPath::Transactions,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Fault {
    /// Carried out and answered, that much later; also when the caller has left meanwhile.
    Delay {
        /// How much later.
        delay_ms: u64,
    },
    /// Carried out at once, then silence for so long, then the connection is reset.
    Hang {
        /// How long.
        hang_ms: u64,
    },
    /// The connection is reset, without an answer.
    Reset {
        /// Before or after it is carried out.
        reset: When,
    },
    /// An answer of this HTTP status without a code, as a gateway would send it. Not bound to the idempotency key:
    /// asked again, the effect (if there was one) answers for itself.
    Status {
        /// The status.
        status: u16,
        /// Whether it is carried out nevertheless.
        #[serde(default)]
        effect: bool,
        /// Sent as `Retry-After`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_s: Option<u32>,
    },
    /// An error of Toss's. Below status 500 it is bound to the idempotency key, like any of Toss's own, unless it refuses
    /// the API key. On a confirm that is not carried out, a code that is final aborts the payment.
    Code {
        /// The code.
        code: String,
        /// The HTTP status.
        #[serde(default = "bad_request")]
        http: u16,
        /// Whether it is carried out nevertheless.
        #[serde(default)]
        effect: bool,
    },
    /// Carried out and answered with amounts that are wrong by so much (a listing's in its first transaction). The
    /// right answer is the one bound to the idempotency key.
    WrongAmount {
        /// Won too many; negative: too few.
        wrong_amount: i64,
    },
    /// The call arrives so many times more, as from a proxy that repeats what it thinks lost; the last one is answered.
    /// Under an idempotency key nothing happens twice. Without one a partial cancel gives back again.
    Duplicate {
        /// How many times more.
        duplicates: u32,
    },
    /// Something happens to a webhook. Only with the path `webhook`.
    Webhook {
        /// What.
        webhook: WebhookFault,
    },
}

/// What happens to a webhook on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WebhookFault {
    /// It is sent twice, under one transmission id.
    Duplicate,
    /// It is sent after the one that follows it; after a minute (of the webhooks' own), if none does.
    Reorder,
    /// It is never sent.
    Loss,
}

fn bad_request() -> u16 {
    400
}

/// Relative to the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Without it.
    Before,
    /// With it.
    After,
}

impl Fault {
    /// Why this fault cannot be had at `path`, for whoever asked for it.
    pub(super) fn objection(&self, path: FaultPath) -> Option<String> {
        match self {
            Fault::Webhook { .. } if path != FaultPath::Webhook => {
                Some("a webhook's fault needs path webhook".to_owned())
            }
            Fault::Webhook { .. } => None,
            _ if path == FaultPath::Webhook => {
                Some("at path webhook: {\"webhook\": duplicate, reorder or loss}".to_owned())
            }
            Fault::Delay { delay_ms: ms } | Fault::Hang { hang_ms: ms } if *ms > MAX_WAIT_MS => {
                Some(format!("at most {MAX_WAIT_MS} ms"))
            }
            Fault::Status { status: http, .. } | Fault::Code { http, .. } if !(400..=599).contains(http) => {
                Some("a status from 400 to 599".to_owned())
            }
            Fault::Duplicate { duplicates } if !(1..=MAX_DUPLICATES).contains(duplicates) => {
                Some(format!("from 1 to {MAX_DUPLICATES} duplicates"))
            }
            _ => None,
        }
    }

    /// What it is called where nobody gave it a name.
    pub(super) fn name(&self) -> String {
        match self {
            Fault::Delay { .. } => "delay".to_owned(),
            Fault::Hang { .. } => "hang".to_owned(),
            Fault::Reset { reset: When::Before } => "reset_before".to_owned(),
            Fault::Reset { reset: When::After } => "reset_after".to_owned(),
            Fault::Status { status, effect: false, .. } => format!("status_{status}"),
            Fault::Status { status, effect: true, .. } => format!("status_{status}_with_effect"),
            Fault::Code { code, effect: false, .. } => code.clone(),
            Fault::Code { code, effect: true, .. } => format!("{code}_with_effect"),
            Fault::WrongAmount { .. } => "wrong_amount".to_owned(),
            Fault::Duplicate { .. } => "duplicate".to_owned(),
            Fault::Webhook { webhook: WebhookFault::Duplicate } => "webhook_duplicate".to_owned(),
            Fault::Webhook { webhook: WebhookFault::Reorder } => "webhook_reorder".to_owned(),
            Fault::Webhook { webhook: WebhookFault::Loss } => "webhook_loss".to_owned(),
        }
    }

    /// An answer that is bound to its key stays what it is; only the connection and the way back can still fail.
    pub(super) fn spares_replays(&self) -> bool {
        matches!(self, Fault::Code { .. })
    }
}

/// A fault that was asked for, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Pending {
    id: u64,
    /// How many calls it has struck.
    struck: u32,
    #[serde(flatten)]
    request: FaultRequest,
}

/// What is known of a call before it is carried out.
pub(super) struct Target<'a> {
    pub(super) path: FaultPath,
    pub(super) order_id: Option<&'a str>,
    pub(super) payment_key: Option<&'a str>,
    /// The idempotency key has its answer already: only the connection can still fail.
    pub(super) is_replay: bool,
}

/// The faults that were asked for; spent ones stay visible until they are cleared.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pending: Vec<Pending>,
    asked: u64,
}

impl Faults {
    /// `None` when there are [`MAX_FAULTS`] that still wait for a call.
    pub(super) fn add(&mut self, request: FaultRequest) -> Option<u64> {
        if self.pending.len() >= MAX_FAULTS {
            self.pending.retain(|pending| pending.struck < pending.request.times);
        }
        if self.pending.len() >= MAX_FAULTS {
            return None;
        }
        self.asked += 1;
        self.pending.push(Pending { id: self.asked, struck: 0, request });
        Some(self.asked)
    }

    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    pub(super) fn list(&self) -> &[Pending] {
        &self.pending
    }

    /// The oldest fault that strikes this call, if any; it is used up by one.
    pub(super) fn strike(&mut self, target: &Target<'_>) -> Option<Fault> {
        let pending = self.pending.iter_mut().find(|pending| pending.strikes(target))?;
        pending.struck += 1;
        Some(pending.request.fault.clone())
    }
}

impl Pending {
    fn strikes(&self, target: &Target<'_>) -> bool {
        let matching = &self.request.matching;
        let same = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        self.struck < self.request.times
            && matching.path == target.path
            && same(&matching.order_id, target.order_id)
            && same(&matching.payment_key, target.payment_key)
            && !(target.is_replay && self.request.fault.spares_replays())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_the_request_is_read() {
        let read = |fault| serde_json::from_value::<Fault>(fault);
        assert_eq!(read(json!({"delay_ms": 5})).unwrap(), Fault::Delay { delay_ms: 5 });
        assert_eq!(read(json!({"hang_ms": 5})).unwrap(), Fault::Hang { hang_ms: 5 });
        assert_eq!(read(json!({"reset": "after"})).unwrap(), Fault::Reset { reset: When::After });
        let gateway = Fault::Status { status: 500, effect: true, retry_after_s: None };
        assert_eq!(read(json!({"status": 500, "effect": true})).unwrap(), gateway);
        assert_eq!(read(json!({"wrong_amount": -5})).unwrap(), Fault::WrongAmount { wrong_amount: -5 });
        assert_eq!(read(json!({"duplicates": 2})).unwrap(), Fault::Duplicate { duplicates: 2 });
        assert_eq!(read(json!({"webhook": "loss"})).unwrap(), Fault::Webhook { webhook: WebhookFault::Loss });
        let code = Fault::Code { code: "PROVIDER_ERROR".to_owned(), http: 400, effect: false };
        assert_eq!(read(json!({"code": "PROVIDER_ERROR"})).unwrap(), code);
        for wrong in [json!({}), json!({"delay_ms": -1}), json!({"delay_ms": 1, "x": 1}), json!({"reset": "soon"})] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_strikes_as_often_as_asked_and_only_what_it_names() {
        let mut faults = Faults::default();
        let request = json!({"match": {"path": "confirm", "orderId": "order-1"}, "times": 2, "fault": {"code": "X"}});
        faults.add(serde_json::from_value(request).unwrap()).unwrap();
        let target = |path, order_id, is_replay| Target { path, order_id, payment_key: None, is_replay };
        assert!(faults.strike(&target(FaultPath::Cancel, Some("order-1"), false)).is_none());
        assert!(faults.strike(&target(FaultPath::Confirm, Some("order-2"), false)).is_none());
        assert!(faults.strike(&target(FaultPath::Confirm, Some("order-1"), true)).is_none(), "bound answers stay");
        assert!(faults.strike(&target(FaultPath::Confirm, Some("order-1"), false)).is_some());
        assert!(faults.strike(&target(FaultPath::Confirm, Some("order-1"), false)).is_some());
        assert!(faults.strike(&target(FaultPath::Confirm, Some("order-1"), false)).is_none());
        assert_eq!(faults.list()[0].struck, 2);
    }

    #[test]
    fn a_fault_is_refused_where_it_cannot_strike() {
        let webhook = Fault::Webhook { webhook: WebhookFault::Reorder };
        let hang = Fault::Hang { hang_ms: 1 };
        assert!(webhook.objection(FaultPath::Confirm).is_some() && hang.objection(FaultPath::Webhook).is_some());
        assert!(webhook.objection(FaultPath::Webhook).is_none() && hang.objection(FaultPath::Confirm).is_none());
        for wrong in [Fault::Duplicate { duplicates: 0 }, Fault::Duplicate { duplicates: 11 }] {
            assert!(wrong.objection(FaultPath::Cancel).is_some(), "{wrong:?}");
        }
    }
}
