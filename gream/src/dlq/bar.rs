//! How far an action is: a bar on a terminal, a line every few seconds anywhere else.

use indicatif::{ProgressBar, ProgressStyle};
use operator::dlq::Progress;
use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};
use tokio::{sync::watch, task::AbortHandle};

const LINE_EVERY: Duration = Duration::from_secs(5);
const DRAW_EVERY: Duration = Duration::from_millis(100);
const STYLE: &str = "{msg} [{bar:32}] {pos}/{len}, {per_sec}, {elapsed}; Ctrl-C stops, and loses none";

/// Shows progress on standard error.
pub(super) struct Bar {
    sender: watch::Sender<Progress>,
    drawn: Option<ProgressBar>,
    task: AbortHandle,
}

impl Bar {
    pub(super) fn new(what: &'static str) -> Self {
        let (sender, progress) = watch::channel(Progress::default());
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_message(what);
            // The template is a constant; should it ever be wrong, the default style shows as much.
            bar.with_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let task = tokio::spawn(draw(what, bar.clone(), progress)).abort_handle();
        Self { sender, drawn: bar, task }
    }

    pub(super) fn sender(&self) -> &watch::Sender<Progress> {
        &self.sender
    }

    pub(super) fn finish(self) {
        self.task.abort();
        if let Some(bar) = self.drawn {
            bar.finish_and_clear();
        }
    }
}

async fn draw(what: &str, bar: Option<ProgressBar>, progress: watch::Receiver<Progress>) {
    loop {
        let Progress { selected, replayed } = *progress.borrow();
        if let Some(bar) = &bar {
            bar.set_length(selected);
            bar.set_position(replayed);
            tokio::time::sleep(DRAW_EVERY).await;
        } else {
            tokio::time::sleep(LINE_EVERY).await;
            eprintln!("{what}: {replayed} of {selected}");
        }
    }
}
