//! x
pub mod drift;
pub mod guard;
