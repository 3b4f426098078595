//! What a process has used, from `/proc`.

use anyhow::{Context, Result};
use std::time::Duration;

/// Processor time of these processes and all of their threads, since they began.
///
/// # Errors
/// One of them is gone.
pub(crate) fn cpu(processes: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for process in processes {
        let path = format!("/proc/{process}/stat");
        let stat = std::fs::read_to_string(&path).context(path)?;
        // The second field, in parentheses, may hold anything; utime and stime are the 14th and 15th.
        let fields = stat.rsplit_once(')').context("stat")?.1.split_whitespace().skip(11).take(2);
        for field in fields {
            ticks += field.parse::<u64>()?;
        }
    }
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// Resident memory of these processes at its highest and now, in KiB.
///
/// # Errors
/// One of them is gone.
pub(crate) fn memory(processes: &[u32]) -> Result<(u64, u64)> {
    let (mut peak, mut now) = (0, 0);
    for process in processes {
        let path = format!("/proc/{process}/status");
        let status = std::fs::read_to_string(&path).context(path)?;
        let line = |name| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.split_whitespace().next()?.parse::<u64>().ok()
        };
        peak += line("VmHWM:").context("VmHWM")?;
        now += line("VmRSS:").context("VmRSS")?;
    }
    Ok((peak, now))
}

/// `USER_HZ`, 100 on every architecture that we build for.
const TICKS_PER_SECOND: u64 = 100;
