//! HTTP: the embeddings endpoint, and two for control from other processes.

use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::behaviour::{Behaviour, Order};
use crate::state::{InFlight, SeenRequest, State};

/// OpenAI's limits for one request.
const GREATEST_INPUTS: usize = 2048;
const GREATEST_TOKENS: usize = 300_000;
/// Time between the first half of an answer that is cut and the cut: the half must have left for the client.
const BEFORE_CUT: Duration = Duration::from_millis(20);

/// Serves until told to stop.
pub(crate) async fn run(listener: std::net::TcpListener, state: Arc<State>, mut stopped: oneshot::Receiver<()>) {
    let listener = TcpListener::from_std(listener).expect("the listener is not blocking and the runtime has I/O");
    loop {
        let stream = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, or the client is gone already: neither concerns the others.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(state.clone(), request));
            // An error here is the client's hanging up, or a behaviour that cuts the connection.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// `Err` closes the connection without an answer.
async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Answer>, io::Error> {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/embeddings") => embeddings(state, request).await,
        (&Method::GET, "/counts") => Ok(json_answer(StatusCode::OK, &json!(state.counts()))),
        (&Method::POST, "/behaviour") => Ok(order(&state, request).await),
        (method, path) => Ok(failure(
            StatusCode::NOT_FOUND,
            &format!("Invalid URL ({method} {path})"),
            "invalid_request_error",
            Value::Null,
            Value::Null,
        )),
    }
}

async fn order(state: &State, request: Request<Incoming>) -> Response<Answer> {
    let order = match request.into_body().collect().await {
        Ok(body) => serde_json::from_slice::<Order>(&body.to_bytes()).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let done = order.and_then(|order| {
        let times = order.times;
        state.behave(order.behaviour()?, times);
        Ok(())
    });
    match done {
        Ok(()) => json_answer(StatusCode::OK, &json!({})),
        Err(error) => json_answer(StatusCode::BAD_REQUEST, &json!({ "error": error })),
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Asked {
    input: Input,
    model: String,
    dimensions: Option<usize>,
    user: Option<String>,
    encoding_format: Option<String>,
}

async fn embeddings(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Answer>, io::Error> {
    let key = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let key = key.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return Ok(invalid(
            "'$.input' is invalid. Please check the API reference.",
            Value::Null,
            Value::Null,
        ));
    };
    let Asked {
        input,
        model,
        dimensions,
        user,
        encoding_format,
    } = asked;
    let texts = match input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
    };
    let (behaviour, mut in_flight) = state.arrive(|| SeenRequest {
        at: Instant::now(),
        api_key: key.clone(),
        model: model.clone(),
        dimensions,
        user,
        encoding_format: encoding_format.clone(),
        texts: texts.clone(),
    });
    if !state.latency.is_zero() {
        tokio::time::sleep(state.latency).await;
    }
    if !state.admits(key.as_deref()) {
        return Ok(unauthorized(key.as_deref()));
    }
    if let Some(refused) = misbehave(&behaviour, key.as_deref(), &model, &texts).await? {
        return Ok(refused);
    }
    if let Some(refused) = over_limits(&model, dimensions, &texts) {
        return Ok(refused);
    }
    let tokens = texts.iter().map(|text| tokens(text)).sum::<usize>();
    let verdict = state.charge(tokens);
    if let Some(wait) = verdict.refused_for {
        // Rounded up: who comes back exactly then must be let in.
        let mut response = too_many_requests(Some(Duration::from_millis(wait.as_millis() as u64 + 1)));
        show(&mut response, verdict.headers);
        return Ok(response);
    }
    let dimensions = dimensions.unwrap_or(if model == "text-embedding-3-large" { 3072 } else { 1536 });
    let base64 = encoding_format.as_deref() == Some("base64") && behaviour != Behaviour::FloatsOnly;
    let vectors = texts
        .iter()
        .map(|text| state.vocabulary.embed(text, dimensions))
        .collect();
    let body = success(&model, twist(&behaviour, vectors), base64, &behaviour, tokens);
    let mut response = match behaviour {
        Behaviour::Cut => return Ok(cut(body, in_flight)),
        Behaviour::HalfJson => answer_with(StatusCode::OK, body[..body.len() / 2].to_owned()),
        _ => {
            in_flight.served(texts.len() as u64, tokens as u64);
            answer_with(StatusCode::OK, body)
        }
    };
    show(&mut response, verdict.headers);
    Ok(response)
}

fn show(response: &mut Response<Answer>, headers: Vec<(&'static str, String)>) {
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, value.parse().expect("digits and units are valid in a header"));
    }
}

/// The answer of a behaviour that looks at no vectors; `None` where the request is served after all.
async fn misbehave(
    behaviour: &Behaviour,
    key: Option<&str>,
    model: &str,
    texts: &[String],
) -> io::Result<Option<Response<Answer>>> {
    let response = match behaviour {
        Behaviour::Slow(duration) => {
            tokio::time::sleep(*duration).await;
            return Ok(None);
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Close => return Err(io::Error::other("told to close the connection")),
        Behaviour::TooManyRequests { retry_after } => too_many_requests(*retry_after),
        Behaviour::ServerError => failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
            Value::Null,
            Value::Null,
        ),
        Behaviour::Unauthorized => unauthorized(key),
        Behaviour::NotFound => failure(
            StatusCode::NOT_FOUND,
            &format!("The model `{model}` does not exist or you do not have access to it."),
            "invalid_request_error",
            Value::Null,
            json!("model_not_found"),
        ),
        Behaviour::Rubbish => {
            let mut response = answer_with(StatusCode::OK, "<html><body>It works!</body></html>".to_owned());
            response
                .headers_mut()
                .insert(CONTENT_TYPE, "text/html".parse().expect("a valid header value"));
            response
        }
        Behaviour::Redirect(address) => {
            let mut response = answer_with(StatusCode::TEMPORARY_REDIRECT, String::new());
            response
                .headers_mut()
                .insert(LOCATION, address.parse().map_err(io::Error::other)?);
            response
        }
        Behaviour::RejectInput(text) if texts.iter().any(|input| input.contains(text.as_str())) => {
            // As some servers do, it repeats what it did not like.
            let input = texts
                .iter()
                .find(|input| input.contains(text.as_str()))
                .map_or("", |input| input.as_str());
            invalid(
                &format!("This input is not acceptable: {input}"),
                json!("input"),
                json!("invalid_input"),
            )
        }
        Behaviour::AtMost(inputs) if texts.len() > *inputs => failure(
            StatusCode::PAYLOAD_TOO_LARGE,
            &format!("batch size {} > maximum allowed batch size {inputs}", texts.len()),
            "validation",
            Value::Null,
            Value::Null,
        ),
        Behaviour::Answer { status, headers, body } => {
            let status = StatusCode::from_u16(*status).map_err(io::Error::other)?;
            let mut response = answer_with(status, body.clone());
            for (name, value) in headers {
                let name: hyper::header::HeaderName = name.parse().map_err(io::Error::other)?;
                response
                    .headers_mut()
                    .insert(name, value.parse().map_err(io::Error::other)?);
            }
            response
        }
        _ => return Ok(None),
    };
    Ok(Some(response))
}

fn over_limits(model: &str, dimensions: Option<usize>, texts: &[String]) -> Option<Response<Answer>> {
    if let Some(index) = texts.iter().position(String::is_empty) {
        return Some(invalid(
            &format!("Invalid 'input[{index}]': input cannot be an empty string."),
            json!(format!("input[{index}]")),
            json!("empty_string"),
        ));
    }
    if texts.is_empty() {
        return Some(invalid(
            "Invalid 'input': input cannot be an empty array.",
            json!("input"),
            json!("empty_array"),
        ));
    }
    if texts.len() > GREATEST_INPUTS {
        let message = format!(
            "Invalid 'input': array too long. Expected an array with maximum length {GREATEST_INPUTS}, but got an \
             array with length {} instead.",
            texts.len()
        );
        return Some(invalid(&message, json!("input"), json!("array_above_max_length")));
    }
    let requested = texts.iter().map(|text| tokens(text)).sum::<usize>();
    if requested > GREATEST_TOKENS {
        let message = format!("Requested {requested} tokens, max {GREATEST_TOKENS} tokens per request");
        let too_many = json!("max_tokens_per_request");
        return Some(failure(
            StatusCode::BAD_REQUEST,
            &message,
            "max_tokens_per_request",
            Value::Null,
            too_many,
        ));
    }
    match (model, dimensions) {
        ("text-embedding-ada-002", Some(_)) => Some(invalid(
            "This model does not support specifying dimensions.",
            Value::Null,
            Value::Null,
        )),
        ("text-embedding-3-small", Some(n)) if n > 1536 => Some(too_many_dimensions(n, 1536)),
        ("text-embedding-3-large", Some(n)) if n > 3072 => Some(too_many_dimensions(n, 3072)),
        _ => None,
    }
}

fn too_many_dimensions(asked: usize, most: usize) -> Response<Answer> {
    let message = format!("Invalid value for 'dimensions' = {asked}. Must be less than or equal to {most}.");
    invalid(&message, json!("dimensions"), Value::Null)
}

fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// What a behaviour does to right vectors, with the index that the answer gives each.
fn twist(behaviour: &Behaviour, mut vectors: Vec<Vec<f32>>) -> Vec<(usize, Vec<f32>)> {
    match behaviour {
        Behaviour::TooFew => {
            vectors.pop();
        }
        Behaviour::WrongSize => vectors.iter_mut().for_each(|vector| vector.push(0.0)),
        Behaviour::NotFinite => {
            if let Some(number) = vectors.first_mut().and_then(|vector| vector.first_mut()) {
                *number = f32::NAN;
            }
        }
        _ => {}
    }
    let mut numbered: Vec<_> = vectors.into_iter().enumerate().collect();
    if *behaviour == Behaviour::Shuffled {
        numbered.reverse();
    }
    numbered
}

/// Written by hand: benchmarks take thousands of vectors per second, and each is 1,536 numbers.
fn success(model: &str, vectors: Vec<(usize, Vec<f32>)>, base64: bool, behaviour: &Behaviour, tokens: usize) -> String {
    let dimensions = vectors.first().map_or(0, |(_, vector)| vector.len());
    let mut body = String::with_capacity(vectors.len() * (dimensions * if base64 { 6 } else { 14 } + 80) + 200);
    body.push_str(r#"{"object":"list","data":["#);
    for (place, (index, vector)) in vectors.iter().enumerate() {
        if place > 0 {
            body.push(',');
        }
        let _ = write!(body, r#"{{"object":"embedding","index":{index},"embedding":"#);
        if base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            body.push('"');
            BASE64.encode_string(bytes, &mut body);
            body.push_str("\"}");
        } else {
            for (place, number) in vector.iter().enumerate() {
                body.push(if place == 0 { '[' } else { ',' });
                // JSON has no NaN; a number beyond the range of a float is the nearest that a text can hold.
                let _ = if number.is_finite() {
                    write!(body, "{number}")
                } else {
                    write!(body, "1e60")
                };
            }
            body.push_str("]}");
        }
    }
    let tokens = if *behaviour == Behaviour::TooFew {
        tokens / 2
    } else {
        tokens
    };
    let model = Value::from(model);
    let _ = write!(
        body,
        r#"],"model":{model},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#
    );
    body
}

fn too_many_requests(retry_after: Option<Duration>) -> Response<Answer> {
    let message = "Rate limit reached for requests. Limit: 3000 / min. Please try again later.";
    let code = json!("rate_limit_exceeded");
    let mut response = failure(StatusCode::TOO_MANY_REQUESTS, message, "requests", Value::Null, code);
    if let Some(wait) = retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert("retry-after", seconds.into());
        if wait.subsec_nanos() > 0 {
            response
                .headers_mut()
                .insert("retry-after-ms", (wait.as_millis() as u64).into());
        }
    }
    response
}

/// OpenAI shows the beginning and the end of the key that it did not know.
fn unauthorized(key: Option<&str>) -> Response<Answer> {
    let message = match key {
        None => "You didn't provide an API key. You need to provide your API key in an Authorization header using \
                 Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            .to_owned(),
        Some(key) => {
            let start: String = key.chars().take(8).collect();
            let end: String = key.chars().skip(key.chars().count().saturating_sub(4)).collect();
            format!("Incorrect API key provided: {start}********{end}. You can find your API key in your account.")
        }
    };
    failure(
        StatusCode::UNAUTHORIZED,
        &message,
        "invalid_request_error",
        Value::Null,
        if key.is_some() {
            json!("invalid_api_key")
        } else {
            Value::Null
        },
    )
}

fn invalid(message: &str, param: Value, code: Value) -> Response<Answer> {
    failure(StatusCode::BAD_REQUEST, message, "invalid_request_error", param, code)
}

fn failure(status: StatusCode, message: &str, kind: &str, param: Value, code: Value) -> Response<Answer> {
    json_answer(
        status,
        &json!({ "error": { "message": message, "type": kind, "param": param, "code": code } }),
    )
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Answer> {
    answer_with(status, body.to_string())
}

fn answer_with(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(body.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, "application/json".parse().expect("a valid header value"));
    response
}

fn cut(body: String, in_flight: InFlight) -> Response<Answer> {
    let length = body.len() as u64;
    let half = Bytes::from(body).slice(..length as usize / 2);
    Response::new(Answer::Cut {
        half: Some(half),
        length,
        then: Box::pin(tokio::time::sleep(BEFORE_CUT)),
        _in_flight: in_flight,
    })
}

/// The body of an answer.
enum Answer {
    Whole(Option<Bytes>),
    /// Promises `length` bytes, sends `half`, and breaks off.
    Cut {
        half: Option<Bytes>,
        length: u64,
        then: Pin<Box<tokio::time::Sleep>>,
        _in_flight: InFlight,
    },
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Answer::Cut { half, then, .. } => match half.take() {
                Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
                None => then
                    .as_mut()
                    .poll(context)
                    .map(|()| Some(Err(io::Error::other("told to cut the answer")))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answer::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Answer::Cut { length, .. } => SizeHint::with_exact(*length),
        }
    }
}
