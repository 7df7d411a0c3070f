//! What commands print: data to stdout, as text or as JSON a line; everything else to stderr.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde_json::Value;

use crate::arguments::Color;

/// For the whole process; anstream strips what may not be shown.
pub(crate) fn choose_color(color: Color) {
    match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    }
    .write_global();
}

/// How this command's data is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// One record: as JSON, or as the lines that `text` makes of it.
    pub(crate) fn record(self, value: &Value, text: impl FnOnce(&Value) -> String) -> anyhow::Result<()> {
        if self.json {
            writeln!(anstream::stdout(), "{value}")?;
        } else {
            writeln!(anstream::stdout(), "{}", text(value))?;
        }
        Ok(())
    }
}

/// Text as it is, to stdout.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write!(anstream::stdout(), "{text}")?;
    Ok(())
}

/// For people, on stderr. Lost where nobody reads it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What went wrong, on stderr.
pub(crate) fn problem(text: &str) {
    note(&format!("{}: {text}", paint("error", AnsiColor::Red.on_default().bold())));
}

/// What is odd, on stderr.
pub(crate) fn warning(text: &str) {
    note(&format!("{}: {text}", paint("warning", AnsiColor::Yellow.on_default().bold())));
}

pub(crate) fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

/// A message's status and delivery: green where all is well, red where a person should look.
pub(crate) fn paint_state(text: &str, status: &str, delivery: &str) -> String {
    let color = match (status, delivery) {
        ("failed", _) | (_, "undelivered") => AnsiColor::Red,
        ("retry", _) | (_, "unknown") => AnsiColor::Yellow,
        ("ok", _) => AnsiColor::Green,
        _ => return text.to_owned(),
    };
    paint(text, color.on_default())
}

pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
