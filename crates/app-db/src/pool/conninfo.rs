//! Takes a connection string apart, in both of libpq's forms: `postgres://user:password@host:5432/database?key=value`
//! and `key=value key='quoted value'`. It knows no key's meaning. Problems must not repeat values: one is the password.

/// Keys and values in their order; the later one counts.
pub(super) type Pairs = Vec<(String, String)>;

pub(super) fn parse(text: &str) -> Result<Pairs, String> {
    let text = text.trim();
    match text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) {
        Some(rest) => parse_url(rest),
        None if text.contains("://") => Err("it does not begin with postgres://".to_owned()),
        None => parse_pairs(text),
    }
}

fn parse_url(rest: &str) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let (rest, parameters) = rest.split_once('?').map_or((rest, None), |(rest, more)| (rest, Some(more)));
    let (authority, database) = rest.split_once('/').map_or((rest, ""), |parts| parts);
    // A password may hold an `@` that is not encoded.
    let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |parts| parts);
    let (user, password) = user.split_once(':').map_or((user, None), |(user, word)| (user, Some(word)));
    let mut add = |key: &str, value: &str| -> Result<(), String> {
        if !value.is_empty() {
            pairs.push((key.to_owned(), decode(value).ok_or_else(|| not_utf8(key))?));
        }
        Ok(())
    };
    add("user", user)?;
    add("password", password.unwrap_or_default())?;
    add("dbname", database)?;
    if !hosts.is_empty() {
        let split: Vec<(&str, &str)> = hosts.split(',').map(host_and_port).collect();
        let join = |part: fn(&(&str, &str)) -> String| split.iter().map(part).collect::<Vec<_>>().join(",");
        add("host", &join(|(host, _)| (*host).to_owned()))?;
        if split.iter().any(|(_, port)| !port.is_empty()) {
            add("port", &join(|(_, port)| (*port).to_owned()))?;
        }
    }
    for parameter in parameters.unwrap_or_default().split('&').filter(|parameter| !parameter.is_empty()) {
        let Some((key, value)) = parameter.split_once('=') else {
            return Err(format!("the parameter `{}` has no value", decode(parameter).unwrap_or_default()));
        };
        let key = decode(key).ok_or_else(|| not_utf8("a key"))?;
        let value = decode(value).ok_or_else(|| not_utf8(&key))?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// `[::1]:5432` too.
fn host_and_port(text: &str) -> (&str, &str) {
    if let Some((host, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').unwrap_or_default());
    }
    text.rsplit_once(':').unwrap_or((text, ""))
}

fn decode(text: &str) -> Option<String> {
    let (bytes, mut decoded, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let value = escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).ok()
}

fn not_utf8(key: &str) -> String {
    format!("the value of {key} is not UTF-8")
}

fn parse_pairs(text: &str) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let Some((key, after)) = rest.split_once('=') else {
            return Err("it is neither a URL nor a list of key=value".to_owned());
        };
        let key = key.trim().to_owned();
        let (value, after) =
            value(after.trim_start()).ok_or_else(|| format!("the value of {key} has no closing quote"))?;
        pairs.push((key, value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// The value at the beginning, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, text) = match text.strip_prefix('\'') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Some((value, &text[at + 1..])),
            space if !quoted && space.is_whitespace() => return Some((value, &text[at..])),
            other => value.push(other),
        }
    }
    (!quoted).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Pairs {
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn both_forms_give_the_same_pairs() {
        let url = "postgres://me:p%40s%2Fs@one:5432,two:5433/app?sslmode=require&options=-c%20a%3Db";
        let list = r"user=me password='p@s/s' dbname = app host=one,two port=5432,5433 sslmode=require options='-c a=b'";
        assert_eq!(parsed(url), parsed(list));
    }

    #[test]
    fn every_part_of_a_url_may_be_absent() {
        assert_eq!(parsed("postgresql://"), []);
        assert_eq!(parsed("postgres:///app?host=/run/x"), pairs([("dbname", "app"), ("host", "/run/x")]));
        assert_eq!(parsed("postgres://[::1]:6000"), pairs([("host", "::1"), ("port", "6000")]));
        assert_eq!(
            parsed("postgres://%2Ftmp%2Fx:5432/d"),
            pairs([("dbname", "d"), ("host", "/tmp/x"), ("port", "5432")])
        );
        assert_eq!(parsed("postgres://u:p@q@h"), pairs([("user", "u"), ("password", "p@q"), ("host", "h")]));
        assert_eq!(parsed(r"password=a\ b"), pairs([("password", "a b")]));
    }

    #[test]
    fn problems_do_not_repeat_the_password() {
        for text in ["postgres://u:s3cret@h/d?sslmode", "password='s3cret", "mysql://u:s3cret@h/d", "s3cret"]
        {
            let problem = parse(text).unwrap_err();
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
