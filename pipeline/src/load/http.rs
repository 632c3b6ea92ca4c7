//! Documents on the web.
//!
//! A row chooses the address, so the address is checked: the one that is connected to, after the name was resolved, on
//! each hop of a redirect. No proxy is used, not even one from the environment: it would resolve the name itself.

mod address;
pub(super) mod error;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, LOCATION};
use url::{Host, Url};

pub use self::error::Error;
use self::error::GREATEST_REDIRECTS;
use super::body::{CONNECT_TIMEOUT, STALL_TIMEOUT, collect};
use super::document::{Document, Loaded};
use super::tag::Tag;
use super::{encoding, error as loading};
use crate::error::Cause;
use crate::uri::without_query;
use crate::{authorities, retry_after};

/// Some web servers refuse clients that do not name themselves.
const USER_AGENT: &str = concat!("pg-ai/", env!("CARGO_PKG_VERSION"));

type Permit = fn(IpAddr) -> bool;

/// Fetches documents from web servers; the client is made at the first use.
pub(super) struct WebLoader {
    permit: Permit,
    client: OnceLock<reqwest::Client>,
}

impl WebLoader {
    pub(super) fn new(allow_private: bool) -> WebLoader {
        WebLoader::permitting(if allow_private { |_| true } else { address::is_public })
    }

    fn permitting(permit: Permit) -> WebLoader {
        WebLoader {
            permit,
            client: OnceLock::new(),
        }
    }

    /// One document of at most `limit` bytes, if it is not the one that `known` is the tag of; each address
    /// that is asked is shown to `allowed` before. Redirects are followed here and not by the client, because
    /// the client hands an address that is written as a number to no resolver.
    ///
    /// A tag is the address's own: a redirect may lead to another document that goes by the same tag. So what comes by
    /// one has no tag, and only the first request is a conditional one.
    pub(super) async fn load(
        &self,
        url: &Url,
        allowed: &(dyn Fn(&Url) -> Result<(), loading::Error> + Sync),
        known: Option<&Tag>,
        limit: u64,
    ) -> Result<Loaded, loading::Error> {
        let client = self.client()?;
        let mut url = url.clone();
        for hop in 0..=GREATEST_REDIRECTS {
            allowed(&url)?;
            self.check(&url)?;
            let mut request = client.get(url.clone());
            let etag = known.and_then(Tag::etag).filter(|_| hop == 0);
            if let Some(etag) = etag {
                request = request.header(IF_NONE_MATCH, etag);
            }
            let response = request.send().await.map_err(|error| unreachable(&url, error))?;
            match response.status() {
                StatusCode::OK => {
                    let mut document = document(response, &url, limit).await?;
                    document.tag = document.tag.filter(|_| hop == 0);
                    return Ok(Loaded::Document(document));
                }
                StatusCode::NOT_MODIFIED if etag.is_some() => return Ok(Loaded::Unchanged),
                status if status.is_redirection() => url = redirected(&url, response.headers(), status)?,
                status => return Err(refused(&url, response.headers(), status).into()),
            }
        }
        Err(Error::Redirects {
            url: without_query(&url),
        }
        .into())
    }

    fn client(&self) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        if let Some((name, fault)) = authorities::fault(|name| std::env::var_os(name)) {
            let reason = format!("{name} in the environment of the server {fault}");
            return Err(Error::Client {
                cause: Cause::said(&reason),
            });
        }
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .dns_resolver(Arc::new(Resolver { permit: self.permit }))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(STALL_TIMEOUT)
            .build()
            .map_err(|error| Error::Client {
                cause: Cause::new(error),
            })?;
        Ok(self.client.get_or_init(|| client))
    }

    fn check(&self, url: &Url) -> Result<(), Error> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if (self.permit)(address) {
            Ok(())
        } else {
            Err(Error::Private {
                host: address.to_string(),
            })
        }
    }
}

/// The system's resolver, less the addresses that are not permitted. What it returns is what is connected to, so a name
/// that resolves differently a moment later changes nothing.
struct Resolver {
    permit: Permit,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let permit = self.permit;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let all = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let permitted: Vec<SocketAddr> = all.filter(|address| permit(address.ip())).collect();
            if permitted.is_empty() {
                return Err(Error::Private { host }.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

async fn document(response: reqwest::Response, url: &Url, limit: u64) -> Result<Document, loading::Error> {
    let text = |name: HeaderName| header(response.headers(), name).map(str::to_owned);
    let media_type = text(CONTENT_TYPE);
    let tag = header(response.headers(), ETAG).and_then(|etag| Tag::of_entity(etag, None));
    let encodings = encodings(response.headers());
    let declared = response.content_length();
    let body = futures_util::StreamExt::map(response.bytes_stream(), |part| {
        part.map_err(reqwest::Error::without_url)
    });
    let location = without_query(url);
    let bytes = collect(body, declared, limit, &location).await?;
    let bytes = encoding::undo(bytes, Some(&encodings), limit, &location).await?;
    Ok(Document {
        bytes,
        name: None,
        media_type,
        tag,
    })
}

/// What may be said in one header or in several.
fn encodings(headers: &HeaderMap) -> String {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn redirected(from: &Url, headers: &HeaderMap, status: StatusCode) -> Result<Url, Error> {
    let broken = || Error::Redirect {
        url: without_query(from),
        status: status.as_u16(),
    };
    let location = headers.get(LOCATION).ok_or_else(broken)?.as_bytes();
    // Some servers write the address as it is to be read, in UTF-8 or in Latin-1, whose bytes are characters.
    let location = match std::str::from_utf8(location) {
        Ok(text) => Cow::from(text),
        Err(_) => location.iter().copied().map(char::from).collect(),
    };
    let to = from.join(&location).map_err(|_| broken())?;
    let followed = matches!(to.scheme(), "http" | "https") && to.username().is_empty() && to.password().is_none();
    if followed { Ok(to) } else { Err(broken()) }
}

fn refused(url: &Url, headers: &HeaderMap, status: StatusCode) -> Error {
    Error::Status {
        url: without_query(url),
        status: status.as_u16(),
        text: status.canonical_reason().unwrap_or("unknown status"),
        retry_after: retry_after::told(|name| headers.get(name)?.to_str().ok(), SystemTime::now()),
    }
}

fn unreachable(url: &Url, error: reqwest::Error) -> Error {
    let error = error.without_url();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(own) = inner.downcast_ref::<Error>() {
            return own.clone();
        }
        cause = inner.source();
    }
    Error::Unreachable {
        host: url.host_str().unwrap_or_default().to_owned(),
        cause: Cause::new(error),
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::error::Class;

    /// Answers each connection with the same redirect.
    async fn redirecting(to: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let _ = connection.read(&mut [0; 4096]).await;
                let head =
                    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = connection.write_all(head.as_bytes()).await;
            }
        });
        url
    }

    /// As if 127.0.0.1, where a test can listen, were the only public address.
    fn only_the_test_server(address: IpAddr) -> bool {
        address == IpAddr::from([127, 0, 0, 1])
    }

    async fn error(to: &'static str) -> loading::Error {
        let url = redirecting(to).await;
        WebLoader::permitting(only_the_test_server)
            .load(&url, &|_| Ok(()), None, 100)
            .await
            .unwrap_err()
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_address_is_refused() {
        for to in [
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]/",
            "http://0/",
            "//127.0.0.2/",
        ] {
            let error = error(to).await;
            assert!(
                matches!(error, loading::Error::Http(Error::Private { .. })),
                "{to}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn a_redirect_leads_only_to_the_web() {
        for to in [
            "file:///etc/passwd",
            "s3://bucket/key",
            "http://me:secret@127.0.0.1/",
            "",
        ] {
            let error = error(to).await;
            assert!(!error.to_string().contains("secret"), "{error}");
            assert_eq!(error.class(), Class::Permanent, "{to}: {error}");
        }
        assert!(error("/again").await.to_string().starts_with("more than 5 redirects"));
    }
}
