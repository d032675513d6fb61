//! Messages without what nobody needs to read in them: account numbers, and what leads to a voucher's picture or barcode.

use serde_json::Value;

/// Fields of commands whose values are not shown, wherever they stand.
const HIDDEN: [&str; 6] = ["account_cipher", "account_hash", "account_masked", "key", "sha256", "barcode"];
/// What stands there instead.
const INSTEAD: &str = "(hidden)";

/// The same value, with hidden fields.
#[must_use]
pub fn masked(mut value: Value) -> Value {
    mask(&mut value);
    value
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if HIDDEN.contains(&name.as_str()) && !value.is_null() {
                    *value = INSTEAD.into();
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use contracts::{BarcodeHash, Command, Picture, ProductId, UnixMs, Won};

    #[test]
    fn neither_account_nor_voucher_is_left() {
        let picture = Picture {
            key: "secret-key".into(),
            sha256: "secret-sum".into(),
            barcode: Some(BarcodeHash([0x5e; 32])),
            expires_at: Some(UnixMs(7)),
        };
        let refund = Command::RequestRefund {
            point: Won(500),
            bank: "bank".into(),
            account_cipher: "secret-cipher".into(),
            account_masked: "secret-***".into(),
            account_hash: "secret-hash".into(),
        };
        for command in [Command::SellNow { product: ProductId(3), price: Won(900), picture }, refund] {
            let shown = masked(serde_json::json!({"bodies": [command]})).to_string();
            assert!(!shown.contains("secret") && !shown.contains("5e5e"), "{shown}");
            assert!(shown.contains(INSTEAD) && (shown.contains("900") || shown.contains("500")), "{shown}");
        }
    }
}
