//! Market days at random: who asks what and when. The steps are drawn blindly; what they name (a bid that exists,
//! the price of one) is looked up in the model while the day is played.

use crate::{
    database::Database,
    model::{Answer, Model, ModelCoupon, Off, Purse, Terms},
};
use contracts::{
    BarcodeHash, BidId, Command, CommandId, CouponId, Envelope, Picture, ProductId, Side, UnixMs, UserId, Won,
};
use domain::market::{Coupon, CouponState, Discount, Limits};
use proptest::prelude::*;

pub const PARTITIONS: u16 = 3;
const PRODUCTS: u64 = 4;
const PRICES: [i64; 5] = [997, 1_001, 1_003, 1_009, 1_013];
const FORBIDDEN_PRICES: [i64; 4] = [499, 5_001, 0, -7];
const OPENING: [i64; 6] = [0, 1_500, 6_000, 20_000, 20_000, 100_000];
pub const START_MS: i64 = 1_700_000_000_000;

pub fn limits(window_slack: u32) -> Limits {
    Limits {
        max_open_bids_per_user_and_product: 3,
        max_retired_per_command: 2,
        accepted_at_skew_ms: 20,
        fee_per_mille: 33,
        min_price: Won(500),
        max_price: Won(5_000),
        max_period_days: 30,
        window_slack,
    }
}

/// One thing that somebody does. Numbers choose among whatever there is to choose from.
#[derive(Clone, Debug)]
pub struct Step {
    user: u64,
    product: u64,
    asked: Asked,
    price: usize,
    lives_ms: i64,
    coupon: Option<u64>,
    pick: usize,
    /// How far the worker's clock moves; it may go back.
    clock_ms: i64,
    /// When the API accepted it, before (or after) the worker's clock.
    accepted_ms: i64,
    valid_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    PlaceBuy,
    PlaceSell,
    BuyNow,
    SellNow,
    CancelOwn,
    CancelAny,
    Expire,
}

pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let asked = prop_oneof![
        6 => Just(Asked::PlaceBuy),
        6 => Just(Asked::PlaceSell),
        3 => Just(Asked::BuyNow),
        3 => Just(Asked::SellNow),
        2 => Just(Asked::CancelOwn),
        2 => Just(Asked::CancelAny),
        1 => Just(Asked::Expire),
    ];
    // Few products and prices, so that people meet; user 7 and product 5 do not exist.
    let user = prop_oneof![20 => 1_u64..=3, 20 => 4_u64..=6, 1 => Just(7)];
    let product = prop_oneof![30 => Just(1_u64), 10 => Just(2), 5 => 3..=PRODUCTS, 1 => Just(PRODUCTS + 1)];
    let price = prop_oneof![40 => 0..PRICES.len(), 1 => PRICES.len()..PRICES.len() + FORBIDDEN_PRICES.len()];
    let lives_ms = prop_oneof![10 => Just(100_000_i64), 6 => 1_i64..60, 1 => -2_i64..=0];
    let coupon = prop_oneof![3 => Just(None), 3 => (0_u64..3).prop_map(Some), 1 => (3_u64..=15).prop_map(Some)];
    let clock_ms = prop_oneof![10 => 0_i64..6, 2 => 10_i64..80, 1 => -15_i64..0];
    let accepted_ms = prop_oneof![8 => 0_i64..4, 1 => -40_i64..0, 1 => 4_i64..60];
    let valid_ms = prop_oneof![10 => Just(None), 1 => (0_i64..40).prop_map(Some)];
    let step = (user, product, asked, price, lives_ms, coupon, any::<usize>(), (clock_ms, accepted_ms, valid_ms))
        .prop_map(|(user, product, asked, price, lives_ms, coupon, pick, (clock_ms, accepted_ms, valid_ms))| Step {
            user,
            product,
            asked,
            price,
            lives_ms,
            coupon,
            pick,
            clock_ms,
            accepted_ms,
            valid_ms,
        });
    let mood = prop_oneof![2 => Just(None), 1 => Just(Some(Side::Buy)), 1 => Just(Some(Side::Sell))];
    (mood, prop::collection::vec(step, 1..=most)).prop_map(|(mood, mut steps)| {
        if let Some(most_want) = mood {
            for step in &mut steps {
                step.crowd(most_want);
            }
        }
        steps
    })
}

impl Step {
    /// On a day when three people want the same, the book grows deep, much of it is the searcher's own, and a window
    /// shows little of it.
    fn crowd(&mut self, most_want: Side) {
        let seldom = self.pick.is_multiple_of(4);
        self.asked = match (self.asked, most_want) {
            (Asked::PlaceBuy, Side::Sell) if !seldom => Asked::PlaceSell,
            (Asked::PlaceSell, Side::Buy) if !seldom => Asked::PlaceBuy,
            (asked, _) => asked,
        };
        self.user = if self.user <= 6 { 4 + self.user % 3 } else { self.user };
        self.product = if self.product <= PRODUCTS { 1 } else { self.product };
    }
}

/// Everybody's coupons: of each kind, twice over among the users.
fn coupons() -> Vec<(CouponId, UserId, Off)> {
    let kinds = [
        Off::PerCent(10),
        Off::PerCent(33),
        Off::PerCent(100),
        Off::Amount(300),
        Off::Amount(1_003),
        Off::Amount(700),
        Off::PerCent(7),
    ];
    (1..=14_u64).zip(kinds.iter().cycle()).map(|(id, off)| (CouponId(id), UserId(1 + id % 6), *off)).collect()
}

pub fn empty_database(window_slack: u32) -> Database {
    let mut database = Database::new(PARTITIONS, limits(window_slack));
    database.products = (1..=PRODUCTS).map(ProductId).collect();
    for (user, points) in (1..).zip(OPENING) {
        database.add_user(UserId(user), Won(points));
    }
    for (id, user, off) in coupons() {
        let discount = match off {
            Off::PerCent(rate) => Discount::Rate(u32::try_from(rate).unwrap()),
            Off::Amount(amount) => Discount::Fix(Won(i64::try_from(amount).unwrap())),
        };
        database.coupons.insert(id, Coupon { id, user, discount, state: CouponState::Available });
    }
    database
}

pub fn empty_model() -> Model {
    let terms = Terms { cap: 3, retired: 2, skew_ms: 20, fee_per_mille: 33, prices: (500, 5_000), longest_days: 30 };
    let purse = |(user, available)| Purse { user: UserId(user), available, held: 0 };
    let coupon = |(id, user, off)| ModelCoupon { id, user, off, state: "available" };
    Model {
        terms,
        partition_count: PARTITIONS,
        progress: vec![(0, 0); usize::from(PARTITIONS)],
        products: (1..=PRODUCTS).map(ProductId).collect(),
        purses: (1..).zip(OPENING).map(purse).collect(),
        coupons: coupons().into_iter().map(coupon).collect(),
        bids: Vec::new(),
        gifticons: Vec::new(),
        barcodes: Vec::new(),
        orders: Vec::new(),
        events: Vec::new(),
    }
}

/// A day as it went: each command with the worker's clock, and what the model answered.
#[derive(Debug)]
pub struct Day {
    pub commands: Vec<(Envelope, UnixMs)>,
    pub answers: Vec<Answer>,
    pub end: Model,
}

pub fn play(steps: &[Step]) -> Day {
    let mut day = Day { commands: Vec::new(), answers: Vec::new(), end: empty_model() };
    let mut clock = START_MS;
    for (no, step) in steps.iter().enumerate() {
        clock += step.clock_ms;
        let accepted_at = UnixMs(clock - step.accepted_ms);
        let valid_until = step.valid_ms.map(|valid_ms| accepted_at.plus_ms(valid_ms));
        let (user, command) = asked(step, &day.end, clock);
        let id = CommandId::derived(user, "day", &no.to_string());
        let envelope = Envelope::new(id, user, accepted_at, valid_until, command);
        day.answers.push(day.end.carry_out(&envelope, UnixMs(clock)));
        day.commands.push((envelope, UnixMs(clock)));
    }
    day
}

fn asked(step: &Step, model: &Model, clock: i64) -> (UserId, Command) {
    let (user, product) = (UserId(step.user), ProductId(step.product));
    let price = Won(*PRICES.iter().chain(&FORBIDDEN_PRICES).nth(step.price).unwrap());
    let deadline = UnixMs(clock + step.lives_ms);
    let coupon = step.coupon.map(|pick| coupon(user, pick));
    // 0 and 31 days are too few and too many.
    let period_days = if step.pick.is_multiple_of(50) { [0, 31][step.pick / 50 % 2] } else { 7 };
    let price_now = price_seen(step, model).map_or(price, Won);
    let picture = picture(step, clock);
    let command = match step.asked {
        Asked::PlaceBuy => Command::PlaceBuyBid { product, price, period_days, deadline, coupon },
        Asked::PlaceSell => Command::PlaceSellBid { product, price, period_days, deadline, picture },
        Asked::BuyNow => Command::BuyNow { product, price: price_now, coupon },
        Asked::SellNow => Command::SellNow { product, price: price_now, picture },
        Asked::CancelOwn | Asked::CancelAny => return cancel(step, model),
        Asked::Expire => return (UserId::SYSTEM, expire(step, model)),
    };
    (user, command)
}

/// Half of them have a barcode, of which there are few, so that many are offered again; some have ended.
fn picture(step: &Step, clock: i64) -> Picture {
    let barcode = u8::try_from(step.pick / 100 % 80).unwrap();
    Picture {
        key: format!("picture-{}", step.pick % 1_000),
        sha256: "ab".repeat(32),
        barcode: (barcode < 40).then_some(BarcodeHash([barcode; 32])),
        expires_at: step.pick.is_multiple_of(3).then(|| UnixMs(clock + step.lives_ms)),
    }
}

/// One of the user's own (0, 1, 2), or any.
fn coupon(user: UserId, pick: u64) -> CouponId {
    let mut own = coupons().into_iter().filter(|(_, owner, _)| *owner == user).map(|(id, ..)| id);
    let any = CouponId(pick);
    if pick < 3 { own.nth(usize::try_from(pick).unwrap()).unwrap_or(any) } else { any }
}

/// For trades at once, mostly: the price of an open bid of the other side, whoever's, due or not.
fn price_seen(step: &Step, model: &Model) -> Option<i64> {
    let buys = step.asked == Asked::SellNow;
    let product = ProductId(step.product);
    let mut open = model.bids.iter().filter(|bid| bid.state == "open" && bid.buys == buys && bid.product == product);
    open.nth(step.pick % 4).map(|bid| bid.price)
}

/// Mostly an open bid, sometimes a closed one or one that never was; now and then of the wrong side.
fn cancel(step: &Step, model: &Model) -> (UserId, Command) {
    let any_state = step.pick.is_multiple_of(5);
    let mut listed = model.bids.iter().rev().filter(|bid| any_state || bid.state == "open");
    let Some(bid) = listed.nth(step.pick % 7) else {
        let side = if step.pick.is_multiple_of(2) { Side::Buy } else { Side::Sell };
        return (UserId(step.user), Command::CancelBid { bid: BidId(77 << 8), side });
    };
    let side = if bid.buys ^ step.pick.is_multiple_of(13) { Side::Buy } else { Side::Sell };
    let user = if step.asked == Asked::CancelOwn { bid.user } else { UserId(step.user) };
    (user, Command::CancelBid { bid: BidId(bid.id), side })
}

/// Bids of the product and some of another, due or not; one is named twice.
fn expire(step: &Step, model: &Model) -> Command {
    let product = ProductId(step.product);
    let listed = model.bids.iter().rev().skip(step.pick % 4).filter(|bid| bid.product == product || bid.id % 3 == 0);
    let mut bids: Vec<BidId> = listed.take(12).map(|bid| BidId(bid.id)).collect();
    bids.extend(bids.first().copied());
    Command::ExpireBids { product, bids }
}
