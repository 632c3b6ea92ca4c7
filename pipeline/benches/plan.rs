//! Comparing the chunks of a document with the stored ones, and digesting them.

mod measure;
mod prose;

use ai_pipeline::plan::{Digest, compare};
use measure::measure;
use prose::prose;

fn main() {
    let text = prose(8 << 20);
    let chunks: Vec<&str> = text.split("\n\n").collect();
    let number = chunks.len();
    measure("Digest::of", (text.len(), "byte"), || {
        chunks.iter().map(|chunk| Digest::of(chunk)).collect::<Vec<_>>()
    });
    let stored: Vec<Digest> = chunks.iter().map(|chunk| Digest::of(chunk)).collect();
    measure("compare, nothing has changed", (number, "chunk"), || {
        compare(&stored, stored.iter().copied())
    });
    let mut moved = stored.clone();
    moved.rotate_left(number / 2);
    measure("compare, everything has moved", (number, "chunk"), || {
        compare(&stored, moved.iter().copied())
    });
    let other: Vec<Digest> = chunks.iter().map(|chunk| Digest::of(&chunk[1..])).collect();
    measure("compare, nothing is left", (number, "chunk"), || {
        compare(&stored, other.iter().copied())
    });
}
