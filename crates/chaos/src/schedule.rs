//! A schedule of faults that a number chooses: the same seed gives the same schedule on every machine.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use testkit::fault_proxy::Fault;

/// A connection between two parts that leads through a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    ApiserverDatabase,
    ProcessorDatabase,
    ProcessorProvider,
    ProviderWebhooks,
}

pub const LINKS: [Link; 4] =
    [Link::ApiserverDatabase, Link::ProcessorDatabase, Link::ProcessorProvider, Link::ProviderWebhooks];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The link has the fault for so long. With `abandons` what was open stays silent afterwards.
    Hinder {
        link: Link,
        fault: Fault,
        time: Duration,
        abandons: bool,
    },
    Reset(Link),
    KillApiserver,
    /// One of the processors, by number.
    KillProcessor(usize),
    KillPostgres,
    /// Nothing happens for so long.
    Quiet(Duration),
}

/// What a provider's unknown outcomes lead to in a run.
pub const POLICIES: [&str; 3] = ["retry", "hold", "reconcile"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub on_unknown: &'static str,
    pub steps: Vec<Step>,
}

impl Schedule {
    /// So many faults, with a quiet time before each.
    pub fn of_seed(seed: u64, faults: usize, processors: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let on_unknown = POLICIES[rng.usize(..POLICIES.len())];
        let steps = (0..faults)
            .flat_map(|_| [Step::Quiet(Duration::from_millis(rng.u64(50..500))), step(&mut rng, processors)])
            .collect();
        Self { on_unknown, steps }
    }
}

fn step(rng: &mut Rng, processors: usize) -> Step {
    match rng.u32(..10) {
        0 => Step::KillApiserver,
        1 | 2 => Step::KillProcessor(rng.usize(..processors)),
        3 => Step::KillPostgres,
        4 => Step::Reset(LINKS[rng.usize(..LINKS.len())]),
        _ => {
            let faults = [
                Fault::BlackHole,
                Fault::SilentServer,
                Fault::SilentClient,
                Fault::Slow(Duration::from_millis(rng.u64(5..200))),
                Fault::Refuse,
            ];
            Step::Hinder {
                link: LINKS[rng.usize(..LINKS.len())],
                fault: faults[rng.usize(..faults.len())],
                time: Duration::from_millis(rng.u64(100..1_500)),
                abandons: rng.bool(),
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on_unknown = {}", self.on_unknown)?;
        for step in &self.steps {
            match step {
                Step::Quiet(_) => {}
                Step::Hinder { link, fault, time, abandons } => {
                    let after = if *abandons { ", then abandoned" } else { "" };
                    write!(f, "; {link:?}: {fault:?} for {} ms{after}", time.as_millis())?;
                }
                other => write!(f, "; {other:?}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_schedule_and_another_seed_another() {
        let first = Schedule::of_seed(7, 10, 2);
        assert_eq!(first, Schedule::of_seed(7, 10, 2));
        assert_ne!(first, Schedule::of_seed(8, 10, 2));
        assert_eq!(first.steps.len(), 20);
    }

    #[test]
    fn fifty_seeds_have_every_kind_of_step_on_every_link() {
        let all: Vec<Step> = (1..=50).flat_map(|seed| Schedule::of_seed(seed, 6, 2).steps).collect();
        for link in LINKS {
            assert!(all.iter().any(|step| matches!(step, Step::Hinder { link: on, .. } if *on == link)));
        }
        assert!(all.contains(&Step::KillApiserver) && all.contains(&Step::KillPostgres));
        assert!(all.contains(&Step::KillProcessor(0)) && all.contains(&Step::KillProcessor(1)));
        assert!(all.iter().any(|step| matches!(step, Step::Reset(_))));
    }
}
