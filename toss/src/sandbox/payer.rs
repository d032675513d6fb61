//! The payer's part: opens the window, chooses how to pay, pays into a virtual account.
//!
//! Promises: the same steps for the control routes and for the checkout page.
//! Doesn't: authenticate anybody. Whoever comes is taken for the payer.

use super::{
    answer::Refuse,
    carry_out::{Shared, random_account_number, random_key},
    journal::Effect,
};
use contracts::{UnixMs, Won};
use serde::{Deserialize, Serialize};

/// Toss's smallest card payment.
const MIN_AMOUNT: Won = Won(100);

/// How the payer pays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Method {
    #[default]
    Card,
    VirtualAccount,
}

/// What the browser brings to successUrl.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Redirect {
    pub(super) payment_type: &'static str,
    pub(super) payment_key: String,
    pub(super) order_id: String,
    pub(super) amount: Won,
}

/// What Toss's window would refuse before it opens.
pub(super) fn check(order_id: &str, amount: Won) -> Result<(), Refuse> {
    if !is_order_id(order_id) {
        let message = "주문번호는 영문 대소문자, 숫자, -, _ 6~64자여야 합니다.";
        return Err(Refuse::new(400, "INVALID_ORDER_ID", message));
    }
    if amount < MIN_AMOUNT {
        let message = "신용카드는 결제금액이 100원 이상부터 결제가 가능합니다.";
        return Err(Refuse::new(400, "BELOW_MINIMUM_AMOUNT", message));
    }
    Ok(())
}

/// 6 to 64 of `[A-Za-z0-9_-]`.
fn is_order_id(text: &str) -> bool {
    (6..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl Shared {
    /// Opens a window.
    pub(super) fn open(&mut self, order_id: &str, amount: Won, now: UnixMs) -> Result<Redirect, Refuse> {
        check(order_id, amount)?;
        let (payment_key, order_id) = (random_key("tgen"), order_id.to_owned());
        let effect = Effect::Opened { payment_key: payment_key.clone(), order_id: order_id.clone(), amount };
        self.note(effect, now)?;
        Ok(Redirect { payment_type: "NORMAL", payment_key, order_id, amount })
    }

    /// The payer authenticates with a card, or chooses a virtual account.
    pub(super) fn choose(&mut self, payment_key: &str, method: Method, now: UnixMs) -> Result<Redirect, Refuse> {
        self.book.may_choose(payment_key, now)?;
        let payment_key = payment_key.to_owned();
        let effect = match method {
            Method::Card => Effect::Authenticated { payment_key: payment_key.clone() },
            Method::VirtualAccount => Effect::AccountChosen {
                payment_key: payment_key.clone(),
                account_number: random_account_number(),
                secret: random_key("ps"),
            },
        };
        self.note(effect, now)?;
        let record = self.book.get(&payment_key).ok_or_else(Refuse::no_such_payment)?;
        let (order_id, amount) = (record.order_id.clone(), record.amount);
        Ok(Redirect { payment_type: "NORMAL", payment_key, order_id, amount })
    }

    /// The window fails: the card company refuses, say.
    pub(super) fn fail(
        &mut self,
        payment_key: String,
        order_id: String,
        code: &str,
        now: UnixMs,
    ) -> Result<(), Refuse> {
        self.note(Effect::Aborted { payment_key, order_id, code: code.to_owned() }, now)
    }

    /// Somebody pays into a virtual account, or (`is_error`) the bank takes that back. Gives the payment's status.
    pub(super) fn deposit(&mut self, payment_key: &str, is_error: bool, now: UnixMs) -> Result<&'static str, Refuse> {
        let effect = if is_error {
            self.book.reverse_deposit(payment_key, random_key("tx"))?
        } else {
            self.book.deposit(payment_key, random_key("tx"), now)?
        };
        self.note(effect, now)?;
        Ok(self.book.get(payment_key).map_or("", |record| record.status(now)))
    }

    fn note(&mut self, effect: Effect, now: UnixMs) -> Result<(), Refuse> {
        self.record(effect, None, now).map_err(|error| Refuse::new(500, "JOURNAL", &error.to_string()))
    }
}
