//! The commands of a session (RFC 5321, RFC 4954) and the replies to them. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::account::Account;
use crate::numbers::is_mailbox;

const EXTENSIONS: &str = "250-simulator.invalid\r\n250-PIPELINING\r\n250-SIZE 31457280\r\n250-8BITMIME\r\n\
    250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 AUTH PLAIN LOGIN";
const RECIPIENTS_MAX: usize = 100;

/// Who writes to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Envelope {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// ENVID, by which a bounce names the mail (RFC 3461 section 4.4).
    pub(super) id: Option<String>,
}

#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Reply(String),
    /// A mail of this account follows.
    Data(usize, Envelope),
    /// The last one.
    Bye(String),
}

#[derive(Debug, Default)]
pub(super) struct Session {
    is_greeted: bool,
    account: Option<usize>,
    login: Option<Login>,
    envelope: Option<Envelope>,
}

/// What the next line is, instead of a command.
#[derive(Debug)]
enum Login {
    Plain,
    User,
    Password(String),
}

fn reply(text: &str) -> Answer {
    Answer::Reply(text.to_owned())
}

impl Session {
    pub(super) fn command(&mut self, line: &str, accounts: &[Account]) -> Answer {
        if let Some(login) = self.login.take() {
            return self.log_in(login, line, accounts);
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => {
                (self.is_greeted, self.envelope) = (true, None);
                reply(EXTENSIONS)
            }
            "HELO" => {
                (self.is_greeted, self.envelope) = (true, None);
                reply("250 simulator.invalid")
            }
            "AUTH" => self.auth(rest, accounts),
            "MAIL" => self.mail(rest),
            "RCPT" => self.recipient(rest),
            "DATA" => match (self.account, self.envelope.take()) {
                (Some(account), Some(envelope)) if !envelope.to.is_empty() => Answer::Data(account, envelope),
                _ => reply("503 5.5.1 Error: need RCPT command"),
            },
            "RSET" => {
                self.envelope = None;
                reply("250 2.0.0 Ok")
            }
            "NOOP" => reply("250 2.0.0 Ok"),
            "QUIT" => Answer::Bye("221 2.0.0 Bye".to_owned()),
            _ => reply("502 5.5.2 Error: command not recognized"),
        }
    }

    fn auth(&mut self, rest: &str, accounts: &[Account]) -> Answer {
        if !self.is_greeted || self.account.is_some() {
            return reply("503 5.5.1 Error: out of sequence");
        }
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let (login, challenge) = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => (Login::Plain, "334 "),
            "LOGIN" => (Login::User, "334 VXNlcm5hbWU6"),
            _ => return reply("504 5.5.4 Unrecognized authentication type"),
        };
        if initial.is_empty() {
            self.login = Some(login);
            return reply(challenge);
        }
        self.log_in(login, initial, accounts)
    }

    fn log_in(&mut self, login: Login, line: &str, accounts: &[Account]) -> Answer {
        let Some(text) = STANDARD.decode(line).ok().and_then(|text| String::from_utf8(text).ok()) else {
            return reply("501 5.5.2 Cannot decode the response");
        };
        let (user, password) = match login {
            Login::User => {
                self.login = Some(Login::Password(text));
                return reply("334 UGFzc3dvcmQ6");
            }
            Login::Password(user) => (user, text),
            // Authorization identity, user, password.
            Login::Plain => {
                let mut parts = text.split('\0').skip(1).map(str::to_owned);
                (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
            }
        };
        self.account = accounts.iter().position(|account| account.name == user && account.secret == password);
        match self.account {
            Some(_) => reply("235 2.7.0 Authentication successful"),
            None => reply("535 5.7.8 Error: authentication failed"),
        }
    }

    fn mail(&mut self, rest: &str) -> Answer {
        if self.account.is_none() {
            return reply("530 5.7.0 Authentication required");
        }
        if self.envelope.is_some() {
            return reply("503 5.5.1 Error: nested MAIL command");
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return reply("501 5.5.4 Syntax: MAIL FROM:<address>");
        };
        if !from.is_empty() && !is_mailbox(from) {
            return reply("501 5.1.7 Bad sender address syntax");
        }
        let id = parameters.split(' ').find_map(|parameter| parameter.strip_prefix("ENVID="));
        let envelope = Envelope { from: from.to_owned(), to: Vec::new(), id: id.map(str::to_owned) };
        self.envelope = Some(envelope);
        reply("250 2.1.0 Ok")
    }

    fn recipient(&mut self, rest: &str) -> Answer {
        let Some(envelope) = &mut self.envelope else {
            return reply("503 5.5.1 Error: need MAIL command");
        };
        match path(rest, "TO:") {
            Some((to, _)) if is_mailbox(to) && envelope.to.len() < RECIPIENTS_MAX => {
                envelope.to.push(to.to_owned());
                reply("250 2.1.5 Ok")
            }
            Some((to, _)) if is_mailbox(to) => reply("452 4.5.3 Error: too many recipients"),
            Some(_) => reply("501 5.1.3 Bad recipient address syntax"),
            None => reply("501 5.5.4 Syntax: RCPT TO:<address>"),
        }
    }
}

/// The address between its brackets, and the parameters behind it.
fn path<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let rest = text.get(word.len()..).filter(|_| text[..word.len()].eq_ignore_ascii_case(word))?;
    rest.trim_start().strip_prefix('<')?.split_once('>')
}
