//! What foreign servers allow rows to name, and what no row reaches: the machine, its network and its cloud's metadata.

#[expect(dead_code, reason = "it serves other tests, too")]
mod load_server;

use std::time::Duration;

use ai_pipeline::error::Class;
use ai_pipeline::load::{DocumentServers, Error, HttpError, LoadSettings, Loader, Permission};
use ai_pipeline::server;
use load_server::{Server, answer};

fn source(options: &[(&str, &str)]) -> Permission {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let options: Vec<(String, String)> = options.iter().map(own).collect();
    Permission::Open(server::DocumentOptions::read(&options).unwrap())
}

/// As settings are by default: the web and files are closed.
fn loader(servers: DocumentServers) -> Loader {
    Loader::new(settings(servers))
}

fn settings(servers: DocumentServers) -> LoadSettings {
    LoadSettings {
        max_document_bytes: 1000,
        timeout: Duration::from_secs(60),
        http_enabled: false,
        allow_private: false,
        file_directories: vec![],
        external_id: None,
        servers,
    }
}

fn web(options: &[(&str, &str)]) -> Loader {
    loader(DocumentServers {
        http: source(options),
        ..DocumentServers::default()
    })
}

#[tokio::test]
async fn only_allowed_addresses_are_asked() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let url = &server.url;
    let loader = web(&[("allowed_urls", &format!("{url}/docs")), ("allow_private", "true")]);
    let document = loader.load(&format!("{url}/docs/a?sig=1"), None).await.unwrap();
    assert_eq!(&document.bytes[..], b"hello");
    let port = url.rsplit(':').next().unwrap();
    for other in [
        format!("{url}/secret"),
        format!("{url}/docs-secret"),
        format!("{url}/docs/../secret?token=canary"),
        format!("{url}/docs/%2e%2e/secret"),
        format!("{url}/docs/..%2fsecret"),
        format!("http://localhost:{port}/docs/a"),
    ] {
        let error = loader.load(&other, None).await.unwrap_err();
        assert!(matches!(error, Error::NotAllowed { .. }), "{other}: {error}");
        assert_eq!(error.class(), Class::Permanent);
        assert!(!error.to_string().contains("canary"), "{error}");
        assert!(error.hint().unwrap().contains("allowed_urls"));
    }
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_redirect_leads_only_to_what_is_allowed() {
    let inner = Server::start(|_| answer("200 OK", "", "canary")).await;
    let target = inner.url.clone();
    let outer = Server::start(move |request| match request.target.as_str() {
        "/docs/inside" => answer("302 Found", "Location: /docs/a\r\n", ""),
        "/docs/a" => answer("200 OK", "", "hello"),
        "/docs/up" => answer("302 Found", "Location: ../secret\r\n", ""),
        _ => answer("302 Found", &format!("Location: {target}/\r\n"), ""),
    })
    .await;
    let allowed = format!("{}/docs", outer.url);
    let loader = web(&[("allowed_urls", &allowed), ("allow_private", "true")]);
    let document = loader.load(&format!("{allowed}/inside"), None).await.unwrap();
    assert_eq!(&document.bytes[..], b"hello");
    for path in ["up", "away"] {
        let error = loader.load(&format!("{allowed}/{path}"), None).await.unwrap_err();
        assert!(matches!(error, Error::NotAllowed { .. }), "{path}: {error}");
    }
    assert_eq!(inner.requests().len(), 0);
    assert!(outer.requests().iter().all(|request| request.target != "/secret"));
}

/// Every way to write them that a URL has. Each would be connected to, were it not refused.
const INNER: [&str; 24] = [
    // The metadata service of AWS, Azure and Google: dotted, decimal, octal, hexadecimal, mixed, short.
    "169.254.169.254",
    "2852039166",
    "0251.0376.0251.0376",
    "0xA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "169.0376.0xa9fe",
    "169.254.43518",
    "169.254.169.254.",
    "１６９.254.169.254",
    "%31%36%39.254.169.254",
    "169。254。169。254",
    // In IPv6: mapped, compatible, translated, 6to4, and AWS's own.
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[0:0:0:0:0:FFFF:A9FE:A9FE]",
    "[::a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[2002:a9fe:a9fe::1]",
    "[fd00:ec2::254]",
    // The machine itself and its network, by number and by name.
    "127.1",
    "0",
    "017700000001",
    "[::]",
    "10.0.0.1",
    "localhost",
];

#[tokio::test]
async fn nothing_inside_is_reached_in_any_notation() {
    let open = Loader::new(LoadSettings {
        http_enabled: true,
        ..settings(DocumentServers::default())
    });
    for host in INNER {
        for scheme in ["http", "https"] {
            let error = open
                .load(&format!("{scheme}://{host}/latest/meta-data/"), None)
                .await
                .unwrap_err();
            assert!(
                matches!(error, Error::Http(HttpError::Private { .. })),
                "{host}: {error}"
            );
        }
        // To name a host is not to open what is inside: that is another option.
        let named = web(&[("allowed_urls", &format!("http://{host}"))]);
        let error = named.load(&format!("http://{host}/"), None).await.unwrap_err();
        assert!(
            matches!(error, Error::Http(HttpError::Private { .. })),
            "{host}: {error}"
        );
    }
}

#[tokio::test]
async fn a_redirect_reaches_nothing_inside() {
    for host in INNER {
        let server = Server::start(move |_| answer("302 Found", &format!("Location: http://{host}/\r\n"), "")).await;
        let loader = web(&[("allowed_urls", &server.url), ("allow_private", "true")]);
        let error = loader.load(&server.url, None).await.unwrap_err();
        // A Location that is not ASCII is none at all.
        let refused = matches!(
            error,
            Error::NotAllowed { .. } | Error::Http(HttpError::Redirect { .. })
        );
        assert!(refused, "{host}: {error}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_server_opens_its_directories_and_no_others() {
    let (open, closed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for directory in [&open, &closed] {
        std::fs::write(directory.path().join("a.txt"), "hello").unwrap();
    }
    let files = |allowed: &str| {
        Loader::new(LoadSettings {
            file_directories: vec![closed.path().to_owned()],
            ..settings(DocumentServers {
                file: source(&[("allowed_urls", allowed)]),
                ..DocumentServers::default()
            })
        })
    };
    let at = |directory: &tempfile::TempDir| directory.path().join("a.txt").display().to_string();
    let loader = files(&format!("file://{}", open.path().display()));
    assert_eq!(&loader.load(&at(&open), None).await.unwrap().bytes[..], b"hello");
    let other = format!(
        "{}/../{}/a.txt",
        open.path().display(),
        closed.path().file_name().unwrap().display()
    );
    for path in [at(&closed), other, "/etc/passwd".to_owned()] {
        let error = loader.load(&path, None).await.unwrap_err();
        assert!(matches!(error, Error::File(_)), "{path}: {error}");
        assert_eq!(error.class(), Class::Permanent, "{path}: {error}");
    }
    // An empty list is a list.
    assert!(files("").load(&at(&closed), None).await.is_err());
}

#[tokio::test]
async fn a_closed_scheme_says_why() {
    let closed = Permission::Closed {
        reason: "permission denied for foreign server ai_s3".to_owned(),
        hint: Some("GRANT".to_owned()),
    };
    let loader = loader(DocumentServers {
        s3: closed.clone(),
        http: closed.clone(),
        file: closed,
    });
    for uri in ["s3://bucket/key", "https://example.com/", "/etc/passwd"] {
        let error = loader.load(uri, None).await.unwrap_err();
        assert_eq!(error.to_string(), "permission denied for foreign server ai_s3", "{uri}");
        assert_eq!(
            (error.class(), error.hint().as_deref()),
            (Class::Permanent, Some("GRANT"))
        );
    }
}
