//! Shares of a device's capacities: what a request takes, and whether that much is left.

use augur_notation::{Format, Quantity};

use crate::object::{Device, DeviceCapacity, QualifiedName, RequestPolicy, ValidRange};
use crate::state::Consumed;

/// What a request takes of each capacity of a device.
pub(super) fn taken(wanted: &[(QualifiedName, Quantity)], device: &Device) -> Vec<(QualifiedName, Quantity)> {
    device.capacity.iter().map(|capacity| (capacity.name.clone(), taken_of(wanted, capacity))).collect()
}

/// Whether the device has what the request takes beside what is consumed already and what is about to be.
pub(super) fn suffices(
    wanted: &[(QualifiedName, Quantity)],
    device: &Device,
    consumed: Option<&Consumed>,
    about_to_be: Option<&Consumed>,
) -> bool {
    if wanted.iter().any(|(name, _)| device.capacity.iter().all(|capacity| capacity.name != *name)) {
        return false;
    }
    device.capacity.iter().all(|capacity| {
        let take = taken_of(wanted, capacity);
        if capacity.policy.as_ref().is_some_and(|policy| violates(take, policy)) {
            return false;
        }
        let before = [consumed, about_to_be].into_iter().flatten().filter_map(|sums| sums.get(&capacity.name));
        before.fold(take, |sum, amount| sum.plus(*amount)) <= capacity.value
    })
}

fn taken_of(wanted: &[(QualifiedName, Quantity)], capacity: &DeviceCapacity) -> Quantity {
    let asked = wanted.iter().find(|(name, _)| *name == capacity.name).map(|(_, amount)| *amount);
    let policy = capacity.policy.as_ref();
    match (asked, policy) {
        (None, policy) => policy.and_then(|policy| policy.default).unwrap_or(capacity.value),
        (Some(asked), None) => asked,
        (Some(asked), Some(policy)) => match &policy.valid_range {
            Some(range) if range.min.is_some() => round_up(asked, range),
            _ => policy.valid_values.iter().copied().find(|valid| asked <= *valid).unwrap_or(asked),
        },
    }
}

/// The least that the range allows and that is no less.
fn round_up(asked: Quantity, range: &ValidRange) -> Quantity {
    let Some(min) = range.min else { return asked };
    if asked < min {
        return min;
    }
    let Some(step) = range.step.map(Quantity::value).filter(|step| *step > 0) else { return asked };
    let above = asked.value().saturating_sub(min.value());
    let steps = above / step + i64::from(above % step != 0);
    Quantity::of(min.value().saturating_add(step.saturating_mul(steps)), Format::BinarySi)
}

fn violates(taken: Quantity, policy: &RequestPolicy) -> bool {
    if policy.default == Some(taken) {
        return false;
    }
    match &policy.valid_range {
        Some(range) => {
            let off_step = range
                .step
                .map(Quantity::value)
                .filter(|step| *step != 0)
                .is_some_and(|step| taken.value().saturating_sub(range.min.map_or(0, Quantity::value)) % step != 0);
            range.max.is_some_and(|max| taken > max) || off_step
        }
        None => !policy.valid_values.is_empty() && !policy.valid_values.contains(&taken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap_or(Quantity::ZERO)
    }

    fn device(value: &str, policy: Option<RequestPolicy>) -> Device {
        let capacity = DeviceCapacity { name: "memory".into(), value: quantity(value), policy };
        Device { capacity: vec![capacity], allow_multiple: true, ..Device::default() }
    }

    fn takes(device: &Device, wanted: Option<&str>) -> Quantity {
        let wanted: Vec<_> = wanted.map(|amount| ("memory".into(), quantity(amount))).into_iter().collect();
        taken(&wanted, device)[0].1
    }

    #[test]
    fn requests_are_rounded_as_the_policy_says() {
        let plain = device("40Gi", None);
        assert_eq!(takes(&plain, None), quantity("40Gi"), "who asks for nothing gets all");
        assert_eq!(takes(&plain, Some("3Gi")), quantity("3Gi"));
        let values = RequestPolicy {
            default: Some(quantity("2Gi")),
            valid_values: vec![quantity("2Gi"), quantity("8Gi")],
            valid_range: None,
        };
        let values = device("40Gi", Some(values));
        assert_eq!(takes(&values, None), quantity("2Gi"));
        assert_eq!(takes(&values, Some("3Gi")), quantity("8Gi"));
        let more = [("memory".into(), quantity("9Gi"))];
        assert!(!suffices(&more, &values, None, None), "no value is that large");
        let range = ValidRange { min: Some(quantity("1Gi")), max: Some(quantity("9Gi")), step: Some(quantity("4Gi")) };
        let range = device("40Gi", Some(RequestPolicy { valid_range: Some(range), ..RequestPolicy::default() }));
        assert_eq!(takes(&range, Some("100Mi")), quantity("1Gi"));
        assert_eq!(takes(&range, Some("2Gi")), quantity("5Gi"));
        assert!(!suffices(&[("memory".into(), quantity("10Gi"))], &range, None, None), "beyond the most");
    }

    #[test]
    fn what_is_consumed_already_counts() {
        let device = device("10Gi", None);
        let wanted = [("memory".into(), quantity("4Gi"))];
        let some = |amount: &str| Consumed::from([("memory".into(), quantity(amount))]);
        assert!(suffices(&wanted, &device, Some(&some("3Gi")), Some(&some("3Gi"))));
        assert!(!suffices(&wanted, &device, Some(&some("3Gi")), Some(&some("4Gi"))));
        assert!(!suffices(&[("slots".into(), quantity("1"))], &device, None, None), "not a capacity of the device");
    }
}
