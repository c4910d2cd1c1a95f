//! Updates of objects and of their subresources: precondition, what may not change, admission, validation, no-op check,
//! removal with the last finalizer.

use serde_json::{Value, json};

use super::create::match_namespace;
use super::{
    Answer, Target, WriteOptions, Written, convert, has_finalizers, meta_text, remove_meta, set_meta, shown_shape,
    stored_shape,
};
use crate::access::{About, Attributes};
use crate::error::{ApiError, FieldError};
use crate::managed::{self, Writer};
use crate::resource::Resource;
use crate::rules;
use crate::server::ApiServer;
use crate::store::{Entry, WriteError};

/// How often a write starts again because somebody else wrote in between.
const ATTEMPTS: usize = 64;

/// The text of a write made from an old state.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Where the new state of an object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client sent all of it: its UID is a precondition, and its resourceVersion may be required.
    Update,
    /// It is the live object with changes.
    Patch,
    /// The same, with the field owners set already.
    Apply,
}

impl ApiServer {
    /// Replaces an object (or what its subresource shows) by one that has been decoded.
    pub(crate) fn update(
        &self,
        target: Target<'_>,
        mut object: Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        super::patch::check_name(target, &object)?;
        match_namespace(target, &mut object)?;
        let resource = target.resource;
        if target.subresource.is_empty()
            && resource.allows_create_on_update()
            && self.store().get(resource, &target.key()).is_none()
        {
            remove_meta(&mut object, "resourceVersion");
            return self.create(Target { subresource: "", ..target }, object, options);
        }
        self.write(target, options, Origin::Update, |_| Ok(object.clone()))
    }

    /// Writes what `change` makes of the live object.
    pub(super) fn write(
        &self,
        target: Target<'_>,
        options: &WriteOptions<'_>,
        origin: Origin,
        mut change: impl FnMut(&Value) -> Result<Value, ApiError>,
    ) -> Result<Written, ApiError> {
        for _ in 0..ATTEMPTS {
            let entry = self.get(target)?;
            let live = shown_shape(target.resource, entry.value());
            let object = change(&live)?;
            let pinned = !meta_text(&object, "resourceVersion").is_empty();
            if origin == Origin::Update {
                check_preconditions(target, &object, &entry)?;
            }
            match self.store_update(target, options, &entry, live, object, origin)? {
                Ok(written) => return Ok(written),
                Err(WriteError::Gone) => return Err(target.not_found()),
                Err(_) if pinned && origin == Origin::Update => {
                    return Err(ApiError::conflict(target.resource, target.name, MODIFIED));
                }
                Err(_) => {}
            }
        }
        Err(ApiError::conflict(target.resource, target.name, MODIFIED))
    }

    fn store_update(
        &self,
        target: Target<'_>,
        options: &WriteOptions<'_>,
        entry: &Entry,
        live: Value,
        mut object: Value,
        origin: Origin,
    ) -> Result<Result<Written, WriteError>, ApiError> {
        let resource = target.resource;
        check_version(target, &object, entry, origin)?;
        if matches!(meta_text(&object, "resourceVersion"), "" | "0") {
            set_meta(&mut object, "resourceVersion", json!(entry.revision.to_string()));
        }
        keep_system_metadata(&mut object, &live);
        convert::pair(resource, &mut object);
        rules::default(resource, &mut object);
        let now = self.now();
        if origin != Origin::Apply {
            let api_version = resource.api_version();
            let subresource = target.subresource;
            let by = Writer { manager: options.manager, api_version: &api_version, subresource, now };
            managed::track_update(Self::type_of(resource)?, Some(&live), &mut object, &by);
        }
        let live = &stored_shape(resource, live);
        let mut object = stored_shape(resource, object);
        let context = rules::Context { now, namespace: target.namespace, lookup: self };
        rules::admit_update(resource, target.subresource, &mut object, live, &context)?;
        rules::prepare_update(resource, target.subresource, &mut object, live);
        let mut errors = rules::validate_update(resource, target.subresource, &object, live);
        errors.splice(0..0, self.check_devices(target, options, origin, &object, live));
        if !errors.is_empty() {
            return Err(rules::invalid(resource, target.name, &errors));
        }
        rules::check_update(resource, target.subresource, &object, live, &context)?;
        let warnings = rules::warnings(resource, &object, Some(live));
        Ok(self.commit(target, options, entry, live, object, warnings))
    }

    /// Devices are given to a claim, and a claim to pods, only by whoever may `resourceclaims/binding` everywhere.
    fn check_devices(
        &self,
        target: Target<'_>,
        options: &WriteOptions<'_>,
        origin: Origin,
        object: &Value,
        live: &Value,
    ) -> Option<FieldError> {
        let user = options.user.filter(|_| target.resource.is("resource.k8s.io", "resourceclaims"))?;
        let same = |pointer| object.pointer(pointer) == live.pointer(pointer);
        if target.subresource != "status" || same("/status/allocation") && same("/status/reservedFor") {
            return None;
        }
        let verb = if origin == Origin::Update { "update" } else { "patch" };
        let asked = Attributes {
            verb: verb.to_owned(),
            about: About::Resource {
                group: target.resource.group.to_owned(),
                resource: target.resource.plural.to_owned(),
                subresource: "binding".to_owned(),
                namespace: String::new(),
                name: String::new(),
            },
        };
        let decision = self.authorize(user, &asked);
        let why = asked.forbidden(user, &decision.reason).message;
        let detail = format!(
            "changing status.allocation or status.reservedFor requires resource=\"resourceclaims/binding\", \
             verb=\"{verb}\" permission: {why}"
        );
        (!decision.allowed).then(|| FieldError::forbidden("status.allocation", &detail))
    }

    /// Stores the new state of an object, unless nothing changed; removes it if it only waited for its finalizers.
    pub(super) fn commit(
        &self,
        target: Target<'_>,
        options: &WriteOptions<'_>,
        entry: &Entry,
        live: &Value,
        mut object: Value,
        warnings: Vec<String>,
    ) -> Result<Written, WriteError> {
        let resource = target.resource;
        let key = target.key();
        if is_finished(resource, &object, live) {
            if !options.dry_run {
                self.store().remove(resource, &key, entry.revision)?;
            }
            set_meta(&mut object, "resourceVersion", entry.revision.to_string());
            return Ok(Written { answer: Answer::Value(object), code: 200, warnings });
        }
        let (draft, facts) = Self::draft(resource, &object);
        if draft.equals(entry) {
            return Ok(Written { answer: Answer::Stored(entry.clone()), code: 200, warnings });
        }
        if options.dry_run {
            set_meta(&mut object, "resourceVersion", entry.revision.to_string());
            return Ok(Written { answer: Answer::Value(object), code: 200, warnings });
        }
        let entry = self.store().replace(resource, &key, entry.revision, &draft, facts)?;
        Ok(Written { answer: Answer::Stored(entry), code: 200, warnings })
    }
}

/// Whether the object only waited for the finalizers that the new state no longer has.
fn is_finished(resource: &Resource, object: &Value, live: &Value) -> bool {
    let deleting = live.pointer("/metadata/deletionTimestamp").is_some();
    let grace = live.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    let held = resource.is("", "namespaces")
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
    deleting && grace == 0 && !has_finalizers(object) && !held
}

/// A UID in the client's object must be the live one's.
fn check_preconditions(target: Target<'_>, object: &Value, entry: &Entry) -> Result<(), ApiError> {
    let uid = meta_text(object, "uid");
    if uid.is_empty() {
        return Ok(());
    }
    let live = entry.value();
    let actual = meta_text(&live, "uid");
    if uid == actual {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {actual}");
    Err(storage_conflict(target, &why))
}

/// 409 as the storage layer words it.
pub(super) fn storage_conflict(target: Target<'_>, why: &str) -> ApiError {
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: /registry/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: {why}",
        target.resource.registry_directory(),
        target.key()
    );
    ApiError::conflict(target.resource, target.name, &why)
}

fn check_version(target: Target<'_>, object: &Value, entry: &Entry, origin: Origin) -> Result<(), ApiError> {
    let resource = target.resource;
    match meta_text(object, "resourceVersion") {
        "" | "0" if origin != Origin::Update || resource.allows_unconditional_update() => Ok(()),
        "" | "0" => {
            let error = FieldError::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            Err(ApiError::invalid(resource.group, resource.kind, target.name, &[error]))
        }
        version => match version.parse::<u64>() {
            Ok(version) if version == entry.revision => Ok(()),
            Ok(_) => Err(ApiError::conflict(resource, target.name, MODIFIED)),
            Err(_) => {
                let error = FieldError::invalid(
                    "metadata.resourceVersion",
                    &json!(version),
                    &format!("strconv.ParseUint: parsing \"{version}\": invalid syntax"),
                );
                Err(ApiError::invalid(resource.group, resource.kind, target.name, &[error]))
            }
        },
    }
}

/// What only the server sets is kept; what the client left out is filled in.
fn keep_system_metadata(object: &mut Value, live: &Value) {
    for member in ["uid", "creationTimestamp"] {
        if meta_text(object, member).is_empty()
            && let Some(value) = live["metadata"].get(member)
        {
            set_meta(object, member, value.clone());
        }
    }
    if let Some(time) = live["metadata"].get("deletionTimestamp") {
        set_meta(object, "deletionTimestamp", time.clone());
        if let Some(grace) = live["metadata"].get("deletionGracePeriodSeconds")
            && object["metadata"].get("deletionGracePeriodSeconds").is_none()
        {
            set_meta(object, "deletionGracePeriodSeconds", grace.clone());
        }
    }
    match live["metadata"].get("generation") {
        Some(generation) => set_meta(object, "generation", generation.clone()),
        None => remove_meta(object, "generation"),
    }
    remove_meta(object, "selfLink");
}
