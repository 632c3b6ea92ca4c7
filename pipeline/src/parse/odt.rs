//! OpenDocument texts: see [`odf`].

use super::odf;
use super::reading::FormatReader;

const NAME: &str = "OpenDocument text (ODT)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.package_type().is_some_and(|kind| odf::is_kind(kind, "text")),
    parse: |bytes, bounds| odf::parse(bytes, NAME, bounds),
};
