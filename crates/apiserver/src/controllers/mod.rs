//! The controllers that make a cluster of an API server: replica sets, deployments, jobs, daemon sets, stateful sets, owners
//! and dependents, namespaces, disruption budgets, unreachable nodes.
