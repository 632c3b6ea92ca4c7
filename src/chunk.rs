//! `ai.chunk_text` and `ai.chunk_text_recursively`: the chunkers of the worker, for a text at hand.

use std::borrow::Cow;

use ai_pipeline::chunk::{Error, Splitter};
use ai_pipeline::config::Chunking;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use crate::error::raise;

/// LangChain's defaults, which pgai's functions have; those of `ai.chunking_*` are other ones.
const CHUNK_SIZE: i32 = 4000;
const CHUNK_OVERLAP: i32 = 200;
const SEPARATOR: &str = "\n\n";
const SEPARATORS: [&str; 4] = ["\n\n", "\n", " ", ""];

type Chunks = TableIterator<'static, (name!(seq, i64), name!(chunk, String))>;

#[pg_extern(sql = false)]
fn chunk_text(
    input: Option<&str>,
    chunk_size: Option<i32>,
    chunk_overlap: Option<i32>,
    separator: Option<String>,
    is_separator_regex: Option<bool>,
) -> Chunks {
    chunks(
        input,
        &Chunking::CharacterTextSplitter {
            chunk_size: chunk_size.unwrap_or(CHUNK_SIZE),
            chunk_overlap: chunk_overlap.unwrap_or(CHUNK_OVERLAP),
            separator: separator.unwrap_or_else(|| SEPARATOR.to_owned()),
            is_separator_regex: is_separator_regex.unwrap_or_default(),
        },
    )
}

#[pg_extern(sql = false)]
fn chunk_text_recursively(
    input: Option<&str>,
    chunk_size: Option<i32>,
    chunk_overlap: Option<i32>,
    separators: Option<Vec<Option<String>>>,
    is_separator_regex: Option<bool>,
) -> Chunks {
    let separators = match separators {
        None => SEPARATORS.map(str::to_owned).to_vec(),
        Some(given) => given.into_iter().collect::<Option<Vec<_>>>().unwrap_or_else(|| {
            let message = "separators must not hold NULL";
            raise(PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED, message, None)
        }),
    };
    chunks(
        input,
        &Chunking::RecursiveCharacterTextSplitter {
            chunk_size: chunk_size.unwrap_or(CHUNK_SIZE),
            chunk_overlap: chunk_overlap.unwrap_or(CHUNK_OVERLAP),
            separators,
            is_separator_regex: is_separator_regex.unwrap_or_default(),
        },
    )
}

fn chunks(input: Option<&str>, chunking: &Chunking) -> Chunks {
    let splitter = Splitter::new(chunking);
    let cut = splitter.and_then(|splitter| splitter.split(input.unwrap_or_default()));
    let chunks = cut.unwrap_or_else(|error: Error| {
        let hint = error.hint();
        raise(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            error.to_string(),
            hint.as_deref(),
        )
    });
    TableIterator::new((0..).zip(chunks.into_iter().map(Cow::into_owned).collect::<Vec<_>>()))
}
