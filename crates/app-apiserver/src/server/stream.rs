//! A client's connection as bytes: what was read ahead of it comes first, and a write that makes no progress for a while
//! fails. (How long a request's head may take is hyper's to limit, how long its body may take is `body`'s.)

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

#[derive(Debug)]
pub(super) struct ClientStream {
    /// Read already, and not yet given on.
    read_ahead: Bytes,
    socket: TcpStream,
    stall: StallTimer,
}

impl ClientStream {
    pub(super) fn new(read_ahead: Bytes, socket: TcpStream, stall_timeout: Duration) -> Self {
        limit_unacknowledged(&socket, stall_timeout);
        Self { read_ahead, socket, stall: StallTimer::new(stall_timeout) }
    }

    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

/// The kernel takes small answers also where the client reads nothing: it ends the connection then.
#[cfg(target_os = "linux")]
fn limit_unacknowledged(socket: &TcpStream, limit: Duration) {
    let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(socket, limit_ms) {
        tracing::debug!(%error, "the connection has no TCP_USER_TIMEOUT");
    }
}

#[cfg(not(target_os = "linux"))]
fn limit_unacknowledged(_: &TcpStream, _: Duration) {}

/// Runs while a write is pending.
#[derive(Debug)]
struct StallTimer {
    timeout: Duration,
    /// Made by the first write that is pending: most connections never have one.
    sleep: Option<Pin<Box<Sleep>>>,
    is_running: bool,
}

impl StallTimer {
    fn new(timeout: Duration) -> Self {
        Self { timeout, sleep: None, is_running: false }
    }

    /// Passes on the result of a write, or an error where writes have been pending for too long.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.is_running = false;
            return written;
        }
        let timeout = self.timeout;
        let timer = self.sleep.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if !self.is_running {
            timer.as_mut().reset(Instant::now() + timeout);
            self.is_running = true;
        }
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_ahead.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let length = self.read_ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.read_ahead[..length]);
        self.read_ahead.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.stall.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.stall.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
