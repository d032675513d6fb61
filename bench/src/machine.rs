//! What the kernel says of a process: processor time and memory.

use crate::Failure;
use std::time::Duration;

/// Linux's clock tick, as every process sees it.
const TICKS_PER_S: u64 = 100;

/// Resident memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now (`VmRSS`).
    pub(crate) now_kib: u32,
    /// At its highest (`VmHWM`).
    pub(crate) peak_kib: u32,
}

/// The processor time of `pid` so far, all its threads together.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    cpu_time_in(&std::fs::read_to_string(format!("/proc/{pid}/stat"))?)
        .ok_or_else(|| "unreadable /proc/PID/stat".into())
}

/// The memory of `pid`.
pub(crate) fn memory(pid: u32) -> Result<Memory, Failure> {
    memory_in(&std::fs::read_to_string(format!("/proc/{pid}/status"))?)
        .ok_or_else(|| "unreadable /proc/PID/status".into())
}

fn cpu_time_in(stat: &str) -> Option<Duration> {
    // After the name in parentheses: the state is the 3rd field, user and system time the 14th and 15th.
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(ticks * 1_000 / TICKS_PER_S))
}

fn memory_in(status: &str) -> Option<Memory> {
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok();
    Some(Memory { now_kib: line("VmRSS:")?, peak_kib: line("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 100 1000 10";
        assert_eq!(cpu_time_in(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time_in("42 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_from_its_lines() {
        let status = "Name:\tgream\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\n";
        assert_eq!(memory_in(status), Some(Memory { now_kib: 10_240, peak_kib: 20_480 }));
        assert_eq!(memory_in("Name:\tzombie\n"), None);
    }

    #[test]
    fn this_process_has_both() {
        assert!(cpu_time(std::process::id()).is_ok());
        assert!(memory(std::process::id()).unwrap().peak_kib > 0);
    }
}
