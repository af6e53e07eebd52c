//! Results on stdout: a table on a terminal, plain aligned text elsewhere, the API's own JSON with `--json`;
//! with `--file` the same into a file. Everything else a command says goes to stderr.

use crate::failure::{Result, While as _};
use clap::Args;
use comfy_table::{Table, presets};
use serde_json::Value;
use std::{
    fs,
    io::{self, ErrorKind, IsTerminal as _, Write as _},
    path::PathBuf,
};

#[derive(Args, Clone, Default)]
pub struct Output {
    /// Print the API's own JSON, for scripts
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// Write the result to this file instead of printing it
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    file: Option<PathBuf>,
}

impl Output {
    pub fn new(json: bool, file: Option<PathBuf>) -> Self {
        Output { json, file }
    }

    /// `text` is asked only where it is wanted; it is told whether it may draw lines.
    pub fn put(&self, json: &Value, text: impl FnOnce(Lines) -> String) -> Result<()> {
        let drawn = self.file.is_none() && io::stdout().is_terminal();
        let mut content = if self.json {
            serde_json::to_string_pretty(json)?
        } else {
            text(if drawn { Lines::Drawn } else { Lines::None })
        };
        if !content.ends_with('\n') {
            content.push('\n');
        }
        match &self.file {
            Some(path) => fs::write(path, content).when(|| format!("cannot write {}", path.display())),
            None => print(&content),
        }
    }
}

/// Prints to stdout. Whoever stopped reading has what they wanted (`rondo list | head`).
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other.when(|| "cannot write to stdout".to_owned()),
    }
}

/// Whether a table has lines around its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    Drawn,
    None,
}

pub fn table<const N: usize>(lines: Lines, header: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(match lines {
        Lines::Drawn => presets::UTF8_FULL_CONDENSED,
        Lines::None => presets::NOTHING,
    });
    table.set_header(header.map(str::to_uppercase));
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    flush_left(&table, lines)
}

/// One record: its fields under each other. Fields without a value are left out.
pub fn fields(lines: Lines, fields: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(match lines {
        Lines::Drawn => presets::UTF8_FULL_CONDENSED,
        Lines::None => presets::NOTHING,
    });
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    flush_left(&table, lines)
}

fn flush_left(table: &Table, lines: Lines) -> String {
    let text = table.trim_fmt();
    match lines {
        Lines::Drawn => text,
        // Each cell begins with one space of padding.
        Lines::None => text
            .lines()
            .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

/// What others wrote must not steer the terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A JSON value as a cell: texts bare, null empty, the rest as JSON.
pub fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn piped_text_is_aligned_and_has_no_lines() {
        let rows = vec![["1".to_owned(), "a\u{1b}[31m".to_owned()], ["10".to_owned(), "b".to_owned()]];
        assert_eq!(table(Lines::None, ["no", "name"], rows), "NO  NAME\n1   a [31m\n10  b");
        let record = vec![("id", "7".to_owned()), ("name", String::new()), ("status", "active".to_owned())];
        assert_eq!(fields(Lines::None, record), "id      7\nstatus  active");
    }

    #[test]
    fn terminals_get_lines() {
        let drawn = table(Lines::Drawn, ["no"], vec![["1".to_owned()]]);
        assert!(drawn.contains("│ NO │") && drawn.contains("│ 1  │"), "{drawn}");
    }

    #[test]
    fn cells_are_bare() {
        assert_eq!([json!("x"), json!(null), json!(3)].map(|value| cell(&value)), ["x", "", "3"]);
    }
}
