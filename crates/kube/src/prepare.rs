//! What the preparations of volumes and of devices have in common: [`PrepareError`], and how persistent they are.

use std::time::Duration;

/// Attempts for one object; each looks at it anew.
pub(crate) const ATTEMPTS: u32 = 4;

/// The longest pause that a server may ask for between two attempts.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why what goes before a binding could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The API server refused, or did not carry it out after several attempts.
    #[error("cannot update {object}: {message}")]
    Failed {
        /// The object.
        object: String,
        /// What the server said.
        message: String,
    },
    /// The object is no longer what the decision was taken on.
    #[error("{object} {change}")]
    Changed {
        /// The object.
        object: String,
        /// What became of it.
        change: String,
    },
}
