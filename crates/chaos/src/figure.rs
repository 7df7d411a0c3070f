//! What a scenario measured, beside what it must be.

use std::fmt::Display;

/// A line of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    pub what: String,
    pub value: String,
    /// Empty: told for information.
    pub bar: String,
    pub passed: bool,
}

impl Figure {
    fn new(what: impl Into<String>, value: String, bar: String, passed: bool) -> Self {
        Self { what: what.into(), value, bar, passed }
    }

    pub fn exactly<T: Display + PartialEq>(what: impl Into<String>, value: T, wanted: T) -> Self {
        let passed = value == wanted;
        Self::new(what, value.to_string(), format!("= {wanted}"), passed)
    }

    pub fn at_most<T: Display + PartialOrd>(what: impl Into<String>, value: T, bar: T) -> Self {
        let passed = value <= bar;
        Self::new(what, value.to_string(), format!("<= {bar}"), passed)
    }

    pub fn at_least<T: Display + PartialOrd>(what: impl Into<String>, value: T, bar: T) -> Self {
        let passed = value >= bar;
        Self::new(what, value.to_string(), format!(">= {bar}"), passed)
    }

    /// A number with a unit; two decimals at most.
    pub fn below(what: impl Into<String>, value: f64, bar: f64, unit: &str) -> Self {
        Self::new(what, format!("{value:.2} {unit}"), format!("< {bar} {unit}"), value < bar)
    }

    pub fn ratio_at_least(what: impl Into<String>, value: f64, bar: f64) -> Self {
        Self::new(what, format!("{value:.2}"), format!(">= {bar}"), value >= bar)
    }

    /// Told, not judged.
    pub fn told(what: impl Into<String>, value: impl Display) -> Self {
        Self::new(what, value.to_string(), String::new(), true)
    }

    /// The same of one of several runs.
    #[must_use]
    pub fn of(self, run: &str) -> Self {
        Self { what: format!("{run}: {}", self.what), ..self }
    }

    /// Told only, where it is the figure of this name.
    #[must_use]
    pub fn without_bar_for(self, what: &str) -> Self {
        if self.what == what { Self { bar: String::new(), passed: true, ..self } } else { self }
    }
}
