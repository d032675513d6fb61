//! The rows that a check looks at. The whole audit looks at all of them; a slice of the live one at a few.

/// Users by their ids, from behind `after` up to `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Users {
    pub(crate) after: i64,
    pub(crate) upto: i64,
}

impl Users {
    /// Everybody, and 0: the market itself.
    pub(crate) const ALL: Self = Self { after: -1, upto: i64::MAX };
}

/// Orders by their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) after: i64,
    pub(crate) upto: i64,
}

impl Orders {
    pub(crate) const ALL: Self = Self { after: -1, upto: i64::MAX };
}

/// Commands by their ids, as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commands {
    pub(crate) after: Vec<u8>,
    pub(crate) upto: Vec<u8>,
}

impl Commands {
    /// Behind every id of 16 bytes.
    pub(crate) const END: [u8; 17] = [0xff; 17];

    pub(crate) fn all() -> Self {
        Self { after: Vec::new(), upto: Self::END.to_vec() }
    }
}
