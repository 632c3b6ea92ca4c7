//! Documents that are prepared without a network, a server or a process: where they come from and
//! what parses them is scripted.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::parse::{Mark, Marks};
use crate::threads::Threads;

const MEGABYTE: u64 = 1 << 20;

struct TestVectorizer {
    config: Config,
    basis: Basis,
    cutting: Cutting,
    template: Template,
    template_columns: LiteMap<String, String>,
}

impl TestVectorizer {
    /// With these members of the configuration in place of the usual ones.
    fn new(changes: &Value) -> TestVectorizer {
        let mut config = json!({
            "version": "0.2.0",
            "loading": {"implementation": "uri", "column_name": "uri", "retries": 6},
            "parsing": {"implementation": "auto"},
            "embedding": {"implementation": "openai", "model": "m", "dimensions": 3, "api_key_name": "KEY"},
            "chunking": {"implementation": "character_text_splitter", "chunk_size": 6, "chunk_overlap": 0,
                         "separator": " ", "is_separator_regex": false},
            "indexing": {"implementation": "none"},
            "formatting": {"implementation": "python_template", "template": "$title: $chunk"},
            "scheduling": {"implementation": "default"},
            "processing": {"implementation": "default"},
            "destination": {"implementation": "table", "target_schema": "a", "target_table": "b", "view_schema": "c",
                            "view_name": "d"},
        });
        for (name, member) in changes.as_object().unwrap() {
            config[name] = member.clone();
        }
        let template = Template::parse(config["formatting"]["template"].as_str().unwrap()).unwrap();
        let config: Config = serde_json::from_value(config).unwrap();
        TestVectorizer {
            basis: Basis::new(&config),
            cutting: Cutting::new(&config.chunking).unwrap(),
            template,
            template_columns: [("title".to_owned(), "text".to_owned())].into_iter().collect(),
            config,
        }
    }

    fn of_column() -> TestVectorizer {
        TestVectorizer::new(&json!({"loading": {"implementation": "column", "column_name": "body", "retries": 6}}))
    }
}

impl Instructions for TestVectorizer {
    fn config(&self) -> &Config {
        &self.config
    }

    fn basis(&self) -> &Basis {
        &self.basis
    }

    fn cutting(&self) -> &Cutting {
        &self.cutting
    }

    fn template(&self) -> &Template {
        &self.template
    }

    fn template_columns(&self) -> &LiteMap<String, String> {
        &self.template_columns
    }
}

/// Has one document, with a tag, and notes by which tag it was asked for.
struct Shelf {
    text: &'static str,
    tag: &'static str,
    asked: Mutex<Vec<Option<String>>>,
}

impl Load for Shelf {
    fn load<'l>(
        &'l self,
        wanted: WantedDocument<'l>,
        documents: &'l Budget,
        _downloads: &'l Semaphore,
    ) -> BoxFuture<'l, Result<Option<(load::Document, Reservation)>, load::Error>> {
        Box::pin(async move {
            let known = wanted.known.map(|tag| tag.as_str().to_owned());
            self.asked.lock().unwrap().push(known.clone());
            if wanted.uri == "s3://a/missing" {
                let location = wanted.uri.to_owned();
                return Err(load::Error::NotAllowed { location });
            }
            if known.as_deref() == Some(self.tag) {
                return Ok(None);
            }
            let document = load::Document {
                bytes: Bytes::from(self.text),
                name: Some("report.pdf".to_owned()),
                media_type: Some("application/pdf".to_owned()),
                tag: Some(Tag::remembered(self.tag.to_owned())),
            };
            Ok(Some((document, documents.reserve(COST * self.text.len() as u64).await)))
        })
    }
}

/// Takes bytes for text whose second word is on another page, and notes what it was given.
#[derive(Default)]
struct TestReader {
    given: Mutex<Vec<(String, Option<String>)>>,
}

impl Parse for TestReader {
    fn parse<'p>(
        &'p self,
        bytes: Bytes,
        hints: Hints<'p>,
        _documents: &'p Budget,
        reservation: Reservation,
    ) -> BoxFuture<'p, Result<(Parsed, Reservation), parse::Error>> {
        let text = String::from_utf8(bytes.into()).unwrap();
        let name = hints.name.map(str::to_owned);
        self.given.lock().unwrap().push((text.clone(), name));
        let second = text.find(' ').map_or(0, |at| at + 1) as u32;
        let parsed = match text.as_str() {
            "encrypted" => Err(parse::Error::Encrypted),
            _ => Ok(Parsed {
                text,
                marks: Marks::from_iter([Mark::page(0, 1), Mark::page(second, 2)]),
            }),
        };
        Box::pin(std::future::ready(parsed.map(|parsed| (parsed, reservation))))
    }
}

struct Scene {
    vectorizer: Arc<TestVectorizer>,
    shelf: Arc<Shelf>,
    reader: Arc<TestReader>,
    documents: Budget,
    downloads_of_owner: Arc<Semaphore>,
    limits: texts::TextLimits,
}

impl Scene {
    fn new(vectorizer: TestVectorizer, text: &'static str, tag: &'static str) -> Scene {
        Scene {
            vectorizer: Arc::new(vectorizer),
            shelf: Arc::new(Shelf {
                text,
                tag,
                asked: Mutex::default(),
            }),
            reader: Arc::default(),
            documents: Budget::new(64 * MEGABYTE),
            downloads_of_owner: Arc::new(Semaphore::new(1)),
            limits: texts::TextLimits::new(MEGABYTE),
        }
    }

    async fn prepare(&self, document: Content, remembered: Option<Remembered>) -> Result<Prepared, Failure> {
        let is_uri = matches!(self.vectorizer.config.loading, Loading::Uri { .. });
        let limits = parse::ParserLimits {
            timeout: Duration::from_secs(60),
            memory_bytes: 64 * MEGABYTE,
            text_bytes: MEGABYTE,
        };
        let preparation = Preparation {
            instructions: Arc::clone(&self.vectorizer),
            loader: is_uri.then(|| Arc::clone(&self.shelf) as _),
            downloads: Arc::new(Semaphore::new(1)),
            downloads_of_owner: Arc::clone(&self.downloads_of_owner),
            parser: Arc::clone(&self.reader) as _,
            cutter: Cutter {
                parser: Parser::new(PathBuf::from("/nowhere"), limits, 1),
                threads: Threads::new(1),
                owner: 0,
                timeout: limits.timeout,
            },
            documents: self.documents.clone(),
            limits: self.limits,
        };
        preparation
            .run(document, json!({"title": "Tea"}), remembered, None)
            .await
    }

    async fn texts(&self, document: Content, remembered: Option<Remembered>) -> (Texts, Note) {
        match self.prepare(document, remembered).await {
            Ok(Prepared::Texts { texts, note, .. }) => (texts, note),
            other => panic!("{other:?}"),
        }
    }

    async fn unchanged(&self, document: Content, remembered: Remembered) -> Note {
        match self.prepare(document, Some(remembered)).await {
            Ok(Prepared::Unchanged { note }) => note,
            other => panic!("{other:?}"),
        }
    }

    async fn failure(&self, document: Content) -> (Step, Class, String) {
        let failure = self.prepare(document, None).await.unwrap_err();
        (failure.step, failure.class, failure.reason)
    }

    fn asked(&self) -> Vec<Option<String>> {
        self.shelf.asked.lock().unwrap().clone()
    }

    fn parsed(&self) -> usize {
        self.reader.given.lock().unwrap().len()
    }
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn uri() -> Content {
    text("s3://a/report.pdf")
}

fn lines(texts: &Texts) -> Vec<String> {
    texts.iter().map(|text| text.into_owned()).collect()
}

/// What is written down of a document the first time.
async fn first(scene: &Scene) -> Memory {
    match scene.texts(uri(), None).await.1 {
        Note::Remember(memory) => memory,
        note => panic!("{note:?}"),
    }
}

#[tokio::test]
async fn a_text_in_a_column_is_cut_and_formatted() {
    let scene = Scene::new(TestVectorizer::of_column(), "", "");
    let (texts, note) = scene.texts(text("leaves and water"), None).await;
    assert_eq!(lines(&texts), ["Tea: leaves", "Tea: and", "Tea: water"]);
    assert_eq!(note, Note::Keep, "it is not worth a memory");
    assert!(scene.asked().is_empty() && scene.parsed() == 0);
    let (texts, note) = scene.texts(text(&"leaves ".repeat(20_000)), None).await;
    assert_eq!(texts.len(), 20_000);
    assert!(
        matches!(
            note,
            Note::Remember(Memory {
                chunks: 20_000,
                tag: None,
                ..
            })
        ),
        "{note:?}"
    );
}

#[tokio::test]
async fn bytes_in_a_column_are_parsed() {
    let scene = Scene::new(TestVectorizer::of_column(), "", "");
    let (texts, note) = scene.texts(Content::of_bytes(b"leaves and".to_vec()), None).await;
    assert_eq!(lines(&texts), ["Tea: leaves", "Tea: and"]);
    assert!(matches!(note, Note::Remember(_)), "{note:?}");
    assert_eq!(
        scene.reader.given.lock().unwrap()[..],
        [("leaves and".to_owned(), None)]
    );
}

#[tokio::test]
async fn a_download_waits_for_a_place_of_its_owner_before_anything_that_others_wait_for() {
    let scene = Scene::new(TestVectorizer::new(&json!({})), "leaves and", "v1");
    let place = scene.downloads_of_owner.acquire().await.unwrap();
    let mut prepared = Box::pin(scene.prepare(uri(), None));
    assert!(futures_util::poll!(&mut prepared).is_pending());
    assert!(scene.asked().is_empty(), "the loader is not asked");
    drop(place);
    assert!(matches!(prepared.await, Ok(Prepared::Texts { .. })));
    assert_eq!(scene.asked().len(), 1);
    assert_eq!(
        scene.downloads_of_owner.available_permits(),
        1,
        "the place is free again"
    );
}

#[tokio::test]
async fn a_document_behind_a_uri_is_loaded_parsed_and_remembered() {
    let scene = Scene::new(TestVectorizer::new(&json!({})), "leaves and", "v1");
    let (texts, note) = scene.texts(uri(), None).await;
    assert_eq!(lines(&texts), ["Tea: leaves", "Tea: and"]);
    let Note::Remember(memory) = note else {
        panic!("{note:?}")
    };
    assert_eq!((memory.tag.as_ref().map(Tag::as_str), memory.chunks), (Some("v1"), 2));
    let name = Some("report.pdf".to_owned());
    assert_eq!(
        scene.reader.given.lock().unwrap()[..],
        [("leaves and".to_owned(), name)]
    );
}

/// Pages, and whatever else a format knows of places.
#[tokio::test]
async fn places_and_marks_go_with_the_texts() {
    let scene = Scene::new(TestVectorizer::new(&json!({})), "leaves and", "v1");
    let (texts, _) = scene.texts(uri(), None).await;
    assert_eq!((texts.place(0), texts.place(1)), (0..6, 7..10));
    let pages: Vec<Mark> = texts.marks().iter().copied().collect();
    assert_eq!(pages, [Mark::page(0, 1), Mark::page(7, 2)]);
}

#[tokio::test]
async fn what_is_still_the_same_goes_no_further_than_what_shows_that() {
    let scene = Scene::new(TestVectorizer::new(&json!({})), "leaves and", "v1");
    let memory = first(&scene).await;
    let remembered = |stored| Remembered {
        memory: memory.clone(),
        stored,
    };
    // By its tag: it is not even downloaded.
    assert_eq!(scene.unchanged(uri(), remembered(2)).await, Note::Keep);
    assert_eq!(scene.asked(), [None, Some("v1".to_owned())]);
    // By its content: the tag is another.
    let same = Scene::new(TestVectorizer::new(&json!({})), "leaves and", "v2");
    let Note::Remember(now) = same.unchanged(uri(), remembered(2)).await else {
        panic!("the new tag is to be remembered")
    };
    assert_eq!(
        (now.tag.as_ref().map(Tag::as_str), now.content),
        (Some("v2"), memory.content)
    );
    assert_eq!((scene.parsed(), same.parsed()), (1, 0));
}

#[tokio::test]
async fn what_is_remembered_counts_only_while_it_is_true() {
    let scene = Scene::new(TestVectorizer::new(&json!({})), "leaves and", "v1");
    let memory = first(&scene).await;
    let remembered = |stored| {
        Some(Remembered {
            memory: memory.clone(),
            stored,
        })
    };
    // A chunk was taken away: what it says of the document is right, and is kept.
    let (texts, note) = scene.texts(uri(), remembered(1)).await;
    assert_eq!((texts.len(), note), (2, Note::Keep));
    // Another recipe, and another content.
    let wider = json!({"chunking": {"implementation": "none"}});
    let wider = Scene::new(TestVectorizer::new(&wider), "leaves and", "v1");
    let other = Scene::new(TestVectorizer::new(&json!({})), "leaves or", "v2");
    for (scene, expected) in [(wider, &["Tea: leaves and"][..]), (other, &["Tea: leaves", "Tea: or"])] {
        let (texts, note) = scene.texts(uri(), remembered(2)).await;
        assert_eq!(lines(&texts), expected);
        assert!(matches!(note, Note::Remember(_)), "{note:?}");
        assert_eq!(scene.parsed(), 1);
    }
    // A text that has become too short to be remembered.
    let column = Scene::new(TestVectorizer::of_column(), "", "");
    assert_eq!(column.texts(text("leaves"), remembered(2)).await.1, Note::Forget);
}

#[tokio::test]
async fn each_step_says_that_it_failed() {
    let scene = Scene::new(TestVectorizer::new(&json!({})), "encrypted", "v1");
    for (document, step, class, reason) in [
        (
            text("s3://a/missing"),
            Step::Loading,
            Class::Permanent,
            "at a place that its server allows",
        ),
        (
            text(&"x".repeat(GREATEST_URI + 1)),
            Step::Loading,
            Class::Permanent,
            "the URI has 16385 bytes",
        ),
        (
            Content::of_bytes(vec![0]),
            Step::Loading,
            Class::Configuration,
            "the column of URIs holds bytes",
        ),
        (uri(), Step::Parsing, Class::Permanent, "needs a password"),
    ] {
        let failure = scene.failure(document).await;
        assert_eq!((failure.0, failure.1), (step, class), "{failure:?}");
        assert!(failure.2.contains(reason), "{failure:?}");
    }
    assert_eq!(scene.asked().len(), 2, "what is no URI is not asked for");
    let scene = Scene {
        limits: texts::TextLimits {
            one: 9,
            ..texts::TextLimits::new(MEGABYTE)
        },
        ..Scene::new(TestVectorizer::of_column(), "", "")
    };
    let failure = scene.failure(text("leaves")).await;
    assert_eq!((failure.0, failure.1), (Step::Formatting, Class::Permanent));
}

/// Many short chunks take more than the document: there has to be memory for them before they stay.
#[tokio::test]
async fn memory_is_reserved_for_what_the_chunks_take() {
    let scene = Scene::new(TestVectorizer::of_column(), "", "");
    let document = "ab cde ".repeat(2000);
    let Ok(Prepared::Texts { texts, reservation, .. }) = scene.prepare(text(&document), None).await else {
        panic!("it is prepared")
    };
    let reserved = reservation.expect("it is kept with the texts").bytes();
    let least = texts.len() as u64 * crate::chunk::CHUNK_BYTES + document.len() as u64;
    assert!(
        reserved >= least && reserved > COST * document.len() as u64,
        "{reserved} for {least}"
    );
}
