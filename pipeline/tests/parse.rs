//! Documents through the real `ai-parser`: what comes out, and what an error says.

use std::path::PathBuf;
use std::time::Duration;

use ai_pipeline::config::Parsing;
use ai_pipeline::error::{Class, Failure, Step};
use ai_pipeline::parse::{Error, Format, Parsed, Parser, ParserLimits, detect, parse};
use bytes::Bytes;

/// Far above what any of these documents needs on a slow machine: no test here waits for it.
const AMPLE: ParserLimits = ParserLimits {
    timeout: Duration::from_secs(120),
    memory_bytes: 1024 * 1024 * 1024,
    text_bytes: 16 * 1024 * 1024,
};

fn parser(limits: ParserLimits) -> Parser {
    Parser::new(PathBuf::from(env!("CARGO_BIN_EXE_ai-parser")), limits, 2)
}

fn data(name: &str) -> Bytes {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/parse")
        .join(name);
    std::fs::read(path).expect("the file is part of the repository").into()
}

async fn auto(bytes: impl Into<Bytes>) -> Result<String, Error> {
    text_of(parser(AMPLE).parse(bytes.into(), None, None, Parsing::Auto).await)
}

fn text_of(parsed: Result<Parsed, Error>) -> Result<String, Error> {
    Ok(parsed?.text)
}

/// The error as the queue will see it, after a check that the child reported it.
async fn reported(bytes: impl Into<Bytes>) -> Failure {
    match auto(bytes).await {
        Err(error @ Error::Reported { .. }) => error.into(),
        other => panic!("{other:?}"),
    }
}

/// A PDF of these objects, the first of which is the catalogue. Without a table of objects: readers rebuild it.
fn pdf(objects: &[&str]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    for (number, object) in (1..).zip(objects) {
        bytes.extend(format!("{number} 0 obj\n{object}\nendobj\n").bytes());
    }
    bytes.extend(b"trailer\n<< /Root 1 0 R >>\n%%EOF\n");
    bytes
}

fn stream(dictionary: &str, content: &str) -> String {
    format!(
        "<< {dictionary} /Length {} >>\nstream\n{content}\nendstream",
        content.len()
    )
}

const CATALOG: &str = "<< /Type /Catalog /Pages 2 0 R >>";
const FONT: &str = "<< /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>";

/// One page with this content, and what else it may name.
fn page(content: &str, resources: &str, more: &[&str]) -> Vec<u8> {
    let page = format!("<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font {FONT} {resources} >> >>");
    let content = stream("", content);
    let mut objects = vec![CATALOG, "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", &page, &content];
    objects.extend(more);
    pdf(&objects)
}

#[tokio::test]
async fn utf8_is_taken_as_it_is_even_without_a_program() {
    let parser = Parser::new(PathBuf::from("/nowhere/ai-parser"), AMPLE, 1);
    let text = "naïve\r\n\r\nПривет, 世界 🙂\n";
    let parsed = parser
        .parse(Bytes::from(text), Some("a.txt"), None, Parsing::Auto)
        .await;
    assert_eq!(text_of(parsed).as_deref(), Ok(text));
    let marked = Bytes::from(format!("\u{FEFF}{text}"));
    let marked = parser.parse(marked, None, Some("text/markdown"), Parsing::Docling);
    assert_eq!(text_of(marked.await).as_deref(), Ok(text));
    let empty = parser.parse(Bytes::new(), Some("empty.pdf"), None, Parsing::Pymupdf);
    assert_eq!(empty.await, Ok(Parsed::default()));
}

#[tokio::test]
async fn old_charsets_are_recognised() {
    let russian = "Съешь же ещё этих мягких французских булок, да выпей чаю.";
    let japanese = "いろはにほへと ちりぬるを。吾輩は猫である。名前はまだ無い。";
    let french = "Le cœur déçu mais l'âme plutôt naïve, Louÿs rêva de crapaüter en canoë";
    for (encoding, text) in [
        (encoding_rs::WINDOWS_1251, russian),
        (encoding_rs::KOI8_R, russian),
        (encoding_rs::SHIFT_JIS, japanese),
        (encoding_rs::EUC_JP, japanese),
        (encoding_rs::WINDOWS_1252, french),
    ] {
        let (bytes, _, lost) = encoding.encode(text);
        assert!(!lost, "{} can write the sample", encoding.name());
        assert_eq!(
            auto(bytes.into_owned()).await.as_deref(),
            Ok(text),
            "{}",
            encoding.name()
        );
    }
    assert_eq!(
        auto(&b"caf\xE9 cr\xE8me br\xFBl\xE9e"[..]).await.as_deref(),
        Ok("café crème brûlée")
    );
}

#[tokio::test]
async fn byte_order_marks_are_obeyed_and_removed() {
    let text = "Ёлки\r\n世界 🙂";
    let little: Vec<u8> = "\u{FEFF}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let big: Vec<u8> = "\u{FEFF}"
        .encode_utf16()
        .chain(text.encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect();
    assert_eq!(auto(little).await.as_deref(), Ok(text));
    assert_eq!(auto(big).await.as_deref(), Ok(text));
    let utf32: Vec<u8> = "\u{FEFF}text"
        .chars()
        .flat_map(|character| u32::from(character).to_le_bytes())
        .collect();
    assert_eq!(auto(utf32).await.as_deref(), Ok("text"));
}

#[tokio::test]
async fn nul_characters_are_removed() {
    assert_eq!(auto(&b"one\0two\0"[..]).await.as_deref(), Ok("onetwo"));
    let wide: Vec<u8> = "\u{FEFF}one\0two".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(auto(wide).await.as_deref(), Ok("onetwo"));
}

#[tokio::test]
async fn binary_data_is_refused_by_name() {
    let png = reported(&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\xFF"[..]).await;
    assert_eq!(
        png.reason,
        "the document is Portable Network Graphics, which cannot be parsed"
    );
    assert_eq!((png.step, png.class), (Step::Parsing, Class::Permanent));
    assert_eq!(
        png.hint.as_deref(),
        Some(
            "plain text, Markdown, PDF with a text layer, and office, web and mail documents can be read; convert others \
             to one of these"
        )
    );
    let rubbish: Vec<u8> = (0..4096_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    assert_eq!(
        reported(rubbish).await.reason,
        "the document is binary data of no known format, which cannot be parsed"
    );
}

#[tokio::test]
async fn parsing_none_takes_any_text_and_nothing_else() {
    let none = |bytes: &'static [u8], name| async move {
        let parser = parser(AMPLE);
        let parsed = parser.parse(Bytes::from_static(bytes), Some(name), None, Parsing::None);
        text_of(parsed.await)
    };
    assert_eq!(
        none(b"<html><p>as it is", "page.html").await.as_deref(),
        Ok("<html><p>as it is")
    );
    assert_eq!(
        none(b"a page of \xC0 \xEF caf\xE9 text", "report.pdf").await.as_deref(),
        Ok("a page of À ï café text")
    );
    let error = none(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a.txt").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the document is not text but Portable Network Graphics"
    );
    assert!(error.hint().is_some_and(|hint| hint.contains("ai.parsing_auto()")));
}

#[tokio::test]
async fn formats_that_are_text_inside_are_refused_without_a_child() {
    let parser = Parser::new(PathBuf::from("/nowhere/ai-parser"), AMPLE, 1);
    let drawing = parser
        .parse(Bytes::from("%!PS-Adobe-3.0\n"), None, None, Parsing::Auto)
        .await
        .unwrap_err();
    assert_eq!(
        drawing,
        Error::Unsupported {
            seen: "PostScript".to_owned()
        }
    );
    assert_eq!(drawing.class(), Class::Permanent);
    let mail = "MIME-Version: 1.0\nFrom: a@b.c\nTo: d@e.f\n\nHello";
    let mail = Bytes::from(format!("From a@b.c Mon Jan  1 00:00:00 2024\n{mail}"));
    let mail = parser.parse(mail, None, None, Parsing::Auto).await.unwrap_err();
    assert_eq!(mail, Error::Mail { seen: "a mailbox" });
    let escaped = Bytes::from("Gr+APYA3w-e f+APw-r B+APw-cher");
    let utf7 = parser.parse(escaped, None, None, Parsing::Auto).await.unwrap_err();
    assert_eq!(utf7, Error::Charset { name: "UTF-7" });
}

#[tokio::test]
async fn charsets_without_a_mark_are_decoded_by_the_child() {
    let text = "Все люди рождаются свободными.\r\n";
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let japanese = &b"\x1B$B$$$m$O$K$[$X$H\x1B(B"[..];
    for how in [Parsing::Auto, Parsing::None] {
        let parse = async |bytes: Bytes| text_of(parser(AMPLE).parse(bytes, None, None, how).await);
        assert_eq!(parse(wide.clone().into()).await.as_deref(), Ok(text), "{how:?}");
        assert_eq!(parse(japanese.into()).await.as_deref(), Ok("いろはにほへと"), "{how:?}");
    }
    let ebcdic = b"\xE3\xC8\xC5\x40\xD9\xC5\xD7\xD6\xD9\xE3\x40\xC5\xD5\xC4\xE2\x40\xC8\xC5\xD9\xC5\x15";
    let named = reported(&ebcdic[..]).await;
    assert_eq!(
        (named.reason.as_str(), named.hint.as_deref()),
        (
            "the document is text in EBCDIC, which cannot be decoded",
            Some("store it in UTF-8")
        )
    );
}

#[tokio::test]
async fn too_much_text_is_refused_on_both_ways() {
    let parser = parser(ParserLimits {
        text_bytes: 10,
        ..AMPLE
    });
    for document in [
        &b"eleven char"[..],
        b"eleven ch\xE0r",
        b"\xFF\xFEe\0l\0e\0v\0e\0n\0 \0c\0h\0a\0r\0",
    ] {
        let error = parser
            .parse(document.into(), None, None, Parsing::Auto)
            .await
            .unwrap_err();
        assert_eq!(error, Error::TooMuchText { limit: 10 });
        assert!(error.hint().is_some_and(|hint| hint.contains("ai.max_document_size")));
    }
    let fits = parser.parse(Bytes::from("ten chars."), None, None, Parsing::Auto);
    assert_eq!(text_of(fits.await).as_deref(), Ok("ten chars."));
}

#[tokio::test]
async fn a_pdf_gives_words_lines_and_paragraphs() {
    let text = auto(data("reportlab.pdf")).await.unwrap();
    assert_eq!(
        text,
        "Water and electricity\n\nA battery pushes electrons through a wire as a pump\npushes water through a pipe. The \
         pressure of the pump is\nthe voltage, the flow of the water is the current, and a\nnarrow pipe is a \
         resistance.\n\nThe second paragraph speaks of cafés, naïve questions\nand 20 €."
    );
}

#[tokio::test]
async fn a_pdf_with_embedded_fonts_gives_letters_not_glyphs() {
    let text = auto(data("typst.pdf")).await.unwrap();
    assert!(text.starts_with("Vectors that stay true\n"), "{text}");
    for part in [
        "so an office finds its flat affairs",
        "Привет, мир! Ёлки зелёные.",
        "\n\nSecond page\n",
        "1536",
    ] {
        assert!(text.contains(part), "{part} is missing from {text}");
    }
}

#[tokio::test]
async fn an_encrypted_pdf_is_read_if_it_needs_no_password() {
    let text = auto(data("encrypted-empty.pdf")).await;
    assert_eq!(text, auto(data("reportlab.pdf")).await);
    let secret = reported(data("encrypted-secret.pdf")).await;
    assert_eq!(secret.reason, "the PDF is encrypted and needs a password");
    assert_eq!(secret.class, Class::Permanent);
}

#[tokio::test]
async fn a_pdf_without_text_says_that_there_is_no_ocr() {
    let scan = reported(data("scan.pdf")).await;
    assert_eq!(scan.reason, "the PDF has no text layer; OCR is not supported (2 pages)");
    assert_eq!(scan.class, Class::Permanent);
}

#[tokio::test]
async fn a_file_called_pdf_that_is_none_is_refused() {
    let error = parser(AMPLE)
        .parse(Bytes::from("Not found"), Some("a/b.pdf"), None, Parsing::Auto)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the document is called a PDF but is text");
    assert_eq!(error.class(), Class::Permanent);
}

#[tokio::test]
async fn a_truncated_pdf_gives_text_or_a_clear_error() {
    let whole = data("typst.pdf");
    for length in [9, 100, whole.len() / 4, whole.len() / 2, whole.len() - 100] {
        match auto(whole.slice(..length)).await {
            Ok(text) => assert!(!text.is_empty()),
            Err(error) => {
                assert_eq!(error.class(), Class::Permanent, "{error}");
                assert!(error.to_string().starts_with("the PDF "), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_cannot_be_read_is_left_out_where_others_can() {
    let good = stream("", "BT /F1 12 Tf 10 10 Td (the good page) Tj ET");
    let bad = stream("/Filter /FlateDecode", "this was never deflated");
    let page =
        |content: u32| format!("<< /Type /Page /Parent 2 0 R /Contents {content} 0 R /Resources << /Font {FONT} >> >>");
    let document = pdf(&[
        CATALOG,
        "<< /Type /Pages /Kids [3 0 R 4 0 R] /Count 2 >>",
        &page(5),
        &page(6),
        &bad,
        &good,
    ]);
    assert_eq!(auto(document).await.as_deref(), Ok("the good page"));
}

#[tokio::test]
async fn distances_between_strings_become_spaces_and_lines() {
    let content = "BT /F1 10 Tf 50 700 Td [(no) 20 (gap) -400 (one) -400 ( gap)] TJ 0 -12 Td (next) Tj \
                   3 3 Td (line) Tj 0 -40 TD (far) Tj T* (below) Tj ET";
    assert_eq!(
        auto(page(content, "", &[])).await.as_deref(),
        Ok("nogap one gap\nnext\nline\n\nfar\n\nbelow")
    );
}

#[tokio::test]
async fn text_of_forms_is_read_where_they_are_drawn() {
    let form = stream("/Type /XObject /Subtype /Form", "BT /F1 10 Tf 0 0 Td (stamped) Tj ET");
    let content = "BT /F1 10 Tf 50 700 Td (before) Tj ET q 1 0 0 1 50 650 cm /X Do Q \
                   BT /F1 10 Tf 50 600 Td (after) Tj ET";
    let document = page(content, "/XObject << /X 5 0 R >>", &[&form]);
    assert_eq!(auto(document).await.as_deref(), Ok("before\n\nstamped\n\nafter"));
}

#[tokio::test]
async fn bombs_are_refused_within_the_limits() {
    let flate = reported(data("bomb.pdf")).await;
    assert_eq!(
        flate.reason,
        "the PDF is damaged: a stream of it inflates to more than 64 MB"
    );
    assert_eq!(flate.class, Class::Permanent);

    // Forty forms, each of which draws the next three times.
    let forms: Vec<String> = (5..45)
        .map(|number| {
            let next = format!(
                "/Type /XObject /Subtype /Form /Resources << /XObject << /X {} 0 R >> >>",
                number + 1
            );
            stream(&next, "/X Do /X Do /X Do")
        })
        .collect();
    let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
    let recursion = reported(page("/X Do", "/XObject << /X 5 0 R >>", &forms)).await;
    assert_eq!(
        recursion.reason,
        "the PDF is damaged: its objects refer to each other in a circle"
    );

    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    assert_eq!(
        reported(page("", "/XObject << /X 5 0 R >>", &[&nested])).await.class,
        Class::Permanent
    );

    let circle = pdf(&[CATALOG, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]);
    assert_eq!(reported(circle).await.class, Class::Permanent);
}

#[tokio::test]
async fn a_document_that_needs_more_memory_than_allowed_is_refused() {
    let parser = parser(ParserLimits {
        memory_bytes: 32 * 1024 * 1024,
        ..AMPLE
    });
    // One is too large to be read, the other to be decoded.
    for size in [40, 8] {
        let mut bytes = vec![b' '; size * 1024 * 1024];
        bytes[0] = 0xE9;
        let error = parser.parse(bytes.into(), None, None, Parsing::Auto).await.unwrap_err();
        assert_eq!(
            error,
            Error::TooMuchMemory {
                limit: 32 * 1024 * 1024
            },
            "{size} MB"
        );
        assert_eq!(error.to_string(), "parsing needed more than 32 MB of memory");
        assert!(error.hint().is_some_and(|hint| hint.contains("ai.parser_memory")));
    }
}

#[tokio::test]
async fn the_child_and_the_pure_function_agree() {
    for name in [
        "reportlab.pdf",
        "typst.pdf",
        "encrypted-empty.pdf",
        "scan.pdf",
        "encrypted-secret.pdf",
        "make.py",
    ] {
        let bytes = data(name);
        let pure = detect(&bytes, Some(name), None)
            .and_then(|format| parse(&bytes, format))
            .map_err(Failure::from);
        let child = parser(AMPLE)
            .parse(bytes, Some(name), None, Parsing::Auto)
            .await
            .map_err(Failure::from);
        assert_eq!(pure, child, "{name}");
    }
    assert_eq!(
        detect(&data("README.md"), Some("README.md"), None),
        Ok(Format::Markdown)
    );
}
