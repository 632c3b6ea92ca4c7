//! Templates: each is refused, or does what Python's `string.Template` does by its own words.

use litemap::LiteMap;

use super::hold;
use crate::format::Template;
use crate::plan::Digest;

const PARTS: [&str; 18] = [
    "$chunk", "${chunk}", "$title", "${title}", "$", "$$", "{", "}", "${", "_", "a", " ", "é", "$é", "$9", "$_a", "\n",
    "${title",
];
const CHUNK: &str = "leaves and $title";

fn row() -> LiteMap<String, String> {
    let columns = [("title", "Tea $chunk"), ("_a", ""), ("_", "x"), ("a", "y")];
    let owned = columns.map(|(name, text)| (name.to_owned(), text.to_owned()));
    owned.into_iter().collect()
}

/// Python's rules, character by character: `None` for a `$` that begins nothing, or a name that
/// there is not.
fn substituted(template: &str, row: &LiteMap<String, String>) -> Option<String> {
    let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let mut out = String::new();
    let mut rest = template;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '$' {
            out.push(c);
            continue;
        }
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let inner = rest.strip_prefix('{').unwrap_or(rest);
        let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
        let (name, mut after) = inner.split_at(end);
        if inner.len() < rest.len() {
            after = after.strip_prefix('}')?;
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        out.push_str(if name == "chunk" { CHUNK } else { row.get(name)? });
        rest = after;
    }
    Some(out)
}

#[test]
fn templates_are_filled_in_as_python_does() {
    let row = row();
    hold(|dice| {
        let text = dice.text(10, &PARTS);
        let filled = Template::parse(&text).and_then(|template| Ok((template.frame(&row)?, template)));
        let expected = substituted(&text, &row);
        let Ok((frame, template)) = filled else {
            return assert_eq!(expected, None, "{text:?}");
        };
        let around = frame.around(CHUNK);
        assert_eq!(Some(around.as_ref()), expected.as_deref(), "{text:?}");
        assert_eq!(frame.length_around(CHUNK), around.len(), "{text:?}");
        assert_eq!(
            frame.digest_around(&frame.beginning(), CHUNK),
            Digest::of(&around),
            "{text:?}"
        );
        assert!(template.check(&row, frame.length() as u64).is_ok(), "{text:?}");
        assert!(template.columns().all(|name| row.get(name).is_some()), "{text:?}");
        let written = template.renamed(&LiteMap::new()).expect("its names can be written");
        assert_eq!(
            Template::parse(&written),
            Ok(template),
            "{text:?} is written as {written:?}"
        );
    });
}
