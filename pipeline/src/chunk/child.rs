//! Cutting in a process of its own: what is asked of it, and what it answers.
//!
//! Nobody knows how long a regular expression will take, or how much memory, before it has; and a search cannot be
//! interrupted. A process can be ended at any moment, and its limits hold whatever it does.

use serde::{Deserialize, Serialize};

use super::{Bounds, Chunk, CutRefusal, CutWork, Error, Splitter, never};
use crate::config::Chunking;

/// In place of the length of what a chunk says of its own: it is a part of the text.
const PART: u32 = u32::MAX;
/// The first byte of an answer with chunks, and of one with an [`Error`].
const CHUNKS: u8 = 0;
const REFUSED: u8 = 1;

#[derive(Serialize, Deserialize)]
struct CutRequest {
    chunking: Chunking,
    bounds: Bounds,
}

/// What goes before the text.
pub(crate) fn order(chunking: &Chunking, bounds: Bounds) -> Vec<u8> {
    let chunking = chunking.clone();
    let json =
        serde_json::to_vec(&CutRequest { chunking, bounds }).expect("an order holds only strings, numbers and flags");
    let mut order = (json.len() as u64).to_le_bytes().to_vec();
    order.extend(json);
    order
}

/// Does what it was asked; `None` for what is no order.
pub(crate) fn answer(input: &[u8]) -> Option<Vec<u8>> {
    let (length, rest) = input.split_first_chunk()?;
    let (order, text) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let CutRequest { chunking, bounds } = serde_json::from_slice(order).ok()?;
    let text = std::str::from_utf8(text).ok()?;
    let work = CutWork::new(bounds, &never);
    let cut = Splitter::new(&chunking).and_then(|splitter| splitter.cut(text, &work));
    Some(match cut {
        Ok(chunks) => write(&chunks),
        Err(error) => refuse(error),
    })
}

fn write(chunks: &[Chunk]) -> Vec<u8> {
    let mut out = vec![CHUNKS];
    let number = |out: &mut Vec<u8>, number: usize| {
        let number = u32::try_from(number).expect("a text has below 2^30 bytes");
        out.extend(number.to_le_bytes());
    };
    for chunk in chunks {
        number(&mut out, chunk.place.start);
        number(&mut out, chunk.place.end);
        match &chunk.own {
            None => number(&mut out, PART as usize),
            Some(own) => {
                number(&mut out, own.len());
                out.extend(own.as_bytes());
            }
        }
    }
    out
}

fn refuse(error: Error) -> Vec<u8> {
    let mut out = vec![REFUSED];
    let refusal = CutRefusal::from(error);
    out.extend(serde_json::to_vec(&refusal).expect("a refusal holds only strings and flags"));
    out
}

/// The chunks of a text in an answer; `None` for what is no answer about it.
pub(crate) fn read(answer: &[u8], text: &str) -> Option<Result<Vec<Chunk>, CutRefusal>> {
    match answer.split_first()? {
        (&CHUNKS, mut rest) => {
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let (start, end, length, own);
                (start, rest) = number(rest)?;
                (end, rest) = number(rest)?;
                (length, rest) = number(rest)?;
                let place = start as usize..end as usize;
                text.get(place.clone())?;
                if length == PART {
                    chunks.push(Chunk::part(place));
                } else {
                    (own, rest) = rest.split_at_checked(length as usize)?;
                    let own = Some(std::str::from_utf8(own).ok()?.into());
                    chunks.push(Chunk { place, own });
                }
            }
            Some(Ok(chunks))
        }
        (&REFUSED, rest) => Some(Err(serde_json::from_slice(rest).ok()?)),
        _ => None,
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(separator: &str, text: &str) -> Result<Vec<Chunk>, CutRefusal> {
        let chunking = Chunking::CharacterTextSplitter {
            chunk_size: 7,
            chunk_overlap: 2,
            separator: separator.to_owned(),
            is_separator_regex: true,
        };
        let mut input = order(&chunking, Bounds::NONE);
        input.extend(text.as_bytes());
        read(&answer(&input).unwrap(), text).unwrap()
    }

    #[test]
    fn an_answer_says_what_the_splitter_says() {
        let own = |place, text: &str| Chunk {
            place,
            own: Some(text.into()),
        };
        assert_eq!(
            cut(r"\d", "ää1b2cc3d").unwrap(),
            [own(0..6, r"ää\db"), own(5..9, r"b\dcc"), own(7..11, r"cc\dd")]
        );
        assert_eq!(cut("(?=b)", "aaab").unwrap(), [Chunk::part(0..4)]);
        assert_eq!(cut("x", "").unwrap(), []);
        let refusal = cut("(", "x").unwrap_err();
        assert!(refusal.reason.contains("regular expression"), "{refusal:?}");
    }

    #[test]
    fn what_is_no_order_is_not_obeyed_and_what_is_no_answer_not_believed() {
        for input in [&b""[..], b"\0\0\0", &[255; 8], &[0; 8]] {
            assert!(answer(input).is_none());
        }
        for answer in [
            &b""[..],
            &[7],
            &[CHUNKS, 0, 0, 0],
            &[CHUNKS, 0, 0, 0, 0, 9, 0, 0, 0, 255, 255, 255, 255],
            &[CHUNKS, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, b'x'],
            &[CHUNKS, 1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255],
            &[REFUSED],
        ] {
            assert!(read(answer, "ab").is_none(), "{answer:?}");
        }
        let split_character = [CHUNKS, 0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255];
        assert!(read(&split_character, "ä").is_none());
        assert!(read(&split_character, "a").is_some());
    }
}
