//! The ways in which a server can go wrong.

use std::time::Duration;

use serde::Deserialize;

/// What happens to an embedding request.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// A right answer at once.
    Well,
    /// A right answer after a while.
    Slow(Duration),
    /// 429; `Retry-After` in whole seconds, and `retry-after-ms` where it is not whole.
    TooManyRequests {
        /// What the headers say; no headers without it.
        retry_after: Option<Duration>,
    },
    /// 500 as OpenAI words it.
    ServerError,
    /// 401 as OpenAI words it: the message repeats a part of the key.
    Unauthorized,
    /// 404, the model does not exist.
    NotFound,
    /// No answer, ever.
    Hang,
    /// The connection closes before a byte of the answer.
    Close,
    /// The connection closes in the middle of the answer.
    Cut,
    /// One vector less than inputs.
    TooFew,
    /// Vectors one dimension longer than asked for.
    WrongSize,
    /// The first vector of the answer holds NaN (base64) or a number too large for a float.
    NotFinite,
    /// The first vector of the answer is zero, as a model that has failed may have it.
    ZeroVector,
    /// 200 with a page of HTML.
    Rubbish,
    /// 200 with the first half of a right answer, complete as far as HTTP knows.
    HalfJson,
    /// A right answer, the vectors in reverse order, where the API has an `index` that tells.
    Shuffled,
    /// A right answer with arrays of numbers, whatever encoding was asked for.
    FloatsOnly,
    /// 307 to this address.
    Redirect(String),
    /// 400 for any request with an input that contains this text; others are served.
    RejectInput(String),
    /// 403 with a page of HTML for any request with an input that contains this text, as a filter in front of
    /// a provider answers; others are served.
    ForbidInput(String),
    /// Inputs of more bytes than this are too long for the model: refused, or cut where the request asks for that.
    TooLong(usize),
    /// 413 for any request with more inputs than this; others are served.
    AtMost(usize),
    /// This answer to any request with this parameter; others are served.
    RefuseParameter {
        /// As in the body of the request.
        name: String,
        /// Status code.
        status: u16,
        /// Body.
        body: String,
    },
    /// What any request with an input that contains this text meets; others are served.
    To(String, Box<Behaviour>),
    /// What any request for this model meets; others are served.
    OfModel(String, Box<Behaviour>),
    /// A right answer in which all vectors have the index 0.
    AllZero,
    /// This answer, byte for byte.
    Answer {
        /// Status code.
        status: u16,
        /// Headers beside `Content-Type: application/json`.
        headers: Vec<(String, String)>,
        /// Body.
        body: String,
    },
}

impl Behaviour {
    /// What a request for a model with such inputs meets.
    pub(crate) fn towards(self, model: &str, texts: &[String]) -> Behaviour {
        match self {
            Behaviour::To(text, meets) if texts.iter().any(|input| input.contains(&text)) => {
                meets.towards(model, texts)
            }
            Behaviour::OfModel(name, meets) if name == model => meets.towards(model, texts),
            Behaviour::To(..) | Behaviour::OfModel(..) => Behaviour::Well,
            other => other,
        }
    }
}

/// The JSON form of a [`Behaviour`], as `POST /behaviour` takes it:
/// `{"behaviour": "too_many_requests", "milliseconds": 2000, "times": 3}`.
#[derive(Deserialize)]
pub(crate) struct Order {
    behaviour: String,
    /// For `slow` and `too_many_requests`.
    milliseconds: Option<u64>,
    /// For `redirect` (the address), `reject_input` and `forbid_input` (the text).
    text: Option<String>,
    /// For `at_most`.
    inputs: Option<usize>,
    /// For `too_long`.
    bytes: Option<usize>,
    /// Only for this many requests.
    pub times: Option<usize>,
}

impl Order {
    /// The behaviour, or what is wrong with the order.
    pub fn behaviour(self) -> Result<Behaviour, String> {
        let duration = self.milliseconds.map(Duration::from_millis);
        let text = self.text.ok_or("text is missing");
        Ok(match self.behaviour.as_str() {
            "well" => Behaviour::Well,
            "slow" => Behaviour::Slow(duration.ok_or("milliseconds is missing")?),
            "too_many_requests" => Behaviour::TooManyRequests { retry_after: duration },
            "server_error" => Behaviour::ServerError,
            "unauthorized" => Behaviour::Unauthorized,
            "not_found" => Behaviour::NotFound,
            "hang" => Behaviour::Hang,
            "close" => Behaviour::Close,
            "cut" => Behaviour::Cut,
            "too_few" => Behaviour::TooFew,
            "wrong_size" => Behaviour::WrongSize,
            "not_finite" => Behaviour::NotFinite,
            "zero_vector" => Behaviour::ZeroVector,
            "rubbish" => Behaviour::Rubbish,
            "half_json" => Behaviour::HalfJson,
            "shuffled" => Behaviour::Shuffled,
            "floats_only" => Behaviour::FloatsOnly,
            "redirect" => Behaviour::Redirect(text?),
            "reject_input" => Behaviour::RejectInput(text?),
            "forbid_input" => Behaviour::ForbidInput(text?),
            "too_long" => Behaviour::TooLong(self.bytes.ok_or("bytes is missing")?),
            "at_most" => Behaviour::AtMost(self.inputs.ok_or("inputs is missing")?),
            other => return Err(format!("no behaviour is named {other}")),
        })
    }
}
