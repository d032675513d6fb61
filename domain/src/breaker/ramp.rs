//! How many calls a process may have under way: one at first, one more for each that went well.
//!
//! Promises: after an outage the calls come back at the pace at which the service answers: they double with
//! each round of answers, up to the process's limit. Doesn't: share anything: a fleet of n processes begins with n.

/// See the module's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    allowed: usize,
    most: usize,
}

impl Ramp {
    /// At its top: nothing speaks for less.
    pub fn climbed(most: usize) -> Self {
        Self { allowed: most.max(1), most: most.max(1) }
    }

    /// Another limit. What is at its top stays there.
    pub fn reach(&mut self, most: usize) {
        let most = most.max(1);
        self.allowed = if self.is_climbed() { most } else { self.allowed.min(most) };
        self.most = most;
    }

    /// How many may be under way at once.
    pub fn allowed(&self) -> usize {
        self.allowed
    }

    /// Whether it limits nothing any more.
    pub fn is_climbed(&self) -> bool {
        self.allowed >= self.most
    }

    /// A call went well, or a moment passed in which nothing went wrong.
    pub fn climb(&mut self) {
        self.allowed = self.allowed.saturating_add(1).min(self.most);
    }

    /// Everything begins again.
    pub fn fall(&mut self) {
        self.allowed = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_with_each_round_of_answers_up_to_its_limit() {
        let mut ramp = Ramp::climbed(10);
        assert!(ramp.is_climbed());
        ramp.fall();
        let mut rounds = Vec::new();
        while !ramp.is_climbed() {
            rounds.push(ramp.allowed());
            (0..ramp.allowed()).for_each(|_| ramp.climb());
        }
        assert_eq!(rounds, [1, 2, 4, 8]);
        ramp.climb();
        assert_eq!(ramp.allowed(), 10);
        ramp.reach(20);
        assert_eq!(ramp.allowed(), 20, "it was at its top");
        ramp.reach(4);
        assert!((ramp.allowed(), ramp.is_climbed()) == (4, true));
        ramp.fall();
        ramp.reach(2);
        assert_eq!(ramp.allowed(), 1, "it climbs on, to another top");
        assert_eq!(Ramp::climbed(0).allowed(), 1, "nobody is shut out for ever");
    }
}
