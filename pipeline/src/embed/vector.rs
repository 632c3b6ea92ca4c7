//! A vector in an answer: numbers, or base64 of them.

use std::fmt;

use base64_simd::STANDARD as BASE64;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A vector as base64 of little-endian floats, or as numbers.
pub(super) struct WireVector(pub Vec<f32>);

impl<'de> Deserialize<'de> for WireVector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WireVector, D::Error> {
        // Not as text, which would be looked through for UTF-8: base64 says what it may hold.
        deserializer.deserialize_bytes(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = WireVector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 of floats, or a list of numbers")
    }

    fn visit_bytes<E: serde::de::Error>(self, base64: &[u8]) -> Result<WireVector, E> {
        let bytes = BASE64.decode_to_vec(base64).map_err(|_| E::custom("not base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("not a whole number of floats"));
        }
        Ok(WireVector(
            numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        ))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<WireVector, A::Error> {
        let mut vector = Vec::with_capacity(sequence.size_hint().unwrap_or(1536));
        // As f64: a number that is too large for a float becomes infinite, which concerns its vector, where a
        // parser of floats would give up the whole answer. Servers in Rust, as TEI, write `null` for what is
        // not finite: so does serde.
        while let Some(number) = sequence.next_element::<Option<f64>>()? {
            vector.push(number.map_or(f32::NAN, |number| number as f32));
        }
        Ok(WireVector(vector))
    }
}
