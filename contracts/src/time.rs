//! One kind of time everywhere inside: UTC, in whole milliseconds. Seoul exists only at the API's edge.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An instant, as milliseconds since 1970-01-01T00:00:00Z. Deadlines are exclusive: at the deadline it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// This instant moved by `ms` (which may be negative).
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> UnixMs {
        UnixMs(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is later.
    pub fn ms_since(self, earlier: UnixMs) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}
