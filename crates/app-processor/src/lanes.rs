//! Who carries what is due: each route's messages wait in lanes (`model::route::Variant`), and each lane has its
//! candidates in order. The rule that a message matches is `model::route`; here is who of them has its turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Routes, Variant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::candidate::{Candidate, Candidates, Room};

/// Of a claim where weights decide: small enough for the shares to show soon.
const WEIGHTED_ROWS_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Lane {
    /// As outbox rows name it.
    pub name: String,
    pub route: String,
    pub variant: Variant,
    /// Whether busy candidates are passed over too.
    spill: bool,
    confirm_within: Option<Duration>,
    candidates: Vec<Arc<Candidate>>,
    /// By candidate, where weights decide.
    shares: Option<Mutex<Vec<Share>>>,
}

#[derive(Debug)]
struct Share {
    weight: f64,
    /// Messages that it carried, by its weight.
    carried: f64,
}

/// All lanes of the configuration; their places are their numbers.
#[derive(Debug)]
pub(crate) struct Lanes(pub Vec<Lane>);

impl Lanes {
    /// Every lane of every route.
    pub(crate) fn new(routes: &Routes, candidates: &Candidates) -> Self {
        let mut lanes = Vec::new();
        for route in &routes.0 {
            for variant in route.variants() {
                let order = variant.order(route);
                let weights: Option<Vec<u32>> = order.iter().map(|candidate| candidate.weight).collect();
                let shares = weights.filter(|_| variant == Variant::Plain).map(|weights| {
                    let share = |weight| Share { weight: f64::from(weight), carried: 0.0 };
                    Mutex::new(weights.into_iter().map(share).collect())
                });
                let known = order.iter().filter_map(|candidate| candidates.get(&candidate.provider_id));
                lanes.push(Lane {
                    name: variant.lane(&route.name),
                    route: route.name.clone(),
                    spill: route.spill || shares.is_some(),
                    confirm_within: route.confirm_within,
                    candidates: known.cloned().collect(),
                    variant,
                    shares,
                });
            }
        }
        Self(lanes)
    }

    /// The numbers of the lanes that are looked into before anything is claimed from them: those that messages are in
    /// only now and then, and those of a rate, which a claim that finds nothing would keep from others.
    pub(crate) fn looked_into(&self) -> impl Iterator<Item = (usize, &Lane)> {
        let has_rate = |lane: &Lane| lane.candidates.iter().any(|other| other.config.rate_per_s.is_some());
        self.0.iter().enumerate().filter(move |(_, lane)| lane.variant != Variant::Plain || has_rate(lane))
    }
}

impl Lane {
    /// The first candidate that can take something now, with the slots that it has. One that is down is passed over;
    /// one that is merely busy is waited for, unless the route spills.
    pub(crate) fn choose(&self, now: Instant) -> Option<(Arc<Candidate>, OwnedSemaphorePermit)> {
        let limit = if self.shares.is_some() { WEIGHTED_ROWS_MAX } else { usize::MAX };
        let turns = self.turns();
        for (passed, &place) in turns.iter().enumerate() {
            let candidate = &self.candidates[place];
            match candidate.take(limit, now) {
                Room::Slots(permits) => {
                    self.forgive(&turns[..passed], place);
                    return Some((Arc::clone(candidate), permits));
                }
                Room::Busy if self.spill => {}
                Room::Busy => return None,
                Room::Down => {}
            }
        }
        None
    }

    /// In the lane's order; by weight, whoever is furthest behind its share first.
    fn turns(&self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..self.candidates.len()).collect();
        if let Some(shares) = &self.shares {
            let shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
            places.sort_by(|&one, &other| shares[one].carried.total_cmp(&shares[other].carried));
        }
        places
    }

    /// Who was passed over comes back to its share of what is to come, not with what it missed.
    fn forgive(&self, passed: &[usize], chosen: usize) {
        let Some(shares) = &self.shares else { return };
        let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = shares[chosen].carried;
        for &place in passed {
            shares[place].carried = carried;
        }
    }

    /// So many went to that candidate.
    pub(crate) fn carried(&self, candidate: &Candidate, count: usize) {
        let Some(shares) = &self.shares else { return };
        let place = self.candidates.iter().position(|other| other.config.id == candidate.config.id);
        let mut shares = shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = place.and_then(|place| shares.get_mut(place)) {
            share.carried += f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / share.weight;
        }
    }

    /// Whether a claim for this lane was limited by slots or rate, not by a pause, whose end a poll finds.
    pub(crate) fn is_waited_for(&self, now: Instant) -> bool {
        self.candidates.iter().any(|candidate| candidate.is_waited_for() && !candidate.is_down(now))
    }

    /// How long an attempt that this candidate accepted may take to be delivered before another one is asked; nothing
    /// where each has accepted it, or none must confirm.
    pub(crate) fn confirms(&self, candidate: &Candidate, accepted_by: &[String]) -> Option<Duration> {
        self.confirm_within.filter(|_| self.others(candidate, accepted_by).next().is_some())
    }

    /// Whom a message goes to next that some providers have accepted and nobody has confirmed: another than this one,
    /// rather one that is not down, else this one again, unless it has accepted it.
    pub(crate) fn next_to_confirm(
        &self,
        candidate: &Candidate,
        accepted_by: &[String],
        now: Instant,
    ) -> Option<String> {
        let other = self.others(candidate, accepted_by).min_by_key(|other| other.is_down(now));
        let again = (!accepted_by.contains(&candidate.config.id)).then(|| candidate.config.id.clone());
        other.map(|other| other.config.id.clone()).or(again)
    }

    /// Whether somebody else than this candidate, and than those that accepted it, could carry a message of the lane
    /// now.
    pub(crate) fn has_another(&self, than: &Candidate, accepted_by: &[String], now: Instant) -> bool {
        self.others(than, accepted_by).any(|other| !other.is_down(now))
    }

    fn others<'a>(
        &'a self,
        than: &'a Candidate,
        accepted_by: &'a [String],
    ) -> impl Iterator<Item = &'a Arc<Candidate>> {
        let is_other = move |other: &&Arc<Candidate>| {
            other.config.id != than.config.id && !accepted_by.contains(&other.config.id)
        };
        self.candidates.iter().filter(is_other)
    }
}

#[cfg(test)]
mod tests {
    use model::Outcome;
    use service::Config;
    use service::metrics::Metrics;

    use super::*;

    const PROVIDERS: &str = r#"
[[providers]]
id = "a"
kind = "twilio"
account_sid = "AC00000000000000000000000000000001"
auth_token = "t"
max_in_flight = 8
[[providers]]
id = "b"
kind = "twilio"
account_sid = "AC00000000000000000000000000000001"
auth_token = "t"
"#;

    fn lanes(routes: &str) -> (Lanes, Candidates) {
        let config = Config::parse(&format!("{PROVIDERS}{routes}"), "app.toml", &|_| None).unwrap();
        let candidates = Candidates::new(&config, &Metrics::default()).unwrap();
        (Lanes::new(&config.routes, &candidates), candidates)
    }

    fn chosen(lane: &Lane) -> Option<(String, usize)> {
        lane.choose(Instant::now())
            .map(|(candidate, permits)| (candidate.config.id.clone(), permits.num_permits()))
    }

    fn named<'a>(lanes: &'a Lanes, name: &str) -> &'a Lane {
        lanes.0.iter().find(|lane| lane.name == name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_candidate_gives_all_its_free_slots_and_busy_is_not_down() {
        let (lanes, _) = lanes("");
        let lane = named(&lanes, "sms");
        let (_, held) = lane.choose(Instant::now()).unwrap();
        assert_eq!(held.num_permits(), 8);
        assert_eq!(chosen(lane), None, "the next does not take over");
        assert!(lane.is_waited_for(Instant::now()));
        drop(held);
        assert_eq!(chosen(lane), Some(("a".to_owned(), 8)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_spills_goes_on_to_the_next() {
        let (lanes, _) = lanes("[[routes]]\nchannel = \"sms\"\nproviders = [\"a\", \"b\"]\nspill = true\n");
        let lane = named(&lanes, "sms");
        let _held = lane.choose(Instant::now()).unwrap();
        assert_eq!(chosen(lane), Some(("b".to_owned(), 64)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_is_down_is_passed_over_until_it_is_probed() {
        let (lanes, candidates) = lanes("");
        let lane = named(&lanes, "sms");
        let a = candidates.get("a").unwrap();
        a.learn(&Outcome::Unreachable { detail: String::new() });
        assert_eq!(chosen(lane).unwrap().0, "b");
        assert!(!lane.has_another(candidates.get("b").unwrap(), &[], Instant::now()));
        tokio::time::advance(Duration::from_millis(500)).await;
        let (_, probes) = lane.choose(Instant::now()).unwrap();
        assert_eq!(probes.num_permits(), 3);
        assert_eq!(chosen(lane).unwrap().0, "b", "what is beyond the probes");
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_that_avoid_or_prefer_a_provider_ask_the_right_one_first() {
        let (lanes, _) = lanes("");
        assert_eq!(chosen(named(&lanes, "sms!a")).unwrap().0, "b");
        assert_eq!(chosen(named(&lanes, "sms!b")).unwrap().0, "a");
        assert_eq!(chosen(named(&lanes, "sms>b")).unwrap().0, "b");
        assert_eq!(lanes.looked_into().count(), 12, "three channels, two candidates, two variants");
    }

    #[tokio::test(start_paused = true)]
    async fn weights_share_and_who_was_down_does_not_catch_up() {
        let (lanes, candidates) = lanes(
            "[[routes]]\nchannel = \"sms\"\nproviders = [{ id = \"a\", weight = 3 }, { id = \"b\", weight = 1 }]\n",
        );
        let lane = named(&lanes, "sms");
        let share_of_a = |rounds: usize| {
            let mut carried = [0, 0];
            for _ in 0..rounds {
                let (candidate, _) = lane.choose(Instant::now()).unwrap();
                lane.carried(&candidate, 5);
                carried[usize::from(candidate.config.id == "b")] += 5;
            }
            carried[0] * 100 / (carried[0] + carried[1])
        };
        assert!((73..=77).contains(&share_of_a(100)));
        candidates.get("a").unwrap().learn(&Outcome::Unreachable { detail: String::new() });
        assert_eq!(share_of_a(100), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..2 {
            candidates.get("a").unwrap().learn(&Outcome::Accepted { provider_message_id: None });
        }
        assert!((70..=80).contains(&share_of_a(100)), "its share, and no more");
    }
}
