//! How Kubernetes writes amounts and selectors: quantities and label selectors, parsed, printed and matched.
