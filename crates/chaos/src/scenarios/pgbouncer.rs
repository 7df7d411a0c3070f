//! PgBouncer between the binaries and the database. In session mode everything works. In transaction mode it works too, or
//! both binaries refuse to start with a sentence that names it. A migration through it leaves no lock behind.

use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use tokio::process::Child;

use crate::configuration::{IMPATIENT, twilio};
use crate::figure::Figure;
use crate::invariants;
use crate::keyed_load::KeyedLoad;
use crate::port;
use crate::rig::LIMIT;
use crate::server::{Programs, Server};
use crate::stage::Stage;
use crate::wait::until;

const PROGRAMS: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];
const MESSAGES: usize = 300;

pub(super) async fn run(stage: &mut Stage) -> anyhow::Result<Vec<Figure>> {
    let Some(program) = PROGRAMS.into_iter().find(|program| Path::new(program).is_file()) else {
        return Ok(vec![Figure::told("SKIPPED", "pgbouncer is not installed")]);
    };
    let programs = stage.programs().await?;
    let mut server = Server::create(&programs, &stage.server_dir("pooled")).await?;
    server.start().await?;
    let mut figures = Vec::new();
    for mode in ["session", "transaction"] {
        let dir = stage.server_dir("pgbouncer");
        programs.private_dir(&dir)?;
        let (mut bouncer, url) = start(program, &programs, &server, &dir, mode).await?;
        let of_it = through(stage, &server, url).await?;
        bouncer.kill().await?;
        figures.extend(of_it.into_iter().map(|figure| figure.of(mode)));
    }
    server.stop().await?;
    Ok(figures)
}

/// A PgBouncer in front of the server, and its URL without a database.
async fn start(
    program: &str,
    programs: &Programs,
    server: &Server,
    dir: &Path,
    mode: &str,
) -> anyhow::Result<(Child, String)> {
    let port = port::free()?;
    let socket = server.socket_dir().display();
    let settings = format!(
        "[databases]\n* = host={socket} port=5432 user=app\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
         listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\nmax_client_conn = 200\n\
         default_pool_size = 20\nignore_startup_parameters = extra_float_digits\n"
    );
    let file = dir.join("pgbouncer.ini");
    std::fs::write(&file, settings)?;
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    let mut command = programs.command(program);
    let log = std::fs::File::create(dir.with_extension("log"))?;
    let bouncer = command
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("pgbouncer")?;
    until("pgbouncer listens", LIMIT, async || {
        Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop))
    })
    .await?;
    Ok((bouncer, format!("postgresql://app@127.0.0.1:{port}")))
}

async fn through(stage: &mut Stage, server: &Server, url: String) -> anyhow::Result<Vec<Figure>> {
    let installation = stage.installation_on(server, Some(url.clone())).await?;
    let simulator = installation.simulator(&["--no-receipts"]).await?;
    installation.configure(&format!("{IMPATIENT}{}", twilio("twilio-main", &simulator.url, "")))?;
    let mut figures = vec![migrate(&format!("{url}/{}", installation.database()), server).await?];
    let refused = |error: &anyhow::Error| {
        format!("{error:#}").lines().find(|line| line.contains("PgBouncer")).map(str::to_owned)
    };
    let mut processes = Vec::new();
    for (name, started) in
        [("apiserver", installation.apiserver().await), ("processor", installation.processor().await)]
    {
        match started {
            Ok(process) => processes.push(process),
            Err(error) => figures.push(match refused(&error) {
                Some(sentence) => Figure::told(format!("{name} refuses"), sentence),
                None => Figure::exactly(format!("{name}: {error:#}"), "fails", "starts, or names PgBouncer"),
            }),
        }
    }
    if processes.len() < 2 {
        figures.push(Figure::exactly("started", processes.len(), 0));
        return Ok(figures);
    }
    let load = KeyedLoad::start(&installation.api());
    load.wait_for_further(MESSAGES, LIMIT).await?;
    let sent = load.stop().await?;
    installation.wait_until_settled(LIMIT).await?;
    for mut process in processes {
        process.terminate().await?;
    }
    figures.push(Figure::exactly("refused or unanswered", sent.refusals(), 0));
    figures.extend(sent.figures(&installation, &simulator, false).await?);
    figures.push(invariants::leases_left(&installation.pool).await?);
    figures.push(leaked_settings(&format!("{url}/{}", installation.database())).await?);
    Ok(figures)
}

/// The schema is there already: this only takes the lock and looks.
async fn migrate(url: &str, server: &Server) -> anyhow::Result<Figure> {
    let told = match app_db::connect(url, 1) {
        Ok(pool) => match pool.get().await {
            Ok(mut client) => app_db::migrate::run(&mut client).await.is_ok(),
            Err(_) => false,
        },
        Err(_) => false,
    };
    let locks = server.value("postgres", "select count(*) from pg_locks where locktype = 'advisory'").await?;
    let what = format!("locks left by a migration that {}", if told { "ran" } else { "was refused" });
    Ok(Figure::exactly(what, locks.unwrap_or_default(), "0".to_owned()))
}

/// What another application sees that shares the pool.
async fn leaked_settings(url: &str) -> anyhow::Result<Figure> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    let row = client.simple_query("show enable_seqscan").await?;
    drop(client);
    driver.await??;
    let value = row.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    Ok(Figure::exactly("enable_seqscan of another's session", value.unwrap_or_default(), "on".to_owned()))
}
