//! Connection strings and the environment, as libpq reads them.

use super::*;

fn read(url: &str, environment: &[(&str, &str)]) -> Result<Settings, String> {
    let variable = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Settings::read(url, &variable).map_err(|error| error.to_string())
}

#[test]
fn the_environment_stands_in_for_what_the_url_leaves_out() {
    let environment = [
        ("PGHOST", "db"),
        ("PGPORT", "6000"),
        ("PGUSER", "me"),
        ("PGPASSWORD", "word"),
        ("PGDATABASE", "other"),
        ("PGSSLMODE", "disable"),
        ("PGTARGETSESSIONATTRS", "any"),
    ];
    let settings = read("postgres:///app", &environment).unwrap();
    assert_eq!(settings.hosts, [Host { name: "db".to_owned(), address: None, port: 6000 }]);
    assert_eq!((settings.tls.mode, settings.session), (TlsMode::Disable, Session::Any));
    let config = &settings.config;
    assert_eq!((config.get_user(), config.get_dbname()), (Some("me"), Some("app")));
    assert_eq!(config.get_password(), Some(&b"word"[..]));
    let url = "postgres://you:secret@here:1?sslmode=prefer&target_session_attrs=primary";
    let settings = read(url, &environment).unwrap();
    assert_eq!(settings.hosts, [Host { name: "here".to_owned(), address: None, port: 1 }]);
    assert_eq!((settings.tls.mode, settings.session), (TlsMode::Prefer, Session::Primary));
    assert_eq!(settings.config.get_password(), Some(&b"secret"[..]));
}

#[test]
fn sessions_are_for_writing_unless_the_url_says_otherwise() {
    assert_eq!(read("postgres://h/d", &[]).unwrap().session, Session::ReadWrite);
    for (text, writes) in [("primary", true), ("any", false), ("standby", false), ("read-only", false)] {
        let settings = read(&format!("postgres://h/d?target_session_attrs={text}"), &[]).unwrap();
        assert_eq!(settings.session.writes(), writes, "{text}");
    }
}

#[test]
fn several_hosts_have_a_port_each_or_share_one() {
    let ports =
        |url: &str| -> Vec<u16> { read(url, &[]).unwrap().hosts.iter().map(|host| host.port).collect() };
    assert_eq!(ports("postgres://a:1,b:2/d"), [1, 2]);
    assert_eq!(ports("postgres://a,b:2/d"), [5432, 2]);
    assert_eq!(ports("host=a,b port=7"), [7, 7]);
    assert!(read("host=a,b,c port=1,2", &[]).is_err());
}

#[test]
fn what_is_not_supported_is_named() {
    for (parameters, expected) in [
        ("sslmode=sometimes", "sslmode is `sometimes`"),
        ("sslmode=verify-full", "sslrootcert"),
        ("sslmode=require&sslrootcert=system", "sslrootcert=system"),
        ("sslcrl=/x", "sslcrl is not supported"),
        ("sslpassword=s3cret", "sslpassword is not supported"),
        ("gssencmode=require", "gssencmode is not supported"),
        ("client_encoding=LATIN1", "client_encoding is not supported"),
        ("target_session_attrs=prefer-standby", "target_session_attrs is `prefer-standby`"),
        ("statement_cache=1", "there is no parameter `statement_cache`"),
        ("connect_timeout=soon", "connect_timeout is `soon`"),
    ] {
        let problem = read(&format!("postgres://u:s3cret@h/d?{parameters}"), &[]).unwrap_err();
        assert!(problem.contains(expected), "{parameters}: {problem}");
        assert!(!problem.contains("s3cret"), "{problem}");
    }
    for fine in ["sslcrl=", "gssencmode=prefer", "sslrootcert=system", "sslmode=allow", "keepalives_count=2"]
    {
        assert!(read(&format!("postgres://h/d?{fine}"), &[]).is_ok(), "{fine}");
    }
}

#[test]
fn an_empty_url_is_refused() {
    for url in ["", "  "] {
        assert!(read(url, &[("PGHOST", "db")]).unwrap_err().contains("empty"));
    }
}
