//! Every scenario, a line each. A scenario gets a stage and returns its figures; what it could not even try is an
//! error, and counts as failed.

mod accept_together;
mod backlog_of_the_down;
mod black_hole;
mod clock_ahead;
mod clock_leap;
mod disk_full;
mod eight_calls;
mod failover;
mod first_messages;
mod hanging_provider;
pub mod idle_latency;
mod keyed_sends;
mod kill_apiserver;
mod kill_between;
mod kill_postgres;
mod kill_processor;
mod outcomes;
mod pgbouncer;
mod promotion;
mod random_faults;
mod rate_limit;
mod read_only_flip;
mod several_processors;
mod shuffled_receipts;
mod sync_standby_away;

use futures_util::future::LocalBoxFuture;

use crate::figure::Figure;
use crate::stage::Stage;

type Run = for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, anyhow::Result<Vec<Figure>>>;

pub struct Scenario {
    pub name: &'static str,
    pub shows: &'static str,
    pub run: Run,
}

macro_rules! scenario {
    ($name:literal, $module:ident, $shows:literal) => {
        Scenario { name: $name, shows: $shows, run: |stage| Box::pin($module::run(stage)) }
    };
}

/// In the order in which they are run.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("eight-calls", eight_calls, "send and receive SMS, MMS and email; conversations; delivered"),
    scenario!("outcomes", outcomes, "429, 5xx, 4xx and a reset after accept end as they must"),
    scenario!(
        "kill-between",
        kill_between,
        "killed between the provider's accept and the settle: each policy"
    ),
    scenario!(
        "first-messages",
        first_messages,
        "64 first messages, one conversation; 50 webhooks, one message"
    ),
    scenario!(
        "accept-together",
        accept_together,
        "no deadlock reaches a client; a poisoned request fails alone"
    ),
    scenario!("keyed-sends", keyed_sends, "retried through time-outs and kills, each key is one message"),
    scenario!(
        "kill-processor",
        kill_processor,
        "SIGKILL every second: nothing lost, duplicates accounted for"
    ),
    scenario!("several-processors", several_processors, "two and four processors, no kills: no duplicate"),
    scenario!("kill-apiserver", kill_apiserver, "SIGKILL under load: every 202 is in app-db"),
    scenario!("kill-postgres", kill_postgres, "SIGKILL under load: every 202 is in app-db; back within 10 s"),
    scenario!("hanging-provider", hanging_provider, "a provider that hangs slows no other"),
    scenario!(
        "backlog-of-the-down",
        backlog_of_the_down,
        "500,000 ahead for a provider that is down hold up nobody"
    ),
    scenario!(
        "failover",
        failover,
        "5xx for 30 s under 500 a second: the next provider takes over, and gives back"
    ),
    scenario!("rate-limit", rate_limit, "four processors keep one provider's rate together"),
    scenario!(
        "shuffled-receipts",
        shuffled_receipts,
        "receipts shuffled, repeated and before the answer: each delivery right, none seen to go back"
    ),
    scenario!("black-hole", black_hole, "silent and half-open connections to the database: back within 30 s"),
    scenario!("read-only-flip", read_only_flip, "the database becomes read-only, and writable again"),
    scenario!(
        "promotion",
        promotion,
        "the database is killed, its standby promoted: asynchronous, synchronous"
    ),
    scenario!("sync-standby-away", sync_standby_away, "commits wait for a synchronous standby that is away"),
    scenario!("disk-full", disk_full, "the database's disk runs full, and has room again"),
    scenario!("clock-ahead", clock_ahead, "a processor and a server 60 days ahead destroy and send nothing"),
    scenario!(
        "clock-leap",
        clock_leap,
        "all clocks leap by 36 days: the weeks are made, nothing waits for them"
    ),
    scenario!("pgbouncer", pgbouncer, "through PgBouncer: it works, or is refused by name"),
    scenario!(
        "random-faults",
        random_faults,
        "faults of every link and part, chosen by --seed: nothing lost, each duplicate explained"
    ),
    scenario!("idle-latency", idle_latency, "202 sent to provider called, idle, with and without NOTIFY"),
];

/// The scenario whose faults a seed chooses.
pub const SEEDED: &str = "random-faults";

/// The scenarios of these names, in the order of the list; all without names.
///
/// # Errors
/// Names that there are not.
pub fn named(names: &[String]) -> anyhow::Result<Vec<&'static Scenario>> {
    if let Some(unknown) = names.iter().find(|name| !SCENARIOS.iter().any(|s| s.name == name.as_str())) {
        let known: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
        anyhow::bail!("there is no scenario `{unknown}`; there are {}", known.join(", "));
    }
    let is_named = |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    Ok(SCENARIOS.iter().filter(is_named).collect())
}
