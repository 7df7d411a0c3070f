//! Addresses in their several spellings: numbers with and without a plus, mailboxes with and without a name, and the
//! part of a callback's URL that names who listens.

/// A number as E.164 has it. Short codes, names and addresses stay as they are.
pub(crate) fn with_plus(address: &str) -> String {
    let is_number = address.len() >= 7 && address.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { format!("+{address}") } else { address.to_owned() }
}

pub(crate) fn without_plus(address: &str) -> &str {
    address.strip_prefix('+').unwrap_or(address)
}

/// Digits, with or without a plus, and perhaps behind Twilio's word for a channel: whom one can answer.
pub(crate) fn is_number(address: &str) -> bool {
    let digits = without_plus(address.strip_prefix("whatsapp:").unwrap_or(address));
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// 7 to 15 digits that do not begin with 0, with or without a plus.
pub(crate) fn is_phone(address: &str) -> bool {
    let digits = without_plus(address);
    is_number(address) && (7..=15).contains(&digits.len()) && !digits.starts_with('0')
}

/// `ann@example.net` of `Ann <ann@example.net>`.
pub(crate) fn mailbox(address: &str) -> &str {
    match address.rsplit_once('<') {
        Some((_, rest)) => rest.trim_end().trim_end_matches('>').trim(),
        None => address.trim(),
    }
}

/// The mailboxes of a list that is separated by commas; a comma within quotes separates nothing.
pub(crate) fn mailboxes(list: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut is_quoted = false;
    for character in list.chars() {
        match character {
            ',' if !is_quoted => found.push(String::new()),
            _ => {
                is_quoted ^= character == '"';
                if let Some(last) = found.last_mut() {
                    last.push(character);
                }
            }
        }
    }
    found.iter().map(|one| mailbox(one).to_owned()).filter(|one| !one.is_empty()).collect()
}

/// A mailbox that could exist.
pub(crate) fn is_mailbox(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        let is_plain = !text.chars().any(|character| character.is_whitespace() || character.is_control());
        is_plain
            && !local.is_empty()
            && !domain.is_empty()
            && !domain.starts_with('.')
            && !domain.ends_with('.')
    })
}

/// A callback's URL without what is about one message: a `secret` stays, for it is about who listens.
pub(crate) fn base_of_url(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let Some((base, query)) = url.split_once('?') else { return url.to_owned() };
    let kept: Vec<&str> = query.split('&').filter(|pair| pair.starts_with("secret=")).collect();
    if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_get_a_plus_and_codes_and_names_do_not() {
        assert_eq!(with_plus("14155550100"), "+14155550100");
        assert_eq!(with_plus("+14155550100"), "+14155550100");
        assert_eq!((with_plus("12345"), with_plus("Acme")), ("12345".to_owned(), "Acme".to_owned()));
        assert!(
            is_phone("14155550100") && is_phone("+14155550100") && !is_phone("12") && !is_phone("+0123456")
        );
    }

    #[test]
    fn mailboxes_are_found_among_names() {
        assert_eq!(mailbox("App <app@example.com>"), "app@example.com");
        assert_eq!(mailboxes("\"A, B\" <a@x.org>, c@x.org"), ["a@x.org", "c@x.org"]);
        assert!(is_mailbox("a@x.org") && !is_mailbox("a b@x.org") && !is_mailbox("x.org"));
    }

    #[test]
    fn a_callbacks_base_keeps_its_secret() {
        assert_eq!(base_of_url("http://x/y?message_id=1&secret=s#f"), "http://x/y?secret=s");
        assert_eq!(base_of_url("http://x/y?m=1"), "http://x/y");
    }
}
