//! Content negotiation: which representation the `Accept` header asks for, which one a body has.

use serde_json::json;

use crate::error::ApiError;

/// The shape of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The object or list itself.
    Plain,
    /// A `meta.k8s.io` Table of this version.
    Table(&'static str),
    /// Metadata of one object, in this version.
    Metadata(&'static str),
    /// Metadata of the objects of a list.
    MetadataList(&'static str),
}

/// A representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) shape: Shape,
    /// YAML instead of JSON.
    pub(super) yaml: bool,
}

/// What discovery is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discovery {
    /// One document per group and version.
    Legacy,
    /// All in one, in this version of `apidiscovery.k8s.io`.
    Aggregated(&'static str),
}

struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(k, _)| *k == name).map(|(_, v)| *v)
    }

    fn is(&self, kind: &str) -> bool {
        self.media.eq_ignore_ascii_case(kind)
    }
}

/// The clauses of an `Accept` header by their weight.
fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut weighed: Vec<(f32, Clause<'_>)> = Vec::new();
    for clause in accept.split(',') {
        let mut parts = clause.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let mut parameters: Vec<(&str, &str)> =
            parts.filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim().trim_matches('"'))).collect();
        let weight = parameters.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
        parameters.retain(|(k, _)| *k != "q");
        if !media.is_empty() && weight > 0.0 {
            weighed.push((weight, Clause { media, parameters }));
        }
    }
    // Stable: clauses of the same weight keep their order.
    weighed.sort_by(|a, b| b.0.total_cmp(&a.0));
    weighed.into_iter().map(|(_, clause)| clause).collect()
}

/// What an answer that can be a table or metadata is to look like.
///
/// # Errors
/// 406 if nothing that is accepted can be produced.
pub(super) fn accept(header: Option<&str>) -> Result<Accepted, ApiError> {
    let Some(header) = header.filter(|h| !h.trim().is_empty()) else {
        return Ok(Accepted { shape: Shape::Plain, yaml: false });
    };
    let mut unknown_shape = false;
    for clause in clauses(header) {
        let json = clause.is("application/json") || clause.is("application/*") || clause.media == "*/*";
        let yaml = clause.is("application/yaml");
        if !json && !yaml {
            continue;
        }
        let version = match clause.get("v") {
            Some("v1") => "v1",
            Some("v1beta1") => "v1beta1",
            Some(_) => "",
            None => "none",
        };
        let known = clause.get("g") == Some("meta.k8s.io") && matches!(version, "v1" | "v1beta1");
        let shape = match clause.get("as") {
            None if clause.get("g").is_none() && clause.get("v").is_none() => Shape::Plain,
            Some("Table") if known => Shape::Table(version),
            Some("PartialObjectMetadata") if known => Shape::Metadata(version),
            Some("PartialObjectMetadataList") if known => Shape::MetadataList(version),
            _ => {
                unknown_shape = true;
                continue;
            }
        };
        return Ok(Accepted { shape, yaml });
    }
    Err(if unknown_shape {
        let message = "only the following media types are accepted: application/json, application/yaml";
        ApiError::new(406, "NotAcceptable", message)
    } else {
        not_acceptable()
    })
}

/// The failure for a representation that cannot be produced.
pub(super) fn not_acceptable() -> ApiError {
    let message = "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, \
                   application/json;stream=watch";
    ApiError::new(406, "NotAcceptable", message).with_details(json!({}))
}

/// Which discovery document the `Accept` header prefers.
pub(super) fn discovery(header: Option<&str>) -> Discovery {
    for clause in clauses(header.unwrap_or_default()) {
        let aggregated =
            clause.get("g") == Some("apidiscovery.k8s.io") && clause.get("as") == Some("APIGroupDiscoveryList");
        match (clause.is("application/json"), aggregated, clause.get("v")) {
            (true, true, Some("v2")) => return Discovery::Aggregated("v2"),
            (true, true, Some("v2beta1")) => return Discovery::Aggregated("v2beta1"),
            (true, false, None) => return Discovery::Legacy,
            _ => {}
        }
    }
    Discovery::Legacy
}

/// How the body of a write is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFormat {
    Json,
    Yaml,
    Protobuf,
}

/// Reads a `Content-Type`; nothing counts as JSON.
///
/// # Errors
/// 415 for anything but JSON, YAML and protobuf.
pub(super) fn body_format(content_type: Option<&str>) -> Result<BodyFormat, ApiError> {
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match media.to_ascii_lowercase().as_str() {
        "" | "application/json" | "*/*" => Ok(BodyFormat::Json),
        "application/yaml" => Ok(BodyFormat::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(BodyFormat::Protobuf),
        _ => Err(ApiError::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_producible_clause_wins() {
        let shape = |header| accept(Some(header)).map(|a| a.shape);
        assert_eq!(shape("application/json;as=Table;v=v1;g=meta.k8s.io,application/json").unwrap(), Shape::Table("v1"));
        assert_eq!(shape("application/vnd.kubernetes.protobuf,application/json").unwrap(), Shape::Plain);
        assert_eq!(shape("application/json;as=Table;v=v1beta1;g=meta.k8s.io").unwrap(), Shape::Table("v1beta1"));
        assert_eq!(shape("text/plain,*/*").unwrap(), Shape::Plain);
        assert_eq!(
            shape("application/json;q=0.1,application/json;as=Table;v=v1;g=meta.k8s.io").unwrap(),
            Shape::Table("v1")
        );
        assert_eq!(shape("application/json;as=Chair;v=v1;g=meta.k8s.io").unwrap_err().code, 406);
        assert_eq!(shape("application/xml").unwrap_err().code, 406);
        assert!(accept(Some("application/yaml")).unwrap().yaml);
    }

    #[test]
    fn discovery_is_negotiated() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
        assert_eq!(discovery(Some(&format!("{v2},{beta},application/json"))), Discovery::Aggregated("v2"));
        assert_eq!(discovery(Some(&format!("{beta},application/json"))), Discovery::Aggregated("v2beta1"));
        assert_eq!(discovery(None), Discovery::Legacy);
    }

    #[test]
    fn the_formats_of_bodies_are_told_apart() {
        assert_eq!(body_format(Some("application/vnd.kubernetes.protobuf")).unwrap(), BodyFormat::Protobuf);
        assert_eq!(body_format(Some("application/cbor")).unwrap_err().code, 415);
        assert_eq!(body_format(Some("application/json; charset=utf-8")).unwrap(), BodyFormat::Json);
    }
}
