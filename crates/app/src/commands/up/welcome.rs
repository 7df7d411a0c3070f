//! The block that greets a newcomer.

use std::time::Duration;

/// What the block tells.
#[derive(Debug)]
pub(super) struct Welcome {
    pub(super) ready_in: Duration,
    pub(super) url: String,
    /// The simulator's address, where it runs.
    pub(super) simulator_url: Option<String>,
    /// `twilio-main (sms, mms)`; empty in the demonstration.
    pub(super) providers: Vec<String>,
    /// `./data (PostgreSQL 15, durable)`.
    pub(super) database: String,
    /// Whether clients need a key.
    pub(super) has_keys: bool,
}

/// Where the right column begins.
const RIGHT: usize = 43;

pub(super) fn text(welcome: &Welcome) -> String {
    let Welcome { url, .. } = welcome;
    let mut lines = vec![
        String::new(),
        two(
            &format!("app {} is running", env!("CARGO_PKG_VERSION")),
            &format!("ready in {:.1} s", welcome.ready_in.as_secs_f64()),
        ),
        String::new(),
        two(&format!("Console    {url}"), ""),
        two(&format!("API docs   {url}/docs"), ""),
    ];
    if let Some(simulator_url) = &welcome.simulator_url {
        let nothing_leaves = if welcome.providers.is_empty() { "nothing leaves this machine" } else { "" };
        lines.push(two(&format!("Simulator  {simulator_url}/ledger"), nothing_leaves));
    }
    if !welcome.providers.is_empty() {
        lines.push(two(&format!("Providers  {}", welcome.providers.join(", ")), ""));
    }
    let key = if welcome.has_keys { " -H \"authorization: Bearer $APP_API_KEY\"" } else { "" };
    lines.extend([
        two(&format!("Database   {}", welcome.database), ""),
        String::new(),
        "  Try it:".to_owned(),
        format!("    curl {url}/api/messages/sms -H content-type:application/json{key} -d \\"),
        "      '{\"from\":\"+12025550100\",\"to\":\"+12025550199\",\"body\":\"Hello\"}'".to_owned(),
        String::new(),
        if welcome.providers.is_empty() {
            two("Send for real: app init twilio", "Stop: Ctrl-C")
        } else {
            two("Stop: Ctrl-C", "")
        },
        String::new(),
    ]);
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn two(left: &str, right: &str) -> String {
    if right.is_empty() { format!("  {left}") } else { format!("  {left:<RIGHT$}{right}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn welcome() -> Welcome {
        Welcome {
            ready_in: Duration::from_millis(1900),
            url: "http://127.0.0.1:8080".to_owned(),
            simulator_url: Some("http://127.0.0.1:8090".to_owned()),
            providers: Vec::new(),
            database: "./data (PostgreSQL 15, durable)".to_owned(),
            has_keys: false,
        }
    }

    #[test]
    fn a_newcomer_reads_this() {
        let expected = r#"
  app 0.1.0 is running                       ready in 1.9 s

  Console    http://127.0.0.1:8080
  API docs   http://127.0.0.1:8080/docs
  Simulator  http://127.0.0.1:8090/ledger    nothing leaves this machine
  Database   ./data (PostgreSQL 15, durable)

  Try it:
    curl http://127.0.0.1:8080/api/messages/sms -H content-type:application/json -d \
      '{"from":"+12025550100","to":"+12025550199","body":"Hello"}'

  Send for real: app init twilio             Stop: Ctrl-C

"#;
        assert_eq!(text(&welcome()), expected.replace("0.1.0", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn with_providers_of_ones_own_nothing_is_said_to_stay_here() {
        let mut welcome = welcome();
        welcome.providers = vec!["twilio-main (sms, mms)".to_owned()];
        let text = text(&welcome);
        assert!(text.contains("Providers  twilio-main (sms, mms)\n"), "{text}");
        assert!(!text.contains("nothing leaves"), "{text}");
    }

    #[test]
    fn with_keys_the_first_call_carries_one() {
        let mut welcome = welcome();
        welcome.has_keys = true;
        assert!(text(&welcome).contains("Bearer $APP_API_KEY"));
    }
}
