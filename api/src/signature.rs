//! Signed addresses: whoever holds one was given it by us, unchanged.

use hmac::{Hmac, Mac};
use platform::Secret;
use sha2::Sha256;
use std::fmt::Write;

/// Signs and checks. The purpose is part of what is signed: a signature made for one use is worth nothing in another.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha256>);

/// The secret was unusable; start-up has checked its length, so this does not happen.
#[derive(Debug, thiserror::Error)]
#[error("auth.address_secret cannot be used as a key")]
pub struct UnusableSecret;

impl Signer {
    pub(crate) fn new(secret: &Secret) -> Result<Self, UnusableSecret> {
        Hmac::new_from_slice(secret.expose().as_bytes()).map(Self).map_err(|_| UnusableSecret)
    }

    fn mac(&self, purpose: &str, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in std::iter::once(&purpose).chain(parts) {
            // The length keeps ("ab", "c") and ("a", "bc") apart.
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }

    /// The signature, in lower-case hexadecimal.
    pub(crate) fn sign(&self, purpose: &str, parts: &[&str]) -> String {
        self.mac(purpose, parts).finalize().into_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Whether `signature` is the one that [`Signer::sign`] gives. Takes the same time wherever it differs.
    pub(crate) fn verify(&self, purpose: &str, parts: &[&str], signature: &str) -> bool {
        from_hex(signature).is_some_and(|bytes| self.mac(purpose, parts).verify_slice(&bytes).is_ok())
    }
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    // The same notation as a fingerprint: 64 hexadecimal digits.
    text.parse::<contracts::Fingerprint>().ok().map(|bytes| bytes.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_for_this_purpose_is_verified() {
        let signer = Signer::new(&Secret::new("fedcba9876543210fedcba9876543210")).unwrap();
        let other = Signer::new(&Secret::new("0123456789abcdef0123456789abcdef")).unwrap();
        let signature = signer.sign("a", &["1", "23"]);
        assert!(signer.verify("a", &["1", "23"], &signature));
        assert!(!signer.verify("b", &["1", "23"], &signature));
        assert!(!signer.verify("a", &["12", "3"], &signature));
        assert!(!signer.verify("a", &["1", "23"], &signature[..62]));
        assert!(!signer.verify("a", &["1", "23"], "넷이 아닌 글자"));
        assert!(!other.verify("a", &["1", "23"], &signature));
    }
}
