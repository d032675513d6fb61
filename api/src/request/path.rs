//! An id in a path: digits. One that no row can have is still an id, and simply not found.

use crate::envelope::Failure;
use axum::{
    extract::{FromRequestParts, Path},
    http::request::Parts,
};
use contracts::{RefundId, id::ID_LIMIT};

/// The id at the end of a path that has exactly one.
pub(crate) struct PathId(u64);

impl PathId {
    /// The id, or `None` when it is past every id that is ever given out.
    pub(crate) fn known(&self) -> Option<u64> {
        (self.0 < ID_LIMIT).then_some(self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let refusal = || Failure::invalid("id", "숫자로 된 식별자여야 합니다.");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| refusal())?;
        parse(&text).map(Self).ok_or_else(refusal)
    }
}

/// A refund's id and the number of one of its legs, from a path that has exactly these two.
pub(crate) struct PathLeg {
    refund: PathId,
    leg: PathId,
}

impl PathLeg {
    /// Both, or `None` where no row can have them.
    pub(crate) fn known(&self) -> Option<(RefundId, u32)> {
        let leg = i16::try_from(self.leg.known()?).ok()?;
        Some((RefundId(self.refund.known()?), u32::from(leg.unsigned_abs())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathLeg {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let refusal = || Failure::invalid("id", "숫자로 된 식별자여야 합니다.");
        let Path((refund, leg)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(|_| refusal())?;
        let [refund, leg] = [refund, leg].map(|text| parse(&text).map(PathId));
        Ok(Self { refund: refund.ok_or_else(refusal)?, leg: leg.ok_or_else(refusal)? })
    }
}

/// Digits only; past 64 bits it is [`u64::MAX`], which nobody has.
fn parse(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_of_digits() {
        assert_eq!(parse("42"), Some(42));
        assert_eq!(parse("99999999999999999999999"), Some(u64::MAX));
        for wrong in ["", "-1", "+1", "1.0", "abc", " 1", "1%20", "٤"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_javascript_cannot_hold_is_nobodys_id() {
        assert_eq!(PathId(ID_LIMIT - 1).known(), Some(ID_LIMIT - 1));
        assert_eq!(PathId(ID_LIMIT).known(), None);
        let leg = |leg| PathLeg { refund: PathId(7), leg: PathId(leg) }.known();
        assert_eq!((leg(2), leg(32_768)), (Some((RefundId(7), 2)), None));
    }
}
