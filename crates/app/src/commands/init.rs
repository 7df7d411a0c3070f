//! `app init KIND`: adds a provider to app.toml, and says which secrets to set and which URL to enter where.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use providers::Kind;
use serde_json::json;

use crate::output::{self, Output};

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What `app providers kinds` lists
    kind: String,
    /// The new provider's id; it is part of its webhook URL [default: KIND-main]
    #[arg(long)]
    id: Option<String>,
    /// Only print what would be added
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(init: &Init, output: Output) -> anyhow::Result<()> {
    let Some(kind) = providers::kind(&init.kind) else {
        let known: Vec<&str> = providers::KINDS.iter().map(|kind| kind.name).collect();
        bail!("there is no kind `{}`; there are {}", init.kind, known.join(", "));
    };
    let id = init.id.clone().unwrap_or_else(|| format!("{}-main", kind.name));
    if let Err(problem) = service::config::check_provider_id(&id) {
        bail!("--id `{id}`: a provider's id {problem}");
    }
    let public_url = env::var("APP_PUBLIC_URL").ok().filter(|url| !url.is_empty());
    let base = public_url.clone().unwrap_or_else(|| "https://YOUR-PUBLIC-ADDRESS".to_owned());
    let webhook_url = format!("{}/api/webhooks/{id}", base.trim_end_matches('/'));
    let block = block(kind, &id, &webhook_url);
    if init.print {
        return output.record(&json!({ "id": id, "toml": block }), |_| block.trim_end().to_owned());
    }

    let path = PathBuf::from(env::var("APP_CONFIG").unwrap_or_else(|_| "app.toml".to_owned()));
    append(&path, &id, &block)?;
    let missing: Vec<&str> =
        variables(&block).into_iter().filter(|name| env::var_os(name).is_none()).collect();
    let value = json!({
        "id": id, "file": path, "webhook_url": webhook_url, "variables_to_set": missing,
    });
    output.record(&value, |_| format!("added provider {id} to {}", path.display()))?;
    if !missing.is_empty() {
        output::note("\nSet these before the next start:");
        missing.iter().for_each(|name| output::note(&format!("  export {name}=...")));
    }
    if public_url.is_none() {
        output::note(
            "\nTo receive, set APP_PUBLIC_URL to the https:// address at which the provider reaches you.",
        );
    }
    output::note(&format!(
        "\nWhere the provider wants a webhook URL, it is\n  {webhook_url}\n{} says where to find and enter what; then \
         run `app config check`.",
        path.display()
    ));
    Ok(())
}

fn block(kind: &Kind, id: &str, webhook_url: &str) -> String {
    let channels: Vec<String> = kind.channels.iter().map(|channel| format!("\"{channel}\"")).collect();
    format!(
        "[[providers]]\nid = \"{id}\"\nkind = \"{}\"\nchannels = [{}]\n{}",
        kind.name,
        channels.join(", "),
        kind.setup.replace("{webhook_url}", webhook_url)
    )
}

/// The names in `"env:NAME"`.
fn variables(block: &str) -> Vec<&str> {
    block.split("\"env:").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Refuses a file that is not TOML, and an id that it has already.
fn append(path: &Path, id: &str, block: &str) -> anyhow::Result<()> {
    let place = path.display();
    let text = if path.exists() {
        fs::read_to_string(path).with_context(|| format!("{place} cannot be read"))?
    } else {
        String::new()
    };
    let table: toml::Table = text.parse().with_context(|| format!("{place} is not TOML; mend it first"))?;
    let providers = table.get("providers").and_then(toml::Value::as_array);
    if providers.into_iter().flatten().any(|p| p.get("id").and_then(toml::Value::as_str) == Some(id)) {
        bail!("{place} has a provider `{id}` already; choose another with --id");
    }
    let separator = match text.as_str() {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let added = format!("{text}{separator}{block}");
    added.parse::<toml::Table>().with_context(|| {
        format!("{place} writes its providers in another form; add this by hand (`app init --print`)")
    })?;
    // It may come to hold secrets: a new one is its owner's alone.
    let opened = File::options().create(true).append(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(format!("{separator}{block}").as_bytes()))
        .with_context(|| format!("{place} cannot be written"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_kind_is_set_up_by_what_is_written_and_the_variables_that_it_names() {
        for kind in providers::KINDS {
            let block = block(kind, "main", "https://example.com/api/webhooks/main");
            let value = |name: &str| {
                let value = match name {
                    "SENDGRID_WEBHOOK_PUBLIC_KEY" => provider_simulator::DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY,
                    // Of RFC 8032 section 7.1, test 1.
                    "TELNYX_PUBLIC_KEY" => "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                    _ => "AC1",
                };
                variables(&block).contains(&name).then(|| value.to_owned())
            };
            let config = service::Config::parse(&block, "app.toml", &value);
            let config = config.unwrap_or_else(|error| panic!("{}: {error}", kind.name));
            assert_eq!(config.providers[0].channels, kind.channels);
            assert!(service::Config::parse(&block, "app.toml", &|_| None).is_err(), "{}", kind.name);
        }
    }

    #[test]
    fn a_provider_is_added_once_and_below_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.toml");
        fs::write(&path, "[processor]\nlease_s = 5").unwrap();
        let block = "[[providers]]\nid = \"a\"\n";
        append(&path, "a", block).unwrap();
        let refused = append(&path, "a", block).unwrap_err().to_string();
        assert!(refused.contains("has a provider `a` already"), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("[processor]\nlease_s = 5\n\n{block}"));
    }

    #[test]
    fn a_new_file_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.toml");
        append(&path, "a", "[[providers]]\nid = \"a\"\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_id_that_the_configuration_refuses_is_not_written() {
        for id in ["Bad Id", "", "sms", "email", "a/b", "a\"\nb", &"a".repeat(65)] {
            let init = Init { kind: "twilio".to_owned(), id: Some(id.to_owned()), print: true };
            let refused = run(&init, Output { json: true }).unwrap_err().to_string();
            assert!(refused.contains("a provider's id"), "{refused}");
        }
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.toml");
        fs::write(&path, "[processor").unwrap();
        assert!(append(&path, "a", "[[providers]]\nid = \"a\"\n").is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "[processor");
    }
}
