//! What crosses a process border, and nothing else: commands, outcomes, events, result codes, and the names of
//! exchanges, queues, headers and partitions.
//!
//! Promises: no I/O, no clock, no randomness. Whatever two processes must agree on stands here once, so that the
//! API, the workers, the operator's tools and `rabbitmq/definitions.json` cannot drift apart.
//! Doesn't: decide anything about the market. The rules are in `domain`.

pub mod asyncapi;
pub mod barcode;
pub mod client_journal;
pub mod command;
pub mod dead_letter;
pub mod envelope;
pub mod event;
pub mod id;
pub mod kind;
pub mod money;
pub mod outcome;
pub mod partition;
pub mod payment_key;
mod place;
pub mod result_code;
pub mod time;
pub mod topology;

pub use barcode::BarcodeHash;
pub use command::{Command, Picture, Side};
pub use dead_letter::DeadLetterReason;
pub use envelope::{Envelope, Fingerprint};
pub use event::Event;
pub use id::{BidId, CommandId, CouponId, GifticonId, OrderId, ProductId, RefundId, UserId};
pub use kind::Kind;
pub use money::Won;
pub use outcome::{CommandState, Outcome};
pub use partition::{PartitionCount, PartitionId};
pub use payment_key::{MAX_PAYMENT_KEY_LENGTH, is_payment_key};
pub use place::Place;
pub use result_code::ResultCode;
pub use time::UnixMs;
