//! The behaviours that Kubernetes' own conformance suite asks of a scheduler (`test/e2e/scheduling`), each as a test of its own,
//! in our words.
//!
//! Each runs against the embedded API server, and unchanged against the cluster of `AUGUR_TEST_KUBECONFIG` if that is set: in a
//! namespace, on nodes and with a scheduler name of its own, all of which are removed at the end. Start at [`everywhere`].

mod limits;
mod ports;
mod predicates;
mod preemption;
mod priorities;
mod spread;
mod target;

use target::{Target, everywhere};
