//! A stream to the server that limits every wait for an answer. It counts requests and answers by the protocol's
//! messages, above TLS. So the limit holds for every use of a connection: when it passes, the connection breaks, every
//! caller that waits on it gets an error, and the pool does not lend it again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

use super::frames::{Frames, STARTUP, sqlstate};
use super::link::Link;

pub(super) struct Watched<S> {
    inner: S,
    link: Arc<Link>,
    sent: Frames,
    received: Frames,
    /// Requests that the server has not finished.
    unanswered: usize,
    /// The socket takes no more bytes.
    is_write_blocked: bool,
    /// Nothing while nothing is waited for.
    deadline: Option<Instant>,
    /// Set for an instant that may be earlier than the deadline: setting it anew for every request would cost more.
    alarm: Pin<Box<Sleep>>,
    alarm_at: Option<Instant>,
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S, link: Arc<Link>) -> Self {
        Self {
            inner,
            link,
            sent: Frames::of_client(),
            received: Frames::of_server(),
            unanswered: 0,
            is_write_blocked: false,
            deadline: None,
            alarm: Box::pin(sleep_until(Instant::now())),
            alarm_at: None,
        }
    }

    fn note_sent(&mut self, bytes: &[u8]) {
        let Self { sent, unanswered, .. } = self;
        sent.read(bytes, |tag, _| {
            // Each of these is answered by one ReadyForQuery.
            if matches!(tag, STARTUP | b'S' | b'Q' | b'F') {
                *unanswered += 1;
            }
        });
    }

    fn note_received(&mut self, bytes: &[u8]) {
        let Self { received, unanswered, link, .. } = self;
        received.read(bytes, |tag, body| match tag {
            b'Z' => {
                *unanswered = unanswered.saturating_sub(1);
                link.answered();
            }
            // The server ignores the Sync that preceded the data of COPY.
            b'G' => *unanswered = unanswered.saturating_sub(1),
            b'E' => {
                if let Some(state) = sqlstate(body) {
                    link.refused(state);
                }
            }
            b'K' => link.note_backend(body),
            _ => {}
        });
        // Any byte is progress.
        self.deadline = None;
    }

    /// Ready when the limit has passed. Until then the task is woken when it passes.
    fn poll_limit(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            if self.unanswered == 0 && !self.is_write_blocked {
                self.deadline = None;
                return Poll::Pending;
            }
            let limit = self.link.limit();
            let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
            if self.alarm_at.is_none_or(|at| at > deadline) {
                self.alarm.as_mut().reset(deadline);
                self.alarm_at = Some(deadline);
            }
            ready!(self.alarm.as_mut().poll(context));
            self.alarm_at = None;
            if Instant::now() >= deadline {
                return Poll::Ready(self.link.is_silent(limit));
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                self.note_received(&buffer.filled()[before..]);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_limit(context).map(Err),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = match Pin::new(&mut self.inner).poll_write(context, bytes) {
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                self.is_write_blocked = true;
                return self.poll_limit(context).map(Err);
            }
        };
        if self.is_write_blocked {
            self.is_write_blocked = false;
            self.deadline = None;
        }
        self.note_sent(&bytes[..written]);
        // The answer is read for at the next wake-up only: the alarm must be set by now.
        match self.poll_limit(context) {
            Poll::Ready(error) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Ready(Ok(written)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Watched<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.inner.channel_binding()
    }
}
