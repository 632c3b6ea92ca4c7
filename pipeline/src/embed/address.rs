//! From the address that was configured to the endpoint.

use reqwest::Url;

use crate::config::InvalidConfig;

/// The endpoint below a base address, and its host and port. What the address already has of the path is not repeated:
/// people configure `https://api.cohere.com`, `…/v2` and `…/v2/embed` alike.
pub(super) fn endpoint(base_url: &str, path: &[String]) -> Result<(Url, String), InvalidConfig> {
    let (mut url, server) = read(base_url)?;
    let given: Vec<String> = url
        .path_segments()
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let there = (0..=path.len()).rev().find(|&count| given.ends_with(&path[..count]));
    let mut parts = url.path_segments_mut().map_err(|()| wrong("cannot have a path"))?;
    parts.pop_if_empty().extend(&path[there.unwrap_or(0)..]);
    drop(parts);
    Ok((url, server))
}

/// Checks an address. The error does not show it: it may hold a password.
pub(crate) fn check(base_url: &str) -> Result<(), InvalidConfig> {
    read(base_url).map(drop)
}

fn read(base_url: &str) -> Result<(Url, String), InvalidConfig> {
    let url = Url::parse(base_url).map_err(|error| wrong(&format!("is not a URL: {error}")))?;
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
    Ok((url, server))
}

fn wrong(what: &str) -> InvalidConfig {
    InvalidConfig {
        reason: format!("base_url {what}"),
        hint: Some("an address like https://api.openai.com/v1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn the_endpoint_is_found_below_any_base_address() {
        for (base, below, found, server) in [
            (
                "https://api.openai.com/v1",
                "embeddings",
                "https://api.openai.com/v1/embeddings",
                "api.openai.com",
            ),
            (
                "http://127.0.0.1:8080/v1/",
                "embeddings",
                "http://127.0.0.1:8080/v1/embeddings",
                "127.0.0.1:8080",
            ),
            ("http://[::1]:1", "embeddings", "http://[::1]:1/embeddings", "[::1]:1"),
            (
                "https://x.example/a?version=2",
                "embeddings",
                "https://x.example/a/embeddings?version=2",
                "x.example",
            ),
            ("https://x", "v2/embed", "https://x/v2/embed", "x"),
            ("https://x/v2/", "v2/embed", "https://x/v2/embed", "x"),
            ("https://x/v2/embed", "v2/embed", "https://x/v2/embed", "x"),
            ("https://x/v2/b", "v2/embed", "https://x/v2/b/v2/embed", "x"),
            ("https://x", "a b/c?d", "https://x/a%20b/c%3Fd", "x"),
        ] {
            let (url, name) = endpoint(base, &path(below)).unwrap();
            assert_eq!((url.as_str(), name.as_str()), (found, server));
        }
        assert_eq!(endpoint("https://x/whole", &[]).unwrap().0.as_str(), "https://x/whole");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_shown() {
        for wrong in [
            "",
            "api.openai.com/v1",
            "ftp://x/v1",
            "file:///etc/passwd",
            "https://me:canary@x/v1",
            "data:,x",
        ] {
            let error = endpoint(wrong, &path("embeddings")).unwrap_err().to_string();
            assert!(error.starts_with("base_url ") && !error.contains("canary"), "{error}");
            assert!(check(wrong).is_err());
        }
    }
}
