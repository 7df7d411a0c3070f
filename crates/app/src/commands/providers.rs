//! `app providers`: the kinds that there are, and the providers that are configured.

mod check;
mod kinds;
mod list;
mod pause;

use std::process::ExitCode;

use app_db::provider_states::ProviderState;
use clap::Subcommand;
use service::Config;

use crate::app_db_access::AppDb;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Providers {
    /// List the kinds that can be configured
    Kinds,
    /// Check the configuration of each provider; with --send-to, send a real message through those that carry it
    Check(check::Check),
    /// List the configured providers and how they fare
    List,
    /// Give a provider no messages until it is resumed; calls under way end
    Pause {
        /// Its id in the configuration
        id: String,
        /// Why, for people
        #[arg(long)]
        note: Option<String>,
    },
    /// Give a paused provider messages again
    Resume {
        /// Its id in the configuration
        id: String,
    },
}

pub(crate) async fn run(command: Providers, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        Providers::Kinds => kinds::run(output)?,
        Providers::Check(check) => return check::run(&check, output).await,
        command => {
            let config = Config::load()?;
            let app_db = AppDb::open(&config).await?;
            let mut client = app_db.client().await?;
            app_db::migrate::check(&client).await?;
            let done = match &command {
                Providers::Pause { id, note } => {
                    pause::pause(&config, &mut client, id, note.as_deref(), output).await
                }
                Providers::Resume { id } => pause::resume(&config, &mut client, id, output).await,
                _ => list::run(&config, &client, output).await,
            };
            drop(client);
            app_db.close().await?;
            done?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The ids of the configuration, and those that a running processor has besides: `app up` simulates some.
fn known_ids(config: &Config, states: &[ProviderState]) -> Vec<String> {
    let mut ids: Vec<String> = config.providers.iter().map(|provider| provider.id.clone()).collect();
    for state in states {
        if !ids.contains(&state.provider_id) {
            ids.push(state.provider_id.clone());
        }
    }
    ids
}

/// `a,b`.
fn joined(channels: &[model::Channel]) -> String {
    channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(",")
}

/// The lines of a table, each column as wide as its widest text, the last as it is.
fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, &width)| format!("{text:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_columns_are_as_wide_as_their_widest_text() {
        let row = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
        let lines = table(&[row(["a", "…", "x y"]), row(["long", "b", ""])]);
        assert_eq!(lines, ["a     …  x y", "long  b"]);
    }
}
