//! The SMTP listener, and what a session says and hears. The commands are in `session.rs`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::mishap::{self, Mishap};
use super::session::{Answer, Envelope, Session};
use super::{NAME, Smtp};
use crate::faults::Fault;
use crate::kind::{Kind, Outline, Protocol as _};
use crate::message::{Answered, Call, first_reference, reference_of_text};
use crate::mime;
use crate::schedule;
use crate::send;
use crate::simulator::Shared;

/// RFC 5321 section 4.5.3.1.4 wants 512; AUTH and extensions need more.
const LINE_BYTES_MAX: u64 = 16 * 1024;
const DATA_BYTES_MAX: usize = 30 * 1024 * 1024;

pub(crate) async fn serve(
    shared: Arc<Shared>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                // The port stays open in an outage that refuses; nobody is greeted.
                Ok(_) if shared.faults.refusal_until().is_some() => {}
                Ok((stream, _)) => {
                    let shared = Arc::clone(&shared);
                    sessions.spawn(async move { talk(&shared, stream).await });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
}

async fn talk(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut peer = BufReader::new(stream);
    let mut session = Session::default();
    say(&mut peer, "220 simulator.invalid ESMTP").await?;
    loop {
        let Some(line) = hear(&mut peer).await? else { return Ok(()) };
        match session.command(&line, shared.accounts(NAME)) {
            Answer::Reply(reply) => say(&mut peer, &reply).await?,
            Answer::Bye(reply) => return say(&mut peer, &reply).await,
            Answer::Data(account, envelope) => {
                say(&mut peer, "354 End data with <CR><LF>.<CR><LF>").await?;
                let Some(source) = data(&mut peer).await? else { return Ok(()) };
                if !take(shared, &mut peer, account, envelope, &source).await? {
                    return Ok(());
                }
            }
        }
    }
}

async fn say(peer: &mut BufReader<TcpStream>, reply: &str) -> io::Result<()> {
    peer.write_all(format!("{reply}\r\n").as_bytes()).await?;
    peer.flush().await
}

/// A line without its end; nothing once the peer has left.
async fn hear(peer: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let read = peer.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await?;
    if read == 0 || !line.ends_with(b"\n") {
        return Ok(None);
    }
    Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned()))
}

/// The mail's source, its dots unstuffed (RFC 5321 section 4.5.2); nothing if the peer left within it.
async fn data(peer: &mut BufReader<TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut source = Vec::new();
    loop {
        let begins = source.len();
        if peer.read_until(b'\n', &mut source).await? == 0 || source.len() > DATA_BYTES_MAX {
            return Ok(None);
        }
        if source[begins..] == *b".\r\n" {
            source.truncate(begins);
            return Ok(Some(source));
        }
        if source[begins] == b'.' {
            source.remove(begins);
        }
    }
}

/// False once the connection is over.
async fn take(
    shared: &Shared,
    peer: &mut BufReader<TcpStream>,
    account: usize,
    envelope: Envelope,
    source: &[u8],
) -> io::Result<bool> {
    let Some(kind) = Kind::named(Smtp.name()) else { return Ok(false) };
    let outlines = outlines(envelope, source);
    let nobody = Outline::default();
    let first = outlines.first().unwrap_or(&nobody);
    let number = shared.ledger.begin_call(Call {
        kind,
        account: Some(account),
        message_id: first.reference.0,
        attempt: first.reference.1,
        to: first.to.as_str().into(),
        at_ms: shared.options.clock.now().as_millisecond(),
        answer: Answered::Nothing,
    });
    let mut met = send::meet(shared, kind, account, first);
    let mishap = met.call.as_ref().and_then(|fault: &Fault| mishap::of(fault));
    match &mishap {
        Some(Mishap::Refuse(reply)) => {
            let status = reply.get(..3).and_then(|status| status.parse().ok()).unwrap_or_default();
            shared.ledger.end_call(number, Answered::Status(status));
            say(peer, reply).await?;
            // 421 says that the channel closes.
            return Ok(status != 421);
        }
        Some(Mishap::BreakOff) => return broken(shared, peer, number),
        Some(Mishap::Wait(time)) => tokio::time::sleep(*time).await,
        _ => {}
    }
    let messages = send::entries(shared, kind, account, outlines, None, &mut met);
    let id = messages.first().map(|message| message.provider_message_id.clone()).unwrap_or_default();
    if let Err(problem) = shared.ledger.accept(&messages) {
        tracing::error!(%problem, "the ledger's file cannot be written");
        say(peer, "451 4.3.0 The ledger's file cannot be written").await?;
        return Ok(true);
    }
    for message in messages {
        if message.plan.before_answer {
            schedule::deliver_now(shared, &message).await;
        } else {
            schedule::begin(shared, message);
        }
    }
    let reply = format!("250 2.0.0 Ok: queued as {id}");
    let answered = || shared.ledger.end_call(number, Answered::Status(250));
    match mishap {
        Some(Mishap::AcceptThenBreakOff) => return broken(shared, peer, number),
        Some(Mishap::AcceptThenWait(time)) => tokio::time::sleep(time).await,
        Some(Mishap::SlowReply(time)) => {
            answered();
            let gap = time / u32::try_from(reply.len()).unwrap_or(1);
            for byte in reply.bytes() {
                tokio::time::sleep(gap).await;
                peer.write_all(&[byte]).await?;
            }
            peer.write_all(b"\r\n").await?;
            return Ok(true);
        }
        Some(Mishap::Garbage) => {
            answered();
            say(peer, "\u{1}proxy error\u{2}").await?;
            return Ok(true);
        }
        Some(Mishap::Truncated) => {
            answered();
            peer.write_all(b"25").await?;
            return Ok(false);
        }
        _ => {}
    }
    answered();
    say(peer, &reply).await?;
    Ok(true)
}

/// The peer sees a reset instead of a reply.
fn broken(
    shared: &Shared,
    peer: &BufReader<TcpStream>,
    number: crate::ledger::CallNumber,
) -> io::Result<bool> {
    shared.ledger.end_call(number, Answered::Reset);
    peer.get_ref().set_zero_linger()?;
    Ok(false)
}

/// One per recipient of the envelope.
fn outlines(envelope: Envelope, source: &[u8]) -> Vec<Outline> {
    let mut outline = mime::outline(source).unwrap_or_default();
    outline.channel = "email";
    if outline.from.is_empty() {
        outline.from.clone_from(&envelope.from);
    }
    outline.event_fields.insert("return-path".to_owned(), envelope.from.into());
    if let Some(id) = envelope.id {
        // It may name the attempt where the Message-ID must stay the same over all of them.
        outline.reference = first_reference([reference_of_text(&id), outline.reference]);
        outline.event_fields.insert("envelope-id".to_owned(), id.into());
    }
    envelope.to.into_iter().map(|to| Outline { to, ..outline.clone() }).collect()
}
