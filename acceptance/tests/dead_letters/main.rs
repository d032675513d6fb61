//! Dead letters, as an operator meets them: by `gream dlq` and `gream trace`, and by the RabbitMQ page's own HTTP API.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod discarding;
mod editing;
mod limits;
mod replaying;
mod shovel;
mod tracing;

use acceptance::{stage, thousand};
