//! Conditions on all devices of a claim together.

use std::collections::BTreeMap;

use crate::object::{AttributeValue, ConstraintKind, Device, DeviceConstraint};

/// A condition with the devices chosen so far. What is added is taken out again in the opposite order.
pub(super) struct Constraint<'a> {
    rule: &'a DeviceConstraint,
    /// The value that all have.
    common: Option<&'a AttributeValue>,
    /// The last value of each request.
    distinct: BTreeMap<&'a str, &'a AttributeValue>,
    devices: usize,
}

impl<'a> Constraint<'a> {
    pub(super) fn new(rule: &'a DeviceConstraint) -> Constraint<'a> {
        Constraint { rule, common: None, distinct: BTreeMap::new(), devices: 0 }
    }

    fn concerns(&self, request: &str, alternative: Option<&str>) -> bool {
        let named = |name: &str| {
            name == request
                || alternative.is_some_and(|own| {
                    name.split_once('/').is_some_and(|(first, second)| first == request && second == own)
                })
        };
        self.rule.requests.is_empty() || self.rule.requests.iter().any(|name| named(name))
    }

    /// Adds a device of the driver; whether the condition still holds. If not, nothing was added.
    pub(super) fn add(
        &mut self,
        request: &'a str,
        alternative: Option<&str>,
        driver: &str,
        device: &'a Device,
    ) -> bool {
        if !self.concerns(request, alternative) {
            return true;
        }
        let Some(value) = attribute(device, driver, &self.rule.attribute) else { return false };
        let first = self.devices == 0;
        match self.rule.kind {
            ConstraintKind::Match if first => self.common = Some(value),
            ConstraintKind::Match => {
                if *value == AttributeValue::Unsupported || self.common != Some(value) {
                    return false;
                }
            }
            ConstraintKind::Distinct => {
                let taken =
                    self.distinct.values().any(|other| *other == value || **other == AttributeValue::Unsupported);
                if !first && taken {
                    return false;
                }
                self.distinct.insert(request, value);
            }
            ConstraintKind::Unknown => return false,
        }
        self.devices += 1;
        true
    }

    /// Takes out a device that was added.
    pub(super) fn remove(&mut self, request: &str, alternative: Option<&str>) {
        if self.concerns(request, alternative) {
            self.distinct.remove(request);
            self.devices = self.devices.saturating_sub(1);
        }
    }
}

/// The attribute of this full name.
fn attribute<'a>(device: &'a Device, driver: &str, full: &str) -> Option<&'a AttributeValue> {
    let find = |name: &str| device.attributes.iter().find(|a| a.name.as_str() == name).map(|a| &a.value);
    find(full).or_else(|| full.split_once('/').filter(|(domain, _)| *domain == driver).and_then(|(_, id)| find(id)))
}
