//! Members that exist in singular and in plural: reading an object makes both agree, and the singular one wins, as clients
//! that are older than the plural write only that.

use serde_json::{Value, json};

use crate::resource::Resource;

/// `(where, singular, plural, member of the plural's elements)`; plain texts have no member.
type Pair = (&'static str, &'static str, &'static str, Option<&'static str>);

const POD: &[Pair] = &[("/status", "podIP", "podIPs", Some("ip")), ("/status", "hostIP", "hostIPs", Some("ip"))];
const NODE: &[Pair] = &[("/spec", "podCIDR", "podCIDRs", None)];

/// Makes singular and plural members agree.
pub(super) fn pair(resource: &Resource, object: &mut Value) {
    let pairs = match (resource.group, resource.plural) {
        ("", "pods") => POD,
        ("", "nodes") => NODE,
        _ => return,
    };
    for (parent, singular, plural, member) in pairs {
        let Some(parent) = object.pointer_mut(parent).and_then(Value::as_object_mut) else { continue };
        let first = parent.get(*plural).and_then(|list| list.get(0)).map(|element| match member {
            Some(member) => element[*member].clone(),
            None => element.clone(),
        });
        match (parent.get(*singular).filter(|text| *text != "").cloned(), first) {
            (Some(one), first) if first.as_ref() != Some(&one) => {
                let element = member.map_or_else(|| one.clone(), |member| json!({ member: one }));
                parent.insert((*plural).to_owned(), json!([element]));
            }
            (None, Some(first)) => {
                parent.insert((*singular).to_owned(), first);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::by_qualified;

    #[test]
    fn the_singular_fills_and_beats_the_plural() {
        let mut pod = json!({ "status": { "podIP": "1.2.3.4", "hostIPs": [{ "ip": "5.6.7.8" }] } });
        pair(by_qualified("pods").unwrap(), &mut pod);
        assert_eq!(pod["status"]["podIPs"], json!([{ "ip": "1.2.3.4" }]));
        assert_eq!(pod["status"]["hostIP"], "5.6.7.8");
        let mut node = json!({ "spec": { "podCIDR": "10.1.0.0/24", "podCIDRs": ["10.0.0.0/24"] } });
        pair(by_qualified("nodes").unwrap(), &mut node);
        assert_eq!(node["spec"]["podCIDRs"], json!(["10.1.0.0/24"]));
    }
}
