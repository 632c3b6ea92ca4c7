//! A document on its way to its texts: load, parse, chunk, format, and what to remember of it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use litemap::LiteMap;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::budget::{Budget, Reservation};
use crate::chunk::{Bounds, time_for};
use crate::config::{Config, Loading};
use crate::cut::{Cutter, Cutting, LONG};
use crate::error::{Class, Failure, Step};
use crate::fingerprint::Fingerprint;
use crate::format::{Template, python_text};
use crate::load::{self, Loader, Tag};
use crate::memory::{self, Basis, Memory, Note, Remembered};
use crate::panics;
use crate::parse::{self, Hints, Parsed, Parser};
use crate::texts::{self, Texts};

/// Memory for a document, in its sizes: the bytes, the text, the chunks with what they have in
/// common, and the stored ones that they are compared with.
pub const COST: u64 = 4;

/// Bytes of a URI. No server takes one that is longer.
const GREATEST_URI: usize = 16 << 10;

/// The value of a document column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A text, or a URI.
    Text(String),
    /// A document in any format.
    Bytes(Bytes),
}

/// What a document was found to be.
#[derive(Debug)]
pub enum Prepared {
    /// What it was: the destination is as it should be.
    Unchanged {
        /// What is to be written down of it.
        note: Note,
    },
    /// Its formatted chunks, and the memory that they take up.
    Texts {
        /// The chunks, each in the template.
        texts: Texts,
        /// What is to be written down with them.
        note: Note,
        /// Of the memory.
        reservation: Option<Reservation>,
    },
}

/// What a vectorizer says of its documents.
pub trait Instructions: Send + Sync + 'static {
    /// Its configuration, of which loading and parsing count here, and where the destination is.
    fn config(&self) -> &Config;

    /// What the recipes of its documents have in common.
    fn basis(&self) -> &Basis;

    /// Its chunker.
    fn cutting(&self) -> &Cutting;

    /// Its template.
    fn template(&self) -> &Template;

    /// The columns that the template names, with their types.
    fn template_columns(&self) -> &LiteMap<String, String>;
}

/// A document that is to be loaded.
#[derive(Clone, Copy, Debug)]
pub struct WantedDocument<'w> {
    /// As the row says.
    pub uri: &'w str,
    /// The IAM role assumed for `s3://` documents.
    pub role_arn: Option<&'w str>,
    /// Of the document that is not wanted again.
    pub known: Option<&'w Tag>,
}

/// Where documents come from.
pub trait Load: Send + Sync {
    /// The document, and memory for [`COST`] times its size; `None` when it is the known one. Of
    /// `downloads`, one place is taken while it is on its way.
    fn load<'l>(
        &'l self,
        wanted: WantedDocument<'l>,
        documents: &'l Budget,
        downloads: &'l Semaphore,
    ) -> BoxFuture<'l, Result<Option<(load::Document, Reservation)>, load::Error>>;
}

impl Load for Loader {
    fn load<'l>(
        &'l self,
        WantedDocument { uri, role_arn, known }: WantedDocument<'l>,
        documents: &'l Budget,
        downloads: &'l Semaphore,
    ) -> BoxFuture<'l, Result<Option<(load::Document, Reservation)>, load::Error>> {
        Box::pin(self.load_within(documents, COST, downloads, uri, role_arn, known))
    }
}

/// What makes texts of bytes.
pub trait Parse: Send + Sync {
    /// The text of a document, and memory for [`COST`] times its size, in place of the reservation
    /// for its bytes.
    fn parse<'p>(
        &'p self,
        bytes: Bytes,
        hints: Hints<'p>,
        documents: &'p Budget,
        reservation: Reservation,
    ) -> BoxFuture<'p, Result<(Parsed, Reservation), parse::Error>>;
}

impl Parse for Parser {
    fn parse<'p>(
        &'p self,
        bytes: Bytes,
        hints: Hints<'p>,
        documents: &'p Budget,
        reservation: Reservation,
    ) -> BoxFuture<'p, Result<(Parsed, Reservation), parse::Error>> {
        Box::pin(self.parse_within(documents, COST, reservation, bytes, hints))
    }
}

/// How documents are prepared.
pub struct Preparation<I> {
    /// What the vectorizer says.
    pub instructions: Arc<I>,
    /// Of a vectorizer of URIs.
    pub loader: Option<Arc<dyn Load>>,
    /// Documents that are downloaded at the same time.
    pub downloads: Arc<Semaphore>,
    /// Those of them that one owner may have.
    pub downloads_of_owner: Arc<Semaphore>,
    /// For what is no text.
    pub parser: Arc<dyn Parse>,
    /// For texts, and for other work on them.
    pub cutter: Cutter,
    /// Memory for documents and what is made of them.
    pub documents: Budget,
    /// How long texts may be.
    pub limits: texts::TextLimits,
}

impl<I: Instructions> Preparation<I> {
    /// Loads, parses, cuts and formats a document, as far as it must: one that is still what is
    /// remembered of it goes no further than what shows that. `columns` are those that the template
    /// names, as JSON; `reservation` is that of a document that there was memory for before it was
    /// read.
    ///
    /// # Errors
    ///
    /// Those of each step.
    pub async fn run(
        self,
        document: Content,
        columns: Value,
        remembered: Option<Remembered>,
        reservation: Option<Reservation>,
    ) -> Result<Prepared, Failure> {
        let (row, recipe) = self.row(columns, &document).await?;
        let config = self.instructions.config();
        let is_right = |known: &&Remembered| known.memory.holds(recipe, known.stored);
        let known = remembered.as_ref().filter(is_right).map(|known| &known.memory);
        let remembered = remembered.as_ref().map(|known| &known.memory);
        let tag = known.and_then(|known| known.tag.as_ref());
        let Some((source, reservation)) = self.load(document, tag, reservation).await? else {
            return Ok(Prepared::Unchanged { note: Note::Keep });
        };
        let (source, content) = if memory::is_worthwhile(config, source.content.text_length()) {
            let (source, content) = self.fingerprint(source).await?;
            (source, Some(content))
        } else {
            (source, None)
        };
        let tag = source.tag.clone();
        if let Some(known) = known.filter(|known| Some(known.content) == content) {
            let memory = Memory { tag, ..known.clone() };
            return Ok(Prepared::Unchanged {
                note: Note::between(Some(known), Some(memory)),
            });
        }
        panics::reach(Step::Parsing);
        let (parsed, reservation) = self.parse(source, reservation).await?;
        panics::reach(Step::Chunking);
        let (texts, reservation) = self.texts(parsed, &row, reservation).await?;
        let memory = content.map(|content| Memory {
            tag,
            content,
            recipe,
            chunks: texts.len(),
        });
        Ok(Prepared::Texts {
            texts,
            note: Note::between(remembered, memory),
            reservation: Some(reservation),
        })
    }

    /// The columns that the template names, as Python shows them, and the recipe of the document.
    async fn row(&self, columns: Value, document: &Content) -> Result<(LiteMap<String, String>, Fingerprint), Failure> {
        let is_uri = matches!(self.instructions.config().loading, Loading::Uri { .. });
        let uri = match document {
            Content::Text(uri) if is_uri => Some(uri.clone()),
            Content::Text(_) | Content::Bytes(_) => None,
        };
        let (instructions, length) = (Arc::clone(&self.instructions), length(&columns));
        let of_columns = move || {
            let row = row(instructions.template_columns(), &columns);
            let recipe = instructions.basis().recipe(uri.as_deref(), &row);
            (row, recipe)
        };
        apart_if_long(&self.cutter, length, of_columns).await
    }

    async fn fingerprint(&self, source: LoadedDocument) -> Result<(LoadedDocument, Fingerprint), Failure> {
        let hash = |source: &LoadedDocument| Fingerprint::of(source.media_type.as_deref(), source.content.as_bytes());
        let length = source.content.as_bytes().len();
        let source = Arc::new(source);
        let mine = Arc::clone(&source);
        let content = apart_if_long(&self.cutter, length, move || hash(&mine)).await?;
        // The thread has let it go before it answered.
        let source = Arc::into_inner(source).ok_or_else(|| undone("the document is still in use"))?;
        Ok((source, content))
    }

    /// The texts of a document, each chunk in the template, and memory for them. Where they take
    /// more than was reserved for the document, it waits for more, and is cut anew.
    async fn texts(
        &self,
        Parsed { mut text, marks }: Parsed,
        row: &LiteMap<String, String>,
        mut reservation: Reservation,
    ) -> Result<(Texts, Reservation), Failure> {
        let instructions = &self.instructions;
        instructions.template().check(row, self.limits.frame)?;
        let least = COST.saturating_mul(text.len() as u64).max(reservation.bytes());
        let most = least.max(self.documents.most());
        loop {
            let bounds = Bounds::new(text.len(), most, self.limits.all);
            let (document, chunks) = self.cutter.cut(text, instructions.cutting(), bounds).await?;
            let frame = instructions.template().frame(row)?;
            let room = texts::room(&document, &marks, &chunks, &frame);
            if room <= reservation.bytes() || reservation.bytes() >= self.documents.most() {
                let parsed = Parsed { text: document, marks };
                let texts = Texts::new(parsed, chunks, frame);
                texts.check(self.limits)?;
                return Ok((self.digest(texts).await?, reservation));
            }
            text = document;
            drop((chunks, reservation));
            reservation = self.documents.reserve(room).await;
        }
    }

    /// What is long is digested here, and not by the main thread, which compares it with what is
    /// stored and looks for it among what was put aside.
    async fn digest(&self, texts: Texts) -> Result<Texts, Failure> {
        let length = (0..texts.len()).map(|index| texts.length(index)).sum();
        if length < LONG {
            return Ok(texts);
        }
        let texts = Arc::new(texts);
        let mine = Arc::clone(&texts);
        let digests = apart_if_long(&self.cutter, length, move || mine.digests()).await?;
        // The thread has let them go before it answered.
        let texts = Arc::into_inner(texts).ok_or_else(|| undone("the texts are still in use"))?;
        Ok(texts.with(digests))
    }

    /// What the column holds, or what it points at, and memory for what is made of it; `None` when
    /// that is what `known` is the tag of.
    async fn load(
        &self,
        document: Content,
        known: Option<&Tag>,
        reservation: Option<Reservation>,
    ) -> Result<Option<(LoadedDocument, Reservation)>, Failure> {
        let content = match (&self.instructions.config().loading, &self.loader, document) {
            (Loading::Uri { aws_role_arn, .. }, Some(loader), Content::Text(uri)) => {
                if uri.len() > GREATEST_URI {
                    return Err(too_long(uri.len()));
                }
                let wanted = WantedDocument {
                    uri: &uri,
                    role_arn: aws_role_arn.as_deref(),
                    known,
                };
                // Before anything else that others wait for. The semaphore is never closed.
                let _place = self.downloads_of_owner.acquire().await.ok();
                let loaded = loader.load(wanted, &self.documents, &self.downloads).await?;
                return Ok(loaded.map(|(document, reservation)| (LoadedDocument::from(document), reservation)));
            }
            (Loading::Uri { .. }, Some(_), Content::Bytes(_)) => return Err(not_a_uri()),
            (_, None, content) | (Loading::Column { .. }, _, content) => content,
        };
        let reservation = match reservation {
            Some(reservation) => reservation,
            None => self.documents.reserve(COST * content.room()).await,
        };
        let source = LoadedDocument {
            content,
            name: None,
            media_type: None,
            tag: None,
        };
        Ok(Some((source, reservation)))
    }

    /// The text of a document with its marks, and memory for what is made of it.
    async fn parse(&self, source: LoadedDocument, reservation: Reservation) -> Result<(Parsed, Reservation), Failure> {
        let bytes = match source.content {
            Content::Text(text) => return Ok((text.into(), reservation)),
            Content::Bytes(bytes) => bytes,
        };
        let hints = Hints {
            name: source.name.as_deref(),
            media_type: source.media_type.as_deref(),
            how: self.instructions.config().parsing,
        };
        Ok(self.parser.parse(bytes, hints, &self.documents, reservation).await?)
    }
}

fn too_long(bytes: usize) -> Failure {
    Failure {
        step: Step::Loading,
        class: Class::Permanent,
        reason: format!("the URI has {bytes} bytes, more than {GREATEST_URI}"),
        hint: Some("The column of loading_uri holds addresses of documents, not documents.".to_owned()),
    }
}

fn not_a_uri() -> Failure {
    Failure {
        step: Step::Loading,
        class: Class::Configuration,
        reason: "the column of URIs holds bytes".to_owned(),
        hint: Some("Its type should be text.".to_owned()),
    }
}

/// A document as it came.
struct LoadedDocument {
    content: Content,
    name: Option<String>,
    media_type: Option<String>,
    tag: Option<Tag>,
}

impl From<load::Document> for LoadedDocument {
    fn from(document: load::Document) -> LoadedDocument {
        LoadedDocument {
            content: Content::Bytes(document.bytes),
            name: document.name,
            media_type: document.media_type,
            tag: document.tag,
        }
    }
}

impl Content {
    /// A document as a column of bytes holds it.
    pub fn of_bytes(bytes: Vec<u8>) -> Content {
        Content::Bytes(bytes.into())
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Content::Text(text) => text.as_bytes(),
            Content::Bytes(bytes) => bytes,
        }
    }

    /// Bytes that it is taken to have when memory is reserved for it: as few may become a longer
    /// text.
    fn room(&self) -> u64 {
        let size = self.as_bytes().len() as u64;
        match self {
            Content::Text(_) => size,
            Content::Bytes(_) => size.max(load::EXPECTED_BYTES),
        }
    }

    /// Of a text; bytes have to become one first.
    fn text_length(&self) -> Option<usize> {
        match self {
            Content::Text(text) => Some(text.len()),
            Content::Bytes(_) => None,
        }
    }
}

/// Does what takes as long as so many bytes do; where that is long, beside the threads that serve
/// the network.
///
/// # Errors
///
/// The work panicked, or there is no thread for it.
pub async fn apart_if_long<T: Send + 'static>(
    cutter: &Cutter,
    bytes: usize,
    work: impl Fn() -> T + Send + Sync + 'static,
) -> Result<T, Failure> {
    if bytes < LONG {
        return Ok(work());
    }
    let limit = time_for(bytes, cutter.timeout);
    let done = cutter.threads.run(cutter.owner, limit, move |_| work()).await;
    done.map_err(|error| undone(&error.to_string()))
}

fn undone(reason: &str) -> Failure {
    Failure {
        step: Step::Chunking,
        class: Class::Unknown,
        reason: reason.to_owned(),
        hint: Some("The server log has the place; please report it.".to_owned()),
    }
}

/// About how many bytes the columns have.
fn length(columns: &Value) -> usize {
    match columns {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(members) => members.iter().map(length).sum::<usize>() + 8,
        Value::Object(members) => {
            members
                .iter()
                .map(|(key, value)| key.len() + length(value))
                .sum::<usize>()
                + 8
        }
    }
}

/// The columns that the template names, with their types, as Python shows them.
fn row(names: &LiteMap<String, String>, columns: &Value) -> LiteMap<String, String> {
    let columns = names.iter().map(|(name, kind)| {
        let text = columns.get(name).and_then(Value::as_str);
        (name.clone(), python_text(text, kind).into_owned())
    });
    columns.collect()
}

#[cfg(test)]
mod tests;
