//! HTTP: the endpoints of the APIs, and two for control from other processes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::api::{Api, Asked, write_vector};
use crate::behaviour::{Behaviour, Order};
use crate::refusal::Refusal;
use crate::state::{InFlight, SeenRequest, State};

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
    let path = request.uri().path().to_owned();
    if request.method() == Method::POST
        && let Some((api, model)) = Api::of(&path)
    {
        return embeddings(state, request, api, model).await;
    }
    match (request.method(), path.as_str()) {
        (&Method::GET, "/counts") => Ok(json_answer(StatusCode::OK, &json!(state.counts()))),
        (&Method::POST, "/behaviour") => Ok(order(&state, request).await),
        (method, path) => {
            let message = format!("Invalid URL ({method} {path})");
            let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
            Ok(json_answer(StatusCode::NOT_FOUND, &json!({ "error": error })))
        }
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

async fn embeddings(
    state: Arc<State>,
    request: Request<Incoming>,
    api: Api,
    model: Option<&str>,
) -> Result<Response<Answer>, io::Error> {
    let key = api.key(request.headers());
    let path = request
        .uri()
        .path_and_query()
        .map_or("", |path| path.as_str())
        .to_owned();
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let Some(mut asked) = api.read(model, &body) else {
        return Ok(refuse(api, Refusal::Malformed));
    };
    let (behaviour, mut in_flight) = state.arrive(|| SeenRequest {
        at: Instant::now(),
        api,
        path,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        bytes: body.len(),
        api_key: key.clone(),
        model: asked.model.clone(),
        dimensions: asked.dimensions,
        user: asked.user.clone(),
        encoding_format: asked.encoding_format.clone(),
        texts: asked.texts.clone(),
    });
    let behaviour = behaviour.towards(&asked.model, &asked.texts);
    if !state.latency.is_zero() {
        tokio::time::sleep(state.latency).await;
    }
    if !state.admits(key.as_deref()) {
        return Ok(refuse(api, Refusal::Unauthorized(key.as_deref())));
    }
    if let Behaviour::RefuseParameter {
        name,
        status,
        body: answer,
    } = &behaviour
    {
        let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
        if sent.get(name).is_some() {
            let status = StatusCode::from_u16(*status).map_err(io::Error::other)?;
            return Ok(answer_with(status, answer.clone()));
        }
    }
    if let Some(refused) = misbehave(&behaviour, api, key.as_deref(), &mut asked).await? {
        return Ok(refused);
    }
    if let Some(refusal) = over_limits(api, &asked) {
        return Ok(refuse(api, refusal));
    }
    let Asked {
        texts,
        model,
        dimensions,
        encoding_format,
        ..
    } = asked;
    let tokens = texts.iter().map(|text| tokens(text)).sum::<usize>();
    let verdict = state.charge(tokens);
    if let Some(wait) = verdict.refused_for {
        // Rounded up: who comes back exactly then must be let in.
        let mut response = too_many_requests(api, Some(Duration::from_millis(wait.as_millis() as u64 + 1)));
        show(&mut response, verdict.headers);
        return Ok(response);
    }
    let dimensions = dimensions.unwrap_or(api.dimensions(&model));
    let base64 = api.has_index() && encoding_format.as_deref() == Some("base64") && behaviour != Behaviour::FloatsOnly;
    if let Some(same) = &state.same_vector {
        let vector = same.written(dimensions, base64, |numbers| {
            let mut vector = String::new();
            write_vector(&mut vector, numbers, base64);
            vector
        });
        in_flight.served(texts.len() as u64, tokens as u64);
        return Ok(answer_with(
            StatusCode::OK,
            api.answer_alike(&model, texts.len(), &vector, tokens),
        ));
    }
    let vectors = texts
        .iter()
        .map(|text| state.vocabulary.embed(text, dimensions))
        .collect();
    let charged = if behaviour == Behaviour::TooFew {
        tokens / 2
    } else {
        tokens
    };
    let body = api.answer(&model, &twist(&behaviour, api, vectors), base64, charged);
    let mut response = match behaviour {
        Behaviour::Cut => return Ok(cut(body, in_flight)),
        Behaviour::HalfJson => answer_with(StatusCode::OK, body[..body.len() / 2].to_owned()),
        _ => {
            in_flight.served(texts.len() as u64, tokens as u64);
            if matches!(
                behaviour,
                Behaviour::TooFew | Behaviour::WrongSize | Behaviour::NotFinite | Behaviour::ZeroVector
            ) {
                in_flight.spoilt();
            }
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
    api: Api,
    key: Option<&str>,
    asked: &mut Asked,
) -> io::Result<Option<Response<Answer>>> {
    let response = match behaviour {
        Behaviour::Slow(duration) => {
            tokio::time::sleep(*duration).await;
            return Ok(None);
        }
        Behaviour::Hang => std::future::pending().await,
        Behaviour::Close => return Err(io::Error::other("told to close the connection")),
        Behaviour::TooManyRequests { retry_after } => too_many_requests(api, *retry_after),
        Behaviour::ServerError => refuse(api, Refusal::ServerError),
        Behaviour::Unauthorized => refuse(api, Refusal::Unauthorized(key)),
        Behaviour::NotFound => refuse(api, Refusal::NotFound(&asked.model)),
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
        Behaviour::RejectInput(text) => match asked.texts.iter().find(|input| input.contains(text.as_str())) {
            Some(input) => refuse(api, Refusal::Input(input)),
            None => return Ok(None),
        },
        Behaviour::ForbidInput(text) if asked.texts.iter().any(|input| input.contains(text.as_str())) => {
            let mut response = answer_with(StatusCode::FORBIDDEN, "<html><body>Blocked.</body></html>".to_owned());
            response
                .headers_mut()
                .insert(CONTENT_TYPE, "text/html".parse().expect("a valid header value"));
            response
        }
        Behaviour::TooLong(bytes) if asked.cut => {
            for text in &mut asked.texts {
                text.truncate(text.floor_char_boundary(*bytes));
            }
            return Ok(None);
        }
        Behaviour::TooLong(bytes) if asked.texts.iter().any(|text| text.len() > *bytes) => {
            refuse(api, Refusal::TooLong)
        }
        Behaviour::AtMost(inputs) if asked.texts.len() > *inputs => {
            let message = format!("batch size {} > maximum allowed batch size {inputs}", asked.texts.len());
            let error = json!({ "message": message, "type": "validation", "param": null, "code": null });
            json_answer(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": error }))
        }
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

fn over_limits(api: Api, asked: &Asked) -> Option<Refusal<'static>> {
    let Asked {
        texts,
        model,
        dimensions,
        ..
    } = asked;
    if let Some(index) = texts.iter().position(String::is_empty) {
        return Some(Refusal::Empty(index));
    }
    if texts.is_empty() {
        return Some(Refusal::NoInputs);
    }
    let (greatest_inputs, greatest_tokens) = api.limits(model);
    if texts.len() > greatest_inputs {
        return Some(Refusal::TooManyInputs(greatest_inputs, texts.len()));
    }
    let requested = texts.iter().map(|text| tokens(text)).sum::<usize>();
    if requested > greatest_tokens {
        return Some(Refusal::TooManyTokens(greatest_tokens, requested));
    }
    match (model.as_str(), *dimensions) {
        ("text-embedding-ada-002", Some(_)) => Some(Refusal::NoDimensions),
        ("text-embedding-3-small", Some(n)) if n > 1536 => Some(Refusal::TooManyDimensions(1536, n)),
        ("text-embedding-3-large", Some(n)) if n > 3072 => Some(Refusal::TooManyDimensions(3072, n)),
        _ => None,
    }
}

fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// What a behaviour does to right vectors, with the index that the answer gives each.
fn twist(behaviour: &Behaviour, api: Api, mut vectors: Vec<Vec<f32>>) -> Vec<(usize, Vec<f32>)> {
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
        Behaviour::ZeroVector => vectors.iter_mut().take(1).for_each(|vector| vector.fill(0.0)),
        _ => {}
    }
    let mut numbered: Vec<_> = vectors.into_iter().enumerate().collect();
    if *behaviour == Behaviour::Shuffled && api.has_index() {
        numbered.reverse();
    }
    if *behaviour == Behaviour::AllZero {
        numbered.iter_mut().for_each(|(index, _)| *index = 0);
    }
    numbered
}

fn too_many_requests(api: Api, retry_after: Option<Duration>) -> Response<Answer> {
    let mut response = refuse(api, Refusal::Throttled);
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

fn refuse(api: Api, refusal: Refusal<'_>) -> Response<Answer> {
    let (status, body) = refusal.answer(api);
    let status = StatusCode::from_u16(status).expect("the refusals have statuses of HTTP");
    json_answer(status, &body)
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
