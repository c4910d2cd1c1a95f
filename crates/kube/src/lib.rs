//! The cluster's side: wire types, watches, binding, events, conditions, Metrics API.
