//! `test-database COMMAND...`: runs the command with TEST_DATABASE_URL naming a PostgreSQL that is there while it
//! runs, so that many test processes share one. A DATABASE_URL or TEST_DATABASE_URL that is set is used instead.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Context;
use app_db::embedded::Embedded;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("usage: test-database COMMAND...")?;
    let named = ["TEST_DATABASE_URL", "DATABASE_URL"].iter().find_map(|name| std::env::var(name).ok());
    let Some(url) = named.filter(|url| !url.is_empty()) else {
        let embedded = Embedded::start_throwaway().await?;
        eprintln!("tests use a {} of their own", embedded.version());
        let code = run(&program, arguments, &embedded.url()).await;
        embedded.stop().await?;
        return code;
    };
    eprintln!("tests use the PostgreSQL that the environment names");
    run(&program, arguments, &url).await
}

/// Waits for the command whatever signals come: from a terminal they reach it too, and it ends by them.
async fn run(
    program: &OsString,
    arguments: impl Iterator<Item = OsString>,
    url: &str,
) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut command = Command::new(program);
    let mut child = command.args(arguments).env("TEST_DATABASE_URL", url).kill_on_drop(true).spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => {
                let code = status?.code().and_then(|code| u8::try_from(code).ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            _ = terminate.recv() => child.start_kill()?,
            _ = interrupt.recv() => {}
        }
    }
}
