//! `app`: `app up` runs everything; the other commands are an operator's. Data goes to stdout, all else to stderr.

mod api;
mod app_db_access;
mod arguments;
mod commands;
mod os_user;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::choose_color(cli.global.color);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let ended = runtime.block_on(commands::run(cli));
    // What still runs in the background belongs to nobody now; waiting for it would only delay the end.
    runtime.shutdown_background();
    ended.unwrap_or_else(|error| fail(&error))
}

fn fail(error: &anyhow::Error) -> ExitCode {
    if output::is_broken_pipe(error) {
        // `app messages list | head`: the reader has what it wanted.
        return ExitCode::SUCCESS;
    }
    output::problem(&format!("{error:#}"));
    ExitCode::FAILURE
}
