//! What is remembered of a document that was embedded, so that the next look at it costs no more than it must.
//!
//! A memory says: a document with this content, under this recipe, has this many chunks, and the destination
//! was made so. It is true for ever, so nothing bad comes of one that is old. Whether it still describes the
//! destination is another question: [`Memory::holds`].

use litemap::LiteMap;

use crate::config::{Config, Destination, Loading};
use crate::fingerprint::{Fingerprint, Parts};
use crate::load::Tag;

/// Text in a column is worth a memory from this size on, in bytes. A memory costs a row in the catalogue,
/// which is written with the document and vacuumed; most texts in columns are a few kilobytes, and to chunk
/// those again and compare them with what is stored costs less than that. A text of this size has a hundred
/// chunks and more to be read and compared.
pub const LEAST_TEXT: usize = 64 * 1024;

/// So many bytes of a recipe are those of the version of the library. The others, 96 bits, are no less out of reach.
const VERSION_LENGTH: usize = 4;

/// What the recipes of all documents of one configuration have in common. The configuration may be long: it
/// is hashed once, and not for each document.
#[derive(Clone, Debug)]
pub struct Basis(Parts);

impl Basis {
    /// Of a configuration.
    pub fn new(config: &Config) -> Basis {
        Basis(parts(config))
    }

    /// The recipe of a document: a fingerprint of all that its chunks depend on, save its content. That is
    /// the configuration, where the content comes from (`uri`), and the columns of its `row` that the
    /// template names, as texts.
    ///
    /// The version of this library is among it. Parser, chunker and template may give other texts for the
    /// same document after an upgrade; a constant that has to be raised by hand would be forgotten one day.
    /// The price is that the first touch of a document after an upgrade downloads and parses it. It is
    /// embedded again only where its texts differ.
    pub fn recipe(&self, uri: Option<&str>, row: &LiteMap<String, String>) -> Fingerprint {
        let mut parts = self.0.clone();
        parts.optional(uri);
        for (name, text) in row {
            parts.add(name.as_bytes());
            parts.add(text.as_bytes());
        }
        let mut recipe = parts.fingerprint();
        // Apart from the rest, so that it can be told whether that has changed: see [`Memory::is_outdated`].
        let mut version = Parts::default();
        version.add(env!("CARGO_PKG_VERSION").as_bytes());
        recipe.begin_with(&version.fingerprint(), VERSION_LENGTH);
        recipe
    }
}

fn parts(config: &Config) -> Parts {
    let Config {
        version: _,
        loading,
        parsing,
        embedding,
        chunking,
        indexing: _,
        formatting,
        scheduling: _,
        processing: _,
        destination: _,
    } = config;
    let mut parts = Parts::default();
    // Not the name of the column, nor how often a failure is tried again.
    match loading {
        Loading::Column { .. } => parts.add(b"column"),
        Loading::Uri { aws_role_arn, .. } => {
            parts.add(b"uri");
            parts.optional(aws_role_arn.as_deref());
        }
    }
    parts.json(parsing);
    parts.json(chunking);
    parts.json(formatting);
    // Neither the key nor the address of the provider: the vectors are those of the model.
    parts.add(embedding.provider().as_bytes());
    parts.add(embedding.model().as_bytes());
    parts.add(&embedding.dimensions().to_be_bytes());
    parts
}

/// What is remembered of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What spares the download, where there was one and it has a tag.
    pub tag: Option<Tag>,
    /// Of its bytes.
    pub content: Fingerprint,
    /// Of all else that its chunks depend on.
    pub recipe: Fingerprint,
    /// How many chunks it had.
    pub chunks: usize,
}

impl Memory {
    /// Whether the destination is what the content gives under this recipe: where the recipe is still the one
    /// by which it was made, and nobody has taken chunks away from the `stored` ones (or the whole row, and
    /// put it back).
    pub fn holds(&self, recipe: Fingerprint, stored: usize) -> bool {
        self.recipe == recipe && self.chunks == stored
    }

    /// Whether what was embedded is another text than that of the document as it is `now`. Recipes of two
    /// versions of the library cannot be compared: of those it is the content that tells.
    pub fn is_outdated(&self, now: &Memory) -> bool {
        self.content != now.content || self.recipe.begins_like(&now.recipe, VERSION_LENGTH) && self.recipe != now.recipe
    }
}

/// What is known of a document before it is looked at.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// What is remembered of it.
    pub memory: Memory,
    /// How many chunks the destination holds for it.
    pub stored: usize,
}

/// Whether a document is worth a memory. Of those in a column these are: bytes, because to parse them may
/// take a process; a text of [`LEAST_TEXT`] bytes and more (`text` is its length, `None` for bytes); and all
/// whose vector is in a column of the row, too, since no stored text is there to compare with.
pub fn is_worthwhile(config: &Config, text: Option<usize>) -> bool {
    match (&config.loading, &config.destination) {
        (Loading::Uri { .. }, _) | (_, Destination::Column { .. }) => true,
        (Loading::Column { .. }, Destination::Table { .. }) => text.is_none_or(|bytes| bytes >= LEAST_TEXT),
    }
}

/// What is to be written down about a document, together with its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Nothing: what is remembered is right, or nothing is.
    Keep,
    /// This, in place of what was remembered.
    Remember(Memory),
    /// What was remembered is of no use any more.
    Forget,
}

impl Note {
    /// The difference between what is remembered and what should be.
    pub fn between(remembered: Option<&Memory>, memory: Option<Memory>) -> Note {
        match (remembered, memory) {
            (Some(old), Some(new)) if *old == new => Note::Keep,
            (_, Some(new)) => Note::Remember(new),
            (Some(_), None) => Note::Forget,
            (None, None) => Note::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn configuration() -> Value {
        json!({
            "version": "0.1.0",
            "loading": {"implementation": "uri", "column_name": "uri", "retries": 6},
            "parsing": {"implementation": "auto"},
            "embedding": {"implementation": "openai", "model": "m", "dimensions": 3, "api_key_name": "KEY"},
            "chunking": {"implementation": "character_text_splitter", "chunk_size": 10, "chunk_overlap": 2,
                         "separator": "\n", "is_separator_regex": false},
            "indexing": {"implementation": "none"},
            "formatting": {"implementation": "python_template", "template": "$title: $chunk"},
            "scheduling": {"implementation": "default"},
            "processing": {"implementation": "default"},
            "destination": {"implementation": "table", "target_schema": "a", "target_table": "b", "view_schema": "c",
                            "view_name": "d"},
        })
    }

    fn config(pointer: &str, value: Value) -> Config {
        let mut json = configuration();
        if !pointer.is_empty() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            json.pointer_mut(parent).unwrap()[key] = value;
        }
        serde_json::from_value(json).unwrap()
    }

    fn recipe(config: &Config, uri: Option<&str>, row: &LiteMap<String, String>) -> Fingerprint {
        Basis::new(config).recipe(uri, row)
    }

    fn row(pairs: &[(&str, &str)]) -> LiteMap<String, String> {
        let owned = pairs.iter().map(|(name, text)| (name.to_string(), text.to_string()));
        owned.collect()
    }

    fn base() -> Fingerprint {
        recipe(&config("", Value::Null), Some("s3://a/b"), &row(&[("title", "Tea")]))
    }

    #[test]
    fn a_recipe_changes_with_all_that_chunks_and_vectors_depend_on() {
        let template = json!("$title, $chunk");
        for (pointer, value) in [
            ("/loading/aws_role_arn", json!("arn:aws:iam::123456789012:role/a")),
            ("/parsing/implementation", json!("none")),
            ("/chunking/chunk_size", json!(11)),
            ("/chunking/chunk_overlap", json!(3)),
            ("/chunking/separator", json!(" ")),
            ("/chunking/is_separator_regex", json!(true)),
            ("/chunking", json!({"implementation": "none"})),
            ("/formatting/template", template),
            ("/embedding/model", json!("n")),
            ("/embedding/dimensions", json!(4)),
            ("/embedding/implementation", json!("voyageai")),
            ("/loading/implementation", json!("column")),
        ] {
            let other = recipe(&config(pointer, value), Some("s3://a/b"), &row(&[("title", "Tea")]));
            assert_ne!(other, base(), "{pointer}");
        }
        let config = config("", Value::Null);
        for (uri, columns) in [
            (Some("s3://a/c"), row(&[("title", "Tea")])),
            (None, row(&[("title", "Tea")])),
            (Some(""), row(&[("title", "Tea")])),
            (Some("s3://a/b"), row(&[("title", "Coffee")])),
            (Some("s3://a/b"), row(&[("name", "Tea")])),
            (Some("s3://a/b"), row(&[])),
            (Some("s3://a/b"), row(&[("titl", "eTea")])),
            (Some("s3://a/b"), row(&[("title", "Tea"), ("", "")])),
        ] {
            assert_ne!(recipe(&config, uri, &columns), base(), "{uri:?} {columns:?}");
        }
    }

    #[test]
    fn a_recipe_stays_when_what_changes_has_no_say_in_it() {
        for (pointer, value) in [
            ("/version", json!("0.2.0")),
            ("/loading/column_name", json!("address")),
            ("/loading/retries", json!(1)),
            ("/embedding/api_key_name", json!("OTHER_KEY")),
            ("/embedding/base_url", json!("http://elsewhere/v1")),
            ("/indexing/implementation", json!("hnsw")),
            ("/scheduling/implementation", json!("none")),
            ("/processing/batch_size", json!(7)),
            ("/destination/target_table", json!("renamed")),
        ] {
            let other = recipe(&config(pointer, value), Some("s3://a/b"), &row(&[("title", "Tea")]));
            assert_eq!(other, base(), "{pointer}");
        }
    }

    /// Memories are in catalogues and dumps: they have to be understood by the next build.
    #[test]
    fn a_fingerprint_is_the_same_everywhere() {
        let fingerprint = Fingerprint::of(Some("text/plain"), b"text");
        assert_eq!(format!("{fingerprint:?}"), "b0cb1a2e7c687858aa075e3131efce53");
        assert_eq!(Fingerprint::remembered(fingerprint.as_bytes()), Some(fingerprint));
        assert_eq!(Fingerprint::remembered(b"short"), None);
        assert_ne!(Fingerprint::of(Some(""), b"text"), Fingerprint::of(None, b"text"));
        assert_ne!(Fingerprint::of(Some("te"), b"xt"), Fingerprint::of(Some("text"), b""));
    }

    fn memory(chunks: usize) -> Memory {
        Memory {
            tag: None,
            content: Fingerprint::of(None, b"text"),
            recipe: base(),
            chunks,
        }
    }

    #[test]
    fn a_memory_holds_while_recipe_and_number_of_chunks_are_the_same() {
        assert!(memory(3).holds(base(), 3));
        assert!(!memory(3).holds(base(), 2), "a chunk was deleted");
        assert!(!memory(3).holds(Fingerprint::of(None, b"another"), 3));
        assert!(memory(0).holds(base(), 0), "an empty document");
    }

    #[test]
    fn a_memory_is_outdated_when_content_or_row_are_others() {
        let (then, now) = (memory(1), memory(1));
        assert!(!then.is_outdated(&now));
        let content = Fingerprint::of(None, b"another");
        assert!(then.is_outdated(&Memory { content, ..now.clone() }));
        let recipe = recipe(&config("", Value::Null), Some("s3://a/b"), &row(&[("title", "Coffee")]));
        assert!(then.is_outdated(&Memory { recipe, ..now.clone() }));
        let mut other_version = memory(1);
        let mut bytes = other_version.recipe.as_bytes().to_vec();
        bytes[0] ^= 1;
        other_version.recipe = Fingerprint::remembered(&bytes).unwrap();
        assert!(!other_version.is_outdated(&Memory { recipe, ..now.clone() }));
        assert!(other_version.is_outdated(&Memory { content, ..now }));
    }

    #[test]
    fn only_what_is_new_is_written_down() {
        let tagged = Memory {
            tag: Some(Tag::remembered("\"1\"".to_owned())),
            ..memory(3)
        };
        assert_eq!(Note::between(None, None), Note::Keep);
        assert_eq!(Note::between(Some(&tagged), Some(tagged.clone())), Note::Keep);
        assert_eq!(
            Note::between(Some(&memory(3)), Some(tagged.clone())),
            Note::Remember(tagged)
        );
        assert_eq!(Note::between(None, Some(memory(3))), Note::Remember(memory(3)));
        assert_eq!(Note::between(Some(&memory(3)), None), Note::Forget);
    }

    #[test]
    fn short_texts_are_chunked_again_rather_than_remembered() {
        let uri = config("", Value::Null);
        assert!(is_worthwhile(&uri, None));
        let column = json!({"implementation": "column", "column_name": "text", "retries": 6});
        let column = config("/loading", column);
        assert!(!is_worthwhile(&column, Some(LEAST_TEXT - 1)));
        assert!(is_worthwhile(&column, Some(LEAST_TEXT)));
        assert!(is_worthwhile(&column, None), "bytes have to be parsed");
        let beside = json!({"implementation": "column", "embedding_column": "vector"});
        let beside = Config {
            destination: config("/destination", beside).destination,
            ..column
        };
        assert!(is_worthwhile(&beside, Some(1)));
    }
}
