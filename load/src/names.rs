//! The names of one run: unlike those of every other run on the same market.

/// Digits of a run's tag: 36^6 seconds are seventy years.
const TAG_DIGITS: u32 = 6;
/// Satisfies the sign-up rules. The crowd owns nothing but demo points.
pub(crate) const PASSWORD: &str = "market1day";
const BRANDS: [&str; 5] = ["별다방", "빵굽는집", "편의점", "치킨집", "영화관"];
const THINGS: [&str; 5] = ["아메리카노", "케이크", "도시락", "반반치킨", "관람권"];

/// The names of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    tag: String,
}

impl Names {
    /// For a run that began at `unix_s`.
    pub(crate) fn of_run(unix_s: u64) -> Self {
        let tag = (0..TAG_DIGITS).rev().filter_map(|place| digit(unix_s / 36_u64.pow(place) % 36)).collect();
        Self { tag }
    }

    /// What every name of the run contains.
    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }

    /// Login id and nickname of client number `index`.
    pub(crate) fn client(&self, index: u32) -> String {
        format!("m{}x{index}", self.tag)
    }

    /// Brand and name of product number `index`.
    pub(crate) fn product(&self, index: u32) -> (String, String) {
        let pick = usize::try_from(index).unwrap_or(0) % BRANDS.len();
        (BRANDS[pick].to_owned(), format!("{} {}-{index:03}", THINGS[pick], self.tag))
    }
}

fn digit(value: u64) -> Option<char> {
    char::from_digit(u32::try_from(value).ok()?, 36)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_between_runs_and_fit_the_contract() {
        let (one, next) = (Names::of_run(1_770_000_000), Names::of_run(1_770_000_001));
        assert_ne!(one, next);
        assert_eq!(one.tag().len(), 6);
        for name in [one.client(0), one.client(99_999)] {
            assert!((4..=20).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
        }
        assert_ne!(one.product(1), one.product(6));
        assert!(one.product(7).1.contains(one.tag()));
    }
}
