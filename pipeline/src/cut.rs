//! Where texts are cut: at hand, in a thread, or in a process, by what they may cost.
//!
//! | separators | text | where |
//! |---|---|---|
//! | regular expressions of a user | any | a process of its own, which is ended when it takes too long |
//! | units of meaning (`chunking_text_splitter`) | not short | the same: the crate does not look whether to go on |
//! | units of meaning | short | a thread |
//! | others | short, and done in few steps | at hand |
//! | others | all that are not | a thread, which looks now and then whether to go on |

use std::sync::Arc;
use std::time::Duration;

use crate::chunk::{self, Bounds, Chunk, CutRefusal, CutWork, Error, Splitter, never, time_for};
use crate::config::Chunking;
use crate::error::Class;
use crate::parse::Parser;
use crate::threads::{Threads, Undone};

/// Bytes of a text from which on the network should not wait for it: a tenth of a millisecond and more.
pub const LONG: usize = 256 * 1024;
/// Steps that are done at hand: some milliseconds. Prose of less than [`LONG`] takes no more.
const STEPS: u64 = 4 << 20;

/// Bytes of a text that is cut at units of meaning in a thread, or by the session that asks: the crate's own
/// passes over Markdown may be quadratic, which is milliseconds up to here. The network does not wait for
/// them.
const SHORT: usize = 8 * 1024;

/// A chunking configuration whose sizes are checked. Clones share it.
#[derive(Clone, Debug)]
pub struct Cutting(How);

#[derive(Clone, Debug)]
enum How {
    Here(Arc<Splitter>),
    /// Here where the text is [`SHORT`].
    Either(Arc<Splitter>, Arc<Chunking>),
    /// Its regular expressions are not even compiled here.
    Apart(Arc<Chunking>),
}

impl Cutting {
    /// Prepares a configuration. Regular expressions are not looked at; see [`Cutter::check`].
    ///
    /// # Errors
    ///
    /// Sizes that cannot work.
    pub fn new(chunking: &Chunking) -> Result<Cutting, Error> {
        Ok(Cutting(if chunk::has_expressions(chunking) {
            chunk::check_sizes(chunking)?;
            How::Apart(Arc::new(chunking.clone()))
        } else {
            let splitter = Arc::new(Splitter::new(chunking)?);
            match chunking {
                Chunking::TextSplitter { .. } => How::Either(splitter, Arc::new(chunking.clone())),
                _ => How::Here(splitter),
            }
        }))
    }
}

/// Cuts texts within limits. Clones share threads and processes.
#[derive(Clone, Debug)]
pub struct Cutter {
    /// Processes.
    pub parser: Parser,
    /// Threads.
    pub threads: Threads<i32>,
    /// Whose turn it has to be.
    pub owner: i32,
    /// The longest that any text may take; see [`time_for`].
    pub timeout: Duration,
}

impl Cutter {
    /// The chunks of a text, which comes back with them.
    ///
    /// # Errors
    ///
    /// What the text takes above its bounds, and what is wrong with regular expressions.
    pub async fn cut(
        &self,
        text: String,
        cutting: &Cutting,
        bounds: Bounds,
    ) -> Result<(String, Vec<Chunk>), CutRefusal> {
        let limit = time_for(text.len(), self.timeout);
        if let How::Here(splitter) = &cutting.0
            && let Some(chunks) = cut_at_hand(&text, splitter, bounds)?
        {
            return Ok((text, chunks));
        }
        let splitter = match &cutting.0 {
            How::Either(splitter, _) if text.len() <= SHORT => splitter,
            How::Apart(chunking) | How::Either(_, chunking) => {
                let parser = self.parser.on_behalf_of(self.owner);
                return parser.cut(text, chunking, bounds, limit).await;
            }
            How::Here(splitter) => splitter,
        };
        let (splitter, text) = (Arc::clone(splitter), Arc::new(text));
        let mine = Arc::clone(&text);
        let work = move |asked: crate::threads::Asked| splitter.cut(&mine, &CutWork::new(bounds, asked));
        let chunks = self.threads.run(self.owner, limit, work).await.map_err(undone)??;
        let text = Arc::try_unwrap(text).unwrap_or_else(|shared| (*shared).clone());
        Ok((text, chunks))
    }

    /// Whether a configuration is good for a vectorizer; the regular expressions are compiled, in a process of its own.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub async fn check(&self, chunking: &Chunking) -> Result<(), CutRefusal> {
        let cutting = Cutting::new(chunking)?;
        chunk::check_overlap(chunking)?;
        if let How::Apart(_) = cutting.0 {
            self.cut(String::new(), &cutting, Bounds::NONE).await?;
        }
        Ok(())
    }
}

impl Cutting {
    /// The chunks of a text, where they are had in a moment: by a caller whom nobody else waits for.
    ///
    /// # Errors
    ///
    /// Those of [`Cutter::cut`].
    pub fn at_hand(&self, text: &str, bounds: Bounds) -> Result<Option<Vec<Chunk>>, CutRefusal> {
        match &self.0 {
            How::Here(splitter) => Ok(cut_at_hand(text, splitter, bounds)?),
            How::Either(splitter, _) if text.len() <= SHORT => Ok(cut_at_hand(text, splitter, bounds)?),
            How::Apart(_) | How::Either(..) => Ok(None),
        }
    }

    /// Whether what is not cut at hand is cut in a process of its own.
    pub fn is_apart(&self) -> bool {
        matches!(self.0, How::Apart(_) | How::Either(..))
    }
}

fn cut_at_hand(text: &str, splitter: &Splitter, bounds: Bounds) -> Result<Option<Vec<Chunk>>, Error> {
    if text.len() >= LONG {
        return Ok(None);
    }
    let few = bounds.steps.min(STEPS);
    match splitter.cut(text, &CutWork::new(Bounds { steps: few, ..bounds }, &never)) {
        Err(Error::Steps { .. }) if few < bounds.steps => Ok(None),
        done => done.map(Some),
    }
}

fn undone(undone: Undone) -> CutRefusal {
    let (class, hint) = match undone {
        Undone::NotStarted(_) | Undone::OutOfMemory | Undone::Crowded => (Class::Transient, None),
        Undone::Panicked => (
            Class::Unknown,
            Some("The server log has the place; please report it.".to_owned()),
        ),
    };
    CutRefusal::new(class, undone.to_string(), hint, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_texts_are_cut_at_hand_at_units_of_meaning() {
        let chunking = Chunking::TextSplitter {
            capacity: 512,
            overlap: 0,
            unit: crate::config::Unit::Chars,
            format: crate::config::TextFormat::Markdown,
        };
        let cutting = Cutting::new(&chunking).unwrap();
        assert!(cutting.is_apart());
        let at_hand = |length| cutting.at_hand(&"*a **".repeat(length / 5), Bounds::NONE).unwrap();
        assert!(at_hand(SHORT - 5).is_some());
        assert_eq!(at_hand(SHORT + 5).map(|chunks| chunks.len()), None);
    }

    #[tokio::test]
    async fn the_network_waits_for_no_text_that_is_cut_at_units_of_meaning() {
        let limits = crate::parse::ParserLimits {
            timeout: Duration::ZERO,
            memory_bytes: 0,
            text_bytes: 0,
        };
        let cutter = Cutter {
            parser: Parser::new("/nowhere".into(), limits, 1),
            threads: Threads::new(1),
            owner: 1,
            timeout: Duration::from_secs(60),
        };
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = std::sync::Mutex::new(ended);
        let threads = cutter.threads.clone();
        let busy = tokio::spawn(async move {
            threads
                .run(1, Duration::from_secs(60), move |_| {
                    ended.lock().unwrap().recv().is_err()
                })
                .await
        });
        tokio::task::yield_now().await;
        let meaning = |format| Chunking::TextSplitter {
            capacity: 512,
            overlap: 0,
            unit: crate::config::Unit::Chars,
            format,
        };
        let [markdown, plain] = [crate::config::TextFormat::Markdown, crate::config::TextFormat::Text]
            .map(|format| Cutting::new(&meaning(format)).unwrap());
        let short = "# Tea\n\nGreen.";
        let [mut first, mut second] =
            [&markdown, &plain].map(|cutting| Box::pin(cutter.cut(short.to_owned(), cutting, Bounds::NONE)));
        for waits in [&mut first, &mut second] {
            let at_once = tokio::time::timeout(Duration::ZERO, waits).await;
            assert!(at_once.is_err(), "it waits for the thread");
        }
        let others = Cutting::new(&Chunking::None).unwrap();
        let at_once = tokio::time::timeout(Duration::ZERO, cutter.cut(short.to_owned(), &others, Bounds::NONE)).await;
        assert!(at_once.is_ok_and(|cut| cut.is_ok()), "what has steps is cut at hand");
        end.send(()).unwrap();
        assert_eq!(busy.await.unwrap(), Ok(false));
        assert_eq!(first.await.unwrap().1.len(), 1);
        assert_eq!(second.await.unwrap().1.len(), 1);
    }
}
