//! Seven days of memory: usage, failures, decisions, outcomes and feedback; durable.
