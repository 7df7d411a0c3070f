//! The addresses that `app up` listens on. Taken ones are told with who has them and which variable moves ours.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;

use super::holder;

pub(super) const SIMULATOR_VARIABLE: &str = "SIMULATOR_LISTEN";
const SIMULATOR_DEFAULT: &str = "127.0.0.1:8090";

/// Where the simulator is configured to listen, and whether it was configured at all.
pub(super) fn simulator_address() -> anyhow::Result<(SocketAddr, bool)> {
    let configured = std::env::var(SIMULATOR_VARIABLE).ok().filter(|text| !text.is_empty());
    let text = configured.as_deref().unwrap_or(SIMULATOR_DEFAULT);
    let address = text.parse().with_context(|| {
        format!("environment variable {SIMULATOR_VARIABLE}: `{text}` is not an address and port, e.g. 127.0.0.1:8090")
    })?;
    Ok((address, configured.is_some()))
}

pub(super) async fn bind(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let by = match holder::of(address) {
                Some(holder) => format!("by {holder}"),
                None => "by another program".to_owned(),
            };
            let other = SocketAddr::new(address.ip(), address.port().wrapping_add(1000));
            anyhow!("{address} is in use {by}: stop it, or set another address, such as {variable}={other}")
        }
        io::ErrorKind::PermissionDenied => {
            anyhow!("listening on {address} is not permitted: set {variable} to a port above 1023")
        }
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("{address} is no address of this machine: set {variable} to one that is, or to 127.0.0.1")
        }
        _ => anyhow!("cannot listen on {address} ({variable}): {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_address_is_told_with_its_holder_and_our_variable() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = bind(taken.local_addr().unwrap(), "APP_LISTEN").await.unwrap_err().to_string();
        assert!(refused.contains("APP_LISTEN="), "{refused}");
        if cfg!(target_os = "linux") {
            assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        }
    }
}
