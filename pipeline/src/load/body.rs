//! The body of an answer, read to its end within bounds of size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};

use super::error::Error;
use crate::error::Cause;

/// A server that does not take the connection within this time is down or far behind a firewall.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No byte for so long means that none will come. Shorter than any sensible limit for a whole document, so that a dead
/// connection gives its place to another document early.
pub(super) const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads a body to its end, or to the cap. `declared` is the length that the other side announced, in bytes.
pub(super) async fn collect<E: std::error::Error + Send + Sync + 'static>(
    body: impl Stream<Item = Result<Bytes, E>>,
    declared: Option<u64>,
    limit: u64,
    location: &str,
) -> Result<Bytes, Error> {
    let too_large = |size| Error::TooLarge {
        location: location.to_string(),
        size,
        limit,
    };
    if let Some(size) = declared
        && size > limit
    {
        return Err(too_large(Some(size)));
    }
    let mut body = std::pin::pin!(body);
    let mut bytes = BytesMut::with_capacity(declared.and_then(|size| usize::try_from(size).ok()).unwrap_or(0));
    loop {
        let next = tokio::time::timeout(STALL_TIMEOUT, body.next()).await;
        let stalled = || Error::TimedOut {
            location: location.to_string(),
            seconds: STALL_TIMEOUT.as_secs_f64(),
        };
        match next.map_err(|_| stalled())? {
            None => return Ok(bytes.freeze()),
            Some(Ok(part)) if bytes.len() as u64 + part.len() as u64 > limit => return Err(too_large(None)),
            Some(Ok(part)) => bytes.extend_from_slice(&part),
            Some(Err(error)) => {
                return Err(Error::Interrupted {
                    location: location.to_string(),
                    cause: Cause::new(error),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    fn parts(sizes: &[usize]) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
        futures_util::stream::iter(
            sizes
                .iter()
                .map(|&n| Ok(Bytes::from(vec![b'x'; n])))
                .collect::<Vec<_>>(),
        )
    }

    #[tokio::test]
    async fn the_cap_is_a_size_that_still_passes() {
        let body = collect(parts(&[4, 6]), None, 10, "here").await.unwrap();
        assert_eq!(body.len(), 10);
        let error = collect(parts(&[4, 6, 1]), None, 10, "here").await.unwrap_err();
        assert_eq!(error.to_string(), "document here is larger than 10 bytes");
        let error = collect(parts(&[]), Some(11), 10, "here").await.unwrap_err();
        assert_eq!(error.to_string(), "document here is larger than 10 bytes: it has 11");
        assert_eq!(error.class(), Class::Permanent);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_document() {
        let body = futures_util::stream::iter([
            Ok(Bytes::from_static(b"half")),
            Err(std::io::Error::new(
                std::io::ErrorKind::ConnectionReset,
                "connection reset",
            )),
        ]);
        let error = collect(body, None, 100, "here").await.unwrap_err();
        assert_eq!(error.to_string(), "document here broke off: connection reset");
        assert_eq!(error.class(), Class::Transient);
    }
}
