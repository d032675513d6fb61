//! Passwords: Argon2id, off the async threads, only so many at once (each takes 19 MiB).
//!
//! Promises: checking takes the same work whether or not the user exists; the memory is taken once for each hash at a
//! time and used again (given back, it stayed with whichever thread had asked: 900 MiB after a day of sign-ups).
//! Doesn't: ever log a password or hash.

use crate::envelope::Failure;
use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHash, Version,
    password_hash::{self, Output, ParamsString, SaltString},
};
use contracts::ResultCode;
use rand::RngCore;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;

/// How long a hash waits for its turn before the client is told 503.
const TURN_LIMIT: Duration = Duration::from_secs(10);
const SALT_BYTES: usize = 16;

/// What a hash works in.
type Memory = Vec<Block>;

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// Idle; never more than there are turns.
    memories: Arc<Mutex<Vec<Memory>>>,
    /// Checked for users that do not exist, so that the time taken tells nobody who does.
    nobodys: Arc<str>,
}

impl Passwords {
    pub(crate) fn new(max_at_once: usize) -> Result<Self, password_hash::Error> {
        let mut password = [0; SALT_BYTES];
        rand::rng().fill_bytes(&mut password);
        Ok(Self {
            turns: Arc::new(Semaphore::new(max_at_once.max(1))),
            memories: Arc::default(),
            nobodys: hash(&password)?.into(),
        })
    }

    /// The hash to store for a new password.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Failure> {
        self.run(move |memory| hash_in(memory, password.as_bytes())).await
    }

    /// Whether `password` is the one behind `stored`; with no stored hash it never is, after the same work.
    pub(crate) async fn is_right(&self, password: String, stored: Option<String>) -> Result<bool, Failure> {
        let nobodys = self.nobodys.clone();
        self.run(move |memory| {
            let hash = PasswordHash::new(stored.as_deref().unwrap_or(&nobodys))?;
            let matches = verify_in(memory, password.as_bytes(), &hash)?;
            Ok(matches && stored.is_some())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> Result<T, password_hash::Error> + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = tokio::time::timeout(TURN_LIMIT, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Failure::away()) };
        // The turn moves along: when the client leaves, the hash still runs, and still counts.
        let memories = self.memories.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut memory = memories.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            let result = work(&mut memory);
            memories.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
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

/// The hash to store for a new password, in memory of its own.
pub(crate) fn hash(password: &[u8]) -> Result<String, password_hash::Error> {
    hash_in(&mut Memory::new(), password)
}

fn hash_in(memory: &mut Memory, password: &[u8]) -> Result<String, password_hash::Error> {
    let mut salt = [0; SALT_BYTES];
    rand::rng().fill_bytes(&mut salt);
    let salt_text = SaltString::encode_b64(&salt)?;
    let params = Params::default();
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(&params)?,
        salt: Some(salt_text.as_salt()),
        hash: Some(derive(memory, params, password, &salt)?),
    };
    Ok(hash.to_string())
}

/// Whether `password` is the one behind `stored`, compared in constant time.
fn verify_in(memory: &mut Memory, password: &[u8], stored: &PasswordHash<'_>) -> Result<bool, password_hash::Error> {
    let (Some(salt), Some(wanted)) = (stored.salt, stored.hash) else {
        return Err(password_hash::Error::PhcStringField);
    };
    if stored.algorithm != Algorithm::Argon2id.ident() {
        return Err(password_hash::Error::Algorithm);
    }
    let mut bytes = [0; 64];
    let salt = salt.decode_b64(&mut bytes)?;
    Ok(derive(memory, Params::try_from(stored)?, password, salt)? == wanted)
}

fn derive(memory: &mut Memory, params: Params, password: &[u8], salt: &[u8]) -> Result<Output, password_hash::Error> {
    memory.resize(params.block_count(), Block::default());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::default(), params);
    Output::init_with(Params::DEFAULT_OUTPUT_LEN, |out| {
        Ok(argon2.hash_password_into_with_memory(password, salt, out, memory.as_mut_slice())?)
    })
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
        assert_eq!(passwords.memories.lock().unwrap().len(), 1, "used again");
    }

    #[test]
    fn the_hashes_are_those_of_any_other_argon2id() {
        use argon2::{PasswordHasher, PasswordVerifier};
        let ours = hash(b"abcdefg1").unwrap();
        assert!(Argon2::default().verify_password(b"abcdefg1", &PasswordHash::new(&ours).unwrap()).is_ok());
        let salt = SaltString::encode_b64(&[7; SALT_BYTES]).unwrap();
        let theirs = Argon2::default().hash_password(b"abcdefg1", &salt).unwrap();
        assert!(verify_in(&mut Memory::new(), b"abcdefg1", &theirs).unwrap());
        assert!(!verify_in(&mut Memory::new(), b"abcdefg2", &theirs).unwrap());
    }
}
