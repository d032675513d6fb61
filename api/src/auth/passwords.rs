//! Passwords: Argon2id, off the async threads, only so many at once (each takes 19 MiB).
//!
//! Promises: checking takes the same work whether or not the user exists. Doesn't: ever log a password or hash.

use crate::envelope::Failure;
use argon2::{
    Argon2, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{self, SaltString},
};
use contracts::ResultCode;
use rand::RngCore;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// How long a hash waits for its turn before the client is told 503.
const TURN_LIMIT: Duration = Duration::from_secs(10);
const SALT_BYTES: usize = 16;

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// Checked for users that do not exist, so that the time taken tells nobody who does.
    nobodys: Arc<str>,
}

impl Passwords {
    pub(crate) fn new(max_at_once: usize) -> Result<Self, password_hash::Error> {
        let mut password = [0; SALT_BYTES];
        rand::rng().fill_bytes(&mut password);
        Ok(Self { turns: Arc::new(Semaphore::new(max_at_once.max(1))), nobodys: hash(&password)?.into() })
    }

    /// The hash to store for a new password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Failure> {
        self.run(move || hash(password.as_bytes())).await
    }

    /// Whether `password` is the one behind `stored`; with no stored hash it never is, after the same work.
    pub(crate) async fn is_right(&self, password: String, stored: Option<String>) -> Result<bool, Failure> {
        let nobodys = self.nobodys.clone();
        self.run(move || {
            let hash = stored.as_deref().unwrap_or(&nobodys);
            let verified = Argon2::default().verify_password(password.as_bytes(), &PasswordHash::new(hash)?);
            match verified {
                Ok(()) => Ok(stored.is_some()),
                Err(password_hash::Error::Password) => Ok(false),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Failure::away()) };
        // The turn moves along: when the client leaves, the hash still runs, and still counts.
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        match done.await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                tracing::error!(%error, "a password could not be hashed or checked");
                Err(ResultCode::Unexpected.into())
            }
            Err(_) => Err(ResultCode::Unexpected.into()),
        }
    }
}

pub(crate) fn hash(password: &[u8]) -> Result<String, password_hash::Error> {
    let mut salt = [0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    Ok(Argon2::default().hash_password(password, &SaltString::encode_b64(&salt)?)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_real_user_is_right() {
        let passwords = Passwords::new(2).unwrap();
        let stored = passwords.hash("abcdefg1".to_owned()).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(stored.len() <= 255);
        assert!(passwords.is_right("abcdefg1".to_owned(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.is_right("abcdefg2".to_owned(), Some(stored)).await.unwrap());
        assert!(!passwords.is_right("abcdefg1".to_owned(), None).await.unwrap());
    }
}
