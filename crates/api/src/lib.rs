//! The HTTP services of scheduler and learner.
