//! `ai.chunk_text` and `ai.chunk_text_recursively`: the chunkers of the worker, for a text at hand.

use ai_pipeline::config::Chunking;
use ai_pipeline::cut::{Cutter, Cutting};
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use crate::postgres::error::raise;
use crate::runtime::cutter::{beside, bounds, refuse};
use crate::settings;

/// LangChain's defaults, which pgai's functions have; those of `ai.chunking_*` are other ones.
const CHUNK_SIZE: i32 = 4000;
const CHUNK_OVERLAP: i32 = 200;
const SEPARATOR: &str = "\n\n";
const SEPARATORS: [&str; 4] = ["\n\n", "\n", " ", ""];

type ChunkRows = TableIterator<'static, (name!(seq, i64), name!(chunk, String))>;

#[pg_extern(sql = false)]
fn chunk_text(
    input: Option<String>,
    chunk_size: Option<i32>,
    chunk_overlap: Option<i32>,
    separator: Option<String>,
    is_separator_regex: Option<bool>,
) -> ChunkRows {
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
    input: Option<String>,
    chunk_size: Option<i32>,
    chunk_overlap: Option<i32>,
    separators: Option<Vec<Option<String>>>,
    is_separator_regex: Option<bool>,
) -> ChunkRows {
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

/// Chunks are made texts one by one, as they are asked for: all of them may be far longer than the text.
fn chunks(input: Option<String>, chunking: &Chunking) -> ChunkRows {
    let settings = settings::current();
    let text = input.unwrap_or_default();
    let bounds = bounds(&text, &settings);
    let cutting = Cutting::new(chunking).unwrap_or_else(|error| refuse(error));
    let at_hand = cutting.at_hand(&text, bounds).unwrap_or_else(|refusal| refuse(refusal));
    let (text, chunks) = match at_hand {
        Some(chunks) => (text, chunks),
        None => {
            let apart = cutting.is_apart();
            let work = move |cutter: Cutter| async move { cutter.cut(text, &cutting, bounds).await };
            beside(&settings, apart, work).unwrap_or_else(|refusal| refuse(refusal))
        }
    };
    let chunks = chunks.into_iter().map(move |chunk| match chunk.own {
        Some(own) => own.into(),
        None => text[chunk.place].to_owned(),
    });
    TableIterator::new((0..).zip(chunks))
}
