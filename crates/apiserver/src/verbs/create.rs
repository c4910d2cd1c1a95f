//! Creation: system metadata, defaults, admission, validation, storing.

use serde_json::{Value, json};

use super::{
    Answer, Target, WriteOptions, Written, convert, key, meta_mut, meta_text, remove_meta, seconds, set_meta,
    stored_shape,
};
use crate::error::ApiError;
use crate::managed::{self, Writer};
use crate::resource::by_qualified;
use crate::rules;
use crate::server::ApiServer;
use crate::store::WriteError;

/// How often a generated name is tried before the request fails.
const NAME_ATTEMPTS: usize = 8;

impl ApiServer {
    /// Creates an object that has been decoded.
    pub(crate) fn create(
        &self,
        target: Target<'_>,
        mut object: Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let resource = target.resource;
        match_namespace(target, &mut object)?;
        convert::pair(resource, &mut object);
        rules::default(resource, &mut object);
        let ty = Self::type_of(resource)?;
        let api_version = resource.api_version();
        let now = self.now();
        let by = Writer { manager: options.manager, api_version: &api_version, subresource: "", now };
        managed::track_update(ty, None, &mut object, &by);
        let object = stored_shape(resource, object);
        self.create_tracked(target, object, options)
    }

    /// Creates an object whose defaults and field owners are set.
    pub(super) fn create_tracked(
        &self,
        target: Target<'_>,
        mut object: Value,
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let resource = target.resource;
        self.check_namespace(target, meta_text(&object, "name"))?;
        let now = self.now();
        let wanted_version = meta_text(&object, "resourceVersion").to_owned();
        for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
            remove_meta(&mut object, member);
        }
        set_meta(&mut object, "uid", self.new_uid());
        set_meta(&mut object, "creationTimestamp", seconds(now));
        let base = meta_text(&object, "generateName").to_owned();
        let generated = !base.is_empty() && meta_text(&object, "name").is_empty();
        if generated {
            let name = self.generated_name(&base);
            set_meta(&mut object, "name", name);
        }
        let context = rules::Context { now, namespace: target.namespace, lookup: self };
        rules::admit_create(resource, &mut object, &context)?;
        rules::prepare_create(resource, &mut object);
        let errors = rules::validate_create(resource, &object);
        if !errors.is_empty() {
            return Err(rules::invalid(resource, meta_text(&object, "name"), &errors));
        }
        if !wanted_version.is_empty() && wanted_version != "0" {
            return Err(ApiError::new(500, "", "resourceVersion should not be set on objects to be created"));
        }
        rules::check_create(resource, &object, &context)?;
        let warnings = rules::warnings(resource, &object, None);
        for _ in 0..NAME_ATTEMPTS {
            let name = meta_text(&object, "name").to_owned();
            let key = key(resource, target.namespace, &name);
            if options.dry_run {
                if self.store().get(resource, &key).is_some() {
                    return Err(ApiError::already_exists(resource, &name));
                }
                return Ok(Written { answer: Answer::Value(object), code: 201, warnings });
            }
            let (draft, facts) = Self::draft(resource, &object);
            match self.store().insert(resource, &key, &draft, facts) {
                Ok(entry) => return Ok(Written { answer: Answer::Stored(entry), code: 201, warnings }),
                Err(_) if generated => {
                    let name = self.generated_name(&base);
                    set_meta(&mut object, "name", name);
                }
                Err(WriteError::Exists | WriteError::Gone | WriteError::Stale) => {
                    return Err(ApiError::already_exists(resource, &name));
                }
            }
        }
        Err(ApiError::already_exists(resource, meta_text(&object, "name")))
    }

    fn generated_name(&self, base: &str) -> String {
        // Names have at most 63 characters here, five of them random.
        let base: String = base.chars().take(58).collect();
        format!("{base}{}", self.new_suffix())
    }

    /// Refuses to create in a namespace that is absent or on its way out.
    pub(super) fn check_namespace(&self, target: Target<'_>, name: &str) -> Result<(), ApiError> {
        let Some(namespaces) = by_qualified("namespaces") else { return Ok(()) };
        if !target.resource.namespaced {
            return Ok(());
        }
        match self.namespace_is_terminating(target.namespace) {
            Some(false) => Ok(()),
            None => Err(ApiError::not_found(namespaces, target.namespace)),
            Some(true) => {
                let why = format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    target.namespace
                );
                let mut error = ApiError::forbidden(target.resource, name, &why);
                error.details["causes"] = json!([{
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {} is being terminated", target.namespace),
                    "field": "metadata.namespace",
                }]);
                Err(error)
            }
        }
    }
}

/// Gives the object the namespace of the request, or refuses one that differs.
pub(super) fn match_namespace(target: Target<'_>, object: &mut Value) -> Result<(), ApiError> {
    let own = meta_text(object, "namespace");
    if own == target.namespace {
        return Ok(());
    }
    if target.namespace.is_empty() {
        remove_meta(object, "namespace");
    } else if own.is_empty() {
        if let Some(meta) = meta_mut(object) {
            meta.insert("namespace".to_owned(), json!(target.namespace));
        }
    } else {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
