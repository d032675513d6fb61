//! Bank account numbers: encrypted from the API on, masked for people, hashed to tell them apart. Barcodes: hashed only.

use chacha20poly1305::{
    ChaCha20Poly1305, Key, KeyInit, Nonce,
    aead::{Aead, Payload},
};
use contracts::BarcodeHash;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;

const NONCE_BYTES: usize = 12;
/// Digits of an account number that stay readable; never more than half of it.
const VISIBLE_DIGITS: usize = 4;
/// Binds ciphertexts to their use: bytes encrypted for something else do not open here.
const PURPOSE: &[u8] = b"gream refund account v1";

/// Encrypts and opens account numbers.
#[derive(Clone)]
pub struct AccountCipher {
    key: [u8; 32],
}

impl std::fmt::Debug for AccountCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountCipher(***)")
    }
}

/// The text was changed, cut, or encrypted under another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the account number cannot be opened: it was changed, or account_cipher.key is not the one it was sealed with")]
pub struct NotSealedHere;

impl AccountCipher {
    /// From the configured key; `None` unless it is 64 hexadecimal digits.
    pub fn new(key_hex: &str) -> Option<Self> {
        parse_key(key_hex).map(|key| Self { key })
    }

    /// Encrypts `account` under a fresh nonce, as hexadecimal text.
    pub fn seal(&self, account: &str) -> Result<String, NotSealedHere> {
        let mut nonce = [0; NONCE_BYTES];
        rand::rng().fill_bytes(&mut nonce);
        let sealed = ChaCha20Poly1305::new(Key::from_slice(&self.key))
            .encrypt(Nonce::from_slice(&nonce), Payload { msg: account.as_bytes(), aad: PURPOSE })
            .map_err(|_| NotSealedHere)?;
        Ok(to_hex(&[&nonce[..], &sealed].concat()))
    }

    /// Opens what [`AccountCipher::seal`] made.
    pub fn open(&self, sealed: &str) -> Result<String, NotSealedHere> {
        let bytes = from_hex(sealed).ok_or(NotSealedHere)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES).ok_or(NotSealedHere)?;
        let account = ChaCha20Poly1305::new(Key::from_slice(&self.key))
            .decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad: PURPOSE })
            .map_err(|_| NotSealedHere)?;
        String::from_utf8(account).map_err(|_| NotSealedHere)
    }

    /// A keyed hash of bank and account: equal for equal accounts, and useless for guessing without the key.
    pub fn hash(&self, bank: &str, account: &str) -> String {
        // HMAC takes keys of any length, so this cannot fail.
        let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(&self.key) else { return String::new() };
        mac.update(bank.as_bytes());
        mac.update(&[0]);
        mac.update(account.as_bytes());
        to_hex(&mac.finalize().into_bytes()[..16])
    }
}

/// What the key of barcodes is derived for. No account is hashed without a zero byte, so no hash of one is this key.
const BARCODE_PURPOSE: &[u8] = b"gream barcode key v1";

/// Hashes what barcodes say, with a key of its own derived from `account_cipher.key`, which is never changed: under
/// another key, vouchers that were offered before would not be known again.
#[derive(Clone)]
pub struct BarcodeHasher(Hmac<Sha256>);

impl BarcodeHasher {
    /// From the configured key; `None` unless it is 64 hexadecimal digits.
    pub fn new(key_hex: &str) -> Option<Self> {
        let mut derivation = <Hmac<Sha256> as Mac>::new_from_slice(&parse_key(key_hex)?).ok()?;
        derivation.update(BARCODE_PURPOSE);
        <Hmac<Sha256> as Mac>::new_from_slice(&derivation.finalize().into_bytes()).ok().map(Self)
    }

    /// The hash of what a barcode says.
    pub fn hash(&self, text: &str) -> BarcodeHash {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        BarcodeHash(mac.finalize().into_bytes().into())
    }
}

/// `account` with all but its last digits hidden.
pub fn mask(account: &str) -> String {
    let length = account.chars().count();
    let hidden = length - VISIBLE_DIGITS.min(length / 2);
    account.chars().enumerate().map(|(i, c)| if i < hidden && c != '-' { '*' } else { c }).collect()
}

pub(crate) fn parse_key(key_hex: &str) -> Option<[u8; 32]> {
    from_hex(key_hex)?.try_into().ok()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_and_changes_are_noticed() {
        let cipher = AccountCipher::new(&"ab".repeat(32)).unwrap();
        let sealed = cipher.seal("110-123-456789").unwrap();
        assert_eq!(cipher.open(&sealed).unwrap(), "110-123-456789");
        assert_ne!(sealed, cipher.seal("110-123-456789").unwrap());
        assert!(!sealed.contains("456789"));
        let other = AccountCipher::new(&"cd".repeat(32)).unwrap();
        assert_eq!(other.open(&sealed), Err(NotSealedHere));
        assert_eq!(cipher.open(&sealed[..20]), Err(NotSealedHere));
        assert_eq!(cipher.hash("b", "1"), cipher.hash("b", "1"));
        assert_ne!(cipher.hash("b", "1"), other.hash("b", "1"));
    }

    #[test]
    fn a_barcode_hash_needs_the_key_and_is_no_hash_of_an_account() {
        let [one, other] = ["ab", "cd"].map(|digits| BarcodeHasher::new(&digits.repeat(32)).unwrap());
        assert_eq!(one.hash("123456"), one.hash("123456"));
        assert_ne!(one.hash("123456"), one.hash("123457"));
        assert_ne!(one.hash("123456"), other.hash("123456"));
        let accounts = AccountCipher::new(&"ab".repeat(32)).unwrap();
        assert!(!one.hash("123456").to_string().starts_with(&accounts.hash("", "123456")));
    }

    #[test]
    fn a_mask_shows_the_last_digits_only() {
        assert_eq!(mask("110-123-456789"), "***-***-**6789");
        assert_eq!(["1", "123", "1234567"].map(mask), ["*", "**3", "****567"], "a short one is not shown whole");
    }
}
