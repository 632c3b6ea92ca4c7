//! Whether an object has changed, by what S3 says of it.

mod load_s3_setup;
#[expect(dead_code, reason = "it serves other tests, too")]
mod load_server;

use ai_pipeline::error::Class;
use ai_pipeline::load::{Document, Loaded, Loader, Tag};
use load_s3_setup::{aws, load, settings};
use load_server::{Reply, Server, answer};

const LOADED: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

/// A server with an object of this tag; one that `listens` answers 304 where it can.
async fn with_tag(etag: &'static str, modified: &'static str, listens: bool) -> (Server, Loader) {
    let server = Server::start(move |request| {
        let headers = format!("ETag: {etag}\r\nLast-Modified: {modified}\r\n");
        if listens && request.header("if-none-match") == etag {
            return Reply::Close(
                format!("HTTP/1.1 304 Not Modified\r\n{headers}Connection: close\r\n\r\n").into_bytes(),
            );
        }
        answer("200 OK", &headers, "hello")
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    (server, loader)
}

async fn load_again(loader: &Loader, tag: Option<&Tag>) -> Option<Document> {
    let loaded = loader.load_if_changed("s3://bucket/a b.txt", None, tag, u64::MAX).await;
    match loaded.unwrap() {
        Loaded::Unchanged => None,
        Loaded::Document(document) => Some(document),
        Loaded::Larger { .. } => panic!("nothing is larger than there is room for"),
    }
}

#[tokio::test]
async fn the_tag_of_an_object_is_its_entity_tag_and_its_second() {
    let (server, loader) = with_tag("\"abc-2\"", LOADED, true).await;
    let tag = load_again(&loader, None).await.unwrap().tag.unwrap();
    assert_eq!(tag.as_str(), "\"abc-2\" 1445412480");
    let tag = Tag::remembered(tag.as_str().to_owned());
    assert!(load_again(&loader, Some(&tag)).await.is_none());
    let sent: Vec<_> = server.requests();
    assert_eq!(sent[1].header("if-none-match"), "\"abc-2\"");
    assert!(sent[1].header("authorization").contains("if-none-match"), "signed");
}

/// The same bytes with another media type have the same tag, and may be read otherwise.
#[tokio::test]
async fn an_object_that_was_stored_anew_is_downloaded() {
    let (server, loader) = with_tag("\"abc\"", LOADED, true).await;
    let before = Tag::remembered("\"abc\" 1445412479".to_owned());
    let document = load_again(&loader, Some(&before)).await.unwrap();
    assert_eq!(document.tag.unwrap().as_str(), "\"abc\" 1445412480");
    assert_eq!(server.requests().len(), 2, "with the condition, and without");
    // Where one of the two was not told the time, the entity tag is what there is.
    let timeless = Tag::remembered("\"abc\"".to_owned());
    assert!(load_again(&loader, Some(&timeless)).await.is_none());
    let (_server, loader) = with_tag("\"abc\"", "soon", true).await;
    assert!(load_again(&loader, Some(&before)).await.is_none());
}

#[tokio::test]
async fn a_tag_that_proves_nothing_is_not_sent() {
    for etag in ["W/\"abc\"", "*", "abc", "\"a\"b\"", "\"a\", \"b\""] {
        let (server, loader) = with_tag(etag, LOADED, true).await;
        assert_eq!(load_again(&loader, None).await.unwrap().tag, None, "{etag}");
        let kept = Tag::remembered(etag.to_owned());
        assert!(load_again(&loader, Some(&kept)).await.is_some(), "{etag}");
        assert!(
            server
                .requests()
                .iter()
                .all(|request| request.header("if-none-match").is_empty())
        );
    }
}

#[tokio::test]
async fn a_server_that_ignores_the_condition_sends_the_object() {
    let (server, loader) = with_tag("\"abc\"", LOADED, false).await;
    let tag = load_again(&loader, None).await.unwrap().tag.unwrap();
    let document = load_again(&loader, Some(&tag)).await.unwrap();
    assert_eq!((&document.bytes[..], document.tag), (&b"hello"[..], Some(tag)));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn nobody_has_asked_for_a_304() {
    let server =
        Server::start(|_| Reply::Close(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec())).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let error = load(&loader, None).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "{error}");
}
