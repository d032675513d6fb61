//! How far the day is: a bar on a terminal, a line every few seconds anywhere else.

use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{IsTerminal, stderr},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

const LINE_EVERY: Duration = Duration::from_secs(5);
const STYLE: &str = "{msg:<24} [{bar:32}] {pos}/{len} commands, {per_sec}, {elapsed}";

/// Shows progress on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    goal: u64,
    position: AtomicU64,
    act: Mutex<String>,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// Towards `goal` commands.
    pub(crate) fn towards(goal: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(goal);
            // The template is a constant; should it ever be wrong, the default style shows as much.
            bar.set_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Self { bar, goal, position: AtomicU64::new(0), act: Mutex::default(), last_line: Mutex::new(Instant::now()) }
    }

    /// The next act begins.
    pub(crate) fn act(&self, name: &str) {
        name.clone_into(&mut self.act.lock().unwrap_or_else(PoisonError::into_inner));
        match &self.bar {
            Some(bar) => bar.set_message(name.to_owned()),
            None => self.line(),
        }
    }

    /// So many commands were accepted.
    pub(crate) fn at(&self, position: u64) {
        self.position.fetch_max(position, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(self.position.load(Ordering::Relaxed));
            return;
        }
        let due = {
            let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
            let due = last.elapsed() >= LINE_EVERY;
            if due {
                *last = Instant::now();
            }
            due
        };
        if due {
            self.line();
        }
    }

    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self) {
        let act = self.act.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let position = self.position.load(Ordering::Relaxed);
        match self.goal {
            // It is not known how many there will be.
            0 => eprintln!("market day: {act}: {position} commands"),
            goal => eprintln!("market day: {act}: {position}/{goal} commands"),
        }
    }
}
