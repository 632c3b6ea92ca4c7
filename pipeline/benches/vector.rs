//! Vectors in answers of providers, as base64 and as numbers.

mod measure;

#[path = "../src/embed/vector.rs"]
mod vector;

use base64_simd::STANDARD as BASE64;
use measure::measure;
use vector::WireVector;

const DIMENSIONS: usize = 1536;
const VECTORS: usize = 100;

fn main() {
    let number = |at: usize| (at as f32 * 0.618).sin() / 40.0;
    let vectors: Vec<Vec<f32>> = (0..VECTORS)
        .map(|vector| (0..DIMENSIONS).map(|at| number(vector * DIMENSIONS + at)).collect())
        .collect();
    let numbers = serde_json::to_vec(&vectors).expect("numbers are JSON");
    let bytes = |vector: &Vec<f32>| {
        vector
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let base64: Vec<String> = vectors
        .iter()
        .map(|vector| BASE64.encode_to_string(bytes(vector)))
        .collect();
    let base64 = serde_json::to_vec(&base64).expect("texts are JSON");
    for (name, answer) in [("base64", base64), ("numbers", numbers)] {
        measure(name, (VECTORS * DIMENSIONS, "number"), || {
            let read: Vec<WireVector> = serde_json::from_slice(&answer).expect("it is an answer");
            read.into_iter().map(|WireVector(vector)| vector.len()).sum::<usize>()
        });
    }
}
