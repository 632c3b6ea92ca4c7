//! What is written down about failures: an error row for each document and step, and the pause of a vectorizer.

use std::time::Duration;

use ai_pipeline::config::{Config, Loading};
use ai_pipeline::error::{Class, Failure, Step};
use serde_json::json;

use super::Vectorizer;
use crate::postgres::json::JsonB;
use crate::postgres::statement;

/// Writes down that a document (or, without one, the vectorizer) failed. pgai's messages and details, with more keys.
pub fn record_error(id: i32, config: Option<&Config>, key: Option<&str>, failure: &Failure) {
    let message = match failure.step {
        Step::Loading => "loading failed",
        Step::Embedding => "embedding provider failed",
        Step::Parsing => "parsing failed",
        Step::Indexing => "indexing failed",
        Step::Chunking | Step::Formatting | Step::Writing => "vectorizer failed with unexpected error",
    };
    let retryable = matches!(
        failure.class,
        Class::Transient | Class::Throttled { .. } | Class::Unknown
    );
    let mut details = json!({
        "error_reason": failure.reason,
        "step": failure.step,
        "class": failure.class.as_str(),
        "is_retryable": retryable,
    });
    if let Some(config) = config {
        match failure.step {
            Step::Loading => {
                details["loader"] = match config.loading {
                    Loading::Column { .. } => "column".into(),
                    Loading::Uri { .. } => "uri".into(),
                }
            }
            Step::Embedding => {
                details["provider"] = config.embedding.provider().into();
            }
            _ => (),
        }
    }
    if let Some(hint) = &failure.hint {
        details["hint"] = hint.as_str().into();
    }
    statement::run(
        include_str!("../../sql/query/pause/record_error.sql"),
        &[
            id.into(),
            message.into(),
            JsonB(details).into(),
            failure.step.to_string().into(),
            failure.class.as_str().into(),
            key.into(),
        ],
    );
}

/// Writes down that documents with these primary keys, in JSON, were given up for the processes that died with them.
pub fn record_quarantined(id: i32, keys: &[String], failure: &Failure) {
    if keys.is_empty() {
        return;
    }
    let details = json!({
        "error_reason": failure.reason,
        "step": failure.step,
        "class": failure.class.as_str(),
        "is_retryable": false,
        "hint": failure.hint,
    });
    let arguments = [
        id.into(),
        "parsing failed".into(),
        JsonB(details).into(),
        failure.class.as_str().into(),
        keys.to_vec().into(),
    ];
    statement::run(
        include_str!("../../sql/query/failed/record_quarantined.sql"),
        &arguments,
    );
}

/// How often in a row a step of a document has failed, as its error row says: it goes when the document succeeds.
pub fn failures(id: i32, step: Step, key: &str) -> u32 {
    let arguments = [id.into(), step.to_string().into(), key.into()];
    let failures = statement::row(include_str!("../../sql/query/pause/failures.sql"), &arguments, |row| {
        row.must::<i64>(1)
    });
    failures.map_or(0, |failures| u32::try_from(failures).unwrap_or(u32::MAX))
}

/// Whether the error row of a step of a document gives a reason that begins so.
pub fn has_failed_for(id: i32, step: Step, key: &str, reason: &str) -> bool {
    let sql = include_str!("../../sql/query/pause/has_failed_for.sql");
    let arguments = [id.into(), step.to_string().into(), key.into(), reason.into()];
    statement::row(sql, &arguments, |row| row.must(1)) == Some(true)
}

/// A document (or the vectorizer) is well again: what was written down about it goes. Returns the chunks that
/// were noted as cut: those that keep their vectors have to be noted again.
pub fn forgive(id: i32, key: Option<&str>) -> Vec<i64> {
    let sql = include_str!("../../sql/query/pause/forgive.sql");
    let forgiven = statement::rows(sql, &[id.into(), key.into()], |row| row.get::<JsonB>(1));
    let chunks = forgiven.into_iter().flatten().map(|JsonB(chunks)| chunks);
    chunks
        .flat_map(|chunks| serde_json::from_value::<Vec<i64>>(chunks).unwrap_or_default())
        .collect()
}

/// Writes down that chunks of a document are longer than the model takes. They are embedded all the same,
/// from what was left of them: this is no failure, but it must not go unseen.
pub fn note_cut(vectorizer: &Vectorizer, key: &str, chunks: &[usize]) {
    if chunks.is_empty() {
        return;
    }
    let (model, limit) = ai_pipeline::embed::model_and_limit(&vectorizer.config.embedding);
    let takes = limit.map(|limit| format!(" ({limit} tokens)")).unwrap_or_default();
    let number = chunks.len();
    let mut details = json!({
        "error_reason": format!("{number} chunks are longer than {model} takes{takes}: their vectors are those of their beginnings"),
        "step": Step::Embedding,
        "class": Class::CUT,
        "is_retryable": false,
        "provider": vectorizer.config.embedding.provider(),
        "hint": "Make chunks smaller (chunk_size), or choose a model that takes more.",
        "chunk_seq": chunks,
        "model": model,
    });
    if let Some(limit) = limit {
        details["limit"] = limit.into();
    }
    statement::run(
        include_str!("../../sql/query/pause/record_error.sql"),
        &[
            vectorizer.id.into(),
            "text was cut".into(),
            JsonB(details).into(),
            Step::Embedding.to_string().into(),
            Class::CUT.into(),
            key.into(),
        ],
    );
}

/// Stops the vectorizer until its configuration may have been mended; how long until one document is tried.
pub fn pause(id: i32, failure: &Failure) -> Duration {
    let (reason, hint) = (failure.reason.as_str(), failure.hint.as_deref());
    let arguments = [id.into(), reason.into(), hint.into()];
    let wait: Option<f64> = statement::row(include_str!("../../sql/query/pause/pause.sql"), &arguments, |row| {
        row.must(1)
    });
    Duration::from_secs_f64(wait.unwrap_or_default().clamp(0.0, 3600.0))
}

/// What was wrong with a vectorizer as a whole may be mended: it is tried again at once. Nobody is waited for.
pub fn mended(id: i32) {
    statement::run(include_str!("../../sql/query/pause/mended.sql"), &[id.into()]);
}

/// Has those of these vectorizers (`None`: of all) that are paused tried again now, but for those that another
/// transaction is about to change.
pub fn end_waits(ids: Option<Vec<i32>>) {
    statement::run(include_str!("../../sql/query/pause/end_waits.sql"), &[ids.into()]);
}

/// The configuration works again.
pub fn resume(id: i32) {
    statement::run(include_str!("../../sql/query/pause/resume.sql"), &[id.into()]);
    forgive(id, None);
}
