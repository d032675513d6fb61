//! Enums that are stored as one word: the word, and the way back.

/// A stored word that this build does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} {word:?}: the row was written by a newer version; upgrade this process")]
pub struct UnknownWord {
    /// What was being read.
    pub what: &'static str,
    /// What was found.
    pub word: String,
}

/// Declares an enum whose variants are each stored as one word: `ALL`, `as_str`, `Display` and `FromStr`.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $what:literal, { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every one.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// As stored in the database.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let known = $name::ALL.iter().copied().find(|one| one.as_str() == text);
                known.ok_or_else(|| $crate::UnknownWord { what: $what, word: text.to_owned() })
            }
        }
    };
}

pub(crate) use words;
