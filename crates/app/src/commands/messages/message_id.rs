//! Which message a person means: by its id, or by the short form that `app up` prints. A short form is looked for among
//! the newest messages only, and never guessed.

use std::str::FromStr;

use anyhow::bail;
use uuid::Uuid;

use super::{list, text};
use crate::api::Api;

/// How many of the newest messages a short form is looked for among.
const SEARCHED: usize = 200;
/// The digits at the end that a short form has at least.
const DIGITS_MIN: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MessageId {
    Whole(Uuid),
    /// How the digits begin and end.
    Short(String, String),
}

impl FromStr for MessageId {
    type Err = &'static str;

    fn from_str(given: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = given.parse() {
            return Ok(Self::Whole(id));
        }
        let given = given.to_ascii_lowercase();
        let (begin, end) = given.split_once('…').or_else(|| given.split_once("...")).unwrap_or(("", &given));
        let hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if end.len() < DIGITS_MIN || begin.len() + end.len() > 32 || !hex(begin) || !hex(end) {
            return Err(
                "takes a message's id, its short form such as 01a2…7756, or its last 4 or more digits",
            );
        }
        Ok(Self::Short(begin.to_owned(), end.to_owned()))
    }
}

impl MessageId {
    pub(super) async fn find(&self, api: &Api) -> anyhow::Result<Uuid> {
        if let Self::Whole(id) = self {
            return Ok(*id);
        }
        let mut newest = Vec::new();
        list(api, "/api/messages", "messages", Vec::new(), SEARCHED, |message| {
            newest.push(text(message, "id").parse()?);
            Ok(())
        })
        .await?;
        self.among(&newest)
    }

    fn among(&self, newest: &[Uuid]) -> anyhow::Result<Uuid> {
        let found: Vec<Uuid> = newest.iter().copied().filter(|id| self.fits(*id)).collect();
        match found[..] {
            [id] => Ok(id),
            [] => bail!("none of the newest {SEARCHED} messages has this short id; give the whole id"),
            _ => {
                let found: String = found.iter().map(|id| format!("\n  {id}")).collect();
                bail!("more than one message has this short id; give the whole id of one:{found}")
            }
        }
    }

    fn fits(&self, id: Uuid) -> bool {
        match self {
            Self::Whole(whole) => *whole == id,
            Self::Short(begin, end) => {
                let digits = id.simple().to_string();
                digits.starts_with(begin) && digits.ends_with(end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_id_is_the_one_message_that_it_fits() {
        let ids = ["01a2b3c4-d5e6-7f00-8000-0000000a1335", "01a3b3c4-d5e6-7f00-8000-0000000b1335"]
            .map(|id| id.parse::<Uuid>().unwrap());
        let find = |short: &str| short.parse::<MessageId>().unwrap().among(&ids);
        for first in ["01a2…1335", "01A2...1335", "a1335", "…a1335", "01a2b3c4-d5e6-7f00-8000-0000000a1335"]
        {
            assert_eq!(find(first).unwrap(), ids[0], "{first}");
        }
        let both = find("1335").unwrap_err().to_string();
        assert!(ids.iter().all(|id| both.contains(&id.to_string())), "{both}");
        assert!(find("01a4…1335").unwrap_err().to_string().contains("give the whole id"));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for given in ["", "335", "01a2…335", "not-an-id", "01a2…13é5", "x…1335", &"a".repeat(33)] {
            assert!(given.parse::<MessageId>().is_err(), "{given}");
        }
    }
}
