//! What the program says to people, on standard output.

use std::io::Write;

/// Writes a line. A closed standard output is the reader's choice, not a failure.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn line(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
