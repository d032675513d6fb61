//! Trading at once: with the oldest open bid at exactly the price that the user saw, or not at all.

use super::{
    decision::{Decision, Stop},
    needs::WindowKey,
    state::{Market, Turn},
    trade::{Buyer, Seller},
};
use contracts::{CouponId, Picture, ProductId, ResultCode, Side, Won};
use serde_json::json;

impl Market {
    pub(super) fn buy_now(
        &mut self,
        turn: &mut Turn,
        product: ProductId,
        price: Won,
        coupon: Option<CouponId>,
    ) -> Result<Decision, Stop> {
        self.check_user_and_product(turn, product)?;
        let resting = self.meet(turn, WindowKey::Level { product, side: Side::Sell, price }, price)?;
        let resting = resting.ok_or(ResultCode::SellBidNotFound)?;
        let final_price = self.check_coupon(turn.user, coupon, price)?;
        self.check_points(turn.user, final_price)?;

        let buyer = Buyer { user: turn.user, bid: None, hold: Won::ZERO, coupon };
        let order = self.trade(turn, product, resting.price, &buyer, &Seller::of(&resting)?)?;
        Ok(Decision::done(json!({
            "orderId": order.id, "expectedPrice": order.price, "finalPrice": order.final_price,
        })))
    }

    pub(super) fn sell_now(
        &mut self,
        turn: &mut Turn,
        product: ProductId,
        price: Won,
        picture: &Picture,
    ) -> Result<Decision, Stop> {
        self.check_user_and_product(turn, product)?;
        self.check_voucher(turn, picture)?;
        let resting = self.meet(turn, WindowKey::Level { product, side: Side::Buy, price }, price)?;
        let resting = resting.ok_or(ResultCode::BuyBidNotFound)?;

        let gifticon = self.take_in(turn, product, picture, None)?;
        let seller = Seller { user: turn.user, bid: None, gifticon };
        let order = self.trade(turn, product, resting.price, &Buyer::of(&resting), &seller)?;
        Ok(Decision::done(json!({"orderId": order.id, "price": order.price})))
    }
}
