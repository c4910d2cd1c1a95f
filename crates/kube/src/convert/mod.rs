//! From what the API writes to what the decision sees: [`pod`], [`node`] and [`related`].
//!
//! What cannot be understood is refused with a named reason and never guessed. What bears on the node and has no place in the
//! core's types is carried by name in `PodSpec::not_understood`, so that the pod is refused visibly.

mod affinity;
mod budget;
mod devices;
mod node;
mod pod;
mod related;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use augur_core::object::{Labels, ResourceList};
use augur_core::time;
use augur_notation::Quantity;

use crate::reflect::Skipped;
use crate::wire::{Map, Text};

pub use budget::budget;
pub use node::node;
pub use pod::{pod, pod_spec};
pub use related::{BAD_SELECTOR, related};

/// The reason for skipping an object without name or uid.
pub const NAMELESS: &str = "nameless";
/// The reason for skipping an object with an amount that is none, or below zero.
pub const BAD_QUANTITY: &str = "bad_quantity";

fn labels(map: &Map<'_>) -> Labels {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

fn amounts(map: &Map<'_>, place: &str) -> Result<ResourceList, Skipped> {
    map.iter()
        .map(|(name, amount)| match Quantity::parse(amount) {
            Ok(quantity) if !quantity.is_negative() => Ok((Arc::from(name.as_str()), quantity)),
            Ok(_) => Err(Skipped::new(BAD_QUANTITY, format!("{place}.{name}: {amount} is below zero"))),
            Err(error) => Err(Skipped::new(BAD_QUANTITY, format!("{place}.{name}: {amount}: {error}"))),
        })
        .collect()
}

/// A time as the API writes it; one that cannot be read counts as not there.
fn timestamp(text: Option<&Text<'_>>) -> Option<time::Timestamp> {
    let parsed: jiff::Timestamp = text?.parse().ok()?;
    Some(time::Timestamp::from_micros(parsed.as_microsecond()))
}

/// A string, if there is one.
fn some(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
