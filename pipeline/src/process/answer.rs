//! What a child writes to its standard output, as its parent reads it: a line with two lengths, a
//! body, and what lies beside it.
//!
//! ```text
//! answer 12 9
//! twelve bytesand nine
//! ```
//!
//! Parent and child are of one build. The parent says on the command line which form it reads
//! ([`FORM`]), and a child of another build refuses that before it works: after an upgrade the new
//! program may meet a server that still runs the old library.

use bytes::BufMut;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// The form of answers: the version of the build, and a number that is raised when the form changes
/// between two of them.
pub(crate) const FORM: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

/// Bytes of the first line at most: a word and two numbers.
const GREATEST_HEAD: u64 = 64;

/// What a child was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChildAnswer {
    /// What may be long: a text, or chunks.
    pub body: Vec<u8>,
    /// What is said of it.
    pub beside: Vec<u8>,
}

impl ChildAnswer {
    /// The line before it.
    pub(super) fn head(&self) -> String {
        format!("answer {} {}\n", self.body.len(), self.beside.len())
    }
}

/// What of an answer was kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// All.
    Whole(ChildAnswer),
    /// Nothing: it has so many bytes, for which there was no room.
    Longer { length: u64 },
}

/// Why there is no answer to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Nothing was written at all.
    Nothing,
    /// It is longer than it may be.
    TooLong,
    /// It is not what a child writes; how, for people.
    Broken(&'static str),
}

/// An answer, or its length where that is more than `room` bytes. What has more than `most` is not
/// read.
///
/// The child may have been taken over by what it was given: of no length that it names is anything
/// believed but that there may be so much to read.
pub(super) async fn read(stream: impl AsyncRead + Unpin, room: u64, most: u64) -> Result<Output, Unread> {
    let broken = |_| Unread::Broken("its pipe broke");
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    let mut line = (&mut stream).take(GREATEST_HEAD);
    if line.read_until(b'\n', &mut head).await.map_err(broken)? == 0 {
        return Err(Unread::Nothing);
    }
    let (body, length) = lengths(&head).ok_or(Unread::Broken("its answer has no head"))?;
    if length > most {
        return Err(Unread::TooLong);
    }
    let output = if length > room {
        let read = tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await;
        (read.map_err(broken)? == length).then_some(Output::Longer { length })
    } else {
        // Below what there is room for: the address space of this process holds it.
        let length = usize::try_from(length).map_err(|_| Unread::TooLong)?;
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let left = length - bytes.len();
            if stream.read_buf(&mut (&mut bytes).limit(left)).await.map_err(broken)? == 0 {
                break;
            }
        }
        (bytes.len() == length).then(|| {
            let beside = bytes.split_off(body);
            Output::Whole(ChildAnswer { body: bytes, beside })
        })
    };
    let is_over = stream.read(&mut [0]).await.map_err(broken)? == 0;
    let wrong = Unread::Broken("its answer has another length than it says");
    output.filter(|_| is_over).ok_or(wrong)
}

/// The length of the body and of all, by the first line.
fn lengths(head: &[u8]) -> Option<(usize, u64)> {
    let head = std::str::from_utf8(head).ok()?.strip_suffix('\n')?;
    let (body, beside) = head.strip_prefix("answer ")?.split_once(' ')?;
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse::<u64>().ok())?
    };
    let (body, beside) = (number(body)?, number(beside)?);
    // More than any answer may have is too long, whatever it is.
    let length = body.saturating_add(beside);
    Some((usize::try_from(body).unwrap_or(usize::MAX), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    async fn of(written: &[u8], room: u64, most: u64) -> Result<Output, Unread> {
        read(written, room, most).await
    }

    #[tokio::test]
    async fn an_answer_is_read_as_it_was_written() {
        for (body, beside) in [
            (&b""[..], &b""[..]),
            (b"text", b""),
            (b"", b"marks"),
            (b"line\n", b"\n"),
        ] {
            let (body, beside) = (body.to_vec(), beside.to_vec());
            let answer = ChildAnswer { body, beside };
            let written = [answer.head().as_bytes(), &answer.body, &answer.beside].concat();
            assert_eq!(of(&written, ALL, ALL).await, Ok(Output::Whole(answer)));
        }
    }

    #[tokio::test]
    async fn what_there_is_no_room_for_is_measured_and_what_is_too_long_not_read() {
        let written = b"answer 6 2\n12345678";
        assert_eq!(of(written, 7, ALL).await, Ok(Output::Longer { length: 8 }));
        assert!(matches!(of(written, 8, 8).await, Ok(Output::Whole(_))));
        assert_eq!(of(written, ALL, 7).await, Err(Unread::TooLong));
        // Nothing is waited for, and nothing allocated.
        assert_eq!(
            of(b"answer 18446744073709551615 9\n", ALL, 7).await,
            Err(Unread::TooLong)
        );
    }

    #[tokio::test]
    async fn what_is_no_answer_is_not_believed() {
        assert_eq!(of(b"", ALL, ALL).await, Err(Unread::Nothing));
        for written in [
            &b"text"[..],
            b"answer\n",
            b"answer 4\ntext",
            b"answer 4 x\ntext",
            b"answer -1 5\ntext",
            &[b'y'; 99],
        ] {
            let broken = of(written, ALL, ALL).await;
            assert_eq!(broken, Err(Unread::Broken("its answer has no head")), "{written:?}");
        }
        for (written, room) in [
            (&b"answer 4 0\ntex"[..], ALL),
            (b"answer 4 0\ntext.", ALL),
            (b"answer 4 0\ntex", 3),
            (b"answer 4 0\ntext.", 3),
        ] {
            let broken = of(written, room, ALL).await;
            assert!(
                matches!(broken, Err(Unread::Broken(how)) if how.contains("length")),
                "{broken:?}"
            );
        }
    }
}
