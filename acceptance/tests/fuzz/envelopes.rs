//! Messages: whatever is on a queue, decoding it says what it is.

use super::{mutate::mutate, session};
use contracts::{
    BarcodeHash, BidId, Command, CommandId, CouponId, Envelope, Picture, ProductId, RefundId, Side, UnixMs, UserId, Won,
};
use rand::Rng;
use std::time::Instant;

/// Messages between two looks at the clock.
const ROUND: u32 = 1_000;

/// One of each kind.
fn samples() -> Vec<Envelope> {
    let (product, price, deadline) = (ProductId(3), Won(4_500), UnixMs(1_800_000_000_000));
    let picture = Picture {
        key: "gifticons/ab/x.png".into(),
        sha256: "ab".repeat(32),
        barcode: Some(BarcodeHash([7; 32])),
        expires_at: Some(deadline),
    };
    let commands = [
        Command::PlaceBuyBid { product, price, period_days: 7, deadline, coupon: Some(CouponId(9)) },
        Command::PlaceSellBid { product, price, period_days: 7, deadline, picture: picture.clone() },
        Command::BuyNow { product, price, coupon: None },
        Command::SellNow { product, price, picture },
        Command::CancelBid { bid: BidId(258), side: Side::Sell },
        Command::ExpireBids { product, bids: vec![BidId(258), BidId(514)] },
        Command::ConfirmCharge {
            order_id: "order".into(),
            payment_key: "key".into(),
            amount: price,
            confirm_by: deadline,
        },
        Command::RequestRefund {
            point: price,
            bank: "은행".into(),
            account_cipher: "Y2lwaGVy".into(),
            account_masked: "****1234".into(),
            account_hash: "ab".repeat(32),
        },
        Command::ApproveRefund { refund: RefundId(5) },
        Command::RejectRefund { refund: RefundId(5), reason: "예금주가 다릅니다.".into() },
        Command::CancelCharge { refund: RefundId(5), leg: 1 },
        Command::FollowPayment { order_id: "order-1".to_owned() },
        Command::CollectDebt { debtor: UserId(3) },
        Command::ConfirmPayout { refund: RefundId(5), leg: 2 },
        Command::FailPayout { refund: RefundId(5), leg: 2, reason: "해지된 계좌입니다.".into() },
    ];
    let envelope = |command| Envelope::new(CommandId::fresh(UnixMs(5), [7; 10]), UserId(1), UnixMs(5), None, command);
    commands.into_iter().map(envelope).collect()
}

#[test]
fn a_damaged_envelope_is_refused_or_means_what_its_fingerprint_says() {
    let samples: Vec<Vec<u8>> = samples().iter().map(Envelope::encode).collect();
    let mut session = session();
    let (mut tried, mut decoded) = (0_u64, 0_u64);
    while Instant::now() < session.until {
        for _ in 0..ROUND {
            let luck = &mut session.luck;
            let sample = &samples[luck.random_range(0..samples.len())];
            let other = &samples[luck.random_range(0..samples.len())];
            let bytes = mutate(sample, other, luck);
            tried += 1;
            match Envelope::decode(&bytes) {
                Ok(envelope) => {
                    decoded += 1;
                    assert_eq!(Envelope::decode(&envelope.encode()).as_ref(), Ok(&envelope), "it survives the wire");
                }
                Err(undecodable) => assert!(!undecodable.to_string().is_empty()),
            }
        }
    }
    println!("{tried} messages, {decoded} of them readable");
    assert!(decoded > 0 && decoded < tried, "damage is neither always nor never noticed: {decoded} of {tried}");
}
