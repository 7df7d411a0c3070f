//! `app completions SHELL`.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Cli;
use crate::output;

pub(crate) fn run(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "app", &mut script);
    output::print(&String::from_utf8(script)?)
}
