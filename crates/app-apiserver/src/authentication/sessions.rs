//! Sessions of the console: a random token in a cookie, and its SHA-256 in the database. Known ones are held in memory and
//! looked for again every few seconds, so that a page costs no look-up and a logout elsewhere counts within seconds.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use app_db::sessions::{self, TokenHash};
use app_db::{Client, Error};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::App;
use crate::problem::Problem;

const TOKEN_BYTES: usize = 32;
/// Tokens that are looked up at once: anyone can make one up, and must not take the connections of other requests.
const LOOKUPS_AT_ONCE: usize = 2;

/// A session that is valid as far as this server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownSession {
    pub token_hash: TokenHash,
    pub api_key_id: Uuid,
    pub ends_at: Timestamp,
}

/// The sessions that this server knows.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: RwLock<HashMap<TokenHash, KnownSession>>,
    lookups: Semaphore,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { known: RwLock::default(), lookups: Semaphore::new(LOOKUPS_AT_ONCE) }
    }
}

/// A new token, for a cookie, and its hash.
///
/// # Errors
/// 500 where the system has no randomness.
pub(crate) fn new_token() -> Result<(String, TokenHash), Problem> {
    let mut token = [0_u8; TOKEN_BYTES];
    getrandom::fill(&mut token).map_err(|error| Problem::internal().because(error))?;
    Ok((BASE64.encode(token), Sha256::digest(token).into()))
}

/// The hash of a token as a cookie has it. Nothing where it is none.
pub(crate) fn token_hash(cookie: &str) -> Option<TokenHash> {
    let token: [u8; TOKEN_BYTES] = BASE64.decode(cookie).ok()?.try_into().ok()?;
    Some(Sha256::digest(token).into())
}

impl Sessions {
    /// The session of this token. Only one that this server does not know is looked up.
    ///
    /// # Errors
    /// 503 where it has to be looked up and the database does not answer.
    pub(crate) async fn find(
        &self,
        app: &App,
        token_hash: &TokenHash,
    ) -> Result<Option<KnownSession>, Problem> {
        let now = app.clock.now();
        if let Some(known) = self.known(token_hash) {
            return Ok((now < known.ends_at).then_some(known));
        }
        // Never closed.
        let _lookup = self.lookups.acquire().await.map_err(|_| Problem::overloaded())?;
        let found = sessions::find(&*app.database().await?, token_hash).await?;
        let Some(found) = found else { return Ok(None) };
        let ends_at =
            now.saturating_add(found.remaining).map_err(|error| Problem::internal().because(error))?;
        let session = KnownSession { token_hash: *token_hash, api_key_id: found.api_key_id, ends_at };
        self.write().insert(*token_hash, session);
        Ok(Some(session))
    }

    /// The session of this token, if this server knows it.
    pub(crate) fn known(&self, token_hash: &TokenHash) -> Option<KnownSession> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(token_hash).copied()
    }

    /// After it was ended in the database.
    pub(crate) fn forget(&self, token_hash: &TokenHash) {
        self.write().remove(token_hash);
    }

    /// Looks for the known ones again, and forgets those that have ended.
    pub(super) async fn refresh(&self, client: &Client, now: Timestamp) -> Result<(), Error> {
        let asked: Vec<TokenHash> = {
            let mut known = self.write();
            known.retain(|_, session| now < session.ends_at);
            known.keys().copied().collect()
        };
        if asked.is_empty() {
            return Ok(());
        }
        let valid = sessions::valid_of(client, &asked).await?;
        // One that was opened meanwhile was not asked for, and stays.
        let mut known = self.write();
        for ended in asked.iter().filter(|hash| !valid.contains(hash)) {
            known.remove(ended);
        }
        Ok(())
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<TokenHash, KnownSession>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_random_and_only_its_hash_is_stored() {
        let (token, hash) = new_token().unwrap();
        assert_ne!(new_token().unwrap().1, hash);
        assert_eq!(token.len(), 43);
        assert_eq!(token_hash(&token), Some(hash));
        assert_ne!(BASE64.decode(&token).unwrap(), hash);
        for other in ["", "x", &token[1..], &format!("{token}A")] {
            assert_eq!(token_hash(other), None, "{other}");
        }
    }
}
