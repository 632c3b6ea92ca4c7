//! What turns texts into vectors, below the batcher: a server that is asked over HTTP, or whatever
//! else can.
//!
//! The batcher knows of a backend what one request may hold, and what an answer means. Which text
//! goes into which request, when it is sent, what is tried again and whose fault a refusal is, are
//! the batcher's.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::quota::Quota;
use super::{Error, Refusal};
use crate::panics::Panicked;

/// What came of a request: the vectors of its texts, in their order, each of the configured length,
/// and what is left of the provider's limits. The numbers may still be infinite or NaN: that
/// concerns one text, not the request.
pub(super) type RequestOutcome = Result<(Vec<Vec<f32>>, Quota), Trouble>;

/// What turns texts into vectors, for one model.
pub(super) trait Backend: Send + Sync {
    /// Most of one request.
    fn limits(&self) -> RequestLimits;

    /// Length of a vector.
    fn dimensions(&self) -> usize;

    /// The vectors of the texts of a request. One request, and no more: the caller has been let in
    /// for one.
    fn embed<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, RequestOutcome>;

    /// Whether a text that is too long for the model is refused, and cut when [`Request::cut`] asks
    /// for it.
    fn can_cut(&self) -> bool {
        false
    }

    /// Whether it has ever accepted a request: else what it refuses may be any request.
    fn is_accepted(&self) -> bool {
        true
    }

    /// What is to be done where it accepts nothing.
    fn hint_of_all(&self) -> String;

    /// What it has shown that it does not know.
    fn known(&self) -> Without {
        Without::default()
    }

    /// A text was accepted without this, and refused with it.
    fn learn(&self, _without: Without) {}

    /// What else to leave out of a request that met a refusal, where so much was left out; for a
    /// word of ours more than for texts.
    fn others(&self, _trouble: &Trouble, _without: Without, _is_word: bool) -> Vec<Without> {
        Vec::new()
    }
}

/// Most that goes into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLimits {
    pub inputs: usize,
    /// As estimated by [`super::tokens::estimate`].
    pub tokens: usize,
}

impl RequestLimits {
    /// For a provider that names no limit of tokens; the limit of bytes holds all the same.
    pub const ANY_TOKENS: usize = usize::MAX;
}

/// One request to write.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub texts: &'a [&'a str],
    /// The provider shall cut what is too long for the model, instead of refusing it.
    pub cut: bool,
    pub without: Without,
}

/// What a request leaves out, as the server does not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Without {
    /// `encoding_format`: vectors come as lists of numbers then.
    pub encoding: bool,
    /// `dimensions`: vectors have the length that the model gives them.
    pub dimensions: bool,
}

/// Why a request yields no vectors.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The documents of the request fail with it.
    Failed(Error),
    /// The request panicked.
    Panicked(Panicked),
    /// 429: to be sent again later.
    Throttled {
        refusal: Arc<Refusal>,
        retry_after: Option<Duration>,
        quota: Quota,
    },
    /// 503 with a time: the documents of the request fail, and others wait for so long.
    Busy {
        refusal: Arc<Refusal>,
        retry_after: Duration,
    },
    /// The connection was lost before anything was answered, so that nothing was paid for: a second
    /// try usually ends well.
    Lost(Error),
    /// One or more of the inputs are not acceptable, or a parameter is not.
    Rejected(Arc<Refusal>),
    /// The key, the model or the address is refused, or to a filter in front of the provider an
    /// input. With what to do about the first.
    Refused { refusal: Arc<Refusal>, hint: String },
    /// The inputs are too many or too long together.
    TooLarge(Arc<Refusal>),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Failed(error)
    }
}
