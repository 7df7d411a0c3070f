//! The yardstick: pgbench writes what an accepted message is in the project's own schema, every index and
//! constraint in place: the conversation selected, or inserted where it is new, the outbox row and the message,
//! one message a commit, 64 clients.

use std::fmt::Write as _;

use anyhow::Context;
use tokio::process::Command;

use crate::bench::{Bench, checkpoint};
use crate::people::{self, BODY, KNOWN, NEW_EVERY, SENDER, phone_hash_sql, uuid_sql};
use crate::rig::ROUTE;

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let Some(program) = find(&bench.stage.postgres_version()) else {
        bench.skip("pgbench: not installed".to_owned());
        return Ok(());
    };
    let installation = bench.installation().await?;
    people::store_known(&installation).await?;
    checkpoint(&installation).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("accept.pgbench");
    std::fs::write(&path, script()?)?;
    let output = Command::new(program)
        .args(["--no-vacuum", "--client=64", "--jobs=2", "--protocol=prepared"])
        .arg(format!("--time={}", bench.plan.time.as_secs().max(1)))
        .arg(format!("--file={}", path.display()))
        .arg(installation.database_url())
        .output()
        .await?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "pgbench: {errors}");
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    bench.samples.add("pgbench/s", rate.with_context(|| format!("pgbench: {said} {errors}"))?);
    let stored = installation.count("select count(*) from messages").await?;
    let waiting = installation.count("select count(*) from outbox").await?;
    anyhow::ensure!(
        stored == waiting && stored > 0,
        "pgbench stored {stored} messages, {waiting} outbox rows"
    );
    Ok(())
}

/// On the path, or where Debian and others keep each version's programs.
fn find(version: &str) -> Option<std::path::PathBuf> {
    let major = version.rsplit(' ').next()?;
    let folders = [format!("/usr/lib/postgresql/{major}/bin"), format!("/usr/pgsql-{major}/bin")];
    let on_path = std::env::var_os("PATH")?;
    let mut folders: Vec<std::path::PathBuf> = folders.into_iter().map(Into::into).collect();
    folders.extend(std::env::split_paths(&on_path));
    folders.into_iter().map(|folder| folder.join("pgbench")).find(|path| path.is_file())
}

fn script() -> Result<String, std::fmt::Error> {
    let mut script = String::new();
    writeln!(script, "\\set new random(1, {NEW_EVERY})")?;
    writeln!(script, "\\if :new = 1")?;
    writeln!(script, "\\set number random(13032000000, 13039999999)")?;
    writeln!(script, "\\else")?;
    writeln!(script, "\\set number random(12022000000, 12022000000 + {KNOWN} - 1)")?;
    writeln!(script, "\\endif")?;
    // 60 bits: what a UUID has left beside time, bucket and version.
    writeln!(script, "\\set low random(0, 1152921504606846975)")?;
    writeln!(script, "begin;")?;
    let hash = phone_hash_sql("('+' || :number::bigint)", &format!("'{SENDER}'"));
    writeln!(
        script,
        "select c.id is null as missing, get_byte(k.hash, 0) as bucket, encode(k.hash, 'hex') as hash, \
         coalesce(c.id, {new_conversation}) as conversation, {message} as message from (select {hash} as hash) as k \
         left join conversations c on c.bucket = get_byte(k.hash, 0) and c.participants_hash = k.hash \\gset",
        new_conversation = uuid_sql("'2026-01-01Z'::timestamptz", "get_byte(k.hash, 0)", ":number::bigint"),
        message = uuid_sql("clock_timestamp()", "get_byte(k.hash, 0)", ":low::bigint"),
    )?;
    writeln!(script, "\\if :missing")?;
    writeln!(
        script,
        "insert into conversations (bucket, id, participants_hash, medium, participants) values (:bucket::smallint, \
         :conversation::uuid, decode(:hash, 'hex'), 'phone', array[least('+' || :number::bigint, '{SENDER}'), \
         greatest('+' || :number::bigint, '{SENDER}')]) on conflict do nothing;"
    )?;
    writeln!(script, "\\endif")?;
    writeln!(
        script,
        "insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at) \
         values (:bucket::smallint, :message::uuid, :conversation::uuid, 'sms', '{ROUTE}', 1, now());"
    )?;
    writeln!(
        script,
        "insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source, \
         endpoint_target, body, status_tag, delivery_tag) values (:bucket::smallint, :message::uuid, \
         :conversation::uuid, 'outbound', 'sms', '{SENDER}', '+' || :number::bigint, '{BODY}', 'outbox', 'none');"
    )?;
    writeln!(script, "commit;")?;
    Ok(script)
}
