//! Dead letters: why a message was set aside, and what its headers tell the person who finds it.

use std::{fmt, str::FromStr};

/// The queue's way back: `exchange|routing key`. Moving messages in the RabbitMQ page blanks both, this header stays.
pub const HEADER_ORIGIN: &str = "x-gream-origin";
/// A [`DeadLetterReason`].
pub const HEADER_REASON: &str = "x-gream-reason";
/// The last error, for people.
pub const HEADER_ERROR: &str = "x-gream-error";
/// What to do next, for people.
pub const HEADER_NEXT: &str = "x-gream-next";
/// How often the command was attempted.
pub const HEADER_ATTEMPTS: &str = "x-gream-attempts";
/// Unix milliseconds of the first failed attempt.
pub const HEADER_FIRST_FAILED_AT: &str = "x-gream-first-failed-at-ms";
/// Unix milliseconds of the last failed attempt.
pub const HEADER_LAST_FAILED_AT: &str = "x-gream-last-failed-at-ms";
/// The command's id, where it could be read.
pub const HEADER_COMMAND_ID: &str = "x-gream-command-id";
/// How often the message was replayed, for people.
pub const HEADER_REPLAYS: &str = "x-gream-replays";
/// Which of the operators' actions sent it to the queue `replay`; none when it was moved in the RabbitMQ page.
pub const HEADER_ACTION: &str = "x-gream-action";
/// Which revision of the payload it carries, where an operator has edited it.
pub const HEADER_REVISION: &str = "x-gream-revision";

/// A dead letter that a person discarded can be brought back for so long; until then its picture is kept too.
pub const DISCARDED_KEPT_MS: i64 = 30 * 86_400_000;
/// What went wrong with a command is remembered for so long: as long as its row.
pub const HISTORY_KEPT_MS: i64 = 45 * 86_400_000;

/// Why a message was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeadLetterReason {
    /// Not JSON, not an envelope, or changed after it was accepted.
    Undecodable,
    /// A kind that this build does not know.
    UnknownKind,
    /// An envelope version that this build does not know.
    UnknownVersion,
    /// A kind that the role of this queue does not carry out.
    WrongQueue,
    /// It failed by itself, alone, again and again.
    OutOfAttempts,
    /// What Toss says contradicts what we know: repeating it could be wrong.
    NeedsAPerson,
    /// Replayed without an origin, or with one that is no command queue.
    NoOrigin,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [DeadLetterReason; 7] = [
        DeadLetterReason::Undecodable,
        DeadLetterReason::UnknownKind,
        DeadLetterReason::UnknownVersion,
        DeadLetterReason::WrongQueue,
        DeadLetterReason::OutOfAttempts,
        DeadLetterReason::NeedsAPerson,
        DeadLetterReason::NoOrigin,
    ];

    /// As in [`HEADER_REASON`] and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DeadLetterReason::Undecodable => "undecodable",
            DeadLetterReason::UnknownKind => "unknown_kind",
            DeadLetterReason::UnknownVersion => "unknown_version",
            DeadLetterReason::WrongQueue => "wrong_queue",
            DeadLetterReason::OutOfAttempts => "out_of_attempts",
            DeadLetterReason::NeedsAPerson => "needs_a_person",
            DeadLetterReason::NoOrigin => "no_origin",
        }
    }

    /// What the person who finds it should do.
    pub fn next_step(self) -> &'static str {
        match self {
            DeadLetterReason::Undecodable => {
                "Find the publisher that wrote it; it never had an effect. Discard it, or publish it anew, corrected."
            }
            DeadLetterReason::UnknownKind | DeadLetterReason::UnknownVersion => {
                "A newer version sent it. Upgrade the workers, then move it to the queue 'replay'."
            }
            DeadLetterReason::WrongQueue => {
                "It was published to the wrong queue. Correct x-gream-origin, then move it to the queue 'replay'."
            }
            DeadLetterReason::OutOfAttempts => {
                "Read x-gream-error, mend the cause, then move it to the queue 'replay'. It has had no effect so far."
            }
            DeadLetterReason::NeedsAPerson => {
                "Compare the payment at Toss with x-gream-error and settle the difference. Then move it to the queue 'replay': \
                 it looks at Toss again before anything is sent. A refund's leg may also be ended by hand: \
                 POST /api/admin/payouts/{refund}/{leg}/made, if Toss gave the money back, or …/failed, if it did not."
            }
            DeadLetterReason::NoOrigin => {
                "Set the header x-gream-origin to 'gream.commands|<routing key>', then move it to the queue 'replay'."
            }
        }
    }
}

impl fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DeadLetterReason {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|r| r.as_str() == text).ok_or_else(|| format!("unknown dead-letter reason {text:?}"))
    }
}
