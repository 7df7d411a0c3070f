//! Ports for servers that tests start. Below the system's ephemeral range, so that no outgoing connection takes
//! one between its choice and its use.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A port of 127.0.0.1 on which nobody listens, different at each call.
///
/// # Panics
/// When all are taken.
pub fn free_port() -> u16 {
    // Processes that run at once begin at different places.
    let start = (std::process::id() % 1000) * 61;
    for _ in 0..COUNT {
        let number = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from((start + number) % u32::from(COUNT)).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
