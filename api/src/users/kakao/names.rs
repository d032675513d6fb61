//! Names for a person who comes from Kakao, within the contract's rules and most likely free.

use crate::users::sign_up::is_nickname_letter;

/// Digits of 36 that make a name unlike others.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const LOGIN_ID_DIGITS: usize = 12;
const NICKNAME_DIGITS: usize = 6;
const MIN_NICKNAME_CHARS: usize = 2;
const MAX_NICKNAME_CHARS: usize = 20;
/// For those whose own name has too few letters.
const NAMELESS: &str = "카카오";

/// A login id. Nobody types it: it is never asked for together with a password.
pub(super) fn login_id(random: u128) -> String {
    format!("kakao{}", digits(random, LOGIN_ID_DIGITS))
}

/// The person's own nickname, as far as the contract's letters allow; with `random`, one that is hardly taken.
pub(super) fn nickname(own: Option<&str>, random: Option<u128>) -> String {
    let letters: Vec<char> = own.unwrap_or_default().chars().filter(|c| is_nickname_letter(*c)).collect();
    let is_named = letters.len() >= MIN_NICKNAME_CHARS;
    let mut name: String = if is_named { letters.into_iter().collect() } else { NAMELESS.to_owned() };
    let end = random.map(|random| digits(random, NICKNAME_DIGITS)).unwrap_or_default();
    name = name.chars().take(MAX_NICKNAME_CHARS - end.len()).collect();
    name + &end
}

fn digits(mut random: u128, count: usize) -> String {
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        let digit = usize::try_from(random % 36).unwrap_or(0);
        text.push(char::from(DIGITS[digit]));
        random /= 36;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::sign_up::{is_login_id, is_nickname};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_is_one_that_could_have_been_signed_up_with(own: Option<String>, random: Option<u128>, id: u128) {
            let name = nickname(own.as_deref(), random);
            prop_assert!(is_nickname(&name), "{}", name);
            prop_assert!(is_login_id(&login_id(id)));
        }
    }

    #[test]
    fn a_name_stays_as_it_is_where_it_can() {
        assert_eq!(nickname(Some("홍길동"), None), "홍길동");
        assert_eq!(nickname(Some("J. Doe 🎈"), None), "JDoe");
        assert_eq!(nickname(Some("🎈"), Some(0)), "카카오000000");
        assert_eq!(nickname(Some(&"가".repeat(30)), Some(35)).chars().count(), 20);
        assert_ne!(nickname(Some("홍길동"), Some(1)), nickname(Some("홍길동"), Some(2)));
    }
}
