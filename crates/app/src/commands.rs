//! Which function runs which command.

mod adopt;
pub(crate) mod audit;
mod completions;
mod config;
pub(crate) mod conversations;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod messages;
mod migrate;
pub(crate) mod outbox;
pub(crate) mod providers;
pub(crate) mod send;
mod status;
mod up;
pub(crate) mod webhooks;

use std::process::ExitCode;

use crate::api::Api;
use crate::arguments::{Cli, Command};
use crate::output::Output;

pub(crate) async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let output = Output { json: cli.global.json };
    let api = || Api::new(&cli.global.url);
    match cli.command {
        Command::Up { hold } => return up::run(output, hold).await,
        Command::Status => return status::run(output, &api()?).await,
        Command::Config(command) => return config::run(&command, output),
        Command::Providers(command) => return providers::run(command, output).await,
        Command::Webhooks(command) => return webhooks::run(command, output, &api()?).await,
        Command::Init(init) => init::run(&init, output)?,
        Command::Migrate => migrate::run(output).await?,
        Command::Adopt => adopt::run(output).await?,
        Command::Outbox(command) => outbox::run(command, output).await?,
        Command::Send(command) => send::run(command, output, &api()?).await?,
        Command::Messages(command) => messages::run(command, output, &api()?).await?,
        Command::Conversations(command) => conversations::run(command, output, &api()?).await?,
        Command::Audit(command) => audit::run(command, output, &api()?).await?,
        Command::Keys(command) => keys::run(command, output).await?,
        Command::Completions { shell } => completions::run(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}
