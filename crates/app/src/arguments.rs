//! The command tree. What a command does is in the file of its name below `commands`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::commands::{audit, conversations, init, keys, messages, outbox, providers, send, webhooks};

/// A messaging platform on PostgreSQL: one API for SMS, MMS, email and WhatsApp, through any provider.
#[derive(Debug, Parser)]
#[command(name = "app", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Print JSON, one value a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The API server that commands talk to; an API key is taken from APP_API_KEY
    #[arg(
        long,
        global = true,
        env = "APP_URL",
        default_value = "http://127.0.0.1:8080",
        hide_env_values = true
    )]
    pub(crate) url: String,
    /// When to use colors
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in the foreground: database, API server, processor, and simulated providers if none are
    /// configured
    Up {
        /// Hold what waits in the outbox before the first message is sent; `app outbox release` releases it
        #[arg(long)]
        hold: bool,
    },
    /// Add a provider to the configuration, and say what is left to do
    Init(init::Init),
    /// Bring the schema of app-db up to date
    Migrate,
    /// Make a copied or restored database this installation's own: its messages are sent from now on
    Adopt,
    /// Hold what waits to be sent, and release it, directly in app-db
    #[command(subcommand)]
    Outbox(outbox::Outbox),
    /// Show whether the server is ready and what waits in the outbox
    Status,
    /// Send a message
    #[command(subcommand)]
    Send(send::Send),
    /// Look at messages, retry and cancel them
    #[command(subcommand)]
    Messages(messages::Messages),
    /// Look at conversations, reply in them
    #[command(subcommand)]
    Conversations(conversations::Conversations),
    /// Make, list and revoke API keys, directly in app-db
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Look at who changed what
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(Config),
    /// Check, list, pause and resume providers, and list the kinds that there are
    #[command(subcommand)]
    Providers(providers::Providers),
    /// Look at webhooks that could not be taken in, and process them again
    #[command(subcommand)]
    Webhooks(webhooks::Webhooks),
    /// Print the completions of a shell
    Completions { shell: Shell },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say what is wrong with it, if anything
    Check,
    /// Print what is in force, without secrets
    Show,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_tree_has_no_contradictions() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_documented_command_is_understood() {
        let id = "01a2b3c4-d5e6-7f00-8000-000000000000";
        for line in [
            "app up",
            "app init twilio",
            "app up --hold",
            "app migrate",
            "app adopt",
            "app outbox hold --all",
            "app outbox hold --channel sms --accepted-before 2026-11-23T08:30:00Z",
            "app outbox release --all",
            "app outbox release --channel email",
            "app status --json",
            "app send sms --from +12025550100 --to +12025550199 Hello",
            "app send email --from a@example.com --to b@example.com --subject Hi Hello --json",
            "app send whatsapp --from +12025550100 --to +12025550199 Hello --wait",
            "app --url http://127.0.0.1:9 messages list --status failed --limit 5",
            &format!("app messages show {id}"),
            "app messages show 01a2…7756",
            &format!("app messages retry {id}"),
            &format!("app messages cancel {id}"),
            "app messages tail",
            "app conversations list",
            &format!("app conversations show {id}"),
            &format!("app conversations reply {id} Hello"),
            "app keys create billing",
            "app keys create billing --role application",
            "app keys list",
            "app audit log --action provider.pause --actor ann --target twilio-main --limit 5",
            "app keys revoke billing",
            "app webhooks list --reason unverified --provider twilio-main",
            &format!("app webhooks show {id}"),
            &format!("app webhooks replay {id} {id}"),
            "app webhooks replay --all --provider twilio-main --json",
            &format!("app keys revoke {id}"),
            "app config check",
            "app config show",
            &format!("app messages explain {id}"),
            "app providers kinds",
            "app providers kinds --json",
            "app providers check",
            "app providers check --send-to +12025550199 --send-to b@example.com --from ACME --from a@example.com",
            "app providers list",
            "app providers pause twilio-main --note disputed",
            "app providers resume twilio-main",
            "app completions bash",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn a_mistyped_command_is_refused_with_the_usage_status() {
        for line in [
            "app mesages list",
            "app outbox hold",
            "app outbox release --all --channel sms",
            "app messages show",
            "app messages show not-an-id",
            "app messages list --limit 0",
            "app conversations list --limit 0",
            "app send sms Hello",
            "app providers check --send-to +12025550199",
            "app providers check --from ACME",
            "app providers pause",
            "app keys create billing --role admin",
        ] {
            let refused = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(refused.exit_code(), 2, "{line}");
        }
    }
}
