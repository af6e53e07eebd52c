//! What a check found: how it stands, in one sentence, and what would help.

use crate::output::{Lines, table};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ok,
    /// It works, and is not as it should be.
    Warning,
    Problem,
    /// Not asked for, or pointless after what was found before.
    Skipped,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Problem => "problem",
            Verdict::Skipped => "skipped",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: &'static str,
    pub verdict: Verdict,
    pub says: String,
    pub hints: Vec<String>,
    /// What was measured.
    pub figures: Value,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, says: impl Into<String>) -> Self {
        Finding { check, verdict, says: says.into(), hints: Vec::new(), figures: Value::Null }
    }

    pub fn ok(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, says)
    }

    pub fn warning(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, says)
    }

    pub fn problem(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Problem, says)
    }

    pub fn skipped(check: &'static str, says: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, says)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn with(mut self, figures: Value) -> Self {
        self.figures = figures;
        self
    }

    pub fn as_json(&self) -> Value {
        json!({
            "check": self.check,
            "result": self.verdict.as_str(),
            "finding": self.says,
            "hints": self.hints,
            "figures": self.figures,
        })
    }
}

pub fn list(findings: &[Finding], lines: Lines) -> String {
    let row = |finding: &Finding| {
        [finding.check.to_owned(), finding.verdict.as_str().to_owned(), finding.says.clone()]
    };
    table(lines, ["check", "result", "finding"], findings.iter().map(row).collect())
}
