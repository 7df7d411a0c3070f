//! What a webhook tells to fetch: stored mails, for providers whose events say only where a mail is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

#[derive(Debug, Default)]
pub(crate) struct Documents(Mutex<HashMap<String, Bytes>>);

impl Documents {
    pub(crate) fn put(&self, name: String, content: impl Into<Bytes>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, content.into());
    }

    pub(crate) fn get(&self, name: &str) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}
