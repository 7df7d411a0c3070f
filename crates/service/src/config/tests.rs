use std::collections::HashMap;

use super::*;

const TWO_PROVIDERS: &str = r#"
[[providers]]
id = "twilio-main"
kind = "twilio"
account_sid = "AC00000000000000000000000000000001"
auth_token = "env:TOKEN"
on_unknown = "hold"

[[providers]]
id = "sendgrid-main"
kind = "sendgrid"
api_key = "SG.x"
"#;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    Config::parse(text, "app.toml", &|name| {
        variables.get(name).filter(|value| !value.is_empty()).map(|value| (*value).to_owned())
    })
}

fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    parse(text, variables).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_defaults() {
    let config = parse("", &[]).unwrap();
    assert_eq!(config.listen, DEFAULT_LISTEN);
    assert_eq!(config.public_url, "http://127.0.0.1:8080");
    assert_eq!(config.processor.retry, RetryPolicy::default());
    assert!(config.database_url.is_none() && config.providers.is_empty() && config.routes.0.is_empty());
}

#[test]
fn without_routes_each_channel_goes_to_the_providers_that_carry_it() {
    let config = parse(TWO_PROVIDERS, &[("TOKEN", "t")]).unwrap();
    let routes: Vec<(&str, &str)> = config
        .routes
        .0
        .iter()
        .map(|route| (route.name.as_str(), route.candidates[0].provider_id.as_str()))
        .collect();
    let expected = [
        ("sms", "twilio-main"),
        ("mms", "twilio-main"),
        ("email", "sendgrid-main"),
        ("whatsapp", "twilio-main"),
    ];
    assert_eq!(routes, expected);
    assert_eq!(config.provider("twilio-main").unwrap().on_unknown, OnUnknown::Hold);
}

#[test]
fn a_missing_variable_is_named_with_its_provider_and_line() {
    let found = problems(TWO_PROVIDERS, &[]);
    assert!(
        found.contains(
            "app.toml:2: provider `twilio-main`: auth_token: environment variable TOKEN is not set"
        ),
        "{found}"
    );
}

#[test]
fn a_misspelt_key_is_refused_with_its_line() {
    let found = problems("[processor]\nmax_atempts = 3\n", &[]);
    assert!(found.contains("max_atempts") && found.contains("line 2"), "{found}");
    let found = problems(&TWO_PROVIDERS.replace("api_key", "api_kye"), &[("TOKEN", "t")]);
    assert!(found.contains("api_kye"), "{found}");
}

#[test]
fn all_problems_are_told_at_once() {
    let text = "
[processor]
lease_s = 0
[addresses]
default_region = \"XX\"
[[providers]]
id = \"sms\"
kind = \"carrier-pigeon\"
[[routes]]
channel = \"sms\"
providers = [\"nobody\"]
";
    let found = problems(text, &[("APP_LISTEN", "here"), ("APP_PUBLIC_URL", "msg.example.com")]);
    for part in [
        "processor.lease_s: must be at least 1",
        "addresses.default_region: is not a country",
        "provider `sms`: kind: `carrier-pigeon` is unknown; there are ",
        "route `sms`: providers: there is no provider `nobody`",
        "environment variable APP_LISTEN",
        "environment variable APP_PUBLIC_URL",
    ] {
        assert!(found.contains(part), "{part} is missing in {found}");
    }
}

#[test]
fn values_come_from_files_without_their_last_newline() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let text = format!("[webhooks]\nsecret = \"file:{}\"\n", file.path().display());
    let config = parse(&text, &[]).unwrap();
    let secret = config.webhook_secret.unwrap();
    let values: Vec<&str> = secret.values().map(secrecy::ExposeSecret::expose_secret).collect();
    assert_eq!(values, ["s3cret"]);
}

#[test]
fn an_empty_secret_is_refused_wherever_it_is_written() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "\n").unwrap();
    for secret in ["", " ", &format!("file:{}", file.path().display())] {
        let found = problems(&format!("[webhooks]\nsecret = \"{secret}\"\n"), &[]);
        assert!(found.contains("webhooks.secret: must not be empty"), "{secret:?}: {found}");
    }
    let found = problems("[webhooks]\nsecret = \"env:SECRET\"\n", &[("SECRET", "")]);
    assert!(found.contains("webhooks.secret: environment variable SECRET is not set"), "{found}");
    let found = problems(&TWO_PROVIDERS.replace("env:TOKEN", ""), &[]);
    assert!(found.contains("auth_token: is required and must not be empty"), "{found}");
    let found = problems(&TWO_PROVIDERS.replace("SG.x", ""), &[("TOKEN", "t")]);
    assert!(found.contains("api_key: is required and must not be empty"), "{found}");
}

#[test]
fn debug_output_hides_secrets() {
    let config =
        parse(TWO_PROVIDERS, &[("TOKEN", "v3rysecret"), ("DATABASE_URL", "postgres://u:v3rysecret@h/d")]);
    assert!(!format!("{:?}", config.unwrap()).contains("v3rysecret"));
}

#[test]
fn routes_that_leave_messages_without_a_way_are_warned_about() {
    let rule = "[[routes]]\nchannel = \"sms\"\nto_prefix = \"+1\"\nproviders = [\"twilio-main\"]\n";
    let variables = [("TOKEN", "t"), ("APP_PUBLIC_URL", "https://msg.example.com")];
    let config = parse(&format!("{TWO_PROVIDERS}{rule}"), &variables).unwrap();
    assert_eq!(config.routes.0[0].name, "sms:+1");
    assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
}

#[test]
fn a_file_that_cannot_be_read_is_told_by_its_place_without_its_text() {
    for (line, place) in [
        ("auth_token = \"v3rysecret", "line 3"),
        ("auth_token = v3rysecret", "line 3"),
        ("auth_token = \"v3rysecret\" \"x\"", "line 3"),
        ("auth_token = \"v3rysecret\\q\"", "line 3"),
        ("auth_token = 'a'\nauth_token = 'v3rysecret'", "line 4"),
        ("v3rysecret", "line 3"),
    ] {
        let found = problems(&format!("[[providers]]\nid = \"a\"\n{line}\n"), &[]);
        assert!(found.contains(&format!("app.toml: {place} column ")), "{line}: {found}");
        assert!(!found.contains("v3rysecret"), "{line}: {found}");
    }
    let found = problems("[webhooks]\nsecret = [31337]\n", &[]);
    assert!(
        found.contains("webhooks.secret: takes a text, or a list of two") && !found.contains("31337"),
        "{found}"
    );
}

#[test]
fn a_listener_on_every_address_is_reached_at_this_machines_own() {
    for (listen, expected) in [
        ("0.0.0.0:9000", "http://127.0.0.1:9000"),
        ("[::]:9000", "http://[::1]:9000"),
        ("192.0.2.7:9000", "http://192.0.2.7:9000"),
    ] {
        assert_eq!(parse("", &[("APP_LISTEN", listen)]).unwrap().public_url, expected);
    }
}

#[test]
fn a_public_url_that_a_provider_cannot_call_is_warned_about() {
    let warnings = |text: &str, public_url: &str| {
        parse(text, &[("TOKEN", "t"), ("APP_PUBLIC_URL", public_url)]).unwrap().warnings
    };
    for here in ["", "http://localhost:8080", "http://0.0.0.0:8080", "https://127.0.0.9", "http://[::1]"] {
        let found = warnings(TWO_PROVIDERS, here);
        assert!(found.len() == 1 && found[0].contains("APP_PUBLIC_URL"), "{here}: {found:?}");
        assert!(found[0].starts_with("twilio-main, sendgrid-main cannot reach http"), "{here}: {found:?}");
    }
    assert!(warnings(TWO_PROVIDERS, "https://msg.example.com").is_empty());
    let simulated = TWO_PROVIDERS.replace("kind =", "base_url = \"http://127.0.0.1:8090\"\nkind =");
    assert!(warnings(&simulated, "").is_empty());
}

#[test]
fn receipts_are_waited_for_until_a_deadline_or_for_ever() {
    let deadline = |text: &str| parse(text, &[]).unwrap().processor.receipt_deadline;
    assert_eq!(deadline(""), Some(Duration::from_secs(259_200)));
    assert_eq!(deadline("[processor]\nreceipt_deadline_s = 60\n"), Some(Duration::from_secs(60)));
    assert_eq!(deadline("[processor]\nreceipt_deadline_s = 0\n"), None);
}

#[test]
fn rules_that_no_message_can_meet_are_refused() {
    let rule = |more: &str| {
        problems(
            &format!("[[routes]]\nproviders = [\"twilio-main\"]\n{more}\n{TWO_PROVIDERS}"),
            &[("TOKEN", "t")],
        )
    };
    for (more, key) in [
        ("channel = \"sms\"\nto_prefix = \"49\"", "to_prefix"),
        ("channel = \"sms\"\nto_domain = \"example.com\"", "to_domain"),
        ("channel = \"email\"\nto_country = \"DE\"", "to_country"),
        ("channel = \"sms\"\nto_country = []", "to_country"),
        ("channel = []", "channel"),
    ] {
        let found = rule(more);
        assert!(found.contains(&format!("{key}: ")), "{more}: {found}");
    }
    assert!(rule("channel = \"fax\"").contains("expected one of the words"));
}

#[test]
fn attachments_are_fetched_unless_the_file_says_otherwise() {
    let attachments = parse("", &[]).unwrap().attachments;
    assert!(attachments.fetch && !attachments.allow_private);
    assert_eq!(attachments.on_failure, OnFailure::Link);
    assert!(attachments.bytes_max <= attachments.total_bytes_max);
    let text = "[attachments]\nfetch = false\ntimeout_s = 2.5\non_failure = \"fail\"\nallow_private = true\n";
    let attachments = parse(text, &[]).unwrap().attachments;
    assert!(!attachments.fetch && attachments.allow_private);
    assert_eq!(attachments.on_failure, OnFailure::Fail);
    assert_eq!(attachments.timeout, Duration::from_millis(2500));
}

#[test]
fn limits_of_attachments_that_let_nothing_through_are_refused() {
    let found = problems("[attachments]\nbytes_max = 0\ntotal_bytes_max = 0\ntimeout_s = 0\n", &[]);
    for key in ["attachments.bytes_max", "attachments.total_bytes_max", "attachments.timeout_s"] {
        assert!(found.contains(key), "{found}");
    }
}

#[test]
fn a_base_url_has_a_scheme_that_its_kind_speaks() {
    let mail = "[[providers]]\nid = \"m\"\nkind = \"smtp\"\nbase_url = \"smtps://mail.example.com\"\n";
    let config = parse(mail, &[]).unwrap();
    assert_eq!(config.providers[0].base_url.as_str(), "smtps://mail.example.com");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let found = problems(&mail.replace("smtps:", "https:"), &[]);
    assert!(found.contains("base_url: must begin with smtps:// or smtp://"), "{found}");
    let twilio = TWO_PROVIDERS.replace("kind =", "base_url = \"smtp://127.0.0.1\"\nkind =");
    let found = problems(&twilio, &[("TOKEN", "t")]);
    assert!(found.contains("base_url: must begin with http:// or https://"), "{found}");
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let config = parse("[server]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n", &[]).unwrap();
    let proxies: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    let found = problems("[server]\ntrusted_proxies = [\"proxy.example.com\"]\n", &[]);
    assert!(found.contains("line 2") && found.contains("is not an IP address or a network"), "{found}");
}

#[test]
fn keys_are_needed_unless_every_provider_and_the_public_url_are_on_loopback() {
    let provider = |base_url: &str| {
        format!(
            "[[providers]]\nid = \"t\"\nkind = \"twilio\"\nbase_url = \"{base_url}\"\naccount_sid = \"AC1\"\n\
             auth_token = \"t\"\n"
        )
    };
    let why = |text: &str, public_url: &str| {
        parse(text, &[("APP_PUBLIC_URL", public_url), ("TOKEN", "t")]).unwrap().why_keys_are_needed
    };
    for (base_url, public_url) in [
        ("http://127.0.0.1:8090", ""),
        ("http://[::1]:8090", "http://localhost:8080"),
        ("http://sim.localhost", "https://127.0.0.1"),
    ] {
        assert_eq!(why(&provider(base_url), public_url), None, "{base_url} {public_url}");
    }
    assert_eq!(why("", ""), None);
    let smtp =
        |host: &str| format!("[[providers]]\nid = \"s\"\nkind = \"smtp\"\nbase_url = \"smtp://{host}:25\"\n");
    let by_host = |host: &str| format!("[[providers]]\nid = \"s\"\nkind = \"smtp\"\nhost = \"{host}\"\n");
    assert_eq!(why(&by_host("127.0.0.1"), ""), None);
    assert_eq!(why(&by_host("::1"), ""), None);
    assert!(why(&by_host("mail.example.com"), "").unwrap().contains("mail.example.com"));
    assert_eq!(why(&smtp("127.0.0.1"), ""), None);
    assert!(why(&smtp("mail.example.com"), "").unwrap().contains("the provider s is not simulated"));
    for base_url in [
        "http://0.0.0.0:8090",
        "http://10.0.0.5",
        "http://localhost.example.com",
        "https://127.0.0.1.example",
    ] {
        let why = why(&provider(base_url), "").unwrap();
        assert!(why.contains("the provider t is not simulated"), "{base_url}: {why}");
    }
    assert!(why(TWO_PROVIDERS, "").unwrap().contains("its base_url names api.twilio.com"));
    for public_url in ["https://msg.example.com", "http://0.0.0.0:8080", "http://192.168.1.2"] {
        let why = why(&provider("http://127.0.0.1:1"), public_url).unwrap();
        assert!(why.starts_with("APP_PUBLIC_URL"), "{why}");
    }
}

#[test]
fn further_hosts_are_names_without_a_port() {
    let config = parse("[server]\nhosts = [\"console.internal\", \"10.0.0.5\", \"::1\"]\n", &[]).unwrap();
    assert_eq!(config.server.hosts.len(), 3);
    for host in ["", "http://a", "a:80", "a/b", "*.example.com"] {
        let found = problems(&format!("[server]\nhosts = [\"{host}\"]\n"), &[]);
        assert!(found.contains("server.hosts"), "{host}: {found}");
    }
}

#[test]
fn a_verification_secret_may_be_a_list_of_two() {
    let two = TWO_PROVIDERS.replace("\"env:TOKEN\"", "[\"env:NEW\", \"env:OLD\"]");
    let config = parse(&two, &[("NEW", "n"), ("OLD", "o")]).unwrap();
    assert_eq!(config.providers.len(), 2);
    let found = problems(&two, &[("NEW", "n")]);
    assert!(found.contains("auth_token: environment variable OLD is not set"), "{found}");
    for (value, problem) in [
        ("[\"a\", \"b\", \"c\"]", "takes a text, or a list of two"),
        ("[\"a\"]", "takes a text, or a list of two"),
        ("[]", "takes a text, or a list of two"),
        ("[\"a\", \"\"]", "must not be empty"),
    ] {
        let found = problems(&TWO_PROVIDERS.replace("\"env:TOKEN\"", value), &[]);
        assert!(found.contains("auth_token") && found.contains(problem), "{value}: {found}");
    }
    let found = problems(&TWO_PROVIDERS.replace("\"SG.x\"", "[\"SG.x\", \"SG.y\"]"), &[("TOKEN", "t")]);
    assert!(
        found.contains("api_key: takes one value; only webhook_public_key and inbound_secret"),
        "{found}"
    );
    let config = parse("[webhooks]\nsecret = [\"new\", \"old\"]\n", &[]).unwrap();
    assert_eq!(config.webhook_secret.unwrap().values().count(), 2);
}

#[test]
fn an_empty_database_url_is_refused_and_not_taken_for_none() {
    for url in ["", "  "] {
        let environment = |name: &str| (name == "DATABASE_URL").then(|| url.to_owned());
        let error = Config::parse("", "app.toml", &environment).unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL") && error.contains("it is empty"), "{error}");
    }
}
