//! Cutting in a session: in a process or on a thread of its own, for which the session waits as a good citizen.

use ai_pipeline::chunk::{self, Bounds, CutRefusal, has_expressions};
use ai_pipeline::config::Chunking;
use ai_pipeline::cut::Cutter;
use ai_pipeline::error::Class;
use ai_pipeline::texts;
use ai_pipeline::threads::Threads;
use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::runtime::bridge::Bridge;
use crate::runtime::places::{self, SessionPermit};
use crate::runtime::services;
use crate::settings::{self, Settings};

/// As for a document of a worker.
pub fn bounds(text: &str, settings: &Settings) -> Bounds {
    let room = (settings.max_memory_bytes / 8 * 5).max(4 * text.len() as u64);
    Bounds::new(
        text.len(),
        room,
        texts::TextLimits::new(settings.max_document_bytes).all,
    )
}

/// Checks a chunking configuration for a vectorizer. Raises what is wrong with it.
pub fn check(chunking: &Chunking) {
    let (settings, of_task) = (settings::current(), chunking.clone());
    let checked = if has_expressions(chunking) {
        beside(
            &settings,
            true,
            move |cutter| async move { cutter.check(&of_task).await },
        )
    } else {
        chunk::check(chunking).map_err(CutRefusal::from)
    };
    checked.unwrap_or_else(|refusal| refuse(refusal));
}

/// Has work done beside the session's own thread, which can be cancelled, timed out and ended meanwhile; in a
/// process of its own when there is a place for one.
pub fn beside<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    settings: &Settings,
    is_process: bool,
    work: impl FnOnce(Cutter) -> F,
) -> T {
    let place = is_process.then(|| SessionPermit::take(places::PermitKind::Cut, settings.parser_processes));
    let mut bridge = Bridge::of_session(1);
    let cutter = Cutter {
        parser: services::parser(settings),
        threads: Threads::new(1),
        owner: 0,
        timeout: settings.parser_timeout,
    };
    let task = bridge.spawn(work(cutter));
    let done = bridge.wait_in_session(|| task.has_ended());
    if let Some(place) = place {
        place.give_back();
    }
    done
}

pub fn refuse(refusal: impl Into<CutRefusal>) -> ! {
    let refusal = refusal.into();
    let code = match refusal.class() {
        _ if refusal.is_limit => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Class::Configuration | Class::Permanent => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Class::Transient | Class::Throttled { .. } => PgSqlErrorCode::ERRCODE_INSUFFICIENT_RESOURCES,
        Class::Unknown => PgSqlErrorCode::ERRCODE_EXTERNAL_ROUTINE_EXCEPTION,
    };
    raise(code, refusal.reason, refusal.hint.as_deref())
}
