//! OpenDocument texts: see [`odf`].

use super::odf;
use super::reading::Reading;

const NAME: &str = "OpenDocument text (ODT)";

pub(super) const READING: Reading = Reading {
    is: |sample| sample.package_type().is_some_and(|kind| odf::is_kind(kind, "text")),
    parse: |bytes, bounds| odf::parse(bytes, NAME, bounds),
};
