//! A plain table for a terminal: columns as wide as they need to be, text from outside made harmless.

use serde_json::Value;

use crate::inspect::say;
use crate::verdicts::shown;

/// The widest a column may get, in characters.
const WIDEST: usize = 60;

pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(head: &[&str; N]) -> Self {
        Self { rows: vec![head.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        let cut = |cell: String| match cell.char_indices().nth(WIDEST) {
            Some((end, _)) => format!("{}…", &cell[..end]),
            None => cell,
        };
        self.rows.push(cells.map(cut));
    }

    pub(super) fn print(&self, if_empty: &str) {
        if self.rows.len() == 1 {
            say(if_empty);
            return;
        }
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..N).map(width).collect();
        for row in &self.rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            say(cells.join("  ").trim_end());
        }
    }
}

/// A JSON value as a cell.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => shown(text),
        other => other.to_string(),
    }
}
