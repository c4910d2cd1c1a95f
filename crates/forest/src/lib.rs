//! A tabular-forest library: trainer, inference, calibration, model file. Knows nothing of Kubernetes.
