//! What is known of each API type (its fields, their wire types and list semantics), and the decoding of bodies by it.
//!
//! [`decode_json`] and [`decode_yaml`] read a request's body, [`normalize`] an object that is parsed already; all three
//! give the object as the API server shows it. [`type_of`] finds the type of a kind.

mod decode;
mod protobuf;
mod scalar;
mod scan;
mod table;

use serde_json::{Value, json};

use crate::error::{ApiError, FieldError};

pub use table::{Field, ListType, Type, TypeRef, Wire, all_types, type_by_id, type_of};

/// What to do with fields that the type does not have, or that occur twice (`fieldValidation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them and warn.
    Warn,
    /// Refuse the request.
    Strict,
}

/// An object as the API shows it, with what the client is to be warned of.
#[derive(Debug)]
pub struct Decoded {
    /// The object.
    pub object: Value,
    /// Texts of `Warning` headers.
    pub warnings: Vec<String>,
}

/// Decodes a JSON body as a Go client's struct would: unknown fields by `validation`, quantities canonical, empty optional
/// fields left out, fields that are always written present, `kind` and `apiVersion` set.
///
/// # Errors
/// 400 for malformed JSON, values of a wrong type, another kind or version, and, when strict, unknown or duplicate fields.
pub fn decode_json(ty: &'static Type, raw: &[u8], validation: FieldValidation) -> Result<Decoded, ApiError> {
    let unrecognized = |why: &str| {
        let kind = ty.short_name();
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({})",
            summary(raw)
        ))
    };
    let outcome = decode::decode(ty, raw, validation != FieldValidation::Ignore)
        .map_err(|e| unrecognized(&format!("couldn't get version/kind; json parse error: {}", e.0)))?;
    if let Some(error) = outcome.error.as_deref() {
        // Kind and version are read before, and without regard to, everything else.
        let holder = format!(" {}.", ty.short_name());
        let of_head = ["kind of type string", "apiVersion of type string"]
            .into_iter()
            .find(|end| error.strip_suffix(end).is_some_and(|head| head.ends_with(&holder)));
        let told = match of_head {
            Some(end) => error.replace(&format!("{holder}{end}"), &format!(" .{end}")),
            None => error.to_owned(),
        };
        if of_head.is_some() || outcome.value.is_null() {
            return Err(unrecognized(&format!("couldn't get version/kind; json parse error: {told}")));
        }
    }
    let given = Given::of(ty, &outcome.value);
    if given.version.contains('/') {
        return Err(unrecognized(&format!("unexpected GroupVersion string: {}", given.api_version)));
    }
    let cannot = |why: &str| {
        let (kind, version, expected) = (given.kind, given.version, ty.short_name());
        ApiError::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {expected}: {why}"))
    };
    given.check(ty).map_err(|mismatch| match mismatch {
        Mismatch::Handling(why) => cannot(&why),
        Mismatch::Version(message) => ApiError::bad_request(message),
    })?;
    if let Some(error) = outcome.error {
        return Err(cannot(&error));
    }
    if validation == FieldValidation::Strict && !outcome.strict.is_empty() {
        return Err(cannot(&format!("strict decoding error: {}", outcome.strict.join(", "))));
    }
    Ok(Decoded { object: with_kind(ty, outcome.value), warnings: outcome.strict })
}

/// The same for a YAML body.
///
/// # Errors
/// As [`decode_json`], and 400 for malformed YAML.
pub fn decode_yaml(ty: &'static Type, raw: &[u8], validation: FieldValidation) -> Result<Decoded, ApiError> {
    let unrecognized = |why: String| {
        let kind = ty.short_name();
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({})",
            summary(raw)
        ))
    };
    let (value, duplicates) = parse_yaml(raw).map_err(unrecognized)?;
    let mut decoded = decode_json(ty, value.to_string().as_bytes(), validation)?;
    match (duplicates, validation) {
        (Some(why), FieldValidation::Warn) => decoded.warnings.insert(0, why),
        (Some(why), FieldValidation::Strict) => {
            let kind = ty.short_name();
            return Err(ApiError::bad_request(format!(
                "{kind} in version \"v1\" cannot be handled as a {kind}: strict decoding error: {why}"
            )));
        }
        _ => {}
    }
    Ok(decoded)
}

/// The same for a protobuf body. kubectl sends some objects so; whoever sends what cannot be read is asked for JSON.
///
/// # Errors
/// As [`decode_json`], and 415 for what is not a Kubernetes protobuf message of the type.
pub fn decode_protobuf(ty: &'static Type, raw: &[u8], validation: FieldValidation) -> Result<Decoded, ApiError> {
    let value = protobuf::to_json(ty, raw).map_err(|why| {
        let kind = ty.short_name();
        ApiError::new(
            415,
            "UnsupportedMediaType",
            format!(
                "this protobuf body cannot be read as {kind} ({why}); send it as application/json or application/yaml"
            ),
        )
    })?;
    decode_json(ty, value.to_string().as_bytes(), validation)
}

/// The same for an object that is parsed already.
///
/// # Errors
/// As [`decode_json`].
pub fn normalize(ty: &'static Type, object: &Value, validation: FieldValidation) -> Result<Decoded, ApiError> {
    decode_json(ty, object.to_string().as_bytes(), validation)
}

/// Decodes the result of a patch, whose own unknown and duplicate fields are given in `noted`; `shown` is how errors show
/// the patch.
///
/// # Errors
/// 422 for the patch, as the API server reports what does not fit the type.
pub fn decode_patched(
    ty: &'static Type,
    object: &Value,
    mut noted: Vec<String>,
    validation: FieldValidation,
    shown: impl Fn(&Value) -> String,
) -> Result<Decoded, ApiError> {
    let text = object.to_string();
    let invalid = |why: &str| {
        let error = FieldError::invalid("patch", &json!(shown(object)), why);
        let mut failure = ApiError::invalid("", "", "", &[error]);
        // The real server builds this error without naming a kind.
        if let Some(details) = failure.details.as_object_mut() {
            details.remove("kind");
        }
        failure
    };
    let outcome =
        decode::decode(ty, text.as_bytes(), validation != FieldValidation::Ignore).map_err(|e| invalid(&e.0))?;
    if let Some(error) = outcome.error {
        return Err(invalid(&error));
    }
    let given = Given::of(ty, &outcome.value);
    if let Err(Mismatch::Handling(why) | Mismatch::Version(why)) = given.check(ty) {
        return Err(invalid(&why));
    }
    if validation != FieldValidation::Ignore {
        noted.extend(outcome.strict);
    }
    if validation == FieldValidation::Strict && !noted.is_empty() {
        return Err(invalid(&format!("strict decoding error: {}", noted.join(", "))));
    }
    Ok(Decoded { object: with_kind(ty, outcome.value), warnings: noted })
}

/// What an object of the type looks like when nothing is set, without `kind` and `apiVersion`.
#[must_use]
pub fn zero_object(ty: &'static Type) -> Value {
    decode::zero_struct(ty)
}

/// Parses JSON of any type as Go would, with the duplicate fields that it has.
///
/// # Errors
/// The text of Go's scanner.
pub fn parse_json(raw: &[u8]) -> Result<(Value, Vec<String>), String> {
    decode::decode_any(raw).map_err(|e| e.0)
}

/// Parses YAML (or JSON) of any type; the last of duplicate keys counts, and a text tells of them.
///
/// # Errors
/// A text that says what is wrong.
pub fn parse_yaml(raw: &[u8]) -> Result<(Value, Option<String>), String> {
    if raw.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{')
        && let Ok((value, duplicates)) = parse_json(raw)
    {
        let lines: Vec<String> = duplicates
            .iter()
            .map(|note| {
                let path = note.trim_start_matches("duplicate field ").trim_matches('"');
                format!("line 1: key \"{}\" already set in map", path.rsplit('.').next().unwrap_or(path))
            })
            .collect();
        let told = (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:\n  {}", lines.join("\n  ")));
        return Ok((value, told));
    }
    let text = std::str::from_utf8(raw).map_err(|_| "yaml: invalid UTF-8".to_owned())?;
    let first = match serde_saphyr::from_str::<Value>(text) {
        Ok(value) => return Ok((value, None)),
        Err(error) => format!("yaml: {error}"),
    };
    let lenient = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    match serde_saphyr::from_str_with_options::<Value>(text, lenient) {
        Ok(value) => Ok((value, Some(first))),
        Err(_) => Err(first),
    }
}

fn with_kind(ty: &Type, mut object: Value) -> Value {
    if ty.is_root() {
        object["kind"] = json!(ty.short_name());
        object["apiVersion"] = json!(ty.api_version());
    }
    object
}

/// The kind and version that a body gives, completed with those expected.
struct Given<'a> {
    kind: &'a str,
    api_version: &'a str,
    group: &'a str,
    version: &'a str,
}

enum Mismatch {
    /// The object cannot be handled as one of the expected kind.
    Handling(String),
    /// The object is of another version of the kind.
    Version(String),
}

impl<'a> Given<'a> {
    fn of(ty: &'static Type, value: &'a Value) -> Self {
        let kind = value.get("kind").and_then(Value::as_str).filter(|s| !s.is_empty()).unwrap_or(ty.short_name());
        let api_version = value.get("apiVersion").and_then(Value::as_str).unwrap_or("");
        let (group, version) = match api_version.split_once('/') {
            _ if api_version.is_empty() => (ty.group(), "v1"),
            Some((group, version)) => (group, version),
            None => ("", api_version),
        };
        Given { kind, api_version, group, version }
    }

    /// Whether the API server knows the kind in this version at all.
    fn is_known(&self) -> bool {
        let has = |kind: &str| type_of(self.group, self.version, kind).is_some();
        has(self.kind)
            || self.kind.strip_suffix("List").is_some_and(has)
            || (self.version == "v1" && OF_EVERY_GROUP.contains(&self.kind))
            || (self.api_version == "v1" && matches!(self.kind, "List" | "Status"))
    }

    fn check(&self, ty: &'static Type) -> Result<(), Mismatch> {
        let expected = ty.short_name();
        if !ty.is_root() || self.api_version.is_empty() && self.kind == expected {
            return Ok(());
        }
        // Options and statuses are registered in every group.
        if self.kind == expected && (ty.group() == "meta.k8s.io" || (self.group == ty.group() && self.version == "v1"))
        {
            return Ok(());
        }
        // Evictions are taken in both versions.
        if (self.kind, self.api_version) == ("Eviction", "policy/v1beta1") && expected == "Eviction" {
            return Ok(());
        }
        if self.kind == expected
            && self.group == ty.group()
            && served_once(self.group, self.kind).contains(&self.version)
        {
            let (given, wanted) = (self.api_version, ty.api_version());
            return Err(Mismatch::Version(format!(
                "the API version in the data ({given}) does not match the expected API version ({wanted})"
            )));
        }
        if self.is_known() {
            let (kind, version, package) = (self.kind, self.version, ty.id.split('.').next().unwrap_or(""));
            return Err(Mismatch::Handling(format!(
                "converting ({version}.{kind}) to ({package}.{expected}): unknown conversion"
            )));
        }
        let version = if self.api_version.is_empty() { self.version } else { self.api_version };
        Err(Mismatch::Handling(format!(
            "no kind \"{}\" is registered for version \"{version}\" in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\"",
            self.kind
        )))
    }
}

/// Kinds of the API itself, registered in every group.
const OF_EVERY_GROUP: &[&str] =
    &["CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"];

/// Older versions in which the API server still knows a kind.
fn served_once(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("apps", "Deployment" | "StatefulSet" | "ControllerRevision") => &["v1beta1", "v1beta2"],
        ("apps", "ReplicaSet" | "DaemonSet") => &["v1beta2"],
        ("batch", "CronJob")
        | ("policy", "PodDisruptionBudget")
        | ("coordination.k8s.io", "Lease")
        | ("events.k8s.io", "Event")
        | ("discovery.k8s.io", "EndpointSlice")
        | ("networking.k8s.io", "Ingress" | "IngressClass") => &["v1beta1"],
        ("scheduling.k8s.io", "PriorityClass") => &["v1alpha1", "v1beta1"],
        ("storage.k8s.io", "StorageClass" | "CSIDriver" | "CSINode" | "VolumeAttachment") => &["v1beta1"],
        ("rbac.authorization.k8s.io", _) => &["v1alpha1", "v1beta1"],
        _ => &[],
    }
}

/// The beginning of a body, as error texts show it.
fn summary(body: &[u8]) -> String {
    const SHOWN: usize = 30;
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    let (part, more) =
        body.get(..SHOWN).map_or((body, ""), |part| (part, if body.len() > SHOWN { " ..." } else { "" }));
    if body[0] == b'{' {
        return format!("{}{more}", String::from_utf8_lossy(part));
    }
    let hex: String = part.iter().map(|b| format!("{b:02x}")).collect();
    format!("{hex}{more}")
}

#[cfg(test)]
mod tests;
