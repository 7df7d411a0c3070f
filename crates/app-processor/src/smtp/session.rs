//! A connection to a submission server (RFC 5321, RFC 6409), from its greeting on.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use providers::{SmtpReply, SmtpSecurity, SmtpServer, SmtpStage, Submission};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::stream::{Connector, Stream, broken};

/// The reply of a server that closes the connection, to whatever it was asked (RFC 5321 section 3.8).
pub(super) const CLOSING: u16 = 421;
/// RFC 5321 section 4.5.3.1.5 says 512 bytes a line; no server needs so many.
const REPLY_BYTES_MAX: usize = 64 << 10;
const MAILS_MAX: u32 = 100;
/// How long a server that stopped reading is given to say why.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a dialogue ended early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refuses.
    Reply(SmtpReply),
    /// What it says is no SMTP.
    Unreadable(String),
    /// It is not there, or no longer.
    Broken(String),
    Late(String),
}

/// A connection that is ready for a mail.
pub(super) struct Session {
    stream: BufReader<Stream>,
    /// The keywords of its answer to EHLO, in upper case, with their parameters.
    extensions: Vec<String>,
    /// A mail was refused half-way: RSET comes first.
    unfinished: bool,
    /// How many mails it was used for.
    mails: u32,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("extensions", &self.extensions).finish_non_exhaustive()
    }
}

impl Session {
    fn over(stream: Stream) -> Self {
        Self { stream: BufReader::new(stream), extensions: Vec::new(), unfinished: false, mails: 0 }
    }

    /// Greets, encrypts and authenticates, as configured.
    pub(super) async fn open(
        stream: Stream,
        server: &SmtpServer,
        connector: &Connector,
    ) -> Result<Self, Failure> {
        let mut session = Self::over(stream);
        let greeting = session.reply(SmtpStage::Connect).await?;
        expect(greeting, 2)?;
        session.hello(server).await?;
        if server.security == SmtpSecurity::StartTls {
            session = session.start_tls(server, connector).await?;
        }
        if let Some((username, password)) = &server.credentials {
            session.authenticate(username, password).await?;
        }
        Ok(session)
    }

    async fn hello(&mut self, server: &SmtpServer) -> Result<(), Failure> {
        let ehlo = format!("EHLO {}", server.helo_name);
        let reply = expect(self.command(&ehlo, SmtpStage::Connect).await?, 2)?;
        self.extensions = reply.text.lines().skip(1).map(|line| line.trim().to_ascii_uppercase()).collect();
        Ok(())
    }

    /// What the server said in the clear counts no more, and what it said too early is not from it (RFC 3207
    /// section 5).
    async fn start_tls(mut self, server: &SmtpServer, connector: &Connector) -> Result<Self, Failure> {
        if self.extension("STARTTLS").is_none() {
            return Err(Failure::Broken("the mail server does not offer STARTTLS".to_owned()));
        }
        expect(self.command("STARTTLS", SmtpStage::Connect).await?, 2)?;
        if !self.stream.buffer().is_empty() {
            return Err(Failure::Unreadable("the mail server spoke before TLS began".to_owned()));
        }
        let stream = connector.encrypt(self.stream.into_inner(), server).await?;
        let mut session = Self::over(stream);
        session.hello(server).await?;
        Ok(session)
    }

    /// RFC 4954. A server that offers no way at all will say what it wants.
    async fn authenticate(&mut self, username: &str, password: &SecretString) -> Result<(), Failure> {
        let offered: Vec<&str> = self.extension("AUTH").unwrap_or_default().split(' ').collect();
        let by_login = offered.contains(&"LOGIN") && !offered.contains(&"PLAIN");
        let password = password.expose_secret();
        let last = if by_login {
            expect(self.command("AUTH LOGIN", SmtpStage::Auth).await?, 3)?;
            expect(self.command(&BASE64.encode(username), SmtpStage::Auth).await?, 3)?;
            self.command(&BASE64.encode(password), SmtpStage::Auth).await?
        } else {
            let response = BASE64.encode(format!("\0{username}\0{password}"));
            self.command(&format!("AUTH PLAIN {response}"), SmtpStage::Auth).await?
        };
        expect(last, 2).map(|_| ())
    }

    /// The reply to the whole mail. `said_all` is set before its last line is sent: from then on the server may have
    /// it.
    pub(super) async fn submit(
        &mut self,
        submission: &Submission,
        said_all: &AtomicBool,
    ) -> Result<SmtpReply, Failure> {
        self.mails += 1;
        if std::mem::replace(&mut self.unfinished, true) {
            // Whatever it answers else is about the connection, not about this mail.
            let reply = self.command("RSET", SmtpStage::MailFrom).await?;
            expect(reply, 2).map_err(|_| Failure::Broken("the mail server takes no RSET".to_owned()))?;
        }
        let Submission { from, to, envelope_id, mail, .. } = submission;
        let size = self.extension("SIZE").map_or_else(String::new, |_| format!(" SIZE={}", mail.len()));
        let (report, notify) = match self.extension("DSN") {
            Some(_) => (format!(" RET=HDRS ENVID={envelope_id}"), " NOTIFY=FAILURE,DELAY"),
            None => (String::new(), ""),
        };
        let command = format!("MAIL FROM:<{from}>{size}{report}");
        expect(self.command(&command, SmtpStage::MailFrom).await?, 2)?;
        expect(self.command(&format!("RCPT TO:<{to}>{notify}"), SmtpStage::RcptTo).await?, 2)?;
        expect(self.command("DATA", SmtpStage::Data).await?, 3)?;
        if let Err(error) = self.write(&with_dots_doubled(mail)).await {
            // It may have refused the mail before it had all of it, and closed.
            return match timeout(LAST_WORD_TIMEOUT, self.reply(SmtpStage::Data)).await {
                Ok(Ok(reply)) if reply.code >= 400 => Err(Failure::Reply(reply)),
                _ => Err(error),
            };
        }
        said_all.store(true, Ordering::Relaxed);
        self.write(b".\r\n").await?;
        let reply = self.reply(SmtpStage::Data).await?;
        self.unfinished = false;
        Ok(reply)
    }

    pub(super) async fn quit(mut self) -> Result<(), Failure> {
        self.write(b"QUIT\r\n").await?;
        self.stream.get_mut().shutdown().await.map_err(broken)
    }

    /// Servers limit what one connection is used for.
    pub(super) fn is_worn_out(&self) -> bool {
        self.mails >= MAILS_MAX
    }

    /// The extension's parameters, if the server has it.
    fn extension(&self, keyword: &str) -> Option<&str> {
        self.extensions.iter().find_map(|line| {
            let (found, parameters) = line.split_once(' ').unwrap_or((line, ""));
            (found == keyword).then_some(parameters)
        })
    }

    async fn command(&mut self, line: &str, stage: SmtpStage) -> Result<SmtpReply, Failure> {
        if line.contains(['\r', '\n', '\0']) {
            return Err(Failure::Unreadable("a command would have been two".to_owned()));
        }
        self.write(format!("{line}\r\n").as_bytes()).await?;
        self.reply(stage).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes).await.map_err(broken)?;
        stream.flush().await.map_err(broken)
    }

    /// RFC 5321 section 4.2: `250-` goes on, `250 ` ends.
    async fn reply(&mut self, stage: SmtpStage) -> Result<SmtpReply, Failure> {
        let (mut text, mut bytes_left) = (String::new(), REPLY_BYTES_MAX);
        loop {
            let mut line = Vec::new();
            let limit = u64::try_from(bytes_left).unwrap_or(u64::MAX);
            (&mut self.stream).take(limit).read_until(b'\n', &mut line).await.map_err(broken)?;
            bytes_left = bytes_left.saturating_sub(line.len());
            if !line.ends_with(b"\n") {
                let problem = if bytes_left == 0 { "a reply without end" } else { "" };
                return Err(match problem {
                    "" => Failure::Broken("the mail server closed the connection".to_owned()),
                    problem => Failure::Unreadable(problem.to_owned()),
                });
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            let code = line.get(..3).and_then(|code| code.parse::<u16>().ok());
            let code = code.filter(|code| (200..600).contains(code));
            let (Some(code), mark) = (code, line.as_bytes().get(3)) else {
                return Err(Failure::Unreadable("a reply that is no SMTP".to_owned()));
            };
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(line.get(4..).unwrap_or_default());
            match mark {
                None | Some(b' ') => return Ok(SmtpReply { code, text, stage }),
                Some(b'-') => {}
                Some(_) => return Err(Failure::Unreadable("a reply that is no SMTP".to_owned())),
            }
        }
    }
}

/// The reply, where its first digit is this one. A refusal is the server's verdict, anything else a misunderstanding.
fn expect(reply: SmtpReply, first_digit: u16) -> Result<SmtpReply, Failure> {
    match reply.code / 100 {
        digit if digit == first_digit => Ok(reply),
        4 | 5 => Err(Failure::Reply(reply)),
        _ => Err(Failure::Unreadable(format!("reply {}, which means nothing here", reply.code))),
    }
}

/// RFC 5321 section 4.5.2: a line with a single dot would end the mail. Ends with a line's end.
fn with_dots_doubled(mail: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(mail.len() + 16);
    for line in mail.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b".") {
            doubled.push(b'.');
        }
        doubled.extend_from_slice(line);
    }
    if !doubled.ends_with(b"\r\n") {
        doubled.extend_from_slice(b"\r\n");
    }
    doubled
}
