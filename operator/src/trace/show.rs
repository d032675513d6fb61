//! A trace as text.

use super::{Life, Step, Trace};
use crate::moment::{length, utc};
use std::fmt;

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.subject)?;
        for line in &self.about {
            writeln!(f, "  {line}")?;
        }
        if self.is_cut {
            writeln!(f, "  only the latest {} commands are shown", self.commands.len())?;
        }
        self.commands.iter().try_for_each(|life| write!(f, "\n{life}"))
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, kind, user, state, code, attempts, .. } = self;
        write!(f, "{} {id}: {}", kind.as_deref().unwrap_or("command"), state.as_str())?;
        if let Some(code) = code.filter(|code| *code != "Ok") {
            write!(f, " ({code})")?;
        }
        if let Some(user) = user {
            write!(f, ", of user {user}")?;
        }
        writeln!(f, ", {attempts} attempts")?;
        writeln!(f, "  now: {}", self.whereabouts)?;
        let mut before = None;
        for step in &self.steps {
            show_step(f, step, before)?;
            before = Some(step.at);
        }
        Ok(())
    }
}

fn show_step(f: &mut fmt::Formatter<'_>, step: &Step, before: Option<contracts::UnixMs>) -> fmt::Result {
    let later = before.map_or_else(String::new, |before| format!("+{}", length(step.at.ms_since(before))));
    write!(f, "  {} {later:>14}  {:<22} {}", utc(step.at), step.what, step.detail)?;
    if let Some(took_ms) = step.took_ms {
        write!(f, " [took {}]", length(took_ms))?;
    }
    if let Some(by) = &step.by {
        write!(f, " [{by}]")?;
    }
    writeln!(f)
}
