//! What goes to stdout: tables for people, JSON for programs.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Whether a stream is a terminal, where colour and progress make sense.
pub(crate) fn is_terminal(stream: &impl IsTerminal) -> bool {
    stream.is_terminal()
}

/// Prints a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value).map_err(|e| Failure::to("write JSON", e))?;
    line_end(&mut out)
}

/// Prints a line.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).map_err(|e| Failure::to("write to stdout", e))?;
    line_end(&mut out)
}

/// Ends the line and hands it on at once.
pub(crate) fn line_end(out: &mut impl Write) -> Result<(), Failure> {
    out.write_all(b"\n").and_then(|()| out.flush()).map_err(|e| Failure::to("write to stdout", e))
}

/// Prints rows with columns as wide as their widest cell; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> Result<(), Failure> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = std::io::stdout().lock();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  ", width = *width));
        }
        out.write_all(line.trim_end().as_bytes()).map_err(|e| Failure::to("write to stdout", e))?;
        line_end(&mut out)?;
    }
    Ok(())
}
