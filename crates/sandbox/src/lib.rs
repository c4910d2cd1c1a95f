//! A simulated cluster: nodes, kubelets, workloads, faults, metrics.
