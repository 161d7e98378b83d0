//! What commands print. Owns tables, colours and writing to a pipe that may be closed; the shapes of JSON are the API's.

mod describe;
mod style;
mod table;

use std::io::Write;

use serde::Serialize;

pub(crate) use describe::{age, expiry, holder_line, lock_details, place_line};
pub(crate) use style::{Paint, Style};
pub(crate) use table::Table;

use crate::failure::Failure;

/// The exit code of a program whose reader has gone, as a shell shows `SIGPIPE`.
const PIPE_CLOSED: u8 = 141;

/// Writes text to standard output. A reader that has gone (`| head`) ends the program quietly.
///
/// # Errors
/// If standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::silent(PIPE_CLOSED),
        _ => Failure::new(format!("cannot write the result: {error}")),
    })
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(json(value, true)? + "\n"))
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As [`print`].
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    print(&(json(value, false)? + "\n"))
}

fn json(value: &impl Serialize, pretty: bool) -> Result<String, Failure> {
    let written = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    written.map_err(|error| Failure::new(format!("cannot write the result as JSON: {error}")))
}
