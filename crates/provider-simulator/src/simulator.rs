//! The simulator itself: what all connections share, and its life from start to shutdown.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::account::Account;
use crate::documents::Documents;
use crate::faults::{ActiveRule, Faults, Rule, RuleError};
use crate::idempotency::Keys;
use crate::kind::Kind;
use crate::ledger::{Ledger, Summary};
use crate::message::Accepted;
use crate::options::Options;
use crate::post::Poster;
use crate::schedule::{self, Schedule};
use crate::{router, server, smtp};

/// A simulator; clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct Simulator(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub options: Options,
    pub ledger: Ledger,
    pub faults: Faults,
    pub faults_changed: Notify,
    pub schedule: Schedule,
    pub poster: Poster,
    pub keys: Keys,
    pub documents: Documents,
    accounts: HashMap<&'static str, Vec<Account>>,
    own_url: OnceLock<String>,
    random: Mutex<fastrand::Rng>,
}

impl Simulator {
    /// # Errors
    /// When the ledger's file cannot be opened, or is not one.
    pub fn new(options: Options) -> io::Result<Self> {
        let (ledger, unfinished) = Ledger::open(options.ledger_file.as_deref())?;
        // A seeded simulator that reloads a ledger must not hand out that ledger's ids again.
        let seed = match options.seed {
            Some(seed) => seed.wrapping_add(ledger.summary().count as u64),
            None => fastrand::u64(..),
        };
        let keys = Keys::default();
        keys.restore(&ledger.messages(usize::MAX, |message| message.idempotency_key.is_some()));
        let accounts = Kind::all().map(|kind| (kind.as_str(), kind.protocol().accounts(&options)));
        let shared = Shared {
            ledger,
            keys,
            documents: Documents::default(),
            accounts: accounts.collect(),
            own_url: OnceLock::new(),
            faults: Faults::seeded(seed),
            faults_changed: Notify::new(),
            schedule: Schedule::default(),
            poster: Poster::new(),
            random: Mutex::new(fastrand::Rng::with_seed(seed.wrapping_mul(31))),
            options,
        };
        for message in unfinished {
            schedule::begin(&shared, message);
        }
        Ok(Self(Arc::new(shared)))
    }

    /// Serves until `shutdown` is canceled; to be called once. Receipts that are not delivered by then are lost, unless there is a
    /// ledger file.
    ///
    /// # Errors
    /// When the listener's address cannot be had again after an outage that refused connections.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let ended = shutdown.child_token();
        let _ends_deliveries = ended.clone().drop_guard();
        let deliveries = tokio::spawn(schedule::run(Arc::clone(&self.0), ended.clone()));
        let _ = self.0.own_url.set(format!("http://{}", listener.local_addr()?));
        let router = router::router(Arc::clone(&self.0));
        let served = server::serve(Arc::clone(&self.0), router, listener, shutdown).await;
        ended.cancel();
        let _ = deliveries.await;
        served
    }

    /// Takes mail by SMTP, without TLS, until `shutdown` is canceled. Receipts and replies leave while
    /// [`Simulator::serve`] runs.
    ///
    /// # Errors
    /// None today: a listener that fails is tried again.
    pub async fn serve_smtp(&self, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        smtp::serve(Arc::clone(&self.0), listener, shutdown).await
    }

    /// Counts of what was accepted and asked.
    pub fn summary(&self) -> Summary {
        self.0.ledger.summary()
    }

    /// Every accepted message, oldest first.
    pub fn messages(&self) -> Vec<Arc<Accepted>> {
        self.0.ledger.messages(usize::MAX, |_| true)
    }

    /// Puts a fault in force, as `POST /faults` does.
    ///
    /// # Errors
    /// When the rule makes no sense.
    pub fn add_fault(&self, rule: Rule) -> Result<ActiveRule, RuleError> {
        self.0.add_fault(rule)
    }

    /// Ends all scripted faults.
    pub fn clear_faults(&self) {
        self.0.remove_faults(None);
    }
}

impl Shared {
    pub(crate) fn add_fault(&self, rule: Rule) -> Result<ActiveRule, RuleError> {
        let active = self.faults.add(rule)?;
        self.faults_changed.notify_one();
        Ok(active)
    }

    pub(crate) fn remove_faults(&self, id: Option<u64>) -> usize {
        let removed = self.faults.remove(id);
        self.faults_changed.notify_one();
        removed
    }

    /// Of a kind, in the order of the options.
    pub(crate) fn accounts(&self, kind: &str) -> &[Account] {
        self.accounts.get(kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// The first account of a kind that is the one.
    pub(crate) fn find_account(&self, kind: &str, is_it: impl Fn(&Account) -> bool) -> Option<usize> {
        self.accounts(kind).iter().position(is_it)
    }

    /// Where the simulator itself is served.
    pub(crate) fn own_url(&self) -> &str {
        self.own_url.get().map(String::as_str).unwrap_or_default()
    }

    fn number(&self) -> u128 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).u128(..)
    }

    /// 32 hexadecimal digits.
    pub(crate) fn hex_id(&self) -> String {
        format!("{:032x}", self.number())
    }

    /// A UUID of version 4, as most providers' ids are.
    pub(crate) fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.number().to_be_bytes()).into_uuid()
    }

    /// 22 characters of the base64url alphabet, the form of an X-Message-Id.
    pub(crate) fn base64_id(&self) -> String {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(self.number().to_be_bytes())
    }
}
