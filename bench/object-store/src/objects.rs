//! The objects, and what was asked of them.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LAST_MODIFIED};
use hyper::{Response, StatusCode};
use serde::Serialize;

type Answer = Response<Full<Bytes>>;

/// What S3 sends for an object that is not there; clients look at the code.
const NO_SUCH_KEY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"#;

/// What was served since the start.
#[derive(Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// GET requests that arrived.
    gets: u64,
    /// Those of them that were answered with 304.
    unchanged: u64,
    /// Bytes of objects that left.
    bytes: u64,
}

#[derive(Clone)]
struct Object {
    bytes: Bytes,
    etag: String,
    media_type: String,
    modified: String,
}

#[derive(Default)]
struct Changing {
    objects: HashMap<String, Object>,
    latency: Duration,
    counts: Counts,
}

/// All objects by their path, `/bucket/key`.
#[derive(Default)]
pub struct Objects(Mutex<Changing>);

impl Objects {
    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.0.lock().expect("no code panics while it holds this lock")
    }

    pub fn counts(&self) -> Counts {
        self.changing().counts
    }

    pub fn latency(&self) -> Duration {
        self.changing().latency
    }

    pub fn wait(&self, latency: Duration) {
        self.changing().latency = latency;
    }

    pub fn put(&self, path: &str, media_type: Option<&str>, bytes: Bytes) -> Answer {
        // S3's is MD5; to a client it is an opaque text.
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let object = Object {
            etag: format!("\"{:016x}\"", hasher.finish()),
            media_type: media_type.unwrap_or("binary/octet-stream").to_owned(),
            modified: httpdate::fmt_http_date(SystemTime::now()),
            bytes,
        };
        let mut answer = Response::new(Full::default());
        set(&mut answer, ETAG, &object.etag);
        self.changing().objects.insert(path.to_owned(), object);
        answer
    }

    pub fn head(&self, path: &str) -> Answer {
        let Some(object) = self.changing().objects.get(path).cloned() else {
            return missing(false);
        };
        let mut answer = described(&object, Bytes::new());
        set(&mut answer, CONTENT_LENGTH, &object.bytes.len().to_string());
        answer
    }

    pub fn get(&self, path: &str, unless_etag: Option<&str>, range: Option<&str>) -> Answer {
        let mut changing = self.changing();
        changing.counts.gets += 1;
        let Some(object) = changing.objects.get(path).cloned() else {
            return missing(true);
        };
        if unless_etag.is_some_and(|known| known == "*" || known.split(',').any(|etag| etag.trim() == object.etag)) {
            changing.counts.unchanged += 1;
            let mut answer = described(&object, Bytes::new());
            answer.headers_mut().remove(CONTENT_TYPE);
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            return answer;
        }
        let Some(wanted) = range.and_then(|range| range_of(range, object.bytes.len())) else {
            changing.counts.bytes += object.bytes.len() as u64;
            return described(&object, object.bytes.clone());
        };
        changing.counts.bytes += wanted.len() as u64;
        let content_range = format!(
            "bytes {}-{}/{}",
            wanted.start,
            wanted.end.saturating_sub(1),
            object.bytes.len()
        );
        let mut answer = described(&object, object.bytes.slice(wanted));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        set(&mut answer, CONTENT_RANGE, &content_range);
        answer
    }
}

/// `bytes=FROM-` and `bytes=FROM-TO`, as far as the object goes; `None` for what else a range may be.
fn range_of(range: &str, length: usize) -> Option<Range<usize>> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let end = if to.is_empty() {
        length
    } else {
        to.parse::<usize>().ok()? + 1
    };
    (from < length && from < end).then(|| from..end.min(length))
}

fn described(object: &Object, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    set(&mut answer, ETAG, &object.etag);
    set(&mut answer, CONTENT_TYPE, &object.media_type);
    set(&mut answer, LAST_MODIFIED, &object.modified);
    answer
}

fn missing(with_body: bool) -> Answer {
    let mut answer = Response::new(Full::from(if with_body { NO_SUCH_KEY } else { "" }));
    *answer.status_mut() = StatusCode::NOT_FOUND;
    set(&mut answer, CONTENT_TYPE, "application/xml");
    answer
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = value.parse() {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etag(answer: &Answer) -> String {
        answer.headers()[ETAG].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_unchanged_object_is_not_sent_again() {
        let objects = Objects::default();
        let first = etag(&objects.put("/bucket/key", None, Bytes::from_static(b"one")));
        let sent = objects.get("/bucket/key", None, None);
        assert_eq!((sent.status(), etag(&sent)), (StatusCode::OK, first.clone()));
        let known = objects.get("/bucket/key", Some(&first), None);
        assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
        objects.put("/bucket/key", None, Bytes::from_static(b"two!"));
        assert_eq!(objects.get("/bucket/key", Some(&first), None).status(), StatusCode::OK);
        let counts = objects.counts();
        assert_eq!((counts.gets, counts.unchanged, counts.bytes), (3, 1, 7));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let answer = Objects::default().get("/bucket/key", None, None);
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_part_is_sent_with_its_place() {
        let objects = Objects::default();
        objects.put("/bucket/key", None, Bytes::from_static(b"0123456789"));
        for (range, status, place) in [
            ("bytes=0-", StatusCode::PARTIAL_CONTENT, Some("bytes 0-9/10")),
            ("bytes=3-5", StatusCode::PARTIAL_CONTENT, Some("bytes 3-5/10")),
            ("bytes=8-99", StatusCode::PARTIAL_CONTENT, Some("bytes 8-9/10")),
            ("bytes=-3", StatusCode::OK, None),
        ] {
            let answer = objects.get("/bucket/key", None, Some(range));
            let found = answer.headers().get(CONTENT_RANGE).map(|value| value.to_str().unwrap());
            assert_eq!((answer.status(), found), (status, place), "{range}");
        }
    }
}
