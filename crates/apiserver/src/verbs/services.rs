//! Cluster IPs of services: taken as asked for, or the next free one of 10.0.0.0/16.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::meta_text;
use crate::error::{ApiError, FieldError};
use crate::resource::Resource;
use crate::rules::Lookup;
use crate::server::ApiServer;

/// The first address that is handed out on its own; those below are left to who asks for them.
const FIRST: u32 = u32::from_be_bytes([10, 0, 16, 0]);
/// The address after the last one.
const END: u32 = u32::from_be_bytes([10, 0, 255, 255]);

impl ApiServer {
    /// Gives a service its address.
    pub(super) fn allocate(&self, resource: &Resource, object: &mut Value) -> Result<(), ApiError> {
        if !resource.is("", "services") || object["spec"]["type"] == "ExternalName" {
            return Ok(());
        }
        let asked = object["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
        if asked == "None" {
            return Ok(());
        }
        let services = self.list("services", "");
        let taken: HashSet<&str> = services.iter().filter_map(|s| s["spec"]["clusterIP"].as_str()).collect();
        let refused = |detail: &str| {
            let error = FieldError::invalid("spec.clusterIPs", &json!([asked]), detail);
            Err(ApiError::invalid("", "Service", meta_text(object, "name"), &[error]))
        };
        let address = if asked.is_empty() {
            match (FIRST..END).map(|n| Ipv4Addr::from(n).to_string()).find(|a| !taken.contains(a.as_str())) {
                Some(free) => free,
                None => return refused("failed to allocate an IP: range is full"),
            }
        } else {
            match asked.parse::<Ipv4Addr>() {
                Ok(address) if address.octets()[..2] != [10, 0] => {
                    return refused(&format!(
                        "failed to allocate IP {asked}: the provided IP is not in the valid range. The range of valid IPs is 10.0.0.0/16"
                    ));
                }
                // What is no address is for validation to say.
                Err(_) => return Ok(()),
                Ok(_) if taken.contains(asked.as_str()) => {
                    return refused(&format!("failed to allocate IP {asked}: provided IP is already allocated"));
                }
                Ok(_) => asked.clone(),
            }
        };
        object["spec"]["clusterIP"] = json!(address);
        object["spec"]["clusterIPs"] = json!([address]);
        Ok(())
    }
}
