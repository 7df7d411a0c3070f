//! Every SQL statement of `app-db` is a named constant or function, and its list of statements names it: the test of
//! plans runs that list on a large database.

use std::path::Path;

use super::{is_in, is_test, none, root, sources};

const LIST: &str = "src/plans/statements.rs";

/// Parts of statements; the functions that put statements together from them are in the list. And commands of several
/// statements that read no table.
const PARTS: &[&str] = &[
    "claim::CLAIM",
    "housekeeping::lease_sql",
    "messages::list::walk_sql",
    "readiness::INSERT",
    "settle::OURS",
    "transaction::COMMIT_AFTER_EARLIER",
];

/// What looks at a server or a session, and reads no table of ours.
const ELSEWHERE: &[&str] = &["embedded", "embedded.rs", "pool", "pool.rs"];

/// The methods of a connection that take SQL with a plan. `batch_execute` is for commands, which have none.
const CALLS: &[&str] =
    &["prepare_cached", "prepare", "query", "query_one", "query_opt", "query_raw", "execute"];

const BEGINNINGS: &[&str] = &["select ", "insert into ", "update ", "delete from ", "with ", "merge into "];

/// The path of a file's module, as other modules of the crate name it.
fn module(path: &Path) -> String {
    let path = path.strip_prefix(root().join("crates/app-db/src")).unwrap().with_extension("");
    path.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("::")
}

/// Of the item that this line declares, the name where it is a constant text or a function that makes one.
fn named(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub(super) ")).unwrap_or(line);
    let name = match line.strip_prefix("const ") {
        Some(rest) => rest.split_once(": &str")?.0,
        None => line.strip_prefix("fn ")?.split_once('(').map(|(name, _)| name)?,
    };
    (line.starts_with("const ") || name.ends_with("_sql")).then_some(name)
}

/// Whether a string literal on this line begins a statement.
fn begins_a_statement(line: &str) -> bool {
    let mut literals = line.split('"').skip(1).step_by(2).map(|text| text.trim_start().to_lowercase());
    literals.any(|text| BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)))
}

/// What is given to a call as its statement: the name of a constant, a function that makes one, or one prepared before.
fn is_named(argument: &str) -> bool {
    let argument = argument.trim().trim_start_matches('&');
    let name: String =
        argument.chars().take_while(|c| c.is_ascii_alphanumeric() || "_:".contains(*c)).collect();
    let last = name.rsplit("::").next().unwrap_or_default();
    let is_constant = !last.is_empty() && last.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    is_constant || last == "statement" || last.ends_with("_sql")
}

/// Findings in the part of a file that is no test.
fn findings_in(path: &Path, text: &str, list: &str) -> Vec<String> {
    let module = module(path);
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut findings = Vec::new();
    let mut item: Option<&str> = None;
    for (number, line) in text.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), number + 1);
        if !line.starts_with([' ', '}', ')', '/', '#', '"']) && !line.is_empty() {
            item = named(line);
        }
        // The text of a constant may begin on the line after its first quotation mark.
        let opens = line.ends_with('"') && line.contains(": &str = \"");
        let next = text.lines().nth(number + 1).unwrap_or_default().trim_start().to_lowercase();
        let begins = begins_a_statement(line) || opens && BEGINNINGS.iter().any(|b| next.starts_with(b));
        if !begins || line.trim_start().starts_with("//") {
            continue;
        }
        match item.map(|name| format!("{module}::{name}")) {
            None => {
                findings.push(format!("{}: make the statement a constant or a function `…_sql`", place()))
            }
            Some(name) if !PARTS.contains(&name.as_str()) && !list.contains(&name) => {
                findings.push(format!("{}: add {name} to {LIST}", place()));
            }
            Some(_) => {}
        }
    }
    for call in CALLS {
        for (at, _) in text.match_indices(&format!(".{call}(")) {
            let argument = &text[at + call.len() + 2..];
            if !is_named(argument) {
                let line = text[..at].lines().count();
                findings.push(format!("{}:{line}: {call} takes a named statement", path.display()));
            }
        }
    }
    findings
}

#[test]
fn every_statement_of_app_db_is_in_the_list_whose_plans_are_tested() {
    let list = std::fs::read_to_string(root().join("crates/app-db").join(LIST)).unwrap();
    let source = root().join("crates/app-db/src");
    let is_looked_at = |path: &Path| {
        let is_of_plans = path.starts_with(source.join("plans")) || path == source.join("plans.rs");
        is_in(path, "app-db")
            && path.starts_with(&source)
            && !is_test(path)
            && !is_of_plans
            && !ELSEWHERE.iter().any(|name| path.starts_with(source.join(name)))
    };
    let sources = sources();
    let looked_at = sources.iter().filter(|(path, _)| is_looked_at(path));
    none(looked_at.flat_map(|(path, text)| findings_in(path, text, &list)).collect());
}

#[test]
fn a_statement_that_has_no_name_or_is_not_listed_is_found() {
    let path = root().join("crates/app-db/src/example.rs");
    let find = |text: &str| findings_in(&path, text, "statement!(example::LISTED)").len();
    assert_eq!(find("pub(crate) const LISTED: &str = \"select 1\";"), 0);
    assert_eq!(find("pub(crate) const OTHER: &str = \"select 1\";"), 1);
    assert_eq!(find("pub(crate) const OTHER: &str = \"\n    select 1\";"), 1);
    assert_eq!(find("fn other_sql() -> String {\n    format!(\"delete from {table}\")\n}"), 1);
    assert_eq!(find("fn f() {\n    let sql = \"update t set a = 1\";\n}"), 1);
    assert_eq!(find("    client.query(\n        &sql,\n        &[])"), 1);
    assert_eq!(find("    client.query(&statement, &[])"), 0);
    assert_eq!(find("    client.prepare_cached(&other::window_sql(a, b))"), 0);
}
