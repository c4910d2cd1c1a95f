//! Patches: what the client sends is applied to the live object, and the result is written like an update.

use serde_json::Value;

use super::update::Origin;
use super::{Target, WriteOptions, Written, meta_text, stored_shape};
use crate::error::ApiError;
use crate::managed::{self, Writer};
use crate::patch;
use crate::rules;
use crate::schema::{Decoded, FieldValidation, Type};
use crate::server::ApiServer;

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchFormat {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl ApiServer {
    /// Patches an object, or what its subresource shows; an apply may create it.
    pub(crate) fn patch(
        &self,
        target: Target<'_>,
        format: PatchFormat,
        raw: &[u8],
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let ty = Self::type_of(target.resource)?;
        if format == PatchFormat::Apply {
            return self.apply(target, ty, raw, options);
        }
        let mut warnings = Vec::new();
        let mut written = self.write(target, options, Origin::Patch, |live| {
            let decoded = apply_patch(ty, format, live, raw, options.validation)?;
            check_name(target, &decoded.object)?;
            warnings = decoded.warnings;
            Ok(decoded.object)
        })?;
        warnings.append(&mut written.warnings);
        Ok(Written { warnings, ..written })
    }

    fn apply(
        &self,
        target: Target<'_>,
        ty: &'static Type,
        raw: &[u8],
        options: &WriteOptions<'_>,
    ) -> Result<Written, ApiError> {
        let resource = target.resource;
        let api_version = resource.api_version();
        let by = Writer {
            manager: options.manager,
            api_version: &api_version,
            subresource: target.subresource,
            now: self.now(),
        };
        let apply = |live: Option<&Value>| {
            let mut applied = managed::apply(ty, live, raw, options.validation, options.force, &by)?;
            super::create::match_namespace(target, &mut applied.object)?;
            check_name(target, &applied.object)?;
            Ok(applied)
        };
        let mut warnings = Vec::new();
        let mut written = if self.store().get(resource, &target.key()).is_some() {
            self.write(target, options, Origin::Apply, |live| {
                let applied = apply(Some(live))?;
                warnings = applied.warnings;
                Ok(applied.object)
            })?
        } else {
            if !target.subresource.is_empty() {
                return Err(target.not_found());
            }
            let mut applied = apply(None)?;
            let uid = meta_text(&applied.object, "uid");
            if !uid.is_empty() {
                let why =
                    format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(ApiError::conflict(resource, target.name, &why));
            }
            rules::default(resource, &mut applied.object);
            warnings = applied.warnings;
            self.create_tracked(target, stored_shape(resource, applied.object), options)?
        };
        written.warnings.splice(0..0, warnings);
        Ok(written)
    }
}

/// Applies a patch that is not an apply.
pub(super) fn apply_patch(
    ty: &'static Type,
    format: PatchFormat,
    live: &Value,
    raw: &[u8],
    validation: FieldValidation,
) -> Result<Decoded, ApiError> {
    match format {
        PatchFormat::Json => patch::json_patch(ty, live, raw, validation),
        PatchFormat::Merge => patch::merge_patch(ty, live, raw, validation),
        PatchFormat::Strategic | PatchFormat::Apply => patch::strategic_merge_patch(ty, live, raw, validation),
    }
}

/// The name in an object must be that of the path.
pub(super) fn check_name(target: Target<'_>, object: &Value) -> Result<(), ApiError> {
    let (name, wanted) = (meta_text(object, "name"), target.name);
    if name == wanted {
        return Ok(());
    }
    Err(ApiError::bad_request(if name.is_empty() {
        format!("the name of the object ({wanted} based on URL) was undeterminable: name must be provided")
    } else {
        format!("the name of the object ({name}) does not match the name on the URL ({wanted})")
    }))
}
