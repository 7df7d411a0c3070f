//! Who writes to whom: most messages go to people who have a conversation already, one in twenty to somebody new.
//! The same mix for every measurement that stores messages, ours and the limits alike.

use chaos::installation::Installation;

pub const SENDER: &str = "+12025550100";
/// People who have a conversation before the measurement begins.
pub const KNOWN: usize = 5_000;
pub const NEW_EVERY: usize = 20;
const NUMBERS: usize = 7_999_999;
/// As long as a common text message.
pub const BODY: &str =
    "Your parcel will be with you today between 14:00 and 16:00. Reply STOP to get no more of these.";

/// The number of somebody known.
pub fn known(person: usize) -> String {
    format!("+1202{}", 2_000_000 + person % NUMBERS)
}

/// The other end of the `n`th message.
pub fn nth(n: usize, known_people: usize) -> String {
    if n.is_multiple_of(NEW_EVERY) {
        format!("+1303{}", 2_000_000 + n / NEW_EVERY % NUMBERS)
    } else {
        // People who write emails in a large database have no number.
        let person = n % known_people;
        known(if person.is_multiple_of(10) { person + 1 } else { person })
    }
}

/// SQL: a UUID of ours from a time, a bucket and a number.
pub fn uuid_sql(time: &str, bucket: &str, number: &str) -> String {
    format!(
        "(lpad(to_hex((extract(epoch from {time}) * 1000)::bigint), 12, '0') || '70' \
         || lpad(to_hex(({bucket})::int), 2, '0') || '8' || lpad(to_hex(({number})::bigint), 15, '0'))::uuid"
    )
}

/// SQL: the natural key of a conversation of two phone numbers (`model::Participants::hash`).
pub fn phone_hash_sql(one: &str, other: &str) -> String {
    format!(
        "sha256(('phone' || E'\\n' || least({one}, {other}) || E'\\n' || greatest({one}, {other}))::bytea)"
    )
}

/// Stores the conversations of the known people.
///
/// # Errors
/// As the database gives them.
pub async fn store_known(installation: &Installation) -> anyhow::Result<()> {
    let number = "'+' || (12022000000 + p)";
    let sql = format!(
        "insert into conversations (bucket, id, participants_hash, medium, participants)
         select get_byte(hash, 0), {id}, hash, 'phone', array[least(number, '{SENDER}'), greatest(number, '{SENDER}')]
         from (select p, {number} as number, {hash} as hash from generate_series(0, {KNOWN} - 1) as p) as person",
        id = uuid_sql("now()", "get_byte(hash, 0)", "p"),
        hash = phone_hash_sql(&format!("({number})"), &format!("'{SENDER}'")),
    );
    let client = installation.pool.get().await?;
    client.batch_execute(&sql).await?;
    client.batch_execute("analyze conversations").await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_twenty_is_new_and_no_two_of_them_are_the_same() {
        let new: Vec<String> =
            (0..10_000).map(|n| nth(n, KNOWN)).filter(|to| to.starts_with("+1303")).collect();
        assert_eq!(new.len(), 10_000 / NEW_EVERY);
        assert_eq!(new.iter().collect::<std::collections::HashSet<_>>().len(), new.len());
    }
}
