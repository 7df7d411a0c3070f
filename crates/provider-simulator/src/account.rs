//! An account at a provider: who may call, and how its webhooks are signed and where they go.

use std::str::FromStr;

use url::Url;

use crate::kind::Kind;

/// An account of any kind. What a kind does not know stays empty.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub kind: String,
    /// What names it, and what `account` means in rules: an account id, a domain, a number's id, or the key itself.
    pub name: String,
    /// The user beside the secret, where that is not the name.
    pub user: String,
    /// What a call proves itself with: a key, a token, a password.
    pub secret: String,
    /// What its webhooks are signed with; for providers that sign nothing, the `user:password` that they bring.
    pub signing_key: String,
    /// Where receipts go that name no URL. Nothing: there are none.
    pub webhook_url: Option<Url>,
    /// Where inbound messages go. Nothing: to `webhook_url`, else to where the last message's receipts went.
    pub inbound_url: Option<Url>,
}

/// An account that cannot be read from a command line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("an account is written as kind=KIND,name=NAME,secret=SECRET,...; `{0}` is not a pair of it")]
    Field(String),
    #[error("`{0}` is not a kind that the simulator speaks")]
    Kind(String),
    #[error("`{0}` is not a URL")]
    Url(String),
}

impl FromStr for Account {
    type Err = AccountError;

    /// `kind=telnyx,secret=KEY,webhook_url=http://...`: the kind first, then whatever differs from its demo account.
    fn from_str(text: &str) -> Result<Self, AccountError> {
        let mut account: Option<Self> = None;
        for pair in text.split(',') {
            let (name, value) = pair.split_once('=').ok_or_else(|| AccountError::Field(pair.to_owned()))?;
            let Some(account) = &mut account else {
                let kind = Some(value).filter(|_| name == "kind").and_then(Kind::named);
                account = Some(kind.ok_or_else(|| AccountError::Kind(value.to_owned()))?.demo_account());
                continue;
            };
            let url = || Url::parse(value).map(Some).map_err(|_| AccountError::Url(value.to_owned()));
            match name {
                "name" => account.name = value.to_owned(),
                "user" => account.user = value.to_owned(),
                "secret" => account.secret = value.to_owned(),
                "signing_key" => account.signing_key = value.to_owned(),
                "webhook_url" => account.webhook_url = url()?,
                "inbound_url" => account.inbound_url = url()?,
                _ => return Err(AccountError::Field(pair.to_owned())),
            }
        }
        account.ok_or_else(|| AccountError::Field(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_its_kinds_own_but_for_what_is_told() {
        let account: Account = "kind=twilio,secret=a=b,webhook_url=http://127.0.0.1/x".parse().unwrap();
        assert_eq!((account.name.as_str(), account.secret.as_str()), (crate::DEMO_TWILIO_ACCOUNT_SID, "a=b"));
        assert_eq!(account.webhook_url.unwrap().path(), "/x");
        for wrong in ["", "kind=none", "secret=x", "kind=twilio,colour=red", "kind=twilio,inbound_url=x"] {
            assert!(wrong.parse::<Account>().is_err(), "{wrong}");
        }
    }
}
