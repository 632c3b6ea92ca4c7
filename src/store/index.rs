//! The vector index of a destination: whether it is due, and what is noted about its builds.

use std::time::Duration;

use ai_pipeline::error::{Class, Failure, Step};

use crate::catalog::{self, VectorIndex, Vectorizer};
use crate::postgres::statement;

/// What there is to do about an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexAction {
    /// It is there.
    Ready,
    /// One is being built.
    UnderWay,
    /// Documents wait, which comes first.
    QueueFirst,
    /// The destination is too small for it.
    TooFew,
    /// A build has failed: not before this has passed.
    After(Duration),
    /// It is to be built. `left_behind`: what is left of an earlier build has to go first.
    Build { left_behind: bool },
}

/// Looks whether the index of a vectorizer is to be built now: pgai's rule. Nobody of ours may be building one.
pub fn look(vectorizer: &Vectorizer, index: &VectorIndex) -> IndexAction {
    note_lost_build(vectorizer);
    let arguments = [
        index.destination.into(),
        index.column.as_str().into(),
        index.method.into(),
        index.name.as_str().into(),
    ];
    let sql = include_str!("../../sql/query/index/vector_index.sql");
    let found = statement::row(sql, &arguments, |row| (row.must(1), row.must(2), row.must(3)));
    let left_behind = match found {
        Some((true, _, _)) => {
            // It is there, whether we built it or not: what was noted about our failures is of no interest any more.
            if vectorizer.has_notes {
                finish(vectorizer.id);
            }
            return IndexAction::Ready;
        }
        Some((_, true, _)) => return IndexAction::UnderWay,
        Some((_, _, left_behind)) => left_behind,
        None => false,
    };
    let wait: Option<f64> = statement::row(
        include_str!("../../sql/query/index/index_wait.sql"),
        &[vectorizer.id.into()],
        |row| row.get(1),
    )
    .flatten();
    if let Some(wait) = wait.filter(|seconds| *seconds > 0.0) {
        return IndexAction::After(Duration::from_secs_f64(wait.min(3_600.0)));
    }
    vectorizer.act(|| {
        let empty = || statement::row(&index.queue_is_empty, &[], |row| row.must::<bool>(1)) == Some(true);
        if index.when_queue_is_empty && !empty() {
            return IndexAction::QueueFirst;
        }
        let count = || statement::row(&index.count_vectors, &[index.min_rows.into()], |row| row.must::<i64>(1));
        if index.min_rows > 0 && count().unwrap_or(0) < index.min_rows {
            return IndexAction::TooFew;
        }
        IndexAction::Build { left_behind }
    })
}

/// A build whose process was killed has told nobody.
fn note_lost_build(vectorizer: &Vectorizer) {
    let sql = include_str!("../../sql/query/index/lost_index.sql");
    let lost = statement::row(sql, &[vectorizer.id.into()], |_| ()).is_some();
    if lost {
        let failure = Failure {
            step: Step::Indexing,
            class: Class::Transient,
            reason: "the process that built the index was ended before it was done".to_owned(),
            hint: Some("The server log tells how the process ended.".to_owned()),
        };
        catalog::record_error(vectorizer.id, None, None, &failure);
    }
}

/// Counts the attempt, before it is made.
pub fn begin(id: i32) {
    statement::run(include_str!("../../sql/query/index/begin_index.sql"), &[id.into()]);
}

/// The build has failed; why is for the views.
pub fn fail(id: i32, failure: &Failure) {
    statement::run(include_str!("../../sql/query/index/fail_index.sql"), &[id.into()]);
    catalog::record_error(id, None, None, failure);
}

/// The index is there.
pub fn finish(id: i32) {
    statement::run(include_str!("../../sql/query/index/finish_index.sql"), &[id.into()]);
}
