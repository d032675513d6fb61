//! One call to Toss, as received: what is asked, under which key.

use super::{answer::Refuse, record::RefundAccount, transactions::Query};
use contracts::Won;
use serde::Serialize;

/// Toss's calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Confirm,
    Payment,
    Order,
    Cancel,
    Transactions,
}

/// How often each call arrived with the right key since the sandbox started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Calls {
    confirm: u64,
    payment: u64,
    order: u64,
    cancel: u64,
    transactions: u64,
    /// Those of them whose idempotency key had an answer already, which was repeated.
    pub(super) replayed: u64,
    /// Calls without the right key, of whatever kind.
    pub(super) unauthorized: u64,
}

impl Calls {
    pub(super) fn count(&mut self, endpoint: Endpoint) {
        match endpoint {
            Endpoint::Confirm => self.confirm += 1,
            Endpoint::Payment => self.payment += 1,
            Endpoint::Order => self.order += 1,
            Endpoint::Cancel => self.cancel += 1,
            Endpoint::Transactions => self.transactions += 1,
        }
    }
}

/// What a cancel asks for.
#[derive(Clone, Debug)]
pub(super) struct CancelRequest {
    pub(super) payment_key: String,
    pub(super) reason: String,
    /// Left out: all that is left.
    pub(super) amount: Option<Won>,
    pub(super) refund_account: RefundAccount,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Work {
    LookUp {
        payment_key: String,
    },
    LookUpOrder {
        order_id: String,
    },
    Confirm {
        payment_key: String,
        order_id: String,
        amount: Won,
    },
    Cancel(CancelRequest),
    Transactions(Query),
    /// What Toss refuses before it looks at any payment.
    Malformed {
        endpoint: Endpoint,
        refuse: Refuse,
    },
}

impl Work {
    pub(super) fn endpoint(&self) -> Endpoint {
        match self {
            Work::LookUp { .. } => Endpoint::Payment,
            Work::LookUpOrder { .. } => Endpoint::Order,
            Work::Confirm { .. } => Endpoint::Confirm,
            Work::Cancel(_) => Endpoint::Cancel,
            Work::Transactions(_) => Endpoint::Transactions,
            Work::Malformed { endpoint, .. } => *endpoint,
        }
    }
}

/// One call, as received.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) path: String,
    pub(super) idempotency_key: Option<String>,
    /// `TossPayments-Test-Code`: answer with this error.
    pub(super) test_code: Option<String>,
}

impl Call {
    /// What an idempotency key is valid for; the method is POST wherever there is a key.
    pub(super) fn scope(&self) -> Option<(String, String)> {
        self.idempotency_key.as_ref().map(|key| (self.path.clone(), key.clone()))
    }
}
