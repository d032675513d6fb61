//! Which texts can be Toss's key of a payment. Keys come from browsers, and become a part of an address at Toss.

/// Toss's limit for a payment key.
pub const MAX_PAYMENT_KEY_LENGTH: usize = 200;
/// What would be another address than a payment's: a segment that URLs leave out, or one of Toss's own words.
const OTHER_ADDRESSES: [&str; 5] = [".", "..", "confirm", "orders", "key-in"];

/// Whether `text` can be a payment's key. What can't be is nobody's: no look-up of it could ever be answered.
pub fn is_payment_key(text: &str) -> bool {
    (1..=MAX_PAYMENT_KEY_LENGTH).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !OTHER_ADDRESSES.contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_segment_of_an_address_and_no_other_address() {
        for key in ["tgen_20240213121757MvuS8", "a/b?c", &"k".repeat(200)] {
            assert!(is_payment_key(key), "{key}");
        }
        for other in ["", ".", "..", "confirm", "orders", "key-in", "a b", "a\n", "키", &"k".repeat(201)] {
            assert!(!is_payment_key(other), "{other}");
        }
    }
}
