//! S3 that misbehaves: what is sent to it, and what becomes of its answers.

mod load_s3_setup;
#[expect(dead_code, reason = "it serves other tests, too")]
mod load_server;

use std::time::Duration;

use ai_pipeline::error::Class;
use ai_pipeline::load::{Error, LoadSettings, Loaded, Loader};
use load_s3_setup::{ROLE, aws, load, refusal, settings, shown, signed_for};
use load_server::{Reply, Server, answer};

#[tokio::test]
async fn a_bucket_in_another_region_is_followed_once_and_remembered() {
    let in_header = || {
        refusal(
            "301 Moved Permanently",
            "x-amz-bucket-region: ap-south-1\r\n",
            "PermanentRedirect",
            "",
        )
    };
    let in_body = || {
        refusal(
            "400 Bad Request",
            "",
            "AuthorizationHeaderMalformed",
            "<Region>ap-south-1</Region>",
        )
    };
    for redirect in [in_header as fn() -> Reply, in_body] {
        let server = Server::start(move |request| {
            if signed_for(request, "ap-south-1") {
                answer("200 OK", "", "hello")
            } else {
                redirect()
            }
        })
        .await;
        let loader = Loader::with_aws(settings(), aws(&server.url));
        assert_eq!(load(&loader, None).await.unwrap().bytes, "hello");
        assert_eq!(load(&loader, None).await.unwrap().bytes, "hello");
        let requests = server.requests();
        assert_eq!(requests.len(), 3, "{requests:?}");
        assert!(signed_for(&requests[0], "eu-north-1"));
    }
}

#[tokio::test]
async fn a_bucket_that_is_always_elsewhere_is_followed_once() {
    let server = Server::start(|request| {
        let next = if signed_for(request, "ap-south-1") {
            "ap-south-2"
        } else {
            "ap-south-1"
        };
        refusal(
            "301 Moved Permanently",
            &format!("x-amz-bucket-region: {next}\r\n"),
            "PermanentRedirect",
            "",
        )
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (_, text) = shown(load(&loader, None).await.unwrap_err());
    assert!(text.contains("AWS_REGION"), "{text}");
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_region_where_the_account_is_not_enabled_is_the_fault_of_the_row() {
    let server = Server::start(|request| {
        if signed_for(request, "af-south-1") {
            refusal("403 Forbidden", "", "InvalidToken", "")
        } else {
            refusal(
                "301 Moved Permanently",
                "x-amz-bucket-region: af-south-1\r\n",
                "PermanentRedirect",
                "",
            )
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    assert!(text.contains("region af-south-1 is enabled"), "{text}");
}

#[tokio::test]
async fn an_odd_bucket_name_concerns_its_own_row_alone() {
    let server = Server::start(|_| refusal("404 Not Found", "", "NoSuchBucket", "")).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for bucket in [
        "abc--x-s3",
        "abc--use1-az4--x-s3",
        "abc--op-s3",
        "xn--abc",
        "1.2.3.4",
        "a..b",
        "Old_Bucket",
    ] {
        let (class, text) = shown(loader.load(&format!("s3://{bucket}/k"), None).await.unwrap_err());
        assert_ne!(class, Class::Configuration, "{text}");
        assert!(text.contains(bucket), "{text}");
    }
}

#[tokio::test]
async fn refusals_have_the_class_that_fits() {
    let wait = Class::Throttled {
        retry_after: Some(Duration::from_secs(7)),
    };
    let cases = [
        ("503 Slow Down", "Retry-After: 7\r\n", "SlowDown", wait),
        ("429 Too Many Requests", "", "", Class::Throttled { retry_after: None }),
        ("503 Service Unavailable", "", "ServiceUnavailable", Class::Transient),
        ("500 Internal Server Error", "", "InternalError", Class::Transient),
        ("502 Bad Gateway", "", "", Class::Transient),
        ("400 Bad Request", "", "RequestTimeout", Class::Transient),
        ("403 Forbidden", "", "InvalidAccessKeyId", Class::Configuration),
        ("403 Forbidden", "", "SignatureDoesNotMatch", Class::Configuration),
        ("403 Forbidden", "", "RequestTimeTooSkewed", Class::Configuration),
        ("403 Forbidden", "", "InvalidObjectState", Class::Permanent),
        ("404 Not Found", "", "NoSuchKey", Class::Permanent),
        ("404 Not Found", "", "NoSuchBucket", Class::Permanent),
        ("404 Not Found", "", "", Class::Permanent),
        ("400 Bad Request", "", "SomethingNew", Class::Unknown),
    ];
    for (status, headers, code, class) in cases {
        let server = Server::start(move |_| match code {
            "" => answer(status, headers, "<html>not S3 at all</html>"),
            code => refusal(status, headers, code, ""),
        })
        .await;
        let loader = Loader::with_aws(settings(), aws(&server.url));
        let (found, text) = shown(load(&loader, None).await.unwrap_err());
        assert_eq!(found, class, "{status} {code}: {text}");
        let named = if code.is_empty() { &status[..3] } else { code };
        assert!(
            text.contains(&format!("error: An error occurred ({named}) when calling")),
            "{text}"
        );
        assert_eq!(server.requests().len(), 1, "retries are the queue's: {status} {code}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_ends_with_the_time_of_the_document() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let server = Server::start(|_| Reply::Stall(head.into())).await;
    let patience = LoadSettings {
        timeout: Duration::from_millis(700),
        ..settings()
    };
    let error = load(&Loader::with_aws(patience, aws(&server.url)), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_document() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    let server = Server::start(|_| Reply::Close(head.into())).await;
    let error = load(&Loader::with_aws(settings(), aws(&server.url)), None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn the_cap_holds_whatever_length_is_announced() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001));
    let unannounced = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(1001));
    for response in [announced, unannounced] {
        let server = Server::start(move |_| Reply::Close(response.clone().into_bytes())).await;
        let error = load(&Loader::with_aws(settings(), aws(&server.url)), None)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
        assert_eq!(error.class(), Class::Permanent);
    }
    let exact = answer("200 OK", "", &"x".repeat(1000));
    let Reply::Close(exact) = exact else { unreachable!() };
    let server = Server::start(move |_| Reply::Close(exact.clone())).await;
    assert_eq!(
        load(&Loader::with_aws(settings(), aws(&server.url)), None)
            .await
            .unwrap()
            .bytes
            .len(),
        1000
    );
}

#[tokio::test]
async fn a_server_that_is_down_may_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let loader = Loader::with_aws(settings(), aws(&url));
    for role in [None, Some(ROLE)] {
        let (class, text) = shown(load(&loader, role).await.unwrap_err());
        assert_eq!(class, Class::Transient);
        assert!(
            text.contains("cannot be reached") && text.contains("AWS_ENDPOINT_URL"),
            "{text}"
        );
    }
}

/// Only where an administrator has said so: it costs.
#[tokio::test]
async fn the_requester_pays_where_the_server_says_so() {
    let server = Server::start(|request| match request.header("x-amz-request-payer") {
        "requester" => answer("200 OK", "", "hello"),
        _ => refusal("403 Forbidden", "", "AccessDenied", ""),
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    assert!(text.contains("request_payer 'requester'"), "{text}");
    let option = ("request_payer".to_owned(), "requester".to_owned());
    let source = ai_pipeline::server::DocumentOptions::read(&[option]).unwrap();
    let servers = ai_pipeline::load::DocumentServers {
        s3: ai_pipeline::load::Permission::Open(source),
        ..Default::default()
    };
    let paying = Loader::with_aws(LoadSettings { servers, ..settings() }, aws(&server.url));
    assert_eq!(load(&paying, None).await.unwrap().bytes, "hello");
}

/// "hello hello hello", as gzip writes it.
const GZIP: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x00\x80\x88\xf9\xe5\x11\x00\x00\x00";

fn encoded(headers: &str, body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    Reply::Close([head.as_bytes(), body].concat())
}

#[tokio::test]
async fn the_encoding_of_an_object_is_undone() {
    let server = Server::start(|request| {
        if request.header("if-none-match") == "\"7\"" {
            return answer("304 Not Modified", "", "");
        }
        encoded(
            "Content-Encoding: gzip\r\nContent-Type: text/plain\r\nETag: \"7\"\r\n",
            GZIP,
        )
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let document = load(&loader, None).await.unwrap();
    assert_eq!(document.bytes, "hello hello hello");
    // The tag is that of what was sent.
    let again = loader
        .load_if_changed("s3://bucket/folder/a b.txt", None, document.tag.as_ref(), 1000)
        .await
        .unwrap();
    assert!(matches!(again, Loaded::Unchanged), "{again:?}");
    // It has more bytes than were announced.
    let small = loader
        .load_if_changed("s3://bucket/folder/a b.txt", None, None, 16)
        .await;
    assert!(matches!(small.unwrap(), Loaded::Larger { .. }));
    let tiny = LoadSettings {
        max_document_bytes: 16,
        ..settings()
    };
    let error = load(&Loader::with_aws(tiny, aws(&server.url)), None).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 16, .. }), "{error}");
}

/// Metadata of users is in whatever charset they had; nothing of it is read.
#[tokio::test]
async fn headers_in_latin_1_are_no_obstacle() {
    for header in [
        &b"x-amz-meta-author: Andr\xE9\r\n"[..],
        b"x-amz-meta-author: Andr\xE9\r\nx-amz-meta-author: Zo\xEB\r\n",
        b"Content-Type: text/plain; name=\"caf\xE9.txt\"\r\n",
        b"Content-Disposition: attachment; filename=\"caf\xE9.txt\"\r\n",
        b"ETag: \"caf\xE9\"\r\n",
        b"x-amz-tagging-count: \xE9\r\n",
        b"Server: caf\xE9\r\n",
    ] {
        let server = Server::start(move |_| {
            let parts: [&[u8]; 3] = [
                b"HTTP/1.1 200 OK\r\n",
                header,
                b"Content-Length: 5\r\nConnection: close\r\n\r\nhello",
            ];
            Reply::Close(parts.concat())
        })
        .await;
        let loader = Loader::with_aws(settings(), aws(&server.url));
        let name = String::from_utf8_lossy(header);
        assert_eq!(load(&loader, None).await.expect(&name).bytes, "hello", "{name}");
    }
}
