//! Faults in an order that the seed chooses: silent, slow, half-open and reset links between any two parts, and kills of
//! servers, processors and PostgreSQL. Whatever the order, nothing is lost and no duplicate is unexplained.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use testkit::fault_proxy::{Fault, FaultProxy, Target};
use tokio::time::{Instant, sleep};

use crate::configuration::{IMPATIENT, twilio};
use crate::figure::Figure;
use crate::installation::Installation;
use crate::invariants;
use crate::keyed_load::{KeyedLoad, Sent};
use crate::process::Process;
use crate::rig::{LIMIT, RECOVERY_BAR_S};
use crate::schedule::{LINKS, Link, Schedule, Step};
use crate::simulator::Simulator;
use crate::stage::Stage;
use crate::wait::until;

const PROCESSORS: usize = 2;
const WARM_UP: usize = 20;
/// Outages of PostgreSQL last so long.
const POSTGRES_AWAY: Duration = Duration::from_millis(300);

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let schedule = Schedule::of_seed(stage.seed, stage.scaled(60, 6), PROCESSORS);
    eprintln!("  seed {}: {schedule}", stage.seed);
    let mut installation = stage.installation().await?;
    let simulator = installation.simulator(&[]).await?;
    let proxies = Proxies::start(&installation, &simulator).await?;
    installation.publish_at(format!("http://{}", proxies.of(Link::ProviderWebhooks).address()));
    let more = format!("timeout_s = 2\non_unknown = \"{}\"\nreconcile_wait_s = 2", schedule.on_unknown);
    let provider_url = format!("http://{}", proxies.of(Link::ProcessorProvider).address());
    installation.configure(&format!("{IMPATIENT}{}", twilio("twilio-main", &provider_url, &more)))?;
    let mut parts = Parts::start(&mut installation, &proxies).await?;

    let load = KeyedLoad::start(&installation.api());
    load.wait_for_further(WARM_UP, LIMIT).await?;
    for step in &schedule.steps {
        play(stage, step, &proxies, &mut parts).await?;
    }
    let ended = Instant::now();
    load.wait_for_further(1, LIMIT).await?;
    let recovered = ended.elapsed();
    let sent = load.stop().await?;
    wait_until_settled_or_held(&installation).await?;
    parts.terminate().await?;
    let mut figures = vec![
        Figure::told("seed, policy", format!("{}, {}", stage.seed, schedule.on_unknown)),
        Figure::below("accepting again after", recovered.as_secs_f64(), RECOVERY_BAR_S, "s"),
    ];
    figures.extend(judge(&installation, &simulator, &sent, schedule.on_unknown).await?);
    Ok(figures)
}

async fn judge(
    installation: &Installation,
    simulator: &Simulator,
    sent: &Sent,
    on_unknown: &str,
) -> anyhow::Result<Vec<Figure>> {
    let may_double = on_unknown == "retry";
    let mut figures = sent.figures(installation, simulator, may_double).await?;
    let held = "select count(*) from outbox where next_attempt_at = 'infinity'";
    let held = usize::try_from(installation.count(held).await?)?;
    for figure in &mut figures {
        // A held message may or may not have been sent: that is what it waits for.
        if figure.what == "accepted, but missing from the ledger" {
            let missing: usize = figure.value.parse()?;
            *figure = Figure::at_most(figure.what.clone(), missing, held);
        }
    }
    figures.push(invariants::leases_left(&installation.pool).await?);
    Ok(figures)
}

struct Proxies(Vec<(Link, FaultProxy)>);

impl Proxies {
    async fn start(installation: &Installation, simulator: &Simulator) -> anyhow::Result<Self> {
        let mut proxies = Vec::new();
        for link in LINKS {
            let proxy = match link {
                Link::ApiserverDatabase | Link::ProcessorDatabase => {
                    FaultProxy::for_database(installation.database_url()).await
                }
                Link::ProcessorProvider => {
                    let address = simulator.url.strip_prefix("http://").context("a URL")?;
                    FaultProxy::start(Target::Tcp(address.parse()?)).await
                }
                Link::ProviderWebhooks => {
                    let api = SocketAddr::from((Ipv4Addr::LOCALHOST, installation.api_port()));
                    FaultProxy::start(Target::Tcp(api)).await
                }
            };
            proxies.push((link, proxy));
        }
        Ok(Self(proxies))
    }

    fn of(&self, link: Link) -> &FaultProxy {
        // Each link has one: `start` made them.
        let found = self.0.iter().find(|(of, _)| *of == link);
        &found.unwrap_or(&self.0[0]).1
    }

    fn database_url(&self, link: Link, installation: &Installation) -> String {
        format!("postgresql://app@{}/{}", self.of(link).address(), installation.database())
    }
}

struct Parts {
    apiserver: Process,
    processors: Vec<Process>,
}

impl Parts {
    async fn start(installation: &mut Installation, proxies: &Proxies) -> anyhow::Result<Self> {
        installation.reach_database_at(proxies.database_url(Link::ApiserverDatabase, installation));
        let apiserver = installation.apiserver().await?;
        installation.reach_database_at(proxies.database_url(Link::ProcessorDatabase, installation));
        let mut processors = Vec::new();
        for _ in 0..PROCESSORS {
            processors.push(installation.processor().await?);
        }
        Ok(Self { apiserver, processors })
    }

    async fn terminate(mut self) -> anyhow::Result<()> {
        self.apiserver.terminate().await?;
        for processor in &mut self.processors {
            processor.terminate().await?;
        }
        Ok(())
    }
}

async fn play(stage: &mut Stage, step: &Step, proxies: &Proxies, parts: &mut Parts) -> anyhow::Result<()> {
    match *step {
        Step::Quiet(time) => sleep(time).await,
        Step::Reset(link) => proxies.of(link).reset_all(),
        Step::Hinder { link, fault, time, abandons } => {
            let proxy = proxies.of(link);
            proxy.set(fault);
            sleep(time).await;
            if abandons {
                proxy.abandon_all();
            }
            proxy.set(Fault::None);
        }
        Step::KillApiserver => {
            parts.apiserver.kill().await?;
            parts.apiserver.spawn()?;
        }
        Step::KillProcessor(number) => {
            parts.processors[number].kill().await?;
            parts.processors[number].spawn()?;
        }
        Step::KillPostgres => {
            stage.kill_postgres().await?;
            sleep(POSTGRES_AWAY).await;
            stage.restart_postgres().await?;
        }
    }
    Ok(())
}

async fn wait_until_settled_or_held(installation: &Installation) -> anyhow::Result<()> {
    let waiting = "select count(*) from outbox where next_attempt_at < 'infinity'";
    until("every message is settled or held", LIMIT, async || {
        sleep(Duration::from_millis(50)).await;
        // The pool may still have connections that died with PostgreSQL.
        Ok((installation.count(waiting).await.ok() == Some(0)).then_some(()))
    })
    .await
}
