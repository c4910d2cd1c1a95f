//! Real traces, fed through the API like any other workload. [`openb`] reads one, [`audit`] checks an outcome independently
//! of whoever scheduled.

pub mod audit;
pub mod openb;

#[cfg(test)]
mod tests;
