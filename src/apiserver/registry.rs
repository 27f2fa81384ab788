//! Where the pipeline looks up what is a kind's own.
//!
//! Book: `book/src/control-plane/apiserver.md`.

use wavetank_api::json::Value;

use wavetank_api::{Guards, KindId};

use crate::admission;
use crate::field::Errors;
use crate::kinds::object_meta;
use crate::strategies;
use crate::strategy::{Admit, Strategy};

/// How this kind differs from the others.
pub(crate) fn strategy(kind: KindId) -> &'static Strategy {
    strategies::of(kind)
}

/// The admission plugins in order.
pub(crate) fn plugins() -> &'static [(&'static str, Admit)] {
    admission::PLUGINS
}

/// The rules of a new object's metadata.
pub(crate) fn validate_metadata(object: &Value, kind: KindId) -> Errors {
    object_meta::validate(object, kind.info().namespaced, strategy(kind).name_rule)
}

/// The rules of a change of metadata.
pub(crate) fn validate_metadata_update(new: &Value, old: &Value, guards: Guards) -> Errors {
    object_meta::validate_update(new, old, guards)
}
