//! What processes cost, from /proc: processor time and resident memory.

use anyhow::Context;

/// The kernel counts in these (USER_HZ), on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds of processor time since a process began, its own.
///
/// # Errors
/// When it is not there, or there is no /proc.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let stat = stat(pid)?;
    Ok((number(&stat, UTIME)? + number(&stat, STIME)?) / TICKS_PER_SECOND)
}

/// That of a process with its children, also with those that have ended: PostgreSQL with all its backends.
///
/// # Errors
/// As [`cpu_seconds`].
pub fn tree_cpu_seconds(parent: u32) -> anyhow::Result<f64> {
    let own = stat(parent)?;
    let ended = (number(&own, CUTIME)? + number(&own, CSTIME)?) / TICKS_PER_SECOND;
    let mut sum = cpu_seconds(parent)? + ended;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that ended since is counted with its parent next time.
        let Ok(fields) = stat(pid) else { continue };
        if fields.get(PPID).and_then(|ppid| ppid.parse().ok()) == Some(parent) {
            sum += cpu_seconds(pid).unwrap_or(0.0);
        }
    }
    Ok(sum)
}

/// Resident memory now and at its highest, in MB (10⁶ bytes).
///
/// # Errors
/// As [`cpu_seconds`].
pub fn memory_mb(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("/proc")?;
    let of = |name: &str| -> anyhow::Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("a line of /proc")?;
        let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0 / 1e6)
    };
    Ok((of("VmRSS")?, of("VmHWM")?))
}

// Places after the name in parentheses, which may itself hold blanks.
const PPID: usize = 1;
const UTIME: usize = 11;
const STIME: usize = 12;
const CUTIME: usize = 13;
const CSTIME: usize = 14;

fn stat(pid: u32) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("/proc")?;
    let (_, after_name) = text.rsplit_once(')').context("/proc/PID/stat")?;
    Ok(after_name.split_whitespace().map(str::to_owned).collect())
}

fn number(fields: &[String], place: usize) -> anyhow::Result<f64> {
    Ok(fields.get(place).context("/proc/PID/stat")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_uses_time_and_memory() {
        let us = std::process::id();
        let (now, highest) = memory_mb(us).unwrap();
        assert!(now > 0.5 && highest >= now, "{now} {highest}");
        // The time goes on between the two.
        let alone = cpu_seconds(us).unwrap();
        assert!(tree_cpu_seconds(us).unwrap() >= alone);
    }
}
