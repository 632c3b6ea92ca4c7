//! Office, web and mail documents: what is read of each, and what is said of those that are damaged or hostile.
//!
//! The files are made by other programs (see `data/parse/README.md`), or here, byte by byte.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use ai_pipeline::config::Parsing;
use ai_pipeline::error::Class;
use ai_pipeline::parse::{Error, Format, MarkKind, Parsed, Parser, ParserLimits, detect, parse};
use bytes::Bytes;
use flate2::write::{DeflateEncoder, GzEncoder};
use flate2::{Compression, Crc, FlushCompress};

const AMPLE: ParserLimits = ParserLimits {
    timeout: Duration::from_secs(120),
    memory_bytes: 1024 * 1024 * 1024,
    text_bytes: 64 * 1024 * 1024,
};

fn data(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/parse")
        .join(name);
    std::fs::read(path).expect("the file is part of the repository")
}

/// In this process, by nothing but the bytes.
fn read(bytes: &[u8]) -> Result<Parsed, Error> {
    read_as(bytes, None)
}

fn read_as(bytes: &[u8], name: Option<&str>) -> Result<Parsed, Error> {
    parse(bytes, detect(bytes, name, None)?)
}

#[track_caller]
fn assert_text(bytes: &[u8], text: &str) {
    assert_eq!(read(bytes).map(|parsed| parsed.text).as_deref(), Ok(text));
}

#[track_caller]
fn assert_refused(bytes: &[u8], reason: &str) {
    let error = read(bytes).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.class()), (reason, Class::Permanent));
    assert!(error.hint().is_some(), "{reason}");
}

/// A ZIP archive of these files, each with its deflated bytes and the size that the archive says it has.
fn archive_of(files: &[(&str, Vec<u8>, usize)], flags: u16) -> Vec<u8> {
    let (mut bytes, mut table) = (Vec::new(), Vec::new());
    for (name, deflated, size) in files {
        let mut head = Vec::new();
        head.extend([20_u16, flags, 8, 0, 0].map(u16::to_le_bytes).concat());
        head.extend([0, deflated.len() as u32, *size as u32].map(u32::to_le_bytes).concat());
        head.extend([name.len() as u16, 0].map(u16::to_le_bytes).concat());
        table.extend(b"PK\x01\x02\x14\0");
        table.extend(&head);
        table.extend([0; 10]);
        table.extend((bytes.len() as u32).to_le_bytes());
        table.extend(name.bytes());
        bytes.extend(b"PK\x03\x04");
        bytes.extend(&head);
        bytes.extend(name.bytes());
        bytes.extend(deflated);
    }
    let (from, count) = (bytes.len() as u32, files.len() as u16);
    bytes.extend(&table);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].map(u16::to_le_bytes).concat());
    bytes.extend([table.len() as u32, from].map(u32::to_le_bytes).concat());
    bytes.extend([0, 0]);
    bytes
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a vector takes all");
    encoder.finish().expect("a vector takes all")
}

fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (*name, deflate(text.as_bytes()), text.len()))
        .collect();
    archive_of(&files, 0)
}

/// So many megabytes of spaces, deflated.
fn bomb(megabytes: usize) -> Vec<u8> {
    let mut piece = Vec::with_capacity(64 * 1024);
    let mut encoder = flate2::Compress::new(Compression::fast(), false);
    let spaces = vec![b' '; 1024 * 1024];
    encoder
        .compress_vec(&spaces, &mut piece, FlushCompress::Full)
        .expect("it can be compressed");
    assert_eq!(encoder.total_in(), spaces.len() as u64);
    let mut all = piece.repeat(megabytes);
    // An empty last block.
    all.extend([0x03, 0x00]);
    all
}

const DOCX_TYPES: (&str, &str) = (
    "[Content_Types].xml",
    r#"<Types><Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>"#,
);
const DOCX_RELATIONS: (&str, &str) = (
    "_rels/.rels",
    r#"<Relationships><Relationship Id="a" Type="http://x/officeDocument" Target="word/document.xml"/></Relationships>"#,
);

fn docx(body: &str) -> Vec<u8> {
    let text = format!("<?xml version='1.0'?><w:document xmlns:w='x'><w:body>{body}</w:body></w:document>");
    archive(&[DOCX_TYPES, DOCX_RELATIONS, ("word/document.xml", &text)])
}

fn xlsx(rows: &str) -> Vec<u8> {
    archive(&[
        (
            "[Content_Types].xml",
            r#"<Types><Override ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>"#,
        ),
        (
            "_rels/.rels",
            r#"<Relationships><Relationship Id="a" Type="http://x/officeDocument" Target="/xl/workbook.xml"/></Relationships>"#,
        ),
        (
            "xl/workbook.xml",
            r#"<workbook><sheets><sheet name="One" sheetId="1" r:id="s"/></sheets></workbook>"#,
        ),
        (
            "xl/_rels/workbook.xml.rels",
            r#"<Relationships><Relationship Id="s" Type="http://x/worksheet" Target="sheet.xml"/></Relationships>"#,
        ),
        (
            "xl/sheet.xml",
            &format!("<worksheet><sheetData>{rows}</sheetData></worksheet>"),
        ),
    ])
}

fn odf(kind: &str, content: &str) -> Vec<u8> {
    archive(&[
        ("mimetype", &format!("application/vnd.oasis.opendocument.{kind}")),
        ("content.xml", content),
    ])
}

/// A compound file with these streams, each in sectors of its own.
fn compound(streams: &[(&str, Vec<u8>)]) -> Vec<u8> {
    const SECTOR: usize = 512;
    let sectors = |length: usize| length.div_ceil(SECTOR);
    let mut table: Vec<u32> = vec![0xFFFF_FFFD];
    let (mut entries, mut content) = (Vec::new(), Vec::new());
    let entry = |name: &str, kind: u8, right: u32, child: u32, start: u32, size: u32| {
        let mut entry: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        entry.resize(64, 0);
        entry.extend((name.len() as u16 * 2 + 2).to_le_bytes());
        entry.extend([kind, 1]);
        entry.extend([u32::MAX, right, child].map(u32::to_le_bytes).concat());
        entry.resize(116, 0);
        entry.extend([start, size, 0].map(u32::to_le_bytes).concat());
        entry
    };
    let directory = sectors((streams.len() + 1) * 128);
    let mut next = 1 + directory as u32;
    entries.extend(entry("Root Entry", 5, u32::MAX, 1, u32::MAX - 1, 0));
    for sector in 0..directory {
        table.push(if sector + 1 == directory {
            u32::MAX - 1
        } else {
            sector as u32 + 2
        });
    }
    for (number, (name, bytes)) in streams.iter().enumerate() {
        // Short streams would lie in short sectors.
        let mut bytes = bytes.clone();
        bytes.resize(bytes.len().max(4096), 0);
        let count = sectors(bytes.len()) as u32;
        let right = if number + 1 == streams.len() {
            u32::MAX
        } else {
            number as u32 + 2
        };
        entries.extend(entry(name, 2, right, u32::MAX, next, bytes.len() as u32));
        table.extend((1..count).map(|at| next + at).chain([u32::MAX - 1]));
        next += count;
        bytes.resize(count as usize * SECTOR, 0);
        content.extend(bytes);
    }
    entries.resize(directory * SECTOR, 0);
    let mut bytes = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1".to_vec();
    bytes.resize(24, 0);
    bytes.extend([0x3E_u16, 3, 0xFFFE, 9, 6, 0, 0, 0].map(u16::to_le_bytes).concat());
    bytes.extend(
        [0, 1, 1, 0, 4096, u32::MAX - 1, 0, u32::MAX - 1, 0, 0]
            .map(u32::to_le_bytes)
            .concat(),
    );
    bytes.resize(SECTOR, 0xFF);
    table.resize(SECTOR / 4, u32::MAX);
    bytes.extend(table.into_iter().flat_map(u32::to_le_bytes));
    bytes.extend(entries);
    bytes.extend(content);
    bytes
}

fn put(bytes: &mut Vec<u8>, at: usize, value: &[u8]) {
    bytes.resize(bytes.len().max(at + value.len()), 0);
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// A Word document of 97 with this text in one piece, of which the pages of properties say these (place of the end and
/// properties) of its paragraphs.
fn doc(text: &str, paragraphs: &[(usize, &[u8])], flags: u16) -> Vec<u8> {
    let (mut main, mut table) = (Vec::new(), Vec::new());
    put(&mut main, 0, &0xA5EC_u16.to_le_bytes());
    put(&mut main, 2, &193_u16.to_le_bytes());
    put(&mut main, 0x0A, &(flags | 0x0200).to_le_bytes());
    put(&mut main, 0x4C, &(text.len() as u32).to_le_bytes());
    put(&mut main, 1024, text.as_bytes());
    // The page with the properties is the fifth.
    let mut page = vec![0; 512];
    page[511] = paragraphs.len() as u8;
    let mut from = 1024_u32;
    let mut free = 510;
    for (number, (to, properties)) in paragraphs.iter().enumerate() {
        page[4 * number..4 * number + 4].copy_from_slice(&from.to_le_bytes());
        from = 1024 + *to as u32;
        page[4 * number + 4..4 * number + 8].copy_from_slice(&from.to_le_bytes());
        free -= (properties.len() + 2) & !1;
        page[4 * (paragraphs.len() + 1) + 13 * number] = (free / 2) as u8;
        page[free] = properties.len().div_ceil(2) as u8;
        page[free + 1..free + 1 + properties.len()].copy_from_slice(properties);
    }
    put(&mut main, 5 * 512, &page);
    table.extend([1024, from, 5].map(u32::to_le_bytes).concat());
    put(
        &mut main,
        0x102,
        &[0, table.len() as u32].map(u32::to_le_bytes).concat(),
    );
    let pieces = table.len() as u32;
    table.push(2);
    table.extend([16, 0, text.len() as u32].map(u32::to_le_bytes).concat());
    table.extend([0, 0]);
    table.extend((0x4000_0000_u32 | (1024 * 2)).to_le_bytes());
    table.extend([0, 0]);
    put(
        &mut main,
        0x1A2,
        &[pieces, table.len() as u32 - pieces].map(u32::to_le_bytes).concat(),
    );
    compound(&[("WordDocument", main), ("1Table", table)])
}

/// A record of a presentation.
fn record(kind: u16, version: u16, body: &[u8]) -> Vec<u8> {
    let mut record = [version, kind].map(u16::to_le_bytes).concat();
    record.extend((body.len() as u32).to_le_bytes());
    record.extend(body);
    record
}

fn ppt() -> Vec<u8> {
    let text = |kind: u32, text: &str| {
        [
            record(0x0F9F, 0, &kind.to_le_bytes()),
            record(0x0FA8, 0, text.as_bytes()),
        ]
        .concat()
    };
    let outline = record(0x0F9E, 0, &0_u32.to_le_bytes());
    let slide = record(0x03EE, 0xF, &[text(1, "the battery\rthe wire"), outline].concat());
    let notes = [
        record(0x03F1, 0, &256_u32.to_le_bytes()),
        text(2, "Show the pump first."),
    ]
    .concat();
    let notes = record(0x03F0, 0xF, &notes);
    let place = |number: u32, id: u32| record(0x03F3, 0, &[number, 0, 0, id, 0].map(u32::to_le_bytes).concat());
    let slides = record(0x0FF0, 0xF, &[place(2, 256), text(0, "Water and electricity")].concat());
    let noted = record(0x0FF0, 0x2F, &place(3, 1));
    let document = record(0x03E8, 0xF, &[slides, noted].concat());
    let (second, third) = (document.len(), document.len() + slide.len());
    let list = [1 | 3 << 20, 0, second as u32, third as u32]
        .map(u32::to_le_bytes)
        .concat();
    let list = record(0x1772, 0, &list);
    let mut main = [document, slide, notes].concat();
    let list_at = main.len() as u32;
    main.extend(list);
    let edit_at = main.len() as u32;
    main.extend(record(
        0x0FF5,
        0,
        &[0, 0, 0, list_at, 1, 0, 0].map(u32::to_le_bytes).concat(),
    ));
    let user = [0, 0x14, 0, 0xE391_C05F, edit_at].map(u32::to_le_bytes).concat();
    // The header of the record is before its body.
    compound(&[("PowerPoint Document", main), ("Current User", user)])
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn msg() -> Vec<u8> {
    compound(&[
        ("__properties_version1.0", vec![0; 32]),
        ("__substg1.0_0037001F", wide("The report")),
        ("__substg1.0_0C1A001F", wide("Anna")),
        ("__substg1.0_0E04001F", wide("Bob")),
        ("__substg1.0_1000001F", wide("Here it is.\r\nGrüße")),
    ])
}

/// What `make_office.py` has written as Markdown.
const WATER: &str = "# Water and electricity\n\nA battery pushes electrons through a wire as a pump pushes water.[^1] See the \
    pump.\n\n## Parts\n\n- the battery\n  - its poles\n- the wire\n\n1. Connect the poles.\n2. Measure the voltage.\n\n\
    | Part | Price |\n| --- | --- |\n| Battery | 20 € |\n| Wire, naïve | 1.50 € |\n\n```\nvoltage = current * resistance\n\
    ```\n\n[^1]: Electrons flow the other way.";

const PRICES: &str = "## Prices\n\n| Part | Price | Since |\n| --- | --- | --- |\n| Battery | 20 | 2024-03-01 |\n| Wire | 1.5 | 2025-01-31 |";

#[test]
fn a_word_document_keeps_its_structure() {
    for name in ["pandoc.docx", "pandoc.odt"] {
        assert_text(&data(name), &format!("# Pandoc\n\n{WATER}"));
    }
    let rich = WATER
        .replace("  - its poles", "- its poles")
        .replace("```\n", "")
        .replace("\n```", "");
    assert_text(&data("pandoc.rtf"), &format!("Pandoc\n\n{rich}"));
}

#[test]
fn a_book_is_read_in_the_order_of_its_chapters() {
    let book = WATER.replace("[^1] ", "1 ").replace("[^1]: ", "");
    assert_text(&data("pandoc.epub"), &format!("# Pandoc\n\n{book}"));
}

#[test]
fn sheets_become_tables_under_their_names() {
    let lists = "\n\n## Lists\n\n| kept | TRUE |\n| --- | --- |\n\n| after a gap | 0.3 |\n| --- | --- |";
    assert_text(&data("openpyxl.xlsx"), &format!("{PRICES}{lists}"));
    assert_text(&data("xlwt.xls"), &format!("{PRICES}\n| Größe: 世界 |"));
    assert_text(&data("odfpy.ods"), PRICES);
}

#[test]
fn slides_have_titles_notes_and_page_marks() {
    let parsed = read(&data("pandoc.pptx")).unwrap();
    assert_eq!(
        parsed.text,
        "## Water and electricity\n\n- the battery\n- the wire\n\nShow the pump first.\n\n## Prices\n\n\
         | Part | Price |\n| --- | --- |\n| Battery | 20 € |"
    );
    let marks: Vec<_> = parsed
        .marks
        .iter()
        .map(|mark| (&parsed.text[mark.at as usize..][..8], mark.kind))
        .collect();
    assert_eq!(
        marks,
        [("## Water", MarkKind::Page(1)), ("## Price", MarkKind::Page(2))]
    );
    assert_text(
        &ppt(),
        "## Water and electricity\n\n- the battery\n- the wire\n\nShow the pump first.",
    );
}

#[test]
fn an_old_word_document_has_headings_lists_and_tables() {
    let text = "Parts\rthe wire\ra\x07b\x07\x07\x13HYPERLINK x\x14the pump\x15 ends\r";
    let cell = [0, 0, 0x16, 0x24, 1];
    let row = [0, 0, 0x16, 0x24, 1, 0x17, 0x24, 1, 0];
    let paragraphs: [(usize, &[u8]); 6] = [
        (6, &[2, 0, 0, 0, 0]),
        (15, &[0, 0, 0x0B, 0x46, 1, 0, 0]),
        (17, &cell),
        (19, &cell),
        (20, &row),
        (text.len(), &[0, 0, 0]),
    ];
    assert_text(
        &doc(text, &paragraphs, 0),
        "## Parts\n\n- the wire\n\n| a | b |\n| --- | --- |\n\nthe pump ends",
    );
    assert_refused(
        &doc(text, &paragraphs, 0x0100),
        "the Word document (DOC) is encrypted and needs a password",
    );
}

#[test]
fn mail_is_read_once_with_its_headers_and_the_names_of_its_attachments() {
    let mail = "Received: from x by y; today\r\nFrom: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r\nTo: bob@example.org\r\n\
        Subject: The report\r\nDate: Fri, 1 Mar 2024 10:00:00 +0100\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHere it \
        is, J=F6rg.\r\n--a\r\nContent-Type: text/html\r\n\r\n<p>Here it is, J&ouml;rg.\r\n--a--\r\n--m\r\n\
        Content-Type: application/pdf; name=report.pdf\r\nContent-Disposition: attachment; filename=report.pdf\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--m--\r\n";
    assert_text(
        mail.as_bytes(),
        "# The report\n\nJörg <joerg@example.org> → bob@example.org\n2024-03-01\n\nHere it is, Jörg.\n\nAttachment: report.pdf",
    );
    assert_text(&msg(), "# The report\n\nAnna → Bob\n\nHere it is.\nGrüße");
    let page =
        "From: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n\n<h2>News</h2><p>Tea";
    assert_text(page.as_bytes(), "a@b.c → d@e.f\n\n## News\n\nTea");
}

#[test]
fn a_page_keeps_its_structure_however_it_is_written() {
    let page = "<!DOCTYPE html><head><title>No</title><script>if (a < b) {}</script></head><h1>Water &amp; <em>electricity</em>\
        </h1><p>One<br>two<p>three <a href=x>four</a><ul><li>a<ul><li>b</ul><li>c</ul><ol start=3><li>d</ol>\
        <table><tr><th>Part<th>Price<tr><td>Wire<td>1|2</table><pre>x  =\n  1</pre><img alt='a pump'><img alt=a.png>\
        <table><tr><td>layout</table><p># not a heading";
    assert_text(
        page.as_bytes(),
        "# Water & electricity\n\nOne\ntwo\n\nthree four\n\n- a\n  - b\n- c\n\n3. d\n\n| Part | Price |\n| --- | --- |\n\
         | Wire | 1\\|2 |\n\n```\nx  =\n  1\n```\n\na pump\n\nlayout\n\n\\# not a heading",
    );
    // The charset that it says, that it is in, and that it is likely in.
    assert_text(
        b"<html><meta charset=windows-1251><p>\xCF\xF0\xE8\xE2\xE5\xF2",
        "Привет",
    );
    assert_text("<html><meta charset=latin1><p>Привет".as_bytes(), "Привет");
    assert_text(b"<html><p>caf\xE9 cr\xE8me br\xFBl\xE9e", "café crème brûlée");
}

#[test]
fn values_between_separators_become_a_table() {
    let table = |text: &[u8], name| read_as(text, Some(name)).unwrap().text;
    assert_eq!(
        table("Teil;Preis\r\n\"Draht; naïv\";1,5\r\n".as_bytes(), "a.csv"),
        "| Teil | Preis |\n| --- | --- |\n| Draht; naïv | 1,5 |"
    );
    assert_eq!(
        table(b"a\tb\n1, 2\t3\n", "a.tsv"),
        "| a | b |\n| --- | --- |\n| 1, 2 | 3 |"
    );
    assert_eq!(table(b"only one\ncolumn\n", "a.csv"), "only one\ncolumn");
    let text = Parsed::from("a,b\n".to_owned());
    assert_eq!(read(b"a,b\n"), Ok(text), "nothing says that it is a table");
}

#[test]
fn what_is_compressed_is_read_by_what_is_inside() {
    let mut named = flate2::GzBuilder::new()
        .filename("prices.csv")
        .write(Vec::new(), Compression::fast());
    named.write_all(b"a;b\n1;2\n").unwrap();
    assert_text(&named.finish().unwrap(), "| a | b |\n| --- | --- |\n| 1 | 2 |");
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    assert_text(&gzip(&data("pandoc.docx")), &format!("# Pandoc\n\n{WATER}"));
    // A frame of Zstandard with one block that is not compressed.
    assert_text(b"\x28\xB5\x2F\xFD\x20\x05\x29\x00\x00Hello", "Hello");
    let again = gzip(&gzip(&gzip(&gzip(b"Hello"))));
    assert_refused(&again, "the gzip file is refused: files are compressed again and again");
    let mut crc = Crc::new();
    let spaces = vec![b' '; 1024 * 1024];
    (0..130).for_each(|_| crc.update(&spaces));
    let mut large = b"\x1F\x8B\x08\0\0\0\0\0\0\xFF".to_vec();
    large.extend(bomb(130));
    large.extend([crc.sum(), crc.amount()].map(u32::to_le_bytes).concat());
    assert_refused(&large, "the gzip file is refused: it inflates to more than 128 MB");
    assert_refused(&large[..20], "the gzip file is damaged: it cannot be inflated");
}

#[test]
fn revisions_and_boxes_of_a_word_document_are_read_as_they_are_shown() {
    let body = "<w:p><w:r><w:t>kept </w:t></w:r><w:ins><w:r><w:t>added</w:t></w:r></w:ins><w:del><w:r><w:delText>gone\
        </w:delText></w:r></w:del><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r></w:p>\
        <w:p><w:r><mc:AlternateContent><mc:Choice><w:drawing><wp:docPr descr='a pump'/><w:txbxContent><w:p><w:r><w:t>boxed\
        </w:t></w:r></w:p></w:txbxContent></w:drawing></mc:Choice><mc:Fallback><w:p><w:r><w:t>boxed</w:t></w:r></w:p>\
        </mc:Fallback></mc:AlternateContent></w:r></w:p>";
    assert_text(&docx(body), "kept added\n\na pump\n\nboxed");
}

#[test]
fn the_bytes_say_what_a_document_is() {
    for (bytes, format) in [
        (data("pandoc.docx"), Format::Docx),
        (data("openpyxl.xlsx"), Format::Xlsx),
        (data("pandoc.pptx"), Format::Pptx),
        (data("pandoc.odt"), Format::Odt),
        (data("odfpy.ods"), Format::Ods),
        (odf("presentation", "<x/>"), Format::Odp),
        (data("pandoc.epub"), Format::Epub),
        (data("xlwt.xls"), Format::Xls),
        (doc("a\r", &[], 0), Format::Doc),
        (ppt(), Format::Ppt),
        (msg(), Format::Msg),
        (data("pandoc.rtf"), Format::Rtf),
    ] {
        assert_eq!(detect(&bytes, Some("a.txt"), Some("text/plain")), Ok(format));
    }
    for (kind, format) in [
        (
            "openxmlformats-officedocument.wordprocessingml.template.main+xml",
            Format::Docx,
        ),
        ("ms-word.document.macroEnabled.main+xml", Format::Docx),
        (
            "openxmlformats-officedocument.spreadsheetml.template.main+xml",
            Format::Xlsx,
        ),
        ("ms-excel.sheet.macroEnabled.main+xml", Format::Xlsx),
        (
            "openxmlformats-officedocument.presentationml.slideshow.main+xml",
            Format::Pptx,
        ),
        ("ms-powerpoint.presentation.macroEnabled.main+xml", Format::Pptx),
    ] {
        let types = format!("<Types><Override ContentType='application/vnd.{kind}'/></Types>");
        let package = archive(&[("[Content_Types].xml", &types)]);
        assert_eq!(detect(&package, None, None), Ok(format), "{kind}");
    }
    let plain = archive(&[("a.txt", "Hello")]);
    assert_eq!(
        detect(&plain, Some("a.docx"), None),
        Err(Error::Unsupported { seen: "ZIP".to_owned() })
    );
}

#[test]
fn what_needs_a_password_says_so() {
    assert_refused(
        &compound(&[("EncryptedPackage", vec![1; 100])]),
        "the office document is encrypted and needs a password",
    );
    let manifest = "<manifest><file-entry><encryption-data/></file-entry></manifest>";
    let kind = "application/vnd.oasis.opendocument.text";
    let locked = archive(&[
        ("mimetype", kind),
        ("META-INF/manifest.xml", manifest),
        ("content.xml", "rubbish"),
    ]);
    assert_refused(&locked, "the OpenDocument text (ODT) is encrypted and needs a password");
    let book = archive(&[
        ("mimetype", "application/epub+zip"),
        (
            "META-INF/container.xml",
            "<container><rootfile full-path='p.opf'/></container>",
        ),
        (
            "META-INF/encryption.xml",
            "<encryption><CipherReference URI='one.xhtml'/></encryption>",
        ),
        (
            "p.opf",
            "<package><manifest><item id='a' href='one.xhtml'/></manifest><spine><itemref idref='a'/></spine></package>",
        ),
        ("one.xhtml", "rubbish"),
    ]);
    assert_refused(&book, "the EPUB book is encrypted and needs a password");
}

#[test]
fn what_is_damaged_says_what_is_missing() {
    let whole = data("pandoc.docx");
    // The table of an archive is at its end, and says what is in it.
    assert!(matches!(read(&whole[..whole.len() / 2]), Err(Error::Damaged { .. })));
    let damaged = "the Word document (DOCX) is damaged: ";
    assert_refused(&archive(&[DOCX_TYPES]), &format!("{damaged}its main part is missing"));
    assert_refused(
        &archive(&[DOCX_TYPES, DOCX_RELATIONS]),
        &format!("{damaged}a part of it is missing"),
    );
    assert_refused(
        &docx("<w:p><w:r></w:p>"),
        &format!("{damaged}its XML is not well-formed"),
    );
    assert_refused(
        &odf("text", "<document-content>"),
        "the OpenDocument text (ODT) is damaged: its XML is not well-formed",
    );
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let types = |(name, text): (&'static str, &str)| (name, deflate(text.as_bytes()), text.len());
    // What an archive says of sizes is not believed.
    let files = [
        types(DOCX_TYPES),
        types(DOCX_RELATIONS),
        ("word/document.xml", bomb(130), 10),
    ];
    let refused = "the Word document (DOCX) is refused: ";
    assert_refused(
        &archive_of(&files, 0),
        &format!("{refused}it inflates to more than 128 MB in an entry, or 256 MB in all"),
    );
    let deep = docx(&format!("{}{}", "<w:sdt>".repeat(200_000), "</w:sdt>".repeat(200_000)));
    assert_refused(&deep, &format!("{refused}its XML is nested too deeply"));
    let groups = format!("{{\\rtf1 {}", "{".repeat(200_000));
    assert_refused(
        groups.as_bytes(),
        "the Rich Text Format document is refused: its groups are nested too deeply",
    );
    let row = "<table:table-row number-rows-repeated='1000000'><table-cell number-columns-repeated='16000'><p>x</p></table-cell></table:table-row>";
    let sheet = format!(
        "<document-content><body><spreadsheet><table name='a'>{}</table></spreadsheet></body></document-content>",
        row.repeat(5)
    );
    assert_refused(
        &odf("spreadsheet", &sheet),
        "the OpenDocument spreadsheet (ODS) is refused: its sheets have more than 4,000,000 cells",
    );
}

#[test]
fn entities_and_files_outside_are_not_looked_up() {
    let laughs = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'><!ENTITY f SYSTEM 'file:///etc/passwd'>]>";
    let text =
        format!("{laughs}<document-content><body><text><p>a&b;&f;&#98;&amp;c</p></text></body></document-content>");
    assert_text(&odf("text", &text), "ab&c");
}

#[test]
fn far_cells_and_wide_rows_cost_what_they_hold() {
    let far = xlsx("<row r='1'><c r='A1'><v>1</v></c></row><row r='1048576'><c r='XFD1048576'><v>2</v></c></row>");
    assert_text(&far, "## One\n\n1\n\n2");
    let wide = vec![b','; 500_000];
    let text = read_as(&[&b"a"[..], &wide, b"b\n"].concat(), Some("a.csv"))
        .unwrap()
        .text;
    assert!(text.starts_with("| a |  |") && text.contains("| b |"));
}

#[test]
fn two_hundred_thousand_tags_are_read_as_what_is_in_them() {
    let page = format!(
        "<html>{}deep{}<p>after",
        "<div>".repeat(200_000),
        "</div>".repeat(200_000)
    );
    assert_text(page.as_bytes(), "deep\n\nafter");
    let cells = format!("<html><table>{}deep", "<tr><td><table>".repeat(100_000));
    assert_text(cells.as_bytes(), "deep");
    let open = format!("<html>{}end", "<b><p>".repeat(100_000));
    assert_text(open.as_bytes(), "end");
}

/// A generator that gives the same numbers each time.
fn dice() -> impl FnMut(usize) -> usize {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move |sides| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % sides.max(1)
    }
}

/// Whatever happens to a file, it has a text or an error of its own; nothing panics, overflows or hangs.
#[test]
fn damaged_files_have_a_text_or_an_error() {
    let mut files: Vec<Vec<u8>> = ["docx", "odt", "epub", "pptx", "rtf"]
        .map(|kind| data(&format!("pandoc.{kind}")))
        .into();
    files.extend(["openpyxl.xlsx", "xlwt.xls", "odfpy.ods"].map(data));
    files.extend([
        doc("a\x07b\x07\x07c\r", &[(2, &[1, 0, 0])], 0),
        ppt(),
        msg(),
        xlsx("<row><c t='s'><v>9</v></c></row>"),
    ]);
    let mut dice = dice();
    let mut refused = 0;
    for file in &files {
        for round in 0..60 {
            let mut bytes = file.clone();
            for _ in 0..=dice(8) {
                let at = dice(bytes.len());
                match round % 3 {
                    0 => bytes[at] = dice(256) as u8,
                    1 => bytes[at] ^= 1 << dice(8),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            match read(&bytes) {
                Ok(parsed) => assert!(!parsed.text.contains('\0')),
                Err(error) => {
                    assert_eq!(error.class(), Class::Permanent, "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0, "some are damaged where it matters");
}

#[tokio::test]
async fn documents_are_parsed_by_the_confined_child() {
    let parser = Parser::new(PathBuf::from(env!("CARGO_BIN_EXE_ai-parser")), AMPLE, 2);
    for name in ["pandoc.docx", "pandoc.epub", "xlwt.xls", "pandoc.rtf"] {
        let bytes = Bytes::from(data(name));
        let parsed = parser.parse(bytes.clone(), Some(name), None, Parsing::Auto).await;
        assert_eq!(
            parsed.map_err(|error| error.to_string()),
            Ok(read(&bytes).unwrap()),
            "{name}"
        );
    }
    let page = Bytes::from("<!DOCTYPE html><p>Tea");
    // Even a clean text is not parsed here.
    let nowhere = Parser::new(PathBuf::from("/nowhere/ai-parser"), AMPLE, 1);
    let error = nowhere
        .parse(page.clone(), None, None, Parsing::Auto)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NoProgram { .. }), "{error}");
    let parsed = parser.parse(page, None, None, Parsing::Auto).await.unwrap();
    assert_eq!(parsed.text, "Tea");
    let locked = Bytes::from(compound(&[("EncryptedPackage", vec![1; 100])]));
    let error = parser.parse(locked, None, None, Parsing::Auto).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the office document is encrypted and needs a password"
    );
    assert_eq!(error.hint().as_deref(), Some("store a copy without a password"));
}

/// Uploads that broke off, whatever their names.
#[test]
fn a_file_that_was_cut_short_is_damaged() {
    for (name, of) in [
        ("pandoc.docx", "office document or archive"),
        ("openpyxl.xlsx", "office document or archive"),
        ("pandoc.epub", "office document or archive"),
        ("xlwt.xls", "office document"),
    ] {
        let whole = std::fs::read(format!("{}/tests/data/parse/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let lengths = if name.ends_with(".xls") {
            [600, 1000]
        } else {
            [whole.len() / 2, whole.len() - 30]
        };
        for length in lengths {
            let error = detect(&whole[..length], Some(name), None).expect_err(name);
            assert!(
                matches!(error, Error::Damaged { of: said, .. } if said == of),
                "{name}, {length}: {error}"
            );
        }
    }
}
