//! `ai.verify_vectorizer`: whether the destination is what it should be, found out by doing the worker's work
//! again up to the texts, without the provider.
//!
//! What that takes is bounded for all sessions together: see [`crate::runtime::places`]. A place is taken for each
//! handful of documents whose rows are there, and given back before anything is answered: neither code of an
//! owner, which runs while rows are fetched, nor a cursor that nobody goes on with keeps one. Texts are made
//! and compared beside the session's own thread, which can be interrupted meanwhile.
//!
//! Rows come through a cursor, so everything is compared as it was at one moment, and memory does not grow
//! with the table; a few documents are read at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ai_pipeline::config::Destination;
use ai_pipeline::error::{Failure, Step};
use ai_pipeline::memory::Memory;
use ai_pipeline::panics;
use ai_pipeline::plan::Digest;
use ai_pipeline::prepare::Content;
use ai_pipeline::verify::{Difference, Problem, Stored};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;
use serde_json::Value;

use crate::catalog::{self, Vectorizer};
use crate::postgres::error::raise;
use crate::postgres::json::JsonB;
use crate::postgres::statement::{Cursor, Row};
use crate::postgres::transaction::{acting_as_extension, restricted_to};
use crate::runtime::bridge::{Bridge, Task};
use crate::runtime::places::{self, SessionPermit};
use crate::runtime::services::{Services, StoredDocument};
use crate::store::memory;
use crate::store::queue;
use crate::vectorizer::{missing, must_not_be_held, must_own};
use crate::{settings, shared_memory};

/// Documents that are read at a time. Their texts and chunks are in memory.
const AT_A_TIME: usize = 16;
/// No more are read when what was read weighs so many bytes.
const WEIGHT: usize = 16 << 20;
/// What a stored chunk weighs beside its text.
const CHUNK: usize = 256;
/// Documents that one statement enqueues, and rows that are gone that one tells of: keys may be long.
const KEYS: usize = 100;

type Findings = TableIterator<
    'static,
    (
        name!(primary_key, String),
        name!(chunk_seq, Option<i32>),
        name!(problem, String),
        name!(detail, String),
    ),
>;

#[pg_extern(sql = false)]
fn verify_vectorizer(vectorizer_id: Option<i32>, repair: Option<bool>) -> Findings {
    let vectorizer_id = vectorizer_id.unwrap_or_else(|| missing("NULL"));
    must_own(vectorizer_id);
    // What is found tells of what was read, with what the configuration chooses.
    must_not_be_held(vectorizer_id);
    let vectorizer = match acting_as_extension(|| catalog::vectorizer(vectorizer_id)) {
        Some(Ok(vectorizer)) => Arc::new(vectorizer),
        Some(Err(unusable)) => raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("vectorizer {vectorizer_id} cannot work: {}", unusable.failure.reason),
            unusable.failure.hint.as_deref(),
        ),
        None => missing(&vectorizer_id.to_string()),
    };
    if let Some(Failure { reason, hint, .. }) = acting_as_extension(|| catalog::filtered(vectorizer_id)) {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("vectorizer {vectorizer_id} cannot be verified: {reason}"),
            hint.as_deref(),
        );
    }
    let findings = Verification::new(vectorizer, repair.unwrap_or_default());
    TableIterator::new(findings.map(|finding| {
        let Finding {
            key,
            seq,
            problem,
            detail,
        } = finding;
        (key, seq, problem, detail)
    }))
}

/// One line of the answer. Keys are JSON as Postgres writes it: its numbers are longer than those of serde_json.
struct Finding {
    key: String,
    seq: Option<i32>,
    problem: String,
    detail: String,
}

/// A document that is being compared.
struct Reading {
    key: String,
    task: Task,
}

struct ReadRow {
    number: u64,
    differences: Result<Vec<Difference>, Failure>,
}

struct Verification {
    vectorizer: Arc<Vectorizer>,
    repair: bool,
    services: Services,
    /// While documents are compared.
    place: Option<SessionPermit>,
    is_told_unconfined: bool,
    bridge: Bridge<ReadRow>,
    /// What is left to do, the last first.
    stages: Vec<(VerifyStage, Cursor)>,
    reading: HashMap<u64, Reading>,
    next: u64,
    found: VecDeque<Finding>,
    /// Keys of wrong documents. They are enqueued at the end, because from then on a session that changes one of
    /// them has to wait for the end of the caller's transaction.
    wrong: Vec<String>,
}

enum VerifyStage {
    Documents,
    Strays,
}

impl Verification {
    fn new(vectorizer: Arc<Vectorizer>, repair: bool) -> Verification {
        let settings = settings::current();
        let bridge = Bridge::of_session(AT_A_TIME);
        let services = bridge.within(|| Services::of_session(&settings));
        let statements = &vectorizer.statements;
        // Both now: the two see the same state of the tables.
        let stages = restricted_to(vectorizer.owner, || {
            vec![
                (VerifyStage::Strays, Cursor::open(&statements.strays)),
                (VerifyStage::Documents, Cursor::open(&statements.documents)),
            ]
        });
        Verification {
            vectorizer,
            repair,
            services,
            place: None,
            is_told_unconfined: false,
            bridge,
            stages,
            reading: HashMap::new(),
            next: 0,
            found: VecDeque::new(),
            wrong: Vec::new(),
        }
    }

    /// Does a bit of what is left; false when nothing is.
    fn advance(&mut self) -> bool {
        if !self.reading.is_empty() {
            let reading = &self.reading;
            let has_ended = || reading.values().any(|reading| reading.task.has_ended());
            let ReadRow { number, differences } = self.bridge.wait_in_session(has_ended);
            let Reading { key, .. } = self.reading.remove(&number).expect("a document is read once");
            self.report_differences(key, differences);
            if self.reading.is_empty()
                && let Some(place) = self.place.take()
            {
                place.give_back();
            }
            return true;
        }
        if let Some((stage, cursor)) = self.stages.last() {
            let more = match stage {
                VerifyStage::Documents => {
                    let rows = restricted_to(self.vectorizer.owner, || some_documents(cursor));
                    let more = !rows.is_empty();
                    let mut remembered = match self.vectorizer.config.destination {
                        Destination::Table { .. } => HashMap::new(),
                        Destination::Column { .. } => {
                            let keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
                            memory::memories_beside(cursor, self.vectorizer.id, &keys)
                        }
                    };
                    for (place, row) in rows.into_iter().enumerate() {
                        self.look_at(row, remembered.remove(&place));
                    }
                    more
                }
                VerifyStage::Strays => {
                    let rows = restricted_to(self.vectorizer.owner, || cursor.fetch(KEYS, stray));
                    let more = !rows.is_empty();
                    rows.into_iter().for_each(|row| self.report_stray(row));
                    more
                }
            };
            if !more && let Some((_, cursor)) = self.stages.pop() {
                cursor.close();
            }
            return true;
        }
        if !std::mem::replace(&mut self.is_told_unconfined, true)
            && let Some(missing) = self.services.unconfined()
        {
            warning!("parsers run without some of their confinement: {missing}");
        }
        if !self.wrong.is_empty() {
            self.repair();
        }
        false
    }

    fn look_at(&mut self, row: DocumentRow, remembered: Option<Memory>) {
        let DocumentRow {
            key,
            document,
            columns,
            obstacle,
            stored,
            column,
            most,
        } = row;
        if let Some((problem, detail)) = obstacle {
            self.report(key, None, problem, detail);
            return;
        }
        if let Some(most) = most.filter(|most| stored.len() > *most) {
            self.wrong(&key);
            let detail =
                format!("more than {most} chunks of it are stored, which is more than ai.max_memory has room for");
            self.report(key, None, &Problem::Unexpected.to_string(), detail);
            return;
        }
        if self.place.is_none() {
            self.place = Some(SessionPermit::take(
                places::PermitKind::Verify,
                settings::current().parser_processes,
            ));
        }
        let found = StoredDocument {
            chunks: stored,
            column,
            remembered,
        };
        let differences = self.services.differences(&self.vectorizer, document, columns, found);
        let number = self.next;
        self.next += 1;
        let task = self.bridge.spawn(async move {
            ReadRow {
                number,
                differences: panics::guarded(Step::Loading, differences).await,
            }
        });
        self.reading.insert(number, Reading { key, task });
    }

    fn report_differences(&mut self, key: String, differences: Result<Vec<Difference>, Failure>) {
        match differences {
            Err(failure) => {
                self.wrong(&key);
                self.report(key, None, "unreadable", failure.to_string());
            }
            Ok(differences) => {
                if !differences.is_empty() {
                    self.wrong(&key);
                }
                for Difference { seq, problem, detail } in differences {
                    self.report(key.clone(), seq, &problem.to_string(), detail);
                }
            }
        }
    }

    fn report_stray(&mut self, (key, queued, detail): (String, bool, String)) {
        if !queued {
            self.wrong(&key);
        }
        let problem = if queued { "queued" } else { "orphan" };
        self.report(key, None, problem, detail);
    }

    fn report(&mut self, key: String, seq: Option<i32>, problem: &str, detail: String) {
        self.found.push_back(Finding {
            key,
            seq,
            problem: problem.to_owned(),
            detail,
        });
    }

    fn wrong(&mut self, key: &str) {
        if self.repair {
            self.wrong.push(key.to_owned());
        }
    }

    /// Has the worker do the wrong documents again.
    fn repair(&mut self) {
        let wrong = std::mem::take(&mut self.wrong);
        for keys in wrong.chunks(KEYS) {
            catalog::acting_for(self.vectorizer.id, || {
                restricted_to(self.vectorizer.owner, || queue::enqueue(&self.vectorizer, keys));
            });
            // What is remembered of them may be as wrong as they are. After they are in the queue: see
            // forget_documents.sql.
            acting_as_extension(|| memory::forget_documents(self.vectorizer.id, keys));
        }
        shared_memory::wake_at_commit();
    }
}

impl Iterator for Verification {
    type Item = Finding;

    fn next(&mut self) -> Option<Finding> {
        // What is under way ends first.
        while (self.found.is_empty() || !self.reading.is_empty()) && self.advance() {}
        self.found.pop_front()
    }
}

/// A row of sql/query/source/documents.sql.
struct DocumentRow {
    key: String,
    document: Option<Content>,
    columns: Value,
    /// Why it need not be looked at: problem and detail.
    obstacle: Option<(&'static str, String)>,
    stored: Vec<Stored>,
    column: Option<usize>,
    /// How many chunks are read of it, where there is a bound.
    most: Option<usize>,
}

impl DocumentRow {
    /// What it takes up, in bytes.
    fn weight(&self) -> usize {
        let document = match &self.document {
            Some(Content::Text(text)) => text.len(),
            Some(Content::Bytes(bytes)) => bytes.len(),
            None => 0,
        };
        let texts = self.stored.iter().filter_map(|chunk| chunk.text.as_ref());
        document + CHUNK * self.stored.len() + texts.map(String::len).sum::<usize>()
    }
}

/// A digest that Postgres has written as text: it has no arrays of bytes that could be read here.
fn from_hex(hex: &str) -> Option<Digest> {
    let byte = |at: usize| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..hex.len()).step_by(2).map(byte).collect();
    Digest::stored(&bytes?)
}

/// The next documents, one by one: any of them may be all that there is room for.
fn some_documents(cursor: &Cursor) -> Vec<DocumentRow> {
    let (mut rows, mut weight) = (Vec::new(), 0usize);
    while rows.len() < AT_A_TIME && weight < WEIGHT {
        let Some(row) = cursor.fetch(1, document).pop() else {
            break;
        };
        weight = weight.saturating_add(row.weight());
        rows.push(row);
    }
    rows
}

fn document(row: &Row) -> DocumentRow {
    let queued = row.get("queued").map(|detail| ("queued", detail));
    let failed = row.must::<bool>("failed").then(|| ("failed", row.must("failure")));
    let seqs: Vec<i32> = row.get("seqs").unwrap_or_default();
    let texts: Vec<Option<String>> = row.get("texts").unwrap_or_default();
    let digests: Vec<Option<String>> = row.get("digests").unwrap_or_default();
    let dimensions: Vec<Option<i32>> = row.get("dimensions").unwrap_or_default();
    let length = |dimensions: Option<i32>| dimensions.map(|number| number.unsigned_abs() as usize);
    let column = dimensions.first().copied().and_then(length);
    let chunks = seqs.into_iter().zip(texts).zip(digests).zip(dimensions);
    DocumentRow {
        key: row.must("primary_key"),
        document: row
            .get("document_text")
            .map(Content::Text)
            .or_else(|| row.get("document_bytes").map(Content::of_bytes)),
        columns: row.must::<JsonB>("columns").0,
        obstacle: queued.or(failed),
        column,
        most: row.get::<i64>("most").and_then(|most| usize::try_from(most).ok()),
        stored: chunks
            .map(|(((seq, text), digest), dimensions)| Stored {
                seq,
                text,
                digest: digest.as_deref().and_then(from_hex),
                dimensions: length(dimensions),
            })
            .collect(),
    }
}

/// A row of sql/query/source/strays.sql: primary key, whether the queue has it, detail.
fn stray(row: &Row) -> (String, bool, String) {
    (row.must(1), row.must(2), row.must(3))
}
