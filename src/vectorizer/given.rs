//! A section of the configuration as it was given and as its type: the border between the two.

use ai_pipeline::config::document::{self, Section, Unfit};
use serde_json::Value;

use crate::postgres::error::{exception, invalid};

/// A section as it was given, which is what the catalogue keeps, and as its type.
pub struct Given<T> {
    pub document: Value,
    pub value: T,
}

impl<T: Section> Given<T> {
    /// Raises what keeps it from being one.
    pub fn read(document: Option<Value>) -> Given<T> {
        let value = document::read(document.as_ref()).unwrap_or_else(|unfit| refuse(unfit));
        let document = document.expect("what was read is there");
        Given { document, value }
    }
}

/// Raises the ERROR of a document that is not a section of the configuration.
pub fn refuse(unfit: Unfit) -> ! {
    if unfit.is_pgais {
        exception(unfit.text)
    } else {
        invalid(unfit.text)
    }
}
