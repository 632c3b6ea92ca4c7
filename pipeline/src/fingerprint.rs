//! What a thing is known by, that is too long or too secret to be kept.

use std::fmt;

use serde::Serialize;
use sha2::{Digest, Sha256};

/// A hash that is the same on every machine and in every version: the first half of SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; Fingerprint::LENGTH]);

impl Fingerprint {
    /// In bytes. Enough that no two documents share one by accident, and that finding a second document for a given
    /// fingerprint is out of reach.
    pub const LENGTH: usize = 16;

    /// One that was kept; `None` when it has another length.
    pub fn remembered(bytes: &[u8]) -> Option<Fingerprint> {
        bytes.try_into().ok().map(Fingerprint)
    }

    /// Takes the first `length` bytes of another one.
    pub(crate) fn begin_with(&mut self, other: &Fingerprint, length: usize) {
        self.0[..length].copy_from_slice(&other.0[..length]);
    }

    /// Whether the first `length` bytes are the same.
    pub(crate) fn begins_like(&self, other: &Fingerprint, length: usize) -> bool {
        self.0[..length] == other.0[..length]
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Of the bytes of a document and the media type that came with them, which has a say in how they are read.
    ///
    /// ```
    /// use ai_pipeline::fingerprint::Fingerprint;
    /// assert_eq!(Fingerprint::of(None, b"text"), Fingerprint::of(None, b"text"));
    /// assert_ne!(Fingerprint::of(None, b"text"), Fingerprint::of(Some("text/markdown"), b"text"));
    /// ```
    pub fn of(media_type: Option<&str>, bytes: &[u8]) -> Fingerprint {
        let mut parts = Parts::default();
        parts.optional(media_type);
        parts.add(bytes);
        parts.fingerprint()
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Values that are hashed one after the other, each with its length before it, so that no two lists of values
/// look alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parts(Sha256);

impl Parts {
    pub(crate) fn add(&mut self, value: &[u8]) {
        self.0.update((value.len() as u64).to_be_bytes());
        self.0.update(value);
    }

    pub(crate) fn optional(&mut self, value: Option<&str>) {
        self.add(&[u8::from(value.is_some())]);
        self.add(value.unwrap_or_default().as_bytes());
    }

    pub(crate) fn json<T: Serialize>(&mut self, value: &T) {
        let json = serde_json::to_vec(value).expect("configuration types hold only strings, numbers and flags");
        self.add(&json);
    }

    pub(crate) fn fingerprint(self) -> Fingerprint {
        let mut half = [0; Fingerprint::LENGTH];
        half.copy_from_slice(&self.0.finalize()[..Fingerprint::LENGTH]);
        Fingerprint(half)
    }
}
