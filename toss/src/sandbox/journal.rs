//! The sandbox's journal: every effect, one JSON line each, written before the answer.
//!
//! Promises: a line is handed to the kernel whole before the effect is shown to anybody, so a killed sandbox knows
//! afterwards what it had done. Entries are numbered 1, 2, 3 … without gaps.
//! Doesn't: survive the loss of power (no fsync), or share its file with a second sandbox.

use contracts::{UnixMs, Won};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    borrow::Cow,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// The most entries of one page.
pub const MAX_PAGE: usize = 1_000;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// When, by the sandbox's clock.
    pub at: UnixMs,
    /// What happened.
    #[serde(flatten)]
    pub effect: Effect,
    /// The answer that is now bound to an idempotency key, if the request carried one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<BoundAnswer>,
}

/// What happened to a payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// The payer's window opened.
    Opened {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// What is to be paid.
        amount: Won,
    },
    /// The payer authenticated; the merchant may confirm.
    Authenticated {
        /// Toss's key of the payment.
        payment_key: String,
    },
    /// The payer chose to pay into a virtual account; the merchant may confirm, which issues it.
    AccountChosen {
        /// Toss's key of the payment.
        payment_key: String,
        /// The account's number.
        account_number: String,
        /// What the payment's webhooks prove themselves with.
        secret: String,
    },
    /// A confirm issued the virtual account: no money yet.
    AccountIssued {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// What is to be deposited.
        amount: Won,
    },
    /// Money was paid into the virtual account.
    Deposited {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// How much.
        amount: Won,
        /// Toss's key of the deposit.
        transaction_key: String,
    },
    /// The bank took a deposit back: the money is gone, and the payment waits again.
    DepositReversed {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// How much.
        amount: Won,
        /// Toss's key of the reversal.
        transaction_key: String,
    },
    /// A virtual account was cancelled before anything was paid into it: no money.
    AccountClosed {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// What was to be deposited.
        amount: Won,
        /// The merchant's reason.
        reason: String,
        /// Toss's key of the cancel.
        transaction_key: String,
    },
    /// Nobody authenticated or confirmed in time. Noted a moment after the time was over, which counts.
    Expired {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
    },
    /// Money was taken.
    Confirmed {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// How much.
        amount: Won,
    },
    /// A confirm was refused for good.
    Aborted {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// Why.
        code: String,
    },
    /// Money was given back.
    Cancelled {
        /// Toss's key of the payment.
        payment_key: String,
        /// The merchant's order.
        order_id: String,
        /// How much.
        amount: Won,
        /// What can still be given back.
        balance: Won,
        /// The merchant's reason.
        reason: String,
        /// Toss's key of the cancel.
        transaction_key: String,
    },
    /// Nothing, but a refusal is now bound to its idempotency key.
    Refused,
}

impl Effect {
    /// Which payment it happened to, if to any.
    pub fn payment_key(&self) -> Option<&str> {
        match self {
            Effect::Opened { payment_key, .. }
            | Effect::Authenticated { payment_key }
            | Effect::AccountChosen { payment_key, .. }
            | Effect::AccountIssued { payment_key, .. }
            | Effect::Deposited { payment_key, .. }
            | Effect::DepositReversed { payment_key, .. }
            | Effect::AccountClosed { payment_key, .. }
            | Effect::Expired { payment_key, .. }
            | Effect::Confirmed { payment_key, .. }
            | Effect::Aborted { payment_key, .. }
            | Effect::Cancelled { payment_key, .. } => Some(payment_key),
            Effect::Refused => None,
        }
    }

    /// Toss's key of the transaction that it is, if it is one. A payment is confirmed once, so that transaction's key
    /// follows from the payment's.
    pub fn transaction_key(&self) -> Option<Cow<'_, str>> {
        match self {
            Effect::Confirmed { payment_key, .. } | Effect::AccountIssued { payment_key, .. } => {
                Some(format!("tx_{payment_key}").into())
            }
            Effect::Deposited { transaction_key, .. }
            | Effect::DepositReversed { transaction_key, .. }
            | Effect::AccountClosed { transaction_key, .. }
            | Effect::Cancelled { transaction_key, .. } => Some(transaction_key.into()),
            _ => None,
        }
    }
}

/// An answer that is repeated, byte for byte, to whoever sends its key to the same address again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundAnswer {
    /// The idempotency key.
    pub key: String,
    /// The path that it was sent to; the method is always POST.
    pub path: String,
    /// The HTTP status.
    pub http: u16,
    /// The body.
    pub body: String,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read or mended.
    #[error("the sandbox's journal {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A line in the middle is no entry, or not the one that should stand there.
    #[error("the sandbox's journal {path} is damaged at entry {seq}: {error}; move the file away to start anew")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which entry.
        seq: u64,
        /// What is wrong with it.
        error: String,
    },
}

/// An open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Where each entry begins, and at last where the next one will.
    offsets: Vec<u64>,
}

impl Journal {
    /// Opens `path`, hands every entry in it to `replay`, and is ready for the next one. A last line without its end
    /// was being written when the sandbox was killed: nobody saw its effect, so it is cut off.
    pub(super) fn open(path: &Path, mut replay: impl FnMut(&Entry)) -> Result<Self, JournalError> {
        let file_error = |error| JournalError::File { path: path.to_owned(), error };
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(file_error)?;
        let mut offsets = vec![0];
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut end = 0;
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line).map_err(file_error)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let seq = offsets.len() as u64;
            let entry = read_entry(&line, seq);
            replay(&entry.map_err(|error| JournalError::Damaged { path: path.to_owned(), seq, error })?);
            end += length as u64;
            offsets.push(end);
        }
        file.set_len(end).map_err(file_error)?;
        Ok(Self { file, offsets })
    }

    /// The number of the next entry.
    pub(super) fn next_seq(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// Writes an entry, whose number must be [`Journal::next_seq`].
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let start = self.end();
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would spoil the file for the entries after it.
            self.file.set_len(start)?;
            return Err(error);
        }
        self.offsets.push(start + line.len() as u64);
        Ok(())
    }

    /// At most `limit` (and [`MAX_PAGE`]) entries after number `after`, as they stand in the file.
    pub(super) fn page(&self, after: u64, limit: usize) -> io::Result<Vec<Box<RawValue>>> {
        let last = self.offsets.len() - 1;
        let first = usize::try_from(after).unwrap_or(usize::MAX).min(last);
        let past = first.saturating_add(limit.min(MAX_PAGE)).min(last);
        let mut bytes = vec![0; usize::try_from(self.offsets[past] - self.offsets[first]).unwrap_or(0)];
        self.file.read_exact_at(&mut bytes, self.offsets[first])?;
        bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| Ok(serde_json::from_slice(line)?))
            .collect()
    }

    fn end(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }
}

fn read_entry(line: &[u8], seq: u64) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if entry.seq == seq { Ok(entry) } else { Err(format!("it is numbered {}", entry.seq)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        let effect = Effect::Authenticated { payment_key: format!("key{seq}") };
        Entry { seq, at: UnixMs(5), effect, bound: None }
    }

    fn read(path: &Path) -> Result<(Journal, Vec<Entry>), JournalError> {
        let mut entries = Vec::new();
        let journal = Journal::open(path, |entry| entries.push(entry.clone()))?;
        Ok((journal, entries))
    }

    #[test]
    fn what_was_written_is_read_back_and_a_torn_last_line_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, nothing) = read(&path).unwrap();
        assert_eq!((journal.next_seq(), nothing.len()), (1, 0));
        journal.append(&entry(1)).unwrap();
        journal.append(&entry(2)).unwrap();
        drop(journal);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"seq\":3,\"at\":").unwrap();
        let (mut journal, entries) = read(&path).unwrap();
        assert_eq!(entries, [entry(1), entry(2)]);
        journal.append(&entry(3)).unwrap();
        assert_eq!(read(&path).unwrap().1, [entry(1), entry(2), entry(3)]);
    }

    #[test]
    fn pages_follow_each_other_and_end() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = read(&folder.path().join("journal")).unwrap();
        (1..=5).for_each(|seq| journal.append(&entry(seq)).unwrap());
        let seqs = |after, limit| -> Vec<u64> {
            let page = journal.page(after, limit).unwrap();
            page.iter().map(|line| serde_json::from_str::<Entry>(line.get()).unwrap().seq).collect()
        };
        assert_eq!(seqs(0, 2), [1, 2]);
        assert_eq!(seqs(2, 2), [3, 4]);
        assert_eq!(seqs(4, usize::MAX), [5]);
        assert_eq!(seqs(5, 2), [0; 0]);
        assert_eq!(seqs(u64::MAX, 2), [0; 0]);
    }

    #[test]
    fn damage_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let good = serde_json::to_string(&entry(1)).unwrap();
        for bad in ["nonsense", &serde_json::to_string(&entry(7)).unwrap()] {
            std::fs::write(&path, format!("{good}\n{bad}\n{good}\n")).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("damaged at entry 2"), "{error}");
        }
    }
}
