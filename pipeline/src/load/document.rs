//! A document as it was loaded.

use bytes::Bytes;

use super::tag::Tag;

/// What was behind a URI.
#[derive(Clone, Debug)]
pub struct Document {
    /// The content, as it was before a `Content-Encoding`.
    pub bytes: Bytes,
    /// Last segment of the path.
    pub name: Option<String>,
    /// The `Content-Type` of S3 or the web server, as sent, parameters included.
    pub media_type: Option<String>,
    /// What spares the next download, where the other side says enough about the document.
    pub tag: Option<Tag>,
}

/// What a second look at a URI has found.
#[derive(Clone, Debug)]
pub enum Loaded {
    /// The document that the tag was of. Nothing was downloaded.
    Unchanged,
    /// The document, whole. It may still be the same: not every server can tell.
    Document(Document),
    /// It has more bytes than there was room for.
    Larger {
        /// Its size, where it was announced.
        size: Option<u64>,
    },
}
