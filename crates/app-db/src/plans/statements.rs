//! The list of every statement of this crate, each with arguments that a large database has rows for. Add a statement
//! here when you write one: a test fails as long as it is missing.

use uuid::Uuid;

use super::load::Sample;
use crate::messages::list::{Order, Source};
use crate::{
    accept, activity, audit, cancel, claim, conversations, floors, gauges, hold, housekeeping, inbox,
    installation, keys, media, messages, migrate, parked, partitions, provider_pauses, provider_states,
    quarantine, rates, readiness, receipt_deadlines, receipts, receive, requeue, sessions, settle, threads,
};

/// A statement that the crate sends, and what it may read.
pub(super) struct Statement {
    /// The path of the constant or function that holds the text.
    pub(super) name: &'static str,
    pub(super) sql: String,
    /// As EXECUTE takes them; empty: the statement has none.
    pub(super) arguments: String,
    /// The table that it reads in whole, and why it may.
    pub(super) whole: Option<(&'static str, &'static str)>,
    /// The statement runs in a transaction that allows bitmap scans.
    pub(super) bitmap: bool,
    /// Rows and index entries that it may read for these arguments.
    pub(super) rows_max: u64,
}

impl Statement {
    fn new(name: &'static str, sql: impl Into<String>, arguments: impl Into<String>) -> Self {
        let (sql, arguments) = (sql.into(), arguments.into());
        Self { name, sql, arguments, whole: None, bitmap: false, rows_max: 100 }
    }

    /// For a statement whose answer needs every row of the table.
    fn whole(self, table: &'static str, why: &'static str) -> Self {
        Self { whole: Some((table, why)), rows_max: u64::MAX, ..self }
    }

    fn with_bitmap_scans(self) -> Self {
        Self { bitmap: true, ..self }
    }

    /// For a statement that works on a batch.
    fn rows_max(self, rows_max: u64) -> Self {
        Self { rows_max, ..self }
    }
}

macro_rules! statement {
    ($sql:expr) => {
        statement!($sql, "")
    };
    ($sql:expr, $($arguments:tt)*) => {
        Statement::new(stringify!($sql), $sql, format!($($arguments)*))
    };
}

const FIGURES: &str = "counts for a person or for metrics, asked for seldom";
const COMMAND: &str = "a command of an operator, one pass over the outbox";
const NIL: Uuid = Uuid::nil();
const MAX: Uuid = Uuid::max();

pub(super) fn all(sample: &Sample) -> Vec<Statement> {
    let parts = [going_out, coming_in, messages_and_conversations, kept, control, cut_back];
    parts.iter().flat_map(|part| part(sample)).collect()
}

fn going_out(sample: &Sample) -> Vec<Statement> {
    let Sample { message, waiting, bucket, waiting_bucket, conversation, new, hash, new_hash, .. } = sample;
    let keys = format!("array['{waiting}']::uuid[], array[{waiting_bucket}]::smallint[]");
    let leases = format!("{keys}, array[1]");
    let held = format!("{keys}, array['{new}']::uuid[]");
    let bucket_of = |hash: &str| format!("get_byte({hash}, 0)::smallint");
    let (hash_bucket, new_bucket) = (bucket_of(hash), bucket_of(new_hash));
    let settle = format!(
        "{leases}, array['ok'], array['pending'], array[null]::jsonb[], array[1], array[null]::float8[],
         array[true], array['p'], array['SM1'], array['{new}']::uuid[], array['sent'], '{new}',
         array[null]::bytea[], array[null]::text[], array[false], array[null]::text[]"
    );
    let everything = settle::Needs { later: true, reference: true, problem: true, confirming: true };
    let floor = "array['-infinity', '-infinity']::timestamptz[]";
    let any = "null::";
    let insert = format!(
        "array[{bucket}]::smallint[], array['{new}']::uuid[], array['{conversation}']::uuid[],
         array['outbound'], array['sms'], array['+1'], array['+2'], array[{any}text], array['Hello'],
         array[{any}jsonb], array[{any}jsonb], array[1]::smallint[], array['outbox'], array['none'],
         array[{any}text], array[{any}text], array[{any}timestamptz], array[{any}timestamptz],
         array[{any}timestamptz], array['sms']"
    );
    vec![
        statement!(accept::REPLAYED, "{hash_bucket}, {hash}"),
        statement!(
            accept::TAKE_KEYS,
            "array[{new_bucket}], array[{new_hash}], array[{hash}], array['{new}']::uuid[]"
        ),
        statement!(accept::OWNERS_OF_KEYS, "array[{hash_bucket}], array[{hash}]"),
        statement!(messages::INSERT, "{insert}"),
        statement!(
            claim::claim_sql(),
            "'sms', array[0, 1, 2]::smallint[], array['-infinity', '-infinity', '-infinity']::timestamptz[], 10,
             '{new}', 'p', 10"
        ),
        statement!(claim::EXTEND, "{leases}, '{new}', 10"),
        statement!(claim::RELEASE, "{leases}, '{new}'"),
        statement!(floors::left_behind_sql(), "array['sms'], array[1]::smallint[], array[now()]"),
        statement!(floors::have_due_sql(), "array['sms!a', 'sms'], {floor}, {floor}, {floor}"),
        statement!(threads::BEFORE, "array['{message}']::uuid[], array[{bucket}]::smallint[], 50"),
        statement!(settle::settle_sql(settle::Needs::default()), "{settle}"),
        statement!(settle::settle_sql(everything), "{settle}"),
        statement!(
            settle::ADD_PROVIDER_IDS,
            "array['{message}']::uuid[], array[{bucket}]::smallint[], array['p'], array['SM1'], array[1]"
        ),
        statement!(cancel::CANCEL, "'{waiting}', {waiting_bucket}::smallint, '{{}}', '{new}'"),
        statement!(requeue::FREE, "'{waiting}', {waiting_bucket}::smallint"),
        statement!(requeue::QUEUE_AGAIN, "'{message}', {bucket}::smallint, 'sms'"),
        statement!(requeue::NOTE, "'{waiting}', {waiting_bucket}::smallint, '{{}}', '{new}', null"),
        statement!(hold::NOW),
        statement!(hold::HOLDABLE, "'{NIL}', '{MAX}', null, 20"),
        statement!(hold::HOLD, "{held}, '{{}}'"),
        statement!(hold::RELEASABLE, "'{NIL}', '{MAX}', null, 20").whole("outbox", COMMAND),
        statement!(hold::RELEASE, "{held}, '{{}}'"),
        statement!(hold::IN_FLIGHT).whole("outbox", COMMAND),
        statement!(rates::ADD_ROW, "'p'"),
        statement!(rates::take_sql(), "'p', 10, 1, 5"),
        statement!(rates::GIVE_BACK, "'p', 1"),
    ]
}

fn coming_in(sample: &Sample) -> Vec<Statement> {
    let Sample { message, bucket, conversation, new, hash, new_hash, .. } = sample;
    let keys = format!("array['{message}']::uuid[], array[{bucket}]::smallint[]");
    let hashes = format!("array[get_byte({hash}, 0)::smallint], array[{hash}]");
    vec![
        statement!(
            receive::TAKE_KEYS,
            "array[get_byte({new_hash}, 0)::smallint], array[{new_hash}], array['{new}']::uuid[]"
        ),
        statement!(receive::OWNERS_OF_KEYS, "{hashes}"),
        statement!(receipts::REFERENCES, "{hashes}"),
        statement!(receipts::standing::LOCK_OUTBOX, "{keys}"),
        statement!(receipts::standing::LOCK_MESSAGES, "{keys}"),
        statement!(receipts::writing::NOTE, "{keys}, array['sent'], array[null]::jsonb[]"),
        statement!(receipts::writing::HAND_OVER, "{keys}, array['[]']::jsonb[]"),
        statement!(receipts::writing::DELETE_WORK, "{keys}"),
        statement!(
            receipts::writing::SETTLE,
            "{keys}, array['sent'], array[null]::jsonb[], array[1], array[1], array['p'], array['SM1']"
        ),
        statement!(receipts::writing::PROBLEMS, "{keys}, array['undelivered']"),
        statement!(
            receipts::writing::EVENTS,
            "array[{bucket}]::smallint[], array['{message}']::uuid[], array['{new}']::uuid[], array['sent'],
             array[1], array['p'], array[null::text], array[null::text], array['ok'], array['receipt']"
        ),
        statement!(receipts::calls::EVENTS, "{keys}"),
        statement!(receipt_deadlines::LOCK_CURSOR),
        statement!(receipt_deadlines::MOVE_CURSOR, "'{NIL}'"),
        statement!(receipt_deadlines::NEXT, "'{NIL}', '{message}', 20"),
        statement!(receipt_deadlines::AGAIN, "20"),
        statement!(receipt_deadlines::FORGET, "{keys}"),
        statement!(receipt_deadlines::NOTE, "{keys}, array[60]::float8[]"),
        statement!(receipt_deadlines::TIME_OUT, "{keys}, array['{new}']::uuid[], '{{}}'"),
        statement!(
            conversations::REMEMBER_PROVIDERS,
            "array[{bucket}]::smallint[], array['{conversation}']::uuid[], array['p']"
        ),
    ]
}

fn messages_and_conversations(sample: &Sample) -> Vec<Statement> {
    let Sample { message, bucket, conversation, new, hash, new_hash, file, .. } = sample;
    let hashes = format!("array[get_byte({hash}, 0)::smallint], array[{hash}]");
    let window = |start: Uuid, conversations: &str, problem: bool| {
        let any = "null, null, null, null, null, null";
        format!(
            "'{start}', 20, {conversations}, '{NIL}', '{MAX}', {any}, 20, null, null, null, 1000, null, null,
             {problem}"
        )
    };
    let one = format!("array['{conversation}']::uuid[]");
    let both = [(Order::NewestFirst, MAX), (Order::OldestFirst, NIL)];
    let windows = both.into_iter().flat_map(|(order, start)| {
        [
            statement!(messages::list::window_sql(&Source::All, order), "{}", window(start, "null", false)),
            statement!(messages::list::window_sql(&Source::All, order), "{}", window(start, "null", true)),
            statement!(
                messages::list::window_sql(&Source::Conversations(vec![]), order),
                "{}",
                window(start, &one, false)
            ),
            statement!(
                messages::list::window_sql(&Source::Problems, order),
                "{}",
                window(start, "null", false)
            ),
            statement!(
                messages::list::window_sql(&Source::Outbox, order),
                "{}",
                window(start, "null", false)
            ),
        ]
    });
    let mut statements: Vec<Statement> = windows.collect();
    statements.extend([
        statement!(messages::list::CONVERSATIONS_OF, "'+12021', 101").with_bitmap_scans(),
        statement!(messages::find_sql(), "'{message}', {bucket}::smallint"),
        statement!(
            messages::find_all_sql(),
            "array['{message}']::uuid[], array[{bucket}]::smallint[]"
        ),
        statement!(messages::IDS_BETWEEN, "'{NIL}', '{MAX}', 20"),
        statement!(messages::OF_PROVIDER, "{hashes}"),
        statement!(messages::events::list_sql(), "'{message}', {bucket}::smallint, '{NIL}', 20"),
        statement!(messages::facts::message_sql(), "'{message}', {bucket}::smallint"),
        statement!(messages::facts::events_sql(), "'{message}', {bucket}::smallint, 20"),
        statement!(conversations::OF_PARTICIPANTS, "{hashes}"),
        statement!(
            conversations::ADD_MISSING,
            "array[get_byte({new_hash}, 0)::smallint], array['{new}']::uuid[], array[{new_hash}], array['phone'],
             array['[\"+1\", \"+2\"]']::jsonb[]"
        ),
        statement!(conversations::TOUCH, "array[{bucket}]::smallint[], array['{conversation}']::uuid[]"),
        statement!(conversations::find_sql(), "{bucket}::smallint, '{conversation}'"),
        statement!(conversations::list_sql(), "now(), '{MAX}', 20"),
        statement!(conversations::among_the_newest_sql(), "'+12021'").rows_max(400),
        statement!(conversations::REPLY_ENDS, "'{conversation}', {bucket}::smallint"),
        statement!(inbox::list_sql(), "now(), '{MAX}', 5").rows_max(300),
        statement!(inbox::MARK_READ, "{bucket}::smallint, '{conversation}', '{message}'"),
        statement!(inbox::of_address_sql(), "'+12021', 20").with_bitmap_scans(),
        statement!(inbox::of_common_address_sql(), "'+12021', 20").rows_max(5_000),
        statement!(
            media::INSERT,
            "array[{bucket}]::smallint[], array['{new}']::uuid[], array['{message}']::uuid[], array['a'],
             array['text/plain'], array['']::bytea[]"
        ),
        statement!(media::FIND, "'{file}', {bucket}::smallint"),
        statement!(media::FACTS, "array['{file}']::uuid[], array[{bucket}]::smallint[]"),
        statement!(activity::BETWEEN, "'{message}', '{MAX}', 500"),
        statement!(activity::LATE, "60").whole("outbox", FIGURES),
        statement!(activity::BACKLOG).whole("outbox", FIGURES),
        statement!(gauges::OUTBOX).whole("outbox", FIGURES),
        statement!(gauges::DATABASE_TIME),
    ]);
    statements
}

/// Rejected webhooks: a table of bounded size.
fn kept(sample: &Sample) -> Vec<Statement> {
    let Sample { new, hash, .. } = sample;
    let bounded = |statement: Statement| statement.whole("webhook_deliveries", "bounded by quarantine::TRIM");
    vec![
        statement!(
            quarantine::rejected::KEEP_REJECTED,
            "'{new}', 'p', 'unverified', '', 'POST', '/', '{{}}', '', false, '192.0.2.1', {hash}"
        ),
        bounded(statement!(quarantine::TRIM, "10000, 1000000, 72")),
        statement!(quarantine::list_sql(), "null, null, '{MAX}', '{MAX}', 20"),
        statement!(quarantine::ids_sql(), "null, null, '{MAX}', '{NIL}', 20"),
        bounded(statement!(quarantine::count_sql(), "null, null, '{MAX}'")),
        statement!(quarantine::find_sql(), "'{new}'"),
        statement!(quarantine::NOTE, "'{new}', 'unparsable', ''"),
        statement!(quarantine::REMOVE, "'{new}'"),
        bounded(statement!(quarantine::remove_all_sql(), "null, null, '{MAX}'")),
        bounded(statement!(quarantine::COUNTS)),
        statement!(parked::PARK, "array['{new}']::uuid[], array['p'], array['']::bytea[], array[{hash}]"),
        statement!(parked::FORGET, "array['{new}']::uuid[]"),
        statement!(parked::search::BEGIN, "20"),
        statement!(parked::search::ALL, "10000").rows_max(20_000),
        statement!(parked::search::PIECE, "'{MAX}', '{NIL}', 20, array['SM1']"),
        statement!(parked::search::END, "'{new}', now()"),
        statement!(parked::search::DROP, "array['{new}']::uuid[]"),
        statement!(parked::LOOK, "array[{hash}]"),
    ]
}

/// Control tables, which have a row for a key, a provider or a processor; and the catalogue.
fn control(sample: &Sample) -> Vec<Statement> {
    let Sample { new, new_hash, .. } = sample;
    let states = "array['p'], array['closed'], array[null::text], array[now()], array[null::timestamptz],
        array[0], array[1], array[0], array[1]::real[], array[1]::real[], array[1]::real[]";
    vec![
        statement!(keys::CREATE, "'{new}', 'name', 'app_', {new_hash}, 'operator'"),
        statement!(keys::LIST),
        statement!(keys::REVOKE, "'{new}'"),
        statement!(keys::WAS_ANY_MADE),
        statement!(sessions::DELETE_EXPIRED),
        statement!(sessions::OPEN, "{new_hash}, '{new}', 60"),
        statement!(sessions::FIND, "{new_hash}"),
        statement!(sessions::VALID, "array[{new_hash}]"),
        statement!(sessions::END, "{new_hash}"),
        statement!(audit::WRITE, "'{new}', 'key', 'a', '{new}', 'key.create', 'target', 'source', '{{}}'"),
        statement!(audit::LIST, "'{MAX}', null, null, null, null, null, 20"),
        statement!(keys::LOCK_OPERATORS),
        statement!(keys::VALID),
        statement!(keys::NOTE_USE, "array['{new}']::uuid[]"),
        statement!(provider_pauses::PAUSE, "'p', 'note'"),
        statement!(provider_pauses::NOTE, "'p', 'note'"),
        statement!(provider_pauses::RESUME, "'p'"),
        statement!(provider_pauses::ALL),
        statement!(provider_states::PUBLISH, "'{new}', {states}"),
        statement!(provider_states::ALL, "15"),
        statement!(provider_states::WITHDRAW, "'{new}'"),
        statement!(provider_states::DELETE_GONE, "15"),
        statement!(readiness::MISSING_PARTITIONS, "array['messages']"),
        statement!(readiness::HAS_TABLE),
        statement!(migrate::VERSION),
        statement!(migrate::OLDEST_BINARY),
        statement!(installation::MAY_READ_SYSTEM),
        statement!(installation::SYSTEM),
        statement!(installation::LOOK),
        statement!(installation::STORE, "1, 1, 'name'"),
        statement!(installation::ADOPT, "1, 1, 'name'"),
        statement!(migrate::SERVER_VERSION),
        statement!(migrate::SETTINGS, "array['fsync']"),
        statement!(migrate::lock_sql()),
        statement!(partitions::EXISTS, "'messages'"),
        statement!(partitions::PARTITIONS, "array['messages']"),
    ]
}

fn cut_back(sample: &Sample) -> Vec<Statement> {
    let Sample { waiting, waiting_bucket, new, old_week, .. } = sample;
    let tables_of_keys = housekeeping::KEY_TABLES
        .into_iter()
        .map(|table| statement!(housekeeping::delete_old_keys_sql(table), "48, 20, '2020-01-01'"));
    let hanging = partitions::retention::HANGING.into_iter().map(|table| {
        statement!(partitions::retention::delete_hanging_sql(table), "'{}', '{}'", old_week.0, old_week.1)
    });
    tables_of_keys
        .chain(hanging)
        .chain([
            statement!(partitions::retention::IS_IN_USE, "'{NIL}', '{MAX}'"),
            statement!(housekeeping::DELETE_IDLE_CONVERSATIONS, "864000, 20").rows_max(200),
            statement!(housekeeping::claim_expired_sql(), "'{new}', 20"),
            statement!(housekeeping::END_OF_WALK, "'{NIL}', '{MAX}', 19"),
            statement!(housekeeping::claim_outlived_sql(), "'{new}', '{waiting}', '{waiting}', 60"),
            statement!(housekeeping::ROUTES_IN_USE),
            // One pass over the outbox where the configuration lost a route, at most every ten minutes.
            statement!(housekeeping::rows_of_route_sql(), "'sms', '{NIL}', 20").rows_max(200),
            statement!(
                housekeeping::REROUTE,
                "array['{waiting}']::uuid[], array[{waiting_bucket}]::smallint[], array['other']"
            ),
        ])
        .collect()
}
