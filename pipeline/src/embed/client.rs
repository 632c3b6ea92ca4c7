//! One request to `POST /embeddings`: what is sent, what is accepted, and what each kind of refusal means.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::quota::Quota;
use super::{Error, Refusal, Settings};
use crate::config;
use crate::secret::Secret;

/// The model that takes no `dimensions`, and its only length.
const ADA: &str = "text-embedding-ada-002";
const ADA_DIMENSIONS: usize = 1536;
/// A connection that takes longer than this will not come; the rest of the time-out is for the answer.
const GREATEST_CONNECT_TIME: Duration = Duration::from_secs(10);
/// Most bytes of an answer per dimension (a float as text) and per vector, and for all the rest. More is not read.
const ANSWER_BYTES_PER_NUMBER: usize = 32;
const ANSWER_BYTES_PER_VECTOR: usize = 1024;
const ANSWER_BYTES: usize = 64 * 1024;

/// Why a request yields no vectors.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The documents of the request fail with it.
    Failed(Error),
    /// 429: to be sent again later.
    Throttled {
        refusal: Arc<Refusal>,
        retry_after: Option<Duration>,
        quota: Quota,
    },
    /// One or more of the inputs are not acceptable.
    Rejected(Arc<Refusal>),
    /// The inputs are too many or too long together.
    TooLarge(Arc<Refusal>),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Failed(error)
    }
}

/// A provider, a model and a key.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    /// Host and port, for messages.
    server: String,
    key: Option<Secret>,
    authorization: Option<HeaderValue>,
    api_key_name: String,
    model: String,
    dimensions: usize,
    user: Option<String>,
    timeout: Duration,
    /// The server does not know `encoding_format: "base64"`.
    only_floats: AtomicBool,
}

#[derive(Serialize)]
struct Request<'a> {
    input: &'a [&'a str],
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    encoding_format: &'static str,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    index: Option<usize>,
    embedding: Vector,
}

impl Client {
    /// Checks everything that can be checked without a request.
    pub fn new(config: &config::Embedding, settings: &Settings) -> Result<Client, Error> {
        let config::Embedding::Openai {
            model,
            dimensions,
            user,
            api_key_name,
            ..
        } = config;
        let wrong = |reason: String, hint: Option<String>| Error::Settings { reason, hint };
        let dimensions = usize::try_from(*dimensions).ok().filter(|dimensions| *dimensions > 0);
        let dimensions = dimensions.ok_or_else(|| wrong("dimensions must be positive".to_owned(), None))?;
        if model == ADA && dimensions != ADA_DIMENSIONS {
            return Err(wrong(format!("dimensions must be {ADA_DIMENSIONS} for {ADA}"), None));
        }
        let (url, server) = address(&settings.base_url)?;
        let authorization = settings.api_key.as_ref().map(|key| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(|_| {
                let reason = "the API key holds characters that cannot be sent, perhaps a line break".to_owned();
                wrong(reason, Some(format!("check the value of {api_key_name}")))
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        let mut http = reqwest::Client::builder()
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(GREATEST_CONNECT_TIME))
            // A redirect would carry the texts, and perhaps the key, to an address that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(settings.max_requests_in_flight.max(1));
        if url.scheme() == "http" {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| wrong(chain(&error), None))?;
        Ok(Client {
            http,
            url,
            server,
            key: settings.api_key.clone(),
            authorization: authorization.transpose()?,
            api_key_name: api_key_name.clone(),
            model: model.clone(),
            dimensions,
            user: user.clone(),
            timeout: settings.timeout,
            only_floats: AtomicBool::new(false),
        })
    }

    /// The vectors of the texts, in their order, each of the configured length. Their numbers may still be infinite or
    /// NaN: that concerns one text, not the request. With them, what is left of the provider's limits.
    pub async fn embed(&self, texts: &[&str]) -> Result<(Vec<Vec<f32>>, Quota), Trouble> {
        let only_floats = self.only_floats.load(Ordering::Relaxed);
        match self.ask(texts, only_floats).await {
            Err(Trouble::Rejected(refusal)) if !only_floats && mentions(&refusal, "encoding_format") => {
                self.only_floats.store(true, Ordering::Relaxed);
                self.ask(texts, true).await
            }
            answered => answered,
        }
    }

    async fn ask(&self, texts: &[&str], only_floats: bool) -> Result<(Vec<Vec<f32>>, Quota), Trouble> {
        let request = Request {
            input: texts,
            model: &self.model,
            dimensions: (self.model != ADA).then_some(self.dimensions),
            user: self.user.as_deref(),
            encoding_format: if only_floats { "float" } else { "base64" },
        };
        let response = match self.send(&request).await {
            // The server closed an idle connection just as it was taken for this request, or went away before it said
            // anything: nothing was answered, so nothing was paid for, and a second try usually ends well.
            Err(error) if error.is_request() && !error.is_connect() && !error.is_timeout() => self.send(&request).await,
            sent => sent,
        };
        let mut response = response.map_err(|error| self.lost(&error))?;
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
        while let Some(bytes) = response.chunk().await.map_err(|error| self.lost(&error))? {
            if body.len() + bytes.len() > most {
                if status == StatusCode::OK {
                    return Err(Error::Answer(format!("more than {most} bytes for {} texts", texts.len())).into());
                }
                break;
            }
            body.extend_from_slice(&bytes);
        }
        if status == StatusCode::OK {
            Ok((self.read(&body, texts)?, Quota::new(&headers)))
        } else {
            Err(self.refused(status, &headers, &body, texts))
        }
    }

    async fn send(&self, request: &Request<'_>) -> reqwest::Result<reqwest::Response> {
        let mut post = self.http.post(self.url.clone()).json(request);
        if let Some(authorization) = &self.authorization {
            post = post.header(AUTHORIZATION, authorization.clone());
        }
        post.send().await
    }

    fn lost(&self, error: &reqwest::Error) -> Trouble {
        let server = self.server.clone();
        Trouble::Failed(if error.is_timeout() {
            Error::TimedOut {
                server,
                after: self.timeout,
            }
        } else {
            Error::Connection {
                server,
                reason: chain(error),
            }
        })
    }

    fn read(&self, body: &[u8], texts: &[&str]) -> Result<Vec<Vec<f32>>, Trouble> {
        let answer: Answer = serde_json::from_slice(body).map_err(|error| {
            // serde's own text can quote the answer.
            let place = format!("line {}, column {}", error.line(), error.column());
            match error.classify() {
                serde_json::error::Category::Eof => {
                    let reason = format!("the answer ended after {} bytes in the middle of its JSON", body.len());
                    Error::Connection {
                        server: self.server.clone(),
                        reason,
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
        let received = answer.data.len();
        if received != texts.len() {
            return Err(Error::Answer(format!("{received} vectors for {} texts", texts.len())).into());
        }
        let mut vectors: Vec<Option<Vec<f32>>> = vec![None; received];
        for (
            position,
            Datum {
                index,
                embedding: Vector(vector),
            },
        ) in answer.data.into_iter().enumerate()
        {
            if vector.len() != self.dimensions {
                let (expected, actual) = (self.dimensions, vector.len());
                return Err(Error::Dimensions {
                    expected,
                    actual,
                    model: self.model.clone(),
                }
                .into());
            }
            // Servers that give no index answer in order.
            let index = index.unwrap_or(position);
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
        let refused = |refusal: Arc<Refusal>, hint: String| Trouble::Failed(Error::Refused { refusal, hint });
        match status.as_u16() {
            401 | 403 if self.key.is_none() => refused(
                refusal,
                format!(
                    "no API key was sent: set {} in the environment of the server",
                    self.api_key_name
                ),
            ),
            401 | 403 => refused(refusal, format!("check the API key in {}", self.api_key_name)),
            402 => refused(refusal, self.account_hint()),
            429 if refusal.is("insufficient_quota") || refusal.is("billing_hard_limit_reached") => {
                refused(refusal, self.account_hint())
            }
            429 => Trouble::Throttled {
                refusal,
                retry_after: retry_after(headers, SystemTime::now()),
                quota: Quota::new(headers),
            },
            404 | 405 => refused(
                refusal,
                format!("check the model {:?} and the base_url of {}", self.model, self.server),
            ),
            300..=399 => refused(
                refusal,
                format!(
                    "{} redirects, which is not followed: set base_url to the final address",
                    self.server
                ),
            ),
            413 => Trouble::TooLarge(refusal),
            400 | 422 if refusal.is("max_tokens_per_request") || refusal.is("array_above_max_length") => {
                Trouble::TooLarge(refusal)
            }
            400 | 422 if concerns_all(&refusal) => refused(
                refusal,
                format!(
                    "check whether the model {:?} can make vectors of {} dimensions",
                    self.model, self.dimensions
                ),
            ),
            400 | 422 => Trouble::Rejected(refusal),
            408 | 409 | 425 | 500.. => Trouble::Failed(Error::Server(refusal)),
            _ => Trouble::Failed(Error::Answer(refusal.to_string())),
        }
    }

    fn account_hint(&self) -> String {
        format!(
            "check the plan and the credit of the account behind {}",
            self.api_key_name
        )
    }

    fn exposed_key(&self) -> Option<&str> {
        self.key.as_ref().map(Secret::expose)
    }
}

/// The endpoint below a base address, and its host and port.
fn address(base_url: &str) -> Result<(Url, String), Error> {
    let wrong = |what: &str| Error::Settings {
        reason: format!("base_url {what}"),
        hint: Some("an address like https://api.openai.com/v1".to_owned()),
    };
    // Neither message shows the address: it may hold a password.
    let mut url = Url::parse(base_url).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(wrong("must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not hold a user or password"));
    }
    let host = url.host_str().ok_or_else(|| wrong("names no host"))?;
    let server = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    url.path_segments_mut()
        .map_err(|()| wrong("cannot have a path"))?
        .pop_if_empty()
        .push("embeddings");
    Ok((url, server))
}

/// What an error and its causes say, without the URL.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes.dedup();
    if causes.is_empty() {
        "the request could not be sent".to_owned()
    } else {
        causes.join(": ")
    }
}

fn mentions(refusal: &Refusal, param: &str) -> bool {
    refusal.param.as_deref() == Some(param) || refusal.message.as_ref().is_some_and(|message| message.contains(param))
}

/// A 400 that no other input would avoid.
fn concerns_all(refusal: &Refusal) -> bool {
    mentions(refusal, "dimensions")
        || refusal
            .param
            .as_ref()
            .is_some_and(|param| param == "model" || param == "user")
        || ["model_not_found", "invalid_model", "unsupported_parameter"]
            .iter()
            .any(|code| refusal.is(code))
}

/// How long the provider wants to be left alone: `retry-after-ms`, or `Retry-After` in seconds or as a date
/// (RFC 9110, 10.2.3), which is compared with the provider's own clock where the answer shows it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |value: &HeaderValue| Some(value.to_str().ok()?.trim().to_owned());
    let number = |value: &HeaderValue| text(value)?.parse::<f64>().ok();
    if let Some(milliseconds) = headers.get("retry-after-ms").and_then(number) {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    let value = headers.get(RETRY_AFTER)?;
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = |value: &HeaderValue| httpdate::parse_http_date(&text(value)?).ok();
    let now = headers.get(DATE).and_then(date).unwrap_or(now);
    Some(date(value)?.duration_since(now).unwrap_or_default())
}

/// A vector as base64 of little-endian floats, or as numbers.
struct Vector(Vec<f32>);

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vector, D::Error> {
        deserializer.deserialize_any(VectorVisitor)
    }
}

struct VectorVisitor;

impl<'de> Visitor<'de> for VectorVisitor {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 of floats, or a list of numbers")
    }

    fn visit_str<E: serde::de::Error>(self, base64: &str) -> Result<Vector, E> {
        let bytes = BASE64.decode(base64).map_err(|_| E::custom("not base64"))?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(E::custom("not a whole number of floats"));
        }
        Ok(Vector(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vector, A::Error> {
        let mut vector = Vec::with_capacity(sequence.size_hint().unwrap_or(1536));
        while let Some(number) = sequence.next_element::<f32>()? {
            vector.push(number);
        }
        Ok(Vector(vector))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_found_below_any_base_address() {
        for (base, endpoint, server) in [
            (
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/embeddings",
                "api.openai.com",
            ),
            (
                "http://127.0.0.1:8080/v1/",
                "http://127.0.0.1:8080/v1/embeddings",
                "127.0.0.1:8080",
            ),
            ("http://[::1]:1", "http://[::1]:1/embeddings", "[::1]:1"),
            (
                "https://x.example/a?version=2",
                "https://x.example/a/embeddings?version=2",
                "x.example",
            ),
        ] {
            let (url, name) = address(base).unwrap();
            assert_eq!((url.as_str(), name.as_str()), (endpoint, server));
        }
        for wrong in [
            "",
            "api.openai.com/v1",
            "ftp://x/v1",
            "file:///etc/passwd",
            "https://me:canary@x/v1",
            "data:,x",
        ] {
            let error = address(wrong).unwrap_err().to_string();
            assert!(error.starts_with("base_url ") && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        let told = |headers: &[(&'static str, &str)]| {
            let header = |(name, value): &(&'static str, &str)| (name.parse().unwrap(), value.parse().unwrap());
            retry_after(&headers.iter().map(header).collect(), now)
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(told(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(
            told(&[("retry-after", "1"), ("retry-after-ms", "20")]),
            Some(Duration::from_millis(20))
        );
        let date = ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT");
        assert_eq!(told(&[date]), Some(Duration::from_secs(30)));
        let date_by_a_fast_clock = [date, ("date", "Sun, 06 Nov 1994 08:50:05 GMT")];
        assert_eq!(told(&date_by_a_fast_clock), Some(Duration::from_secs(2)));
        assert_eq!(
            told(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]),
            Some(Duration::ZERO)
        );
        for nonsense in ["soon", "-1", "NaN", "inf", "1e300"] {
            assert_eq!(told(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
    }
}
