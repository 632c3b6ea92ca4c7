//! OpenDocument spreadsheets: see [`odf`].

use super::odf;
use super::reading::FormatReader;

const NAME: &str = "OpenDocument spreadsheet (ODS)";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| {
        sample
            .package_type()
            .is_some_and(|kind| odf::is_kind(kind, "spreadsheet"))
    },
    parse: |bytes, bounds| odf::parse(bytes, NAME, bounds),
};
