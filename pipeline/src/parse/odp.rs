//! OpenDocument presentations: see [`odf`].

use super::odf;
use super::reading::FormatReader;

const NAME: &str = "OpenDocument presentation (ODP)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        sample
            .package_type()
            .is_some_and(|kind| odf::is_kind(kind, "presentation"))
    },
    parse: |bytes, bounds| odf::parse(bytes, NAME, bounds),
};
