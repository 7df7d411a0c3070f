//! Ports for the processes of a run: below the system's ephemeral range, so that no outgoing connection takes one
//! between its choice and its use.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use anyhow::bail;

const FIRST: u16 = 9_000;
const COUNT: u16 = 3_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 on which nobody listens, another one at each call.
///
/// # Errors
/// When all are taken.
pub fn free() -> anyhow::Result<u16> {
    // Runs at the same time begin at different places.
    let start = std::process::id() % 100 * 30;
    for _ in 0..COUNT {
        let number = start + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(number % u32::from(COUNT)).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port between {FIRST} and {}", FIRST + COUNT)
}
