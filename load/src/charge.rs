//! A charge, as the front end makes one: request, Toss's window (which the sandbox plays), and the way back.

use crate::{
    day::Day,
    http::Request,
    person::{Errand, Person},
    plan::Manner,
    session::Ended,
};
use contracts::{Kind, ResultCode};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a payer opens a window that does not answer.
const WINDOW_TRIES: u32 = 20;
const WINDOW_PAUSE: Duration = Duration::from_millis(250);

/// What goes wrong at Toss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing.
    No,
    /// The card company refuses: nothing is taken.
    Refused,
    /// The money is taken, but the answer is a gateway's 500: only a look-up tells.
    AnswerLost,
}

impl Trouble {
    /// From a number below 100.
    pub(crate) fn pick(per_cent: u32) -> Self {
        match per_cent {
            0..3 => Trouble::Refused,
            3..5 => Trouble::AnswerLost,
            _ => Trouble::No,
        }
    }

    fn fault(self) -> Option<Value> {
        match self {
            Trouble::No => None,
            Trouble::Refused => Some(json!({"code": "REJECT_CARD_COMPANY", "http": 403})),
            Trouble::AnswerLost => Some(json!({"status": 500, "effect": true})),
        }
    }
}

impl Person {
    /// Charges points. Gives how the confirm ended.
    pub(crate) async fn charge(&mut self, day: &Day, manner: Manner, amount: i64, trouble: Trouble) -> Option<Ended> {
        let order_id = self.request_charge(day, amount).await?;
        if let Some(fault) = trouble.fault() {
            let fault = json!({"match": {"path": "confirm", "orderId": order_id}, "fault": fault});
            self.play_toss(day, &Request::post("/sandbox/faults", fault)).await?;
        }
        let window = Request::post("/sandbox/checkout", json!({"orderId": order_id, "amount": amount}));
        let back = self.play_toss(day, &window).await?;
        let payment_key = back["paymentKey"].as_str()?;
        let success = |payment_key: &str| {
            Request::get(format!(
                "/api/payments/toss/success?paymentType=NORMAL&paymentKey={payment_key}&orderId={order_id}&amount={amount}"
            ))
        };
        let other = Some(success(&format!("{payment_key}x")));
        let errand = Errand { kind: Kind::ConfirmCharge, request: success(payment_key), other };
        let ended = self.send(day, manner, errand).await;
        let refused = ended.is_refused(ResultCode::TossFailed);
        if ended.done().is_some() {
            self.mind.points += amount;
            self.mind.refundable += amount;
        }
        // Toss itself may have been killed meanwhile, and with it what it was told to do to this charge.
        let is_forgotten = day.pulse.is_some() && trouble == Trouble::Refused && !refused;
        if ended.state.is_final()
            && refused != (trouble == Trouble::Refused)
            && !is_forgotten
            && ended.code != ResultCode::NotAccepted.code()
        {
            day.record.broken(format!("a charge with trouble {trouble:?} ended {}", ended.code));
        }
        Some(ended)
    }

    /// Notes at the API what is to be charged; gives the order's id.
    pub(crate) async fn request_charge(&mut self, day: &Day, amount: i64) -> Option<String> {
        let key = self.key(day);
        let request =
            Request::post("/api/payments/toss/request", json!({"amount": amount, "orderName": "CHARGE_POINT"}))
                .keyed(key);
        let answer = self.session.ask(day, &request).await.ok()?;
        day.record.expect("a charge's request", answer.code, &[ResultCode::Ok, ResultCode::NotAccepted]);
        answer.data["paymentOrderId"].as_str().map(ToOwned::to_owned)
    }

    /// While somebody breaks things on purpose, Toss's window may be gone too: a payer tries a few times, then gives up.
    async fn play_toss(&mut self, day: &Day, request: &Request) -> Option<Value> {
        let mut tries = if day.pulse.is_some() { WINDOW_TRIES } else { 1 };
        loop {
            tries -= 1;
            match day.sandbox.plain(request).await {
                Ok(answer) => return Some(answer),
                Err(_) if tries > 0 => tokio::time::sleep(WINDOW_PAUSE).await,
                Err(_) if day.pulse.is_some() => return None,
                Err(error) => {
                    day.record.broken(format!("the Toss sandbox: {error}"));
                    return None;
                }
            }
        }
    }
}
