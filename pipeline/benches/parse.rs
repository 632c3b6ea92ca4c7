//! Bytes of documents to texts, in this process.

mod measure;
mod prose;

use std::path::Path;

use ai_pipeline::parse::{Format, detect, parse};
use measure::measure;
use prose::prose;

fn main() {
    let text = prose(1 << 20);
    let (latin, _, _) = encoding_rs::WINDOWS_1252.encode(&text);
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, bytes) in [
        ("UTF-8", text.as_bytes()),
        ("windows-1252", &*latin),
        ("UTF-16 without a mark", &wide),
    ] {
        measure(&format!("detect, {name}"), (bytes.len(), "byte"), || {
            detect(bytes, None, None)
        });
        measure(&format!("parse, {name}"), (bytes.len(), "byte"), || {
            parse(bytes, Format::Text)
        });
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/parse");
    for name in ["reportlab.pdf", "typst.pdf"] {
        let bytes = std::fs::read(data.join(name)).expect("the file is part of the repository");
        measure(&format!("parse, {name}"), (bytes.len(), "byte"), || {
            parse(&bytes, Format::Pdf)
        });
    }
}
