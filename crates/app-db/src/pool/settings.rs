//! How to reach the database: the connection string, and libpq's environment variables where the string leaves a value
//! out. Problems name the key and never repeat the password.

use std::path::PathBuf;
use std::time::Duration;

use super::ConnectError;
use super::conninfo::{self, Pairs};
use super::passfile::Passwords;

/// An environment variable's value.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Of one attempt at one address, from the connection to the first answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// An idle connection whose other end is gone is found after 5 + 3 * 3 s.
const KEEPALIVE: [(&str, &str); 3] =
    [("keepalives_idle", "5"), ("keepalives_interval", "3"), ("keepalives_retries", "3")];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
}

impl Session {
    /// Whether sessions of this kind are for writing.
    pub(super) fn writes(self) -> bool {
        matches!(self, Self::ReadWrite | Self::Primary)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// A name, an address, or the folder of a Unix socket.
    pub name: String,
    /// Instead of a look-up of the name.
    pub address: Option<String>,
    pub port: u16,
}

/// Where trusted certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    System,
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub mode: TlsMode,
    pub roots: Option<Roots>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub hosts: Vec<Host>,
    pub in_random_order: bool,
    pub tls: Tls,
    pub session: Session,
    pub connect_limit: Duration,
    /// Everything else, without hosts and TLS.
    pub config: tokio_postgres::Config,
    passwords: Passwords,
}

/// Keys, and the variables that stand in for them.
const VARIABLES: [(&str, &str); 16] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("application_name", "PGAPPNAME"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("channel_binding", "PGCHANNELBINDING"),
];

/// Keys of libpq that we do not have, with the values that ask for nothing.
const WITHOUT_EFFECT: [(&str, &[&str]); 10] = [
    ("gssencmode", &["disable", "prefer"]),
    ("sslcompression", &["0"]),
    ("sslsni", &["1"]),
    ("sslcrl", &[""]),
    ("sslcrldir", &[""]),
    ("sslpassword", &[""]),
    ("service", &[""]),
    ("requirepeer", &[""]),
    ("require_auth", &[""]),
    ("client_encoding", &["utf8", "UTF8", "utf-8", "UTF-8", "auto"]),
];

/// The keys that tokio-postgres reads.
const PASSED_ON: [&str; 10] = [
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "channel_binding",
];

impl Settings {
    pub(super) fn read(url: &str, environment: Environment<'_>) -> Result<Self, ConnectError> {
        if url.trim().is_empty() {
            return Err(ConnectError::Empty);
        }
        let mut pairs = conninfo::parse(url).map_err(ConnectError::Url)?;
        for (key, variable) in VARIABLES {
            if !pairs.iter().any(|(known, _)| known == key)
                && let Some(value) = environment(variable).filter(|value| !value.is_empty())
            {
                pairs.push((key.to_owned(), value));
            }
        }
        Self::of_pairs(&pairs, environment).map_err(ConnectError::Url)
    }

    fn of_pairs(pairs: &Pairs, environment: Environment<'_>) -> Result<Self, String> {
        let find =
            |key: &str| pairs.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.as_str());
        let home = environment("HOME").map(PathBuf::from);
        let config = passed_on(pairs)?;
        Ok(Self {
            hosts: hosts(find("host"), find("hostaddr"), find("port"))?,
            in_random_order: match find("load_balance_hosts") {
                None | Some("disable") => false,
                Some("random") => true,
                Some(other) => return Err(unknown("load_balance_hosts", other, "disable or random")),
            },
            tls: tls(&find, home.as_deref())?,
            session: session(find("target_session_attrs"))?,
            connect_limit: match find("connect_timeout").map(|text| (text, text.trim().parse::<u64>())) {
                None | Some((_, Ok(0))) => CONNECT_LIMIT,
                Some((_, Ok(seconds))) => Duration::from_secs(seconds),
                Some((text, Err(_))) => return Err(unknown("connect_timeout", text, "a number of seconds")),
            },
            passwords: match config.get_password() {
                Some(_) => Passwords::default(),
                None => Passwords::read(find("passfile").map(PathBuf::from), home.as_deref()),
            },
            config,
        })
    }

    /// The configuration of a session on this host.
    pub(super) fn config_for(&self, host: &Host) -> tokio_postgres::Config {
        let mut config = self.config.clone();
        if config.get_password().is_none()
            && let Some(password) = self.passwords.find(host, config.get_dbname(), config.get_user())
        {
            config.password(password);
        }
        config
    }
}

/// The settings that tokio-postgres takes. A key that remains is unknown and refused.
fn passed_on(pairs: &Pairs) -> Result<tokio_postgres::Config, String> {
    let mut text = String::new();
    let mut add = |key: &str, value: &str| {
        let value = value.replace('\\', "\\\\").replace('\'', "\\'");
        text.push_str(&format!("{key}='{value}' "));
    };
    for (key, value) in KEEPALIVE {
        add(key, value);
    }
    for (key, value) in pairs {
        match key.as_str() {
            "keepalives_count" => add("keepalives_retries", value),
            // libpq has milliseconds, tokio-postgres seconds.
            "tcp_user_timeout" => match value.parse::<u64>() {
                Ok(millis) => add(key, &millis.div_ceil(1000).to_string()),
                Err(_) => return Err(unknown(key, value, "a number of milliseconds")),
            },
            key if PASSED_ON.contains(&key) => add(key, value),
            "host"
            | "hostaddr"
            | "port"
            | "passfile"
            | "connect_timeout"
            | "target_session_attrs"
            | "load_balance_hosts"
            | "sslmode"
            | "sslrootcert"
            | "sslcert"
            | "sslkey"
            | "fallback_application_name" => {}
            key => match WITHOUT_EFFECT.iter().find(|(known, _)| *known == key) {
                Some((_, harmless)) if harmless.contains(&value.as_str()) => {}
                Some(_) => return Err(format!("{key} is not supported")),
                None => return Err(format!("there is no parameter `{key}`")),
            },
        }
    }
    let mut config: tokio_postgres::Config =
        text.parse().map_err(|error: tokio_postgres::Error| problem(&error))?;
    if config.get_application_name().is_none() {
        config.application_name("app");
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(Duration::from_secs(10));
    }
    Ok(config)
}

/// The cause names the key, not its value.
fn problem(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn unknown(key: &str, value: &str, right: &str) -> String {
    format!("{key} is `{value}`, which is none of: {right}")
}

fn hosts(names: Option<&str>, addresses: Option<&str>, ports: Option<&str>) -> Result<Vec<Host>, String> {
    let split = |text: Option<&str>| -> Vec<String> {
        text.map(|text| text.split(',').map(|part| part.trim().to_owned()).collect()).unwrap_or_default()
    };
    let (names, addresses, ports) = (split(names), split(addresses), split(ports));
    let count = names.len().max(addresses.len()).max(1);
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err("host and hostaddr do not name as many servers".to_owned());
    }
    if ports.len() > 1 && ports.len() != count {
        return Err("port does not name as many ports as there are hosts".to_owned());
    }
    let host = |number: usize| {
        let address = addresses.get(number).filter(|address| !address.is_empty()).cloned();
        let name = names.get(number).filter(|name| !name.is_empty()).cloned();
        let port = ports.get(number).or(ports.first()).map_or("", String::as_str);
        Ok(Host {
            name: name.or_else(|| address.clone()).unwrap_or_else(default_host),
            address,
            port: match port {
                "" => 5432,
                port => port.parse().map_err(|_| unknown("port", port, "a number below 65536"))?,
            },
        })
    };
    (0..count).map(host).collect()
}

fn default_host() -> String {
    let sockets = "/var/run/postgresql";
    if std::path::Path::new(sockets).is_dir() { sockets.to_owned() } else { "localhost".to_owned() }
}

fn session(text: Option<&str>) -> Result<Session, String> {
    Ok(match text {
        None | Some("read-write") => Session::ReadWrite,
        Some("any") => Session::Any,
        Some("read-only") => Session::ReadOnly,
        Some("primary") => Session::Primary,
        Some("standby") => Session::Standby,
        Some(other) => {
            let right = "read-write (the default), primary, any, read-only, standby";
            return Err(unknown("target_session_attrs", other, right));
        }
    })
}

fn tls<'a>(find: &impl Fn(&str) -> Option<&'a str>, home: Option<&std::path::Path>) -> Result<Tls, String> {
    let in_home =
        |name: &str| home.map(|home| home.join(".postgresql").join(name)).filter(|path| path.exists());
    let path = |key: &str, name: &str| {
        find(key).filter(|value| !value.is_empty()).map(PathBuf::from).or_else(|| in_home(name))
    };
    let roots = match find("sslrootcert").filter(|value| !value.is_empty()) {
        Some("system") => Some(Roots::System),
        Some(file) => Some(Roots::File(file.into())),
        None => in_home("root.crt").map(Roots::File),
    };
    let mode = match find("sslmode") {
        None if roots == Some(Roots::System) => TlsMode::VerifyFull,
        None | Some("prefer") => TlsMode::Prefer,
        Some("disable") => TlsMode::Disable,
        Some("allow") => TlsMode::Allow,
        Some("require") => TlsMode::Require,
        Some("verify-ca") => TlsMode::VerifyCa,
        Some("verify-full") => TlsMode::VerifyFull,
        Some(other) => {
            let right = "disable, allow, prefer, require, verify-ca, verify-full";
            return Err(unknown("sslmode", other, right));
        }
    };
    let verifies = matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
    if roots == Some(Roots::System) && mode != TlsMode::VerifyFull && mode != TlsMode::Disable {
        return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
    }
    if verifies && roots.is_none() {
        return Err("this sslmode needs trusted certificates: sslrootcert=FILE, or sslrootcert=system with \
                    sslmode=verify-full"
            .to_owned());
    }
    let (certificate, key) = (path("sslcert", "postgresql.crt"), path("sslkey", "postgresql.key"));
    Ok(Tls { mode, roots, key: key.filter(|_| certificate.is_some()), certificate })
}

#[cfg(test)]
mod tests;
