//! How Kubernetes writes amounts and selectors: quantities, label and field selectors, qualified names.
//!
//! Start at [`Quantity::parse`], [`LabelSelector::parse`] and [`FieldSelector::parse`]. The accepted notations and the
//! error texts are those of kube-apiserver.

mod field_selector;
mod label_selector;
mod names;
mod nearest;
mod quantity;
mod quote;
mod requirement;

pub use field_selector::{FieldRequirement, FieldSelector};
pub use label_selector::LabelSelector;
pub use names::{dns_label_problems, dns_subdomain_problems, label_value_problems, qualified_name_problems};
pub use nearest::nearest;
pub use quantity::{Format, Quantity, QuantityError};
pub use quote::quote;
pub use requirement::{Operator, Requirement, SelectorError};
