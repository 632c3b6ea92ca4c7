//! EPUB books.
//!
//! Read: the chapters in their order, as pages of HTML are. Left out: the list of contents where it is no
//! chapter of its own, what is drawn.

use std::collections::HashMap;

use super::archive::Archive;
use super::bounds::ParseBounds;
use super::markdown::Markdown;
use super::package::resolve;
use super::reading::FormatReader;
use super::{Error, Parsed, html, xml};

const NAME: &str = "EPUB book";

pub(super) const READING: FormatReader = FormatReader {
    is: |sample| sample.package_type() == Some("application/epub+zip"),
    parse,
};

/// Chapters that are read.
const CHAPTERS: usize = 20_000;

fn parse(bytes: &[u8], bounds: &ParseBounds) -> Result<Parsed, Error> {
    let archive = Archive::open(bytes, NAME, bounds)?;
    let tree_of = |name: &str, what| -> Result<String, Error> { Ok(xml::decode(&archive.read_needed(name, what)?)) };
    let container = tree_of("META-INF/container.xml", "its container is missing")?;
    let container = xml::tree(&container, NAME, bounds)?;
    let root = container
        .find("rootfile")
        .and_then(|file| file.get("full-path"))
        .unwrap_or_default();
    let package = tree_of(root, "its list of chapters is missing")?;
    let package = xml::tree(&package, NAME, bounds)?;
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    let manifest = package.child("manifest");
    let items = manifest.iter().flat_map(|manifest| manifest.elements());
    let files: HashMap<&str, &xml::Element<'_>> = items.filter_map(|item| Some((item.get("id")?, item))).collect();
    let encrypted = encrypted(&archive, bounds)?;
    let spine = package.child("spine");
    let mut out = Markdown::default();
    for chapter in spine.iter().flat_map(|spine| spine.elements()).take(CHAPTERS) {
        let Some(file) = chapter.get("idref").and_then(|id| files.get(id)) else {
            continue;
        };
        let is_page = file
            .get("media-type")
            .is_none_or(|kind| kind.contains("html") || kind.contains("xml"));
        let Some(href) = file.get("href").filter(|_| is_page) else {
            continue;
        };
        let href = href.split('#').next().unwrap_or_default();
        let href = percent_encoding::percent_decode_str(href).decode_utf8_lossy();
        let name = resolve(folder, &href);
        if encrypted.contains(&name) {
            return Err(Error::Locked { of: NAME });
        }
        // A chapter that is not there is left out: others are.
        let Some(page) = archive.read(&name)? else { continue };
        let mut chapter = Markdown::default();
        html::add(&html::decode(&page)?, true, bounds, &mut chapter);
        out.append(chapter);
    }
    Ok(out.finish())
}

/// The files that are encrypted; fonts often are, and do not matter.
fn encrypted(archive: &Archive<'_>, bounds: &ParseBounds) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    if let Some(list) = archive.read("META-INF/encryption.xml")? {
        let list = xml::decode(&list);
        xml::tree(&list, NAME, bounds)?.each("CipherReference", &mut |file| {
            names.extend(file.get("URI").map(|name| resolve("", name)));
        });
    }
    Ok(names)
}
