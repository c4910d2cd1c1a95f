//! An embeddable Kubernetes API server, in memory, with optional persistence.

pub mod controllers;
pub mod error;
pub mod managed;
pub mod openapi;
pub mod patch;
pub mod printers;
pub mod resource;
pub mod rules;
pub mod schema;
