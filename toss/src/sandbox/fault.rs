//! Faults on request: which call, how often, and what goes wrong.

use super::carry_out::Endpoint;
use serde::{Deserialize, Serialize};

/// More faults than this cannot be pending at once.
pub const MAX_FAULTS: usize = 1_000;
/// The longest delay or hang.
pub const MAX_WAIT_MS: u64 = 600_000;

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
    /// `confirm`, `cancel`, or `payment` for look-ups by key and by order.
    pub path: FaultPath,
    /// Only this order's payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_id: Option<String>,
    /// Only this payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_key: Option<String>,
}

/// The calls that can be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultPath {
    /// Confirms.
    Confirm,
    /// Cancels.
    Cancel,
    /// Look-ups.
    Payment,
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
    /// An error of Toss's. Below status 500 it is bound to the idempotency key, like any of Toss's own. On a confirm
    /// that is not carried out, a code that is final aborts the payment.
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
    /// Why this fault cannot be had, for whoever asked for it.
    pub(super) fn objection(&self) -> Option<String> {
        match self {
            Fault::Delay { delay_ms: ms } | Fault::Hang { hang_ms: ms } if *ms > MAX_WAIT_MS => {
                Some(format!("at most {MAX_WAIT_MS} ms"))
            }
            Fault::Status { status: http, .. } | Fault::Code { http, .. } if !(400..=599).contains(http) => {
                Some("a status from 400 to 599".to_owned())
            }
            _ => None,
        }
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
    pub(super) endpoint: Endpoint,
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
        let path = match target.endpoint {
            Endpoint::Confirm => FaultPath::Confirm,
            Endpoint::Cancel => FaultPath::Cancel,
            Endpoint::Payment | Endpoint::Order => FaultPath::Payment,
        };
        self.struck < self.request.times
            && matching.path == path
            && same(&matching.order_id, target.order_id)
            && same(&matching.payment_key, target.payment_key)
            && !(target.is_replay && matches!(self.request.fault, Fault::Code { .. }))
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
        let target = |endpoint, order_id, is_replay| Target { endpoint, order_id, payment_key: None, is_replay };
        assert!(faults.strike(&target(Endpoint::Cancel, Some("order-1"), false)).is_none());
        assert!(faults.strike(&target(Endpoint::Confirm, Some("order-2"), false)).is_none());
        assert!(faults.strike(&target(Endpoint::Confirm, Some("order-1"), true)).is_none(), "bound answers stay");
        assert!(faults.strike(&target(Endpoint::Confirm, Some("order-1"), false)).is_some());
        assert!(faults.strike(&target(Endpoint::Confirm, Some("order-1"), false)).is_some());
        assert!(faults.strike(&target(Endpoint::Confirm, Some("order-1"), false)).is_none());
        assert_eq!(faults.list()[0].struck, 2);
    }
}
