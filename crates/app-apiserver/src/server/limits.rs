//! How many connections there may be and how long one may make no progress. Every connection is an open file.

use std::time::Duration;

/// Connections above the cap that have not sent a request yet.
const RESERVE_MAX: usize = 64;
/// Connections above the cap whose request waits for a regular place.
const WAITING_MAX: usize = 256;
/// Log, listeners, timers, documents that webhooks need.
const OTHER_FILES: usize = 64;

/// The limits of a listener's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Regular connections.
    pub connections: usize,
    pub reserve: usize,
    pub waiting: usize,
    /// A connection ends after so long without progress: also how long a request's head may take, and how long a
    /// connection may be idle between two requests.
    pub stall_timeout: Duration,
}

impl Limits {
    /// The limits that fit the limit of open files, of which the rest of the process needs `others`.
    pub(crate) fn fitting(
        connections_max: usize,
        stall_timeout: Duration,
        others: usize,
        files_max: Option<u64>,
    ) -> Self {
        let files_max = files_max.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
        let others = (others + OTHER_FILES).min(files_max / 2);
        let available = files_max - others;
        let surplus = (RESERVE_MAX + WAITING_MAX).min(available / 4);
        let reserve = RESERVE_MAX.min(surplus.div_ceil(2)).max(1);
        let connections = connections_max.min(available.saturating_sub(surplus)).max(1);
        if connections < connections_max {
            tracing::warn!(
                server.connections = connections,
                server.max_connections = connections_max,
                process.files_max = files_max,
                "the limit of open files allows fewer connections than [server] max_connections; raise the hard limit \
                 (ulimit -Hn, LimitNOFILE) or lower max_connections"
            );
        }
        Self { connections, reserve, waiting: surplus - reserve.min(surplus), stall_timeout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitting(connections_max: usize, files_max: Option<u64>) -> Limits {
        Limits::fitting(connections_max, Duration::from_secs(30), 18, files_max)
    }

    #[test]
    fn connections_of_all_sorts_stay_below_the_limit_of_open_files() {
        for files_max in [16, 64, 256, 1024, 4096] {
            let limits = fitting(4096, Some(files_max));
            let files = limits.connections + limits.reserve + limits.waiting;
            assert!(limits.connections < 4096 && limits.reserve > 0, "{files_max}: {limits:?}");
            assert!(files < usize::try_from(files_max).unwrap(), "{files_max}: {limits:?}");
        }
    }

    #[test]
    fn a_high_limit_of_open_files_changes_nothing() {
        let expected = Limits {
            connections: 4096,
            reserve: RESERVE_MAX,
            waiting: WAITING_MAX,
            stall_timeout: Duration::from_secs(30),
        };
        assert_eq!([fitting(4096, Some(1 << 20)), fitting(4096, None)], [expected, expected]);
    }
}
