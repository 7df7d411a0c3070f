//! Idempotency keys: what was accepted under each, so that a repeated call is answered as the first one was and
//! accepts nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::message::Accepted;

/// Keys of one account of one kind are apart from those of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub kind: &'static str,
    pub account: usize,
    pub key: Box<str>,
}

#[derive(Debug)]
struct Call {
    /// Nothing for what an earlier process accepted: the ledger's file has no bodies.
    body_sha256: Option<[u8; 32]>,
    messages: Vec<Arc<Accepted>>,
}

#[derive(Debug, Default)]
pub(crate) struct Keys(Mutex<HashMap<Key, Call>>);

/// What a key turned out to be.
#[derive(Debug)]
pub(crate) enum Entered {
    New(Vec<Arc<Accepted>>),
    Repeated(Vec<Arc<Accepted>>),
    /// Used before, with another body.
    Conflict,
}

impl Keys {
    /// `make` runs for a new key only; two calls at once do not both run it.
    pub(crate) fn enter(&self, key: Key, body: &[u8], make: impl FnOnce() -> Vec<Arc<Accepted>>) -> Entered {
        let body_sha256: [u8; 32] = Sha256::digest(body).into();
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.entry(key) {
            Entry::Occupied(entry) => {
                let call = entry.get();
                match call.body_sha256 {
                    Some(known) if known != body_sha256 => Entered::Conflict,
                    _ => Entered::Repeated(call.messages.clone()),
                }
            }
            Entry::Vacant(entry) => {
                let messages = make();
                entry.insert(Call { body_sha256: Some(body_sha256), messages: messages.clone() });
                Entered::New(messages)
            }
        }
    }

    /// Remembers what an earlier process accepted.
    pub(crate) fn restore(&self, messages: &[Arc<Accepted>]) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            let (true, Some(key)) =
                (message.kind.protocol().key_conflict().is_some(), &message.idempotency_key)
            else {
                continue;
            };
            let key = Key { kind: message.kind.as_str(), account: message.account, key: key.clone() };
            let call = calls.entry(key).or_insert(Call { body_sha256: None, messages: Vec::new() });
            call.messages.push(Arc::clone(message));
        }
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
