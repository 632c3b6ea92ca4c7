//! One request to a provider: what is accepted as an answer, and what each kind of refusal means.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use zeroize::Zeroizing;

use super::address::endpoint;
use super::backend::{Backend, Request, RequestLimits, RequestOutcome, Trouble, Without};
use super::protocol::{Fault, KeyHeader, Protocol};
use super::quota::Quota;
use super::verdict::WORD;
use super::{EmbedSettings, Error, Headers, Refusal, cohere, huggingface, mistral, ollama, openai, voyageai};
use crate::config::{self, Api, Resolved};
use crate::error::{Cause, causes_below};
use crate::retry::GREATEST_DELAY;
use crate::retry_after;
use crate::secret::Secret;

/// A connection that takes longer than this will not come; the rest of the time-out is for the answer.
const GREATEST_CONNECT_TIME: Duration = Duration::from_secs(10);
/// A connection that was lost later than this after the request was sent may have been lost with an answer
/// that is paid for.
const GREATEST_TIME_TO_RESEND: Duration = Duration::from_secs(1);
/// How providers name the length of vectors.
const DIMENSIONS: [&str; 3] = ["dimensions", "output_dimension", "matryoshka"];
/// Most bytes of an answer per dimension (a float as text) and per vector, and for all the rest. More is not read.
const ANSWER_BYTES_PER_NUMBER: usize = 32;
const ANSWER_BYTES_PER_VECTOR: usize = 1024;
const ANSWER_BYTES: usize = 64 * 1024;

/// A provider, a model and a key.
pub(super) struct Client {
    protocol: Box<dyn Protocol>,
    http: reqwest::Client,
    url: Url,
    /// Host and port, for messages.
    server: String,
    key: Option<Secret>,
    authorization: Option<(HeaderName, HeaderValue)>,
    headers: Headers,
    /// Where the key is, for messages.
    key_place: Option<String>,
    /// As it was configured, for messages.
    model: String,
    dimensions: usize,
    /// Shorter vectors are as welcome.
    any_length: bool,
    timeout: Duration,
    /// What the server has shown that it does not know.
    without_encoding: AtomicBool,
    without_dimensions: AtomicBool,
    /// Whether it has ever answered with vectors.
    accepts: AtomicBool,
}

/// The address of a server, by which its gate is known.
pub(super) fn address(config: &config::Embedding, settings: &EmbedSettings) -> Result<String, Error> {
    let (_, url, _) = target(&config.resolve()?, settings)?;
    Ok(url.origin().ascii_serialization())
}

fn target(resolved: &config::Resolved, settings: &EmbedSettings) -> Result<(Box<dyn Protocol>, Url, String), Error> {
    let protocol = protocol_of(resolved, settings.api_version.as_deref());
    let base_url = protocol.base_url(&settings.base_url);
    let (url, server) = endpoint(&base_url, &protocol.path(&base_url))?;
    Ok((protocol, url, server))
}

/// The header that carries a key, which is from `place`.
fn authorization(header: KeyHeader, key: &Secret, place: Option<&str>) -> Result<(HeaderName, HeaderValue), Error> {
    let (name, text) = match header {
        KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {}", key.expose())),
        KeyHeader::ApiKey => (HeaderName::from_static("api-key"), key.expose().to_owned()),
    };
    let text = Zeroizing::new(text);
    let unfit = || Error::Settings {
        reason: "the API key holds characters that cannot be sent, perhaps a line break".to_owned(),
        hint: place.map(|place| format!("check the key in {place}")),
    };
    // HTTP lets bytes above ASCII through, which servers take for anything.
    if !text.is_ascii() {
        return Err(unfit());
    }
    let mut value = HeaderValue::from_str(&text).map_err(|_| unfit())?;
    value.set_sensitive(true);
    Ok((name, value))
}

impl Client {
    /// Checks everything that can be checked without a request. With `any_length` the provider is not asked
    /// for a length.
    pub fn new(config: &config::Embedding, settings: &EmbedSettings, any_length: bool) -> Result<Client, Error> {
        let mut resolved = config.resolve()?;
        if any_length {
            resolved.asked_dimensions = None;
        }
        let (protocol, mut url, server) = target(&resolved, settings)?;
        for (name, value) in protocol.query() {
            // An address that was copied with its query says what is wanted.
            if !url.query_pairs().any(|(given, _)| given == name) {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        let key_place = settings.api_key_place.clone().or_else(|| config.api_key_name());
        let key = settings.api_key.as_ref();
        let authorization = key.map(|key| authorization(protocol.key_header(), key, key_place.as_deref()));
        let authorization = authorization.transpose()?;
        let mut http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(GREATEST_CONNECT_TIME))
            // A redirect would carry the texts, and perhaps the key, to an address that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(settings.max_requests_in_flight.max(1));
        if url.scheme() == "http" {
            // Certificates are not needed, and to read those of the system takes some milliseconds.
            http = http.no_proxy().tls_certs_only([]);
        }
        let http = http.build().map_err(|error| Error::Settings {
            reason: beneath(&error),
            hint: None,
        })?;
        Ok(Client {
            protocol,
            http,
            url,
            server,
            key: settings.api_key.clone(),
            authorization,
            headers: settings.headers.clone(),
            key_place,
            model: config.model().to_owned(),
            dimensions: resolved.dimensions,
            any_length,
            timeout: settings.timeout,
            without_encoding: AtomicBool::new(false),
            without_dimensions: AtomicBool::new(false),
            accepts: AtomicBool::new(false),
        })
    }

    /// The server, as an address.
    pub fn url(&self) -> &Url {
        &self.url
    }

    async fn request(&self, request: Request<'_>) -> RequestOutcome {
        let texts = request.texts;
        let body = Bytes::from(self.protocol.write(&request));
        let sent = Instant::now();
        let response = self.send(body).await.map_err(|error| {
            // The server closed an idle connection just as it was taken for this request, or went away before it said
            // anything.
            let is_early = error.is_request()
                && !error.is_connect()
                && !error.is_timeout()
                && sent.elapsed() < GREATEST_TIME_TO_RESEND;
            match self.lost(error) {
                Trouble::Failed(error) if is_early => Trouble::Lost(error),
                trouble => trouble,
            }
        });
        let mut response = response?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let per_vector = self.dimensions * ANSWER_BYTES_PER_NUMBER + ANSWER_BYTES_PER_VECTOR;
        let most = ANSWER_BYTES
            + if status == StatusCode::OK {
                texts.len() * per_vector
            } else {
                0
            };
        let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(most as u64) as usize);
        while let Some(bytes) = response.chunk().await.map_err(|error| self.lost(error))? {
            if body.len() + bytes.len() > most {
                if status == StatusCode::OK {
                    return Err(Error::Answer(format!("more than {most} bytes for {} texts", texts.len())).into());
                }
                break;
            }
            body.extend_from_slice(&bytes);
        }
        if status == StatusCode::OK {
            let vectors = self.read(&body, texts)?;
            self.accepts.store(true, Ordering::Relaxed);
            Ok((vectors, Quota::new(&headers)))
        } else {
            Err(self.refused(status, &headers, &body, texts))
        }
    }

    async fn send(&self, body: Bytes) -> reqwest::Result<reqwest::Response> {
        let mut post = self
            .http
            .post(self.url.clone())
            .headers(self.headers.map())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        if let Some((name, value)) = &self.authorization {
            post = post.header(name, value.clone());
        }
        post.send().await
    }

    fn lost(&self, error: reqwest::Error) -> Trouble {
        let server = self.server.clone();
        Trouble::Failed(if error.is_timeout() {
            Error::TimedOut {
                server,
                after: self.timeout,
            }
        } else {
            let text = beneath(&error);
            let cause = Cause::saying(error.without_url(), text);
            Error::Connection { server, cause }
        })
    }

    fn read(&self, body: &[u8], texts: &[&str]) -> Result<Vec<Vec<f32>>, Trouble> {
        let answer = self.protocol.read(body).map_err(|error| {
            // serde's own text can quote the answer.
            let place = format!("line {}, column {}", error.line(), error.column());
            match error.classify() {
                serde_json::error::Category::Eof => {
                    let text = format!("the answer ended after {} bytes in the middle of its JSON", body.len());
                    Error::Connection {
                        server: self.server.clone(),
                        cause: Cause::saying(error, text),
                    }
                }
                serde_json::error::Category::Data => {
                    // Some gateways report errors with status 200.
                    let refusal = Refusal::new(200, body, self.exposed_key(), texts);
                    let said = if refusal.message.is_some() {
                        format!(": {refusal}")
                    } else {
                        String::new()
                    };
                    Error::Answer(format!("it is not a list of embeddings ({place}){said}"))
                }
                _ => Error::Answer(format!("it is not JSON ({place})")),
            }
        })?;
        let received = answer.len();
        if received != texts.len() {
            return Err(Error::Answer(format!("{received} vectors for {} texts", texts.len())).into());
        }
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; received];
        // Some servers number all vectors 0, and answer in order as those do that give no number.
        let is_numbered = received < 2 || answer.iter().any(|(index, _)| *index != Some(0));
        for (position, (index, vector)) in answer.into_iter().enumerate() {
            let fits = self.any_length && (1..self.dimensions).contains(&vector.len());
            if vector.len() != self.dimensions && !fits {
                let (expected, actual) = (self.dimensions, vector.len());
                return Err(Error::Dimensions {
                    expected,
                    actual,
                    model: self.model.clone(),
                }
                .into());
            }
            // Servers that give no index answer in order.
            let index = index.filter(|_| is_numbered).unwrap_or(position);
            match vectors.get_mut(index) {
                Some(place @ None) => *place = Some(vector),
                Some(Some(_)) => return Err(Error::Answer(format!("two vectors with index {index}")).into()),
                None => return Err(Error::Answer(format!("index {index} for {received} texts")).into()),
            }
        }
        // As many places as vectors, and no place taken twice: none is empty.
        Ok(vectors.into_iter().flatten().collect())
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], texts: &[&str]) -> Trouble {
        let refusal = Arc::new(Refusal::new(status.as_u16(), body, self.exposed_key(), texts));
        let known = self.of_account(status, headers, &refusal);
        known
            .or_else(|| self.of_protocol(status, &refusal))
            .unwrap_or_else(|| self.by_status(status, headers, refusal))
    }

    /// What says something of the key or the account, or asks for patience.
    fn of_account(&self, status: StatusCode, headers: &HeaderMap, refusal: &Arc<Refusal>) -> Option<Trouble> {
        let refused = |hint: String| {
            let refusal = Arc::clone(refusal);
            Some(Trouble::Failed(Error::Refused { refusal, hint }))
        };
        match status.as_u16() {
            401 => refused(self.key_hint()),
            403 => Some(Trouble::Refused {
                refusal: Arc::clone(refusal),
                hint: self.key_hint(),
            }),
            402 => refused(self.account_hint()),
            429 if refusal.is("insufficient_quota") || refusal.is("billing_hard_limit_reached") => {
                refused(self.account_hint())
            }
            429 => Some(Trouble::Throttled {
                refusal: Arc::clone(refusal),
                retry_after: told(headers),
                quota: Quota::new(headers),
            }),
            _ => None,
        }
    }

    /// What the protocol knows by its own codes.
    fn of_protocol(&self, status: StatusCode, refusal: &Arc<Refusal>) -> Option<Trouble> {
        let refused = |hint: String| {
            let refusal = Arc::clone(refusal);
            Some(Trouble::Failed(Error::Refused { refusal, hint }))
        };
        match self.protocol.fault(refusal)? {
            Fault::TooLarge => Some(Trouble::TooLarge(Arc::clone(refusal))),
            Fault::Inputs => Some(Trouble::Rejected(Arc::clone(refusal))),
            Fault::All(Some(hint)) => refused(hint),
            Fault::All(None) if matches!(status.as_u16(), 400 | 422) => refused(format!(
                "check whether the model {:?} can make vectors of {} dimensions",
                self.model, self.dimensions
            )),
            Fault::All(None) if matches!(status.as_u16(), 404 | 405) => refused(self.model_hint()),
            Fault::All(None) => None,
        }
    }

    fn by_status(&self, status: StatusCode, headers: &HeaderMap, refusal: Arc<Refusal>) -> Trouble {
        match status.as_u16() {
            404 | 405 => Trouble::Refused {
                refusal,
                hint: self.model_hint(),
            },
            300..=399 => Trouble::Failed(Error::Refused {
                refusal,
                hint: format!(
                    "{} redirects, which is not followed: set base_url to the final address",
                    self.server
                ),
            }),
            413 => Trouble::TooLarge(refusal),
            400 | 422 => Trouble::Rejected(refusal),
            503 => match told(headers) {
                Some(told) => Trouble::Busy {
                    refusal,
                    retry_after: told.min(GREATEST_DELAY),
                },
                None => Trouble::Failed(Error::Server(refusal)),
            },
            // 424: Text Embeddings Inference, when its model failed.
            408 | 409 | 424 | 425 | 500.. => Trouble::Failed(Error::Server(refusal)),
            _ => Trouble::Failed(Error::Answer(refusal.to_string())),
        }
    }

    fn key_hint(&self) -> String {
        match (&self.key_place, &self.key) {
            (Some(name), Some(_)) => format!("check the API key in {name}"),
            (Some(name), None) => format!("no API key was sent: set {name} in the environment of the server"),
            (None, _) => format!("{} wants a key, which this provider has no setting for", self.server),
        }
    }

    fn model_hint(&self) -> String {
        format!("check the model {:?} and the base_url of {}", self.model, self.server)
    }

    fn account_hint(&self) -> String {
        match &self.key_place {
            Some(name) => format!("check the plan and the credit of the account behind {name}"),
            None => format!("check the account at {}", self.server),
        }
    }

    fn exposed_key(&self) -> Option<&str> {
        self.key.as_ref().map(Secret::expose)
    }
}

impl Backend for Client {
    fn dimensions(&self) -> usize {
        self.dimensions
    }

    fn limits(&self) -> RequestLimits {
        self.protocol.limits()
    }

    fn can_cut(&self) -> bool {
        self.protocol.can_cut()
    }

    fn known(&self) -> Without {
        Without {
            encoding: self.without_encoding.load(Ordering::Relaxed),
            dimensions: self.without_dimensions.load(Ordering::Relaxed),
        }
    }

    fn learn(&self, without: Without) {
        self.without_encoding.fetch_or(without.encoding, Ordering::Relaxed);
        self.without_dimensions.fetch_or(without.dimensions, Ordering::Relaxed);
    }

    fn is_accepted(&self) -> bool {
        self.accepts.load(Ordering::Relaxed)
    }

    fn hint_of_all(&self) -> String {
        format!(
            "the server refuses any text: check the model {:?}, its parameters and the base_url of {}",
            self.model, self.server
        )
    }

    /// What the server speaks of. For a word, where
    /// it has never accepted anything and says nothing, also what it may not know: servers word that in any
    /// way, if they do.
    fn others(&self, trouble: &Trouble, known: Without, is_word: bool) -> Vec<Without> {
        let refusal = match trouble {
            Trouble::Rejected(refusal)
            | Trouble::Refused { refusal, .. }
            | Trouble::Failed(Error::Refused { refusal, .. } | Error::Server(refusal)) => refusal,
            _ => return Vec::new(),
        };
        // A key or an account is refused, whatever was asked.
        if matches!(refusal.status, 401..=403 | 429) {
            return Vec::new();
        }
        let written = |without: Without| {
            self.protocol.write(&Request {
                texts: &[WORD],
                cut: false,
                without,
            })
        };
        // What this API does not send, or the configuration does not ask for, is left out already.
        let possible = |without: Without| written(without) != written(known);
        let encoding = possible(Without {
            encoding: true,
            ..known
        });
        let dimensions = !self.any_length
            && possible(Without {
                dimensions: true,
                ..known
            });
        let named = Without {
            encoding: encoding && refusal.mentions("encoding_format"),
            dimensions: dimensions && DIMENSIONS.iter().any(|word| refusal.mentions(word)),
        };
        // What is said to be about the model or the inputs is not about parameters.
        let is_unknown = matches!(refusal.status, 400 | 422)
            && is_word
            && self.protocol.fault(refusal).is_none()
            && !self.is_accepted();
        let more = |without: Without| Without {
            encoding: known.encoding || without.encoding,
            dimensions: known.dimensions || without.dimensions,
        };
        let mut others = vec![more(named)];
        if is_unknown {
            others.push(more(Without {
                encoding,
                dimensions: false,
            }));
            others.push(more(Without { encoding, dimensions }));
        }
        others.dedup();
        others.retain(|without| *without != known);
        others
    }

    fn embed<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, RequestOutcome> {
        Box::pin(self.request(request))
    }
}

/// How long the provider wants to be left alone.
fn told(headers: &HeaderMap) -> Option<Duration> {
    retry_after::told(|name| headers.get(name)?.to_str().ok(), SystemTime::now())
}

/// What lies under an error of a request: its own text is the address.
fn beneath(error: &reqwest::Error) -> String {
    causes_below(error).unwrap_or_else(|| "the request could not be sent".to_owned())
}

/// The API that a configuration means.
fn protocol_of(resolved: &Resolved, api_version: Option<&str>) -> Box<dyn Protocol> {
    match resolved.api {
        Api::Openai => Box::new(openai::Openai::new(resolved)),
        Api::Azure => Box::new(openai::Azure::new(resolved, api_version)),
        Api::Mistral => Box::new(mistral::Mistral::new(resolved)),
        Api::Ollama => Box::new(ollama::Ollama::new(resolved)),
        Api::Voyageai => Box::new(voyageai::Voyageai::new(resolved)),
        Api::Cohere => Box::new(cohere::Cohere::new(resolved)),
        Api::Huggingface => Box::new(huggingface::Huggingface::new(resolved)),
    }
}
