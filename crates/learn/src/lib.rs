//! Features, labels, predictor, online loop, gates and registry.
