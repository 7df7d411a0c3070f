//! Where claims of a route begin to look. What lies below was claimed: going there again only walks past the dead
//! entries that it left in the index, of which there are many under load, and all of them while an old snapshot is
//! held open elsewhere. What was left behind there all the same is looked for beside the claims ([`left_behind`]).

use jiff::{SignedDuration, Timestamp};

use crate::claim::{self, Claimed};
use crate::pool::LONG_LIMIT;
use crate::{Client, Error};

/// Rows commit within this of the time that they are due from. One that took longer is left behind at first.
const COMMIT_TIME: SignedDuration = SignedDuration::from_secs(3);

/// By priority from the most urgent; nothing: from the beginning.
pub type ByPriority = [Option<Timestamp>; 3];

/// The floors of one route.
#[derive(Clone, Copy, Debug, Default)]
pub struct Floors(pub ByPriority);

impl Floors {
    /// What a claim brought that looked from `began` on. A floor that was lowered since is left for the next claim.
    pub fn raise(&mut self, began: &Self, claimed: &[Claimed]) {
        for row in claimed {
            let priority = usize::try_from(row.priority.as_i16()).unwrap_or(0).min(2);
            if self.0[priority] < began.0[priority] {
                continue;
            }
            let floor = &mut self.0[priority];
            // What is due from now on may be committed by somebody who began a moment ago.
            let recent = row.claimed_at.checked_sub(COMMIT_TIME).unwrap_or(Timestamp::MIN);
            *floor = (*floor).max(Some(row.due_at.min(recent)));
        }
    }

    /// To what was left behind, where there is some.
    pub fn lower(&mut self, found: ByPriority) {
        for (floor, found) in self.0.iter_mut().zip(found) {
            if found.is_some() {
                *floor = (*floor).min(found);
            }
        }
    }
}

/// The first due row below each floor of each lane: one that was committed late, whose lease lapsed, that was given
/// back, or that was locked by somebody who then did not take it. Not what claims pass over. May walk past many dead
/// entries: ask beside the claims, and seldom.
///
/// # Errors
/// As the database gives them.
pub async fn left_behind(client: &Client, lanes: &[(&str, Floors)]) -> Result<Vec<ByPriority>, Error> {
    client.allow(LONG_LIMIT);
    let statement = client.prepare_cached(&left_behind_sql()).await?;
    let (mut names, mut priorities, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for (name, Floors(of_lane)) in lanes {
        for (priority, floor) in (0_i16..).zip(of_lane) {
            names.push(*name);
            priorities.push(priority);
            floors.push(floor.unwrap_or(Timestamp::UNIX_EPOCH));
        }
    }
    let rows = client.query(&statement, &[&names, &priorities, &floors]).await?;
    let found: Vec<Option<Timestamp>> = rows.iter().map(|row| row.get(0)).collect();
    Ok(found.chunks_exact(3).map(|lane| [lane[0], lane[1], lane[2]]).collect())
}

pub(crate) fn left_behind_sql() -> String {
    format!(
        "select d.next_attempt_at from unnest($1::text[], $2::smallint[], $3::timestamptz[])
             with ordinality as p(route, priority, floor, number)
         left join lateral (
             select next_attempt_at from outbox
             where route = p.route and priority = p.priority and next_attempt_at < p.floor
               and (leased_until is null or leased_until <= now())
               and {}
             order by next_attempt_at limit 1
         ) as d on true
         order by p.number",
        claim::known_channel()
    )
}

/// Which of these lanes have something due above their floors: one look for all.
///
/// # Errors
/// As the database gives them.
pub async fn have_due(client: &Client, lanes: &[(&str, Floors)]) -> Result<Vec<bool>, Error> {
    let statement = client.prepare_cached(&have_due_sql()).await?;
    let names: Vec<&str> = lanes.iter().map(|(name, _)| *name).collect();
    let floors = |priority: usize| -> Vec<Timestamp> {
        lanes.iter().map(|(_, floors)| floors.0[priority].unwrap_or(Timestamp::UNIX_EPOCH)).collect()
    };
    let rows = client.query(&statement, &[&names, &floors(0), &floors(1), &floors(2)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

pub(crate) fn have_due_sql() -> String {
    let due = |priority: usize| {
        format!(
            "exists (select from outbox where route = l.route and priority = {priority}
                 and next_attempt_at >= l.floor{priority} and next_attempt_at <= now()
                 and (leased_until is null or leased_until <= now()))"
        )
    };
    format!(
        "select {} or {} or {}
         from unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
             with ordinality as l(route, floor0, floor1, floor2, number) order by l.number",
        due(0),
        due(1),
        due(2)
    )
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use model::{Channel, Endpoint, Priority};
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn due(before: SignedDuration) -> Claimed {
        Claimed {
            message_id: Uuid::nil(),
            lease_no: 1,
            attempt: 0,
            priority: Priority::Normal,
            due_at: NOW - before,
            first_due_at: NOW - before,
            expires_at: None,
            claimed_at: NOW,
            lapsed_provider: None,
            reconciling: false,
            accepted_by: Vec::new(),
            refused_by: Vec::new(),
            provider_id: None,
            channel: Channel::Sms,
            source: Endpoint::stored("a"),
            target: Endpoint::stored("b"),
            subject: None,
            body: String::new(),
            attachments: Vec::new(),
            before: Vec::new(),
        }
    }

    #[test]
    fn a_backlog_is_left_behind_and_what_is_recent_is_looked_at_again() {
        let mut floors = Floors::default();
        let hour = SignedDuration::from_hours(1);
        let mut claim = |row| {
            floors.raise(&floors.clone(), &[row]);
            floors.0
        };
        assert_eq!(claim(due(hour)), [None, Some(NOW - hour), None]);
        assert_eq!(claim(due(SignedDuration::ZERO))[1], Some(NOW - COMMIT_TIME));
        assert_eq!(claim(due(hour))[1], Some(NOW - COMMIT_TIME), "a floor never sinks by a claim");
    }

    #[test]
    fn floors_sink_to_what_was_left_behind() {
        let mut floors = Floors([None, Some(NOW), Some(NOW)]);
        floors.lower([Some(NOW), Some(NOW - 1.hour()), None]);
        assert_eq!(floors.0, [None, Some(NOW - 1.hour()), Some(NOW)]);
    }

    #[test]
    fn a_claim_under_way_does_not_raise_what_was_lowered_meanwhile() {
        let began = Floors([None, Some(NOW - 1.hour()), None]);
        let mut floors = began;
        floors.lower([None, Some(NOW - 2.hours()), None]);
        floors.raise(&began, &[due(SignedDuration::from_mins(1))]);
        assert_eq!(floors.0[1], Some(NOW - 2.hours()));
    }
}
