//! What a command that did not succeed tells its user: what happened, the particulars, and what would help.
//! Goes to stderr, with the exit code: 1 where something was refused or failed, 2 for wrong usage (as clap's own).

use std::fmt;

pub type Result<T, E = Failure> = std::result::Result<T, E>;

#[derive(Debug)]
pub struct Failure {
    message: String,
    particulars: Vec<String>,
    hints: Vec<String>,
    pub exit_code: u8,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Failure { message: message.into(), particulars: Vec::new(), hints: Vec::new(), exit_code: 1 }
    }

    /// The command line itself makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure { exit_code: 2, ..Failure::new(message) }
    }

    #[must_use]
    pub fn with(mut self, particular: impl Into<String>) -> Self {
        self.particulars.push(particular.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl Failure {
    /// What happened and the particulars, without hints.
    pub fn in_one_line(&self) -> String {
        let parts: Vec<&str> =
            std::iter::once(&self.message).chain(&self.particulars).map(String::as_str).collect();
        parts.join("; ")
    }
}

/// As it is printed: `error:`, then the particulars, then `hint:` lines.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for particular in &self.particulars {
            write!(f, "\n  {particular}")?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

/// Any error, with its causes. (So `Failure` itself is no `std::error::Error`: nobody but `main` handles it.)
impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::new(with_causes(&error))
    }
}

pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Many libraries repeat their cause in their own text.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Says what was being done when an error came.
pub trait While<T> {
    fn when(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Failure>> While<T> for std::result::Result<T, E> {
    fn when(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| {
            let mut failure: Failure = error.into();
            failure.message = format!("{}: {}", doing(), failure.message);
            failure
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_from_what_happened_to_what_would_help() {
        let failure =
            Failure::new("the schedule was refused").with("--interval: must be longer").hint("try 1s");
        assert_eq!(
            failure.to_string(),
            "error: the schedule was refused\n  --interval: must be longer\nhint: try 1s"
        );
    }

    #[test]
    fn causes_are_told_once() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such folder");
        let failure: Result<()> = Err(io).when(|| "cannot open ./x".to_owned());
        assert_eq!(failure.unwrap_err().to_string(), "error: cannot open ./x: no such folder");
    }
}
