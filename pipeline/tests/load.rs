//! The web and files: what is open, what is closed, and what comes back.

mod load_server;

use std::path::Path;
use std::time::Duration;

use ai_pipeline::budget::Budget;
use ai_pipeline::error::Class;
use ai_pipeline::load::{Error, FileError, HttpError, LoadSettings, Loaded, Loader, Tag};
use load_server::{Reply, Server, answer};
use tokio::sync::Semaphore;

fn settings() -> LoadSettings {
    LoadSettings {
        max_document_bytes: 1000,
        timeout: Duration::from_secs(60),
        http_enabled: false,
        allow_private: false,
        file_directories: vec![],
        external_id: None,
        servers: ai_pipeline::load::DocumentServers::default(),
    }
}

/// The test servers listen on this machine, so private addresses are open.
fn web() -> Loader {
    Loader::new(LoadSettings {
        http_enabled: true,
        allow_private: true,
        ..settings()
    })
}

fn files(directory: &Path) -> Loader {
    Loader::new(LoadSettings {
        file_directories: vec![directory.to_owned()],
        ..settings()
    })
}

#[tokio::test]
async fn documents_are_loaded_from_any_thread() {
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    fn is_sent<T: Send>(future: T) -> T {
        future
    }
    let loader = Loader::new(settings());
    is_shared(&loader);
    assert!(is_sent(loader.load("", None)).await.is_err());
}

#[tokio::test]
async fn an_unreadable_uri_is_permanent() {
    let error = Loader::new(settings()).load("ftp://host/a", None).await.unwrap_err();
    assert!(matches!(error, Error::Uri(_)));
    assert_eq!(error.class(), Class::Permanent);
}

#[tokio::test]
async fn the_web_is_closed_until_it_is_opened() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let error = Loader::new(settings()).load(&server.url, None).await.unwrap_err();
    assert!(matches!(error, Error::Http(HttpError::Closed)));
    assert_eq!(error.class(), Class::Permanent);
    assert!(error.hint().unwrap().contains("ai.allow_http"));
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_web_page_arrives_with_its_type_and_tag() {
    let headers = "Content-Type: text/html; charset=latin1\r\nETag: \"7\"\r\n";
    let server = Server::start(move |_| answer("200 OK", headers, "hello")).await;
    let document = web()
        .load(&format!("{}/a/b%20c.html?sig=1#top", server.url), None)
        .await
        .unwrap();
    assert_eq!(document.bytes, "hello");
    assert_eq!(document.name.as_deref(), Some("b c.html"));
    assert_eq!(document.media_type.as_deref(), Some("text/html; charset=latin1"));
    assert_eq!(document.tag.as_ref().map(Tag::as_str), Some("\"7\""));
    let requests = server.requests();
    assert_eq!(requests[0].method, "GET");
    assert_eq!(requests[0].target, "/a/b%20c.html?sig=1");
    assert_eq!(requests[0].body, "");
    assert!(requests[0].header("user-agent").starts_with("pg-ai/"));
}

#[tokio::test]
async fn addresses_of_the_machine_are_refused_by_number_and_by_name() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let port = server.url.rsplit(':').next().unwrap();
    let loader = Loader::new(LoadSettings {
        http_enabled: true,
        ..settings()
    });
    for host in [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ] {
        let error = loader.load(&format!("http://{host}:{port}/"), None).await.unwrap_err();
        assert!(
            matches!(error, Error::Http(HttpError::Private { .. })),
            "{host}: {error}"
        );
        assert_eq!(error.class(), Class::Permanent);
        assert!(error.hint().unwrap().contains("ai.allow_private_addresses"));
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn redirects_are_followed_to_the_document() {
    let server = Server::start(|request| match request.target.as_str() {
        "/start" => answer("301 Moved Permanently", "Location: next?page=1\r\n", ""),
        "/next?page=1" => answer("307 Temporary Redirect", "Location: /end.txt\r\n", ""),
        _ => answer("200 OK", "", "hello"),
    })
    .await;
    assert_eq!(
        web().load(&format!("{}/start", server.url), None).await.unwrap().bytes,
        "hello"
    );
    let targets: Vec<_> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/start", "/next?page=1", "/end.txt"]);
}

#[tokio::test]
async fn a_status_has_the_class_that_fits_and_shows_no_signature() {
    let cases = [
        ("401 Unauthorized", Class::Permanent),
        ("403 Forbidden", Class::Permanent),
        ("404 Not Found", Class::Permanent),
        ("410 Gone", Class::Permanent),
        ("204 No Content", Class::Permanent),
        ("408 Request Timeout", Class::Transient),
        (
            "429 Too Many Requests",
            Class::Throttled {
                retry_after: Some(Duration::from_secs(9)),
            },
        ),
        ("500 Internal Server Error", Class::Transient),
        ("503 Service Unavailable", Class::Transient),
    ];
    for (status, class) in cases {
        let server = Server::start(move |_| answer(status, "Retry-After: 9\r\n", "")).await;
        let error = web()
            .load(&format!("{}/a.pdf?X-Amz-Signature=abc", server.url), None)
            .await
            .unwrap_err();
        assert_eq!(error.class(), class, "{status}");
        let expected = format!("{}/a.pdf was answered with {}", server.url, &status[..3]);
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(!format!("{error} {error:?}").contains("Signature"), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_may_come_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a?sig=abc", listener.local_addr().unwrap());
    drop(listener);
    let error = web().load(&url, None).await.unwrap_err();
    assert!(matches!(error, Error::Http(HttpError::Unreachable { .. })), "{error}");
    assert_eq!(error.class(), Class::Transient);
    assert!(!error.to_string().contains("sig="), "{error}");
}

#[tokio::test]
async fn the_cap_and_the_time_hold_on_the_web() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001));
    let unannounced = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(1001));
    for response in [announced, unannounced] {
        let server = Server::start(move |_| Reply::Close(response.clone().into_bytes())).await;
        let error = web().load(&server.url, None).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 1000, .. }), "{error}");
    }
    let server = Server::start(|_| Reply::Stall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec())).await;
    let timeout = Duration::from_millis(500);
    let loader = Loader::new(LoadSettings {
        http_enabled: true,
        allow_private: true,
        timeout,
        ..settings()
    });
    let error = loader.load(&server.url, None).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert_eq!(error.class(), Class::Transient);
}

#[tokio::test]
async fn files_are_closed_until_a_directory_is_opened() {
    let error = Loader::new(settings()).load("/etc/passwd", None).await.unwrap_err();
    assert!(matches!(error, Error::File(FileError::Closed)));
    assert!(error.hint().unwrap().contains("ai.file_directories"));
}

#[tokio::test]
async fn a_file_below_an_open_directory_is_read() {
    let open = tempfile::tempdir().unwrap();
    let folder = open.path().join("sub folder");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("50%.txt"), "hello").unwrap();
    std::os::unix::fs::symlink("50%.txt", folder.join("link.txt")).unwrap();
    let loader = files(open.path());
    let base = open.path().display();
    for uri in [
        format!("{base}/sub folder/50%.txt"),
        format!("file://{base}/sub%20folder/50%25.txt"),
        format!("{base}/sub folder/../sub folder/50%.txt"),
        format!("{base}/sub folder/link.txt"),
    ] {
        let document = loader.load(&uri, None).await.unwrap();
        assert_eq!(document.bytes, "hello", "{uri}");
        assert!(document.name.unwrap().ends_with(".txt"));
    }
}

#[tokio::test]
async fn nothing_leads_out_of_an_open_directory() {
    let parent = tempfile::tempdir().unwrap();
    let open = parent.path().join("open");
    let beside = parent.path().join("open beside");
    for directory in [&open, &beside] {
        std::fs::create_dir(directory).unwrap();
    }
    std::fs::write(beside.join("secret.txt"), "secret").unwrap();
    std::os::unix::fs::symlink("../open beside/secret.txt", open.join("link.txt")).unwrap();
    std::os::unix::fs::symlink(beside.join("secret.txt"), open.join("absolute.txt")).unwrap();
    std::os::unix::fs::symlink(&beside, open.join("folder")).unwrap();
    // A link that the kernel itself follows, to the root of the file system.
    std::os::unix::fs::symlink("/proc/self/root", open.join("base")).unwrap();
    let loader = files(&open);
    let (open, beside) = (open.display(), beside.display());
    for uri in [
        format!("{beside}/secret.txt"),
        format!("{open} beside/secret.txt"),
        format!("{open}/../open beside/secret.txt"),
        format!("{open}/link.txt"),
        format!("{open}/absolute.txt"),
        format!("{open}/folder/secret.txt"),
        format!("{open}/base/etc/passwd"),
        format!("file://{open}/%2e%2e/open%20beside/secret.txt"),
        format!("{open}"),
        format!("{open}/"),
        "/etc/passwd".to_owned(),
        "/no/such/file".to_owned(),
    ] {
        let error = loader.load(&uri, None).await.unwrap_err();
        assert!(
            matches!(error, Error::File(FileError::Outside { .. })),
            "{uri}: {error}"
        );
        assert_eq!(error.class(), Class::Permanent);
    }
}

#[tokio::test]
async fn only_regular_files_are_read() {
    let open = tempfile::tempdir().unwrap();
    std::fs::create_dir(open.path().join("folder")).unwrap();
    let pipe = open.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(open.path().join("socket")).unwrap();
    let loader = files(open.path());
    for name in ["folder", "pipe", "socket"] {
        let error = loader
            .load(&format!("{}/{name}", open.path().display()), None)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::File(FileError::NotRegular { .. })),
            "{name}: {error}"
        );
        assert_eq!(error.class(), Class::Permanent);
    }
}

#[tokio::test]
async fn a_file_that_is_missing_or_too_large_is_permanent() {
    let open = tempfile::tempdir().unwrap();
    std::fs::write(open.path().join("large"), [b'x'; 1001]).unwrap();
    std::fs::write(open.path().join("fits"), [b'x'; 1000]).unwrap();
    let loader = files(open.path());
    let at = |name: &str| format!("{}/{name}", open.path().display());
    assert_eq!(loader.load(&at("fits"), None).await.unwrap().bytes.len(), 1000);
    let error = loader.load(&at("large"), None).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: Some(1001), .. }), "{error}");
    let error = loader.load(&at("none"), None).await.unwrap_err();
    assert!(matches!(error, Error::File(FileError::Missing { .. })), "{error}");
    assert_eq!(error.class(), Class::Permanent);
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_an_error_of_the_setting() {
    let error = files(Path::new("/no/such/directory"))
        .load("/no/such/directory/a", None)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Configuration, "{error}");
}

#[tokio::test]
async fn a_web_page_that_has_not_changed_is_not_downloaded_again() {
    let server = Server::start(|request| match request.header("if-none-match") {
        "\"7\"" => Reply::Close(b"HTTP/1.1 304 Not Modified\r\nETag: \"7\"\r\nConnection: close\r\n\r\n".to_vec()),
        _ => answer("200 OK", "ETag: \"7\"\r\n", "hello"),
    })
    .await;
    let loader = web();
    let tag = loader.load(&server.url, None).await.unwrap().tag.unwrap();
    let again = loader
        .load_if_changed(&server.url, None, Some(&tag), u64::MAX)
        .await
        .unwrap();
    assert!(matches!(again, Loaded::Unchanged), "{again:?}");
    let other = Tag::remembered("\"6\"".to_owned());
    let again = loader
        .load_if_changed(&server.url, None, Some(&other), u64::MAX)
        .await
        .unwrap();
    assert!(matches!(again, Loaded::Document(_)), "{again:?}");
    // What is closed stays closed.
    let closed = Loader::new(settings());
    assert!(
        closed
            .load_if_changed(&server.url, None, Some(&tag), u64::MAX)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_tag_that_proves_nothing_is_not_kept() {
    for headers in [
        "",
        "ETag: W/\"7\"\r\n",
        "ETag: *\r\n",
        "ETag: \"a\"b\"\r\n",
        "ETag: 7\r\n",
    ] {
        let server = Server::start(move |_| answer("200 OK", headers, "hello")).await;
        assert_eq!(web().load(&server.url, None).await.unwrap().tag, None, "{headers}");
    }
}

/// Two documents may go by the same tag, and a redirect may lead to either.
#[tokio::test]
async fn what_comes_by_a_redirect_has_no_tag() {
    let server = Server::start(|request| match request.target.as_str() {
        "/latest" => answer("302 Found", "Location: /v2\r\n", ""),
        _ => match request.header("if-none-match") {
            "\"7\"" => Reply::Close(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec()),
            _ => answer("200 OK", "ETag: \"7\"\r\n", "hello"),
        },
    })
    .await;
    let (loader, uri) = (web(), format!("{}/latest", server.url));
    assert_eq!(loader.load(&uri, None).await.unwrap().tag, None);
    // A tag of a time when there was no redirect.
    let tag = Tag::remembered("\"7\"".to_owned());
    let again = loader.load_if_changed(&uri, None, Some(&tag), u64::MAX).await.unwrap();
    assert!(matches!(again, Loaded::Document(document) if document.bytes == "hello"));
    let conditions: Vec<_> = server
        .requests()
        .iter()
        .map(|r| r.header("if-none-match").to_owned())
        .collect();
    assert_eq!(conditions, ["", "", "\"7\"", ""]);
}

#[tokio::test]
async fn a_file_that_has_not_changed_is_not_read_again() {
    let open = tempfile::tempdir().unwrap();
    let path = open.path().join("a.txt");
    let (loader, uri) = (files(open.path()), path.display().to_string());
    std::fs::write(&path, "hello").unwrap();
    // For a while it may change without a sign: the clock of the file system ticks slowly.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let tag = loop {
        if let Some(tag) = loader.load(&uri, None).await.unwrap().tag {
            break tag;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "a file that nobody touches settles"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let again = loader.load_if_changed(&uri, None, Some(&tag), u64::MAX).await.unwrap();
    assert!(matches!(again, Loaded::Unchanged), "{again:?}");
    // Of the same size, and with the old times.
    let times = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, "world").unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(times).unwrap();
    let again = loader.load_if_changed(&uri, None, Some(&tag), u64::MAX).await.unwrap();
    assert!(
        matches!(&again, Loaded::Document(document) if document.bytes == "world"),
        "{again:?}"
    );
    let closed = Loader::new(settings());
    assert!(closed.load_if_changed(&uri, None, Some(&tag), u64::MAX).await.is_err());
}

/// A document that needs more room than most is asked for again when there is room, and keeps what it needs.
#[tokio::test]
async fn memory_is_reserved_before_a_document_is_downloaded() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LoadSettings {
        file_directories: vec![folder.path().to_owned()],
        max_document_bytes: 1_000_000,
        ..settings()
    };
    let loader = Loader::new(settings);
    let budget = Budget::new(1_000_000);
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (name, size, others) in [("small", 1_000, 610_000), ("large", 400_000, 70_000)] {
        std::fs::write(folder.path().join(name), "x".repeat(size)).unwrap();
        let loaded = loader
            .load_within(&budget, 2, &Semaphore::new(1), &at(name), None, None)
            .await
            .unwrap();
        let (document, reservation) = loaded.unwrap();
        assert_eq!(document.bytes.len(), size);
        let rest = tokio::time::timeout(Duration::ZERO, budget.reserve(others)).await;
        assert!(
            rest.is_ok(),
            "{name} keeps twice its size, or that of most documents, and no more"
        );
        drop((rest, reservation));
    }
    std::fs::write(folder.path().join("giant"), "x".repeat(1_000_001)).unwrap();
    let error = loader
        .load_within(&budget, 2, &Semaphore::new(1), &at("giant"), None, None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 1_000_000, .. }), "{error}");
}

/// What `state` gives once it gives something.
async fn wait_for<T>(what: &str, state: impl Fn() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    loop {
        if let Some(value) = state() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A page of 200 kB whose size nobody announced may have any size. As much as the budget has is not taken for it.
#[tokio::test]
async fn pages_of_unknown_size_are_downloaded_side_by_side() {
    let page = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(200_000)).into_bytes();
    let server = Server::start(move |_| Reply::Stall(page.clone())).await;
    let loader = Loader::new(LoadSettings {
        http_enabled: true,
        allow_private: true,
        max_document_bytes: 64 << 20,
        ..settings()
    });
    let budget = Budget::new(192 << 20);
    for name in ["a", "b"] {
        let (loader, budget, uri) = (loader.clone(), budget.clone(), format!("{}/{name}", server.url));
        tokio::spawn(async move {
            let _ = loader
                .load_within(&budget, 4, &Semaphore::new(1), &uri, None, None)
                .await;
        });
    }
    wait_for("the second request for each page", || {
        let requests = server.requests();
        let asked = |target: &str| requests.iter().filter(|request| request.target == target).count();
        (asked("/a") == 2 && asked("/b") == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_page_that_grows_from_request_to_request_is_soon_given_room() {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_| {
        let before = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        answer("200 OK", "", &"x".repeat(128 * 1024 + 1 + before))
    })
    .await;
    let loader = Loader::new(LoadSettings {
        http_enabled: true,
        allow_private: true,
        max_document_bytes: 128 * 1024 + 20,
        ..settings()
    });
    let budget = Budget::new(192 << 20);
    let loaded = loader
        .load_within(&budget, 4, &Semaphore::new(1), &server.url, None, None)
        .await
        .unwrap();
    assert_eq!(loaded.unwrap().0.bytes.len(), 128 * 1024 + 3);
    assert_eq!(server.requests().len(), 3);
}

/// Who waits for much memory may wait long, and keeps nobody from downloading meanwhile.
#[tokio::test]
async fn a_document_that_waits_for_memory_leaves_its_place_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let loader = Loader::new(LoadSettings {
        file_directories: vec![folder.path().to_owned()],
        max_document_bytes: 64 << 20,
        ..settings()
    });
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(folder.path().join("large"), "x".repeat(600_000)).unwrap();
    std::fs::write(folder.path().join("small"), "x").unwrap();
    let (budget, places) = (Budget::new(8 << 20), Semaphore::new(1));
    let all = budget.reserve(u64::MAX).await;
    let large_at = at("large");
    let mut large = std::pin::pin!(loader.load_within(&budget, 4, &places, &large_at, None, None));
    let small_at = at("small");
    let small = loader.load_within(&budget, 4, &places, &small_at, None, None);
    let small = tokio::time::timeout(Duration::from_secs(30), small);
    let small = tokio::select! {
        biased;
        _ = &mut large => panic!("there is no memory for it"),
        small = small => small.expect("the only place is free"),
    };
    assert_eq!(small.unwrap().unwrap().0.bytes, "x");
    drop(all);
    let (document, _) = large.await.unwrap().unwrap();
    assert_eq!(document.bytes.len(), 600_000);
}

/// A server may do so unasked.
#[tokio::test]
async fn the_encoding_of_a_page_is_undone() {
    // "hello hello hello", as gzip writes it.
    const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x00\x80\x88\xf9\xe5\x11\x00\x00\x00";
    let server = Server::start(|request| {
        let encoding = request.target.trim_start_matches('/');
        let body: &[u8] = if encoding == "gzip" { GZIP } else { b"hello" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Reply::Close([head.as_bytes(), body].concat())
    })
    .await;
    let document = web().load(&format!("{}/gzip", server.url), None).await.unwrap();
    assert_eq!(document.bytes, "hello hello hello");
    let document = web().load(&format!("{}/identity", server.url), None).await.unwrap();
    assert_eq!(document.bytes, "hello");
    let error = web().load(&format!("{}/br", server.url), None).await.unwrap_err();
    assert!(error.to_string().contains("Content-Encoding \"br\""), "{error}");
    assert_eq!(error.class(), Class::Permanent);
}

/// Addresses and names that a server writes as they are to be read.
#[tokio::test]
async fn headers_that_are_not_ascii_are_no_obstacle() {
    let server = Server::start(|request| {
        let head: &[u8] = match request.target.as_str() {
            "/utf-8" => b"302 Found\r\nLocation: /caf\xC3\xA9\r\nContent-Length: 0",
            "/latin-1" => b"302 Found\r\nLocation: /caf\xE9\r\nContent-Length: 0",
            "/caf%C3%A9" => b"200 OK\r\nContent-Type: text/plain; name=caf\xE9\r\nETag: \"\xE9\"\r\nContent-Length: 5",
            _ => b"404 Not Found\r\nContent-Length: 5",
        };
        Reply::Close([b"HTTP/1.1 ", head, b"\r\nConnection: close\r\n\r\nhello"].concat())
    })
    .await;
    for path in ["utf-8", "latin-1"] {
        let document = web().load(&format!("{}/{path}", server.url), None).await.expect(path);
        assert_eq!(document.bytes, "hello", "{path}");
    }
}
