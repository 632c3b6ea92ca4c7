//! What the environment of the server holds: values with a line break at their end, as files leave it there,
//! and values that can be sent nowhere.

mod support;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use support::scene::API_KEY;
use support::{DEADLINE, Options, Scene, s3, wait_until};

/// Of variables that have one, with another behind it.
const BROKEN: &str = "first\nsecond";

#[test]
fn white_space_around_a_value_is_no_part_of_it() {
    let mut scene = Scene::start();
    scene.cluster.restart_with(|options| {
        options
            .env("AWS_ACCESS_KEY_ID", format!("{}\n", s3::ACCESS_KEY))
            .env("AWS_SECRET_ACCESS_KEY", format!(" {}\r\n", s3::SECRET_KEY))
            .env("OPENAI_API_KEY", format!("{API_KEY}\n"))
    });
    scene.provider.require_key(Some(API_KEY));
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["Some text."]);
    assert_eq!(scene.errors(), []);
}

/// Each is a fault of the configuration that names it and shows nothing of it; before, the AWS SDK panicked.
#[test]
fn a_value_that_can_be_sent_nowhere_is_named() {
    let mut scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    // One that waits, as the others do whom a pause keeps waiting.
    scene.provider.require_key(Some(API_KEY));
    let other = scene.s3.put("b.txt", "Other text.");
    scene
        .cluster
        .restart_with(|options| options.env("OPENAI_API_KEY", "unknown"));
    scene.insert_documents(&[&other]);
    for (name, value, said) in [
        (
            "AWS_ACCESS_KEY_ID",
            BROKEN,
            "AWS_ACCESS_KEY_ID in the environment of the server has a line break",
        ),
        (
            "AWS_ACCESS_KEY_ID",
            "schl\u{fc}ssel",
            "AWS_ACCESS_KEY_ID in the environment of the server holds characters that cannot be sent",
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            BROKEN,
            "AWS_SECRET_ACCESS_KEY in the environment",
        ),
        ("AWS_SESSION_TOKEN", BROKEN, "AWS_SESSION_TOKEN in the environment"),
        ("AWS_REGION", BROKEN, "AWS_REGION in the environment"),
        ("AWS_REGION", "schl\u{fc}ssel", "the name of the AWS region"),
        (
            "OPENAI_API_KEY",
            BROKEN,
            "OPENAI_API_KEY in the environment of the server has a line break",
        ),
        (
            "OPENAI_API_KEY",
            "schl\u{fc}ssel",
            "the API key holds characters that cannot be sent",
        ),
        (
            "OPENAI_BASE_URL",
            BROKEN,
            "OPENAI_BASE_URL in the environment of the server has a line break",
        ),
        (
            "AWS_ASSUME_ROLE_EXTERNAL_ID",
            BROKEN,
            "AWS_ASSUME_ROLE_EXTERNAL_ID in the environment",
        ),
    ] {
        let sane = scene.s3.environment(Options::default()).env("OPENAI_API_KEY", API_KEY);
        let sane = sane.env("OPENAI_BASE_URL", scene.provider.base_url());
        scene.cluster.restart_with(|_| sane.env(name, value));
        let look = || scene.errors();
        let errors = wait_until("it is told", DEADLINE, look, |errors| {
            errors.iter().any(|error| error.reason.contains(said))
        });
        assert!(
            errors.iter().all(|error| error.class == "configuration"),
            "{name}: {errors:#?}"
        );
        let shown = format!("{errors:?}");
        assert!(!shown.contains("second") && !shown.contains("schl"), "{shown}");
    }
}

/// To a library that reads a variable by itself, one that is not text in UTF-8 is absent: requests went out
/// unsigned, and documents were given up for it.
#[test]
fn a_value_that_is_no_text_is_not_taken_for_none() {
    let mut scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    let other = scene.s3.put("b.txt", "Other text.");
    scene
        .cluster
        .restart_with(|options| options.env("AWS_SECRET_ACCESS_KEY", ""));
    scene.insert_documents(&[&other]);
    let no_text = || OsString::from_vec(b"canary\xff".to_vec());
    for (name, value, said) in [
        (
            "AWS_SECRET_ACCESS_KEY",
            OsString::new(),
            "AWS_ACCESS_KEY_ID in the environment of the server is set, and",
        ),
        (
            "AWS_ACCESS_KEY_ID",
            no_text(),
            "AWS_ACCESS_KEY_ID in the environment of the server is not text",
        ),
        (
            "AWS_SECRET_ACCESS_KEY",
            no_text(),
            "AWS_SECRET_ACCESS_KEY in the environment of the server is not text",
        ),
        (
            "AWS_SESSION_TOKEN",
            no_text(),
            "AWS_SESSION_TOKEN in the environment of the server is not text",
        ),
        (
            "AWS_REGION",
            no_text(),
            "AWS_REGION in the environment of the server is not text",
        ),
        (
            "AWS_CA_BUNDLE",
            no_text(),
            "AWS_CA_BUNDLE in the environment of the server is not text",
        ),
        (
            "OPENAI_API_KEY",
            no_text(),
            "OPENAI_API_KEY in the environment of the server is not text",
        ),
        (
            "OPENAI_BASE_URL",
            no_text(),
            "OPENAI_BASE_URL in the environment of the server is not text",
        ),
    ] {
        let sane = scene.s3.environment(Options::default()).env("OPENAI_API_KEY", API_KEY);
        let sane = sane.env("OPENAI_BASE_URL", scene.provider.base_url());
        scene.cluster.restart_with(|_| sane.env(name, value));
        let errors = wait_until(
            name,
            DEADLINE,
            || scene.errors(),
            |errors| errors.iter().any(|error| error.reason.contains(said)),
        );
        assert!(
            errors.iter().all(|error| error.class == "configuration"),
            "{name}: {errors:#?}"
        );
        assert!(!format!("{errors:?}").contains("canary"), "{errors:?}");
        assert!(scene.failed().is_empty(), "{name}: nothing is given up");
    }
    let sane = scene.s3.environment(Options::default()).env("OPENAI_API_KEY", API_KEY);
    let sane = sane.env("OPENAI_BASE_URL", scene.provider.base_url());
    scene.cluster.restart_with(|_| sane);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&other), ["Other text."]);
}

/// Files of services and containers are written by templates: a variable that nobody has set is an empty one there.
#[test]
fn variables_of_nothing_are_as_good_as_none() {
    for blank in ["", "  ", "\n"] {
        let scene = Scene::start_with(|options| {
            let names = [
                "AWS_REGION",
                "AWS_DEFAULT_REGION",
                "AWS_PROFILE",
                "AWS_SESSION_TOKEN",
                "AWS_CA_BUNDLE",
                "AWS_CONFIG_FILE",
                "AWS_SHARED_CREDENTIALS_FILE",
                "AWS_ENDPOINT_URL_S3",
                "AWS_ENDPOINT_URL_STS",
                "AWS_ROLE_ARN",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_USE_FIPS_ENDPOINT",
                "AWS_USE_DUALSTACK_ENDPOINT",
                "AWS_MAX_ATTEMPTS",
                "AWS_RETRY_MODE",
                "HTTP_PROXY",
                "HTTPS_PROXY",
                "https_proxy",
                "ALL_PROXY",
                "NO_PROXY",
            ];
            names.iter().fold(options, |options, name| options.env(name, blank))
        });
        let uri = scene.s3.put("a.txt", "Some text.");
        scene.create_documents(&[&uri]);
        let chunks = || scene.chunks(&uri);
        wait_until(&format!("{blank:?}"), DEADLINE, chunks, |chunks| {
            chunks == &["Some text."]
        });
        assert_eq!(
            scene.cluster.value("SELECT count(*) FROM ai.vectorizer_errors"),
            "0",
            "{blank:?}"
        );
        // A session reads the same environment.
        assert_eq!(
            scene.cluster.value("SELECT count(*) FROM ai.verify_vectorizer(1)"),
            "0",
            "{blank:?}"
        );
    }
}

/// The stacks of our threads are as large as they have to be, whatever std would take for large enough.
#[test]
fn stacks_are_as_large_as_they_have_to_be() {
    for size in ["1", "999999999999999", "none"] {
        let scene = Scene::start_with(|options| options.env("RUST_MIN_STACK", size));
        let uri = scene.s3.put("a.txt", "Some text. ".repeat(40_000).trim_end());
        scene.create_documents(&[&uri]);
        scene.cluster.wait_until_settled();
        assert_eq!(scene.errors(), [], "{size}");
        assert!(!scene.chunks(&uri).is_empty(), "{size}");
        let of_session = "SELECT count(*) > 0 FROM ai.chunk_text(repeat('some words. ', 400000), 100, 20, ' ')";
        assert_eq!(scene.cluster.value(of_session), "t", "{size}");
        let log = scene.cluster.log();
        assert!(!log.contains("was terminated by signal"), "{size}: {log}");
    }
}

/// A request with the key of the server would go past the proxy that is prescribed.
#[test]
fn a_way_that_leads_nowhere_is_named() {
    let mut scene = Scene::start();
    let embed = "SELECT ai.openai_embed('text-embedding-3-small', 'text', dimensions => 8)";
    let no_text = || OsString::from_vec(b"s3cr3t\xff".to_vec());
    let socks = "is the address of a SOCKS proxy";
    let no_address = "is not the address of a proxy";
    let no_folder = scene.cluster.data().join("secrets3cr3t");
    for (name, value, said) in [
        ("HTTPS_PROXY", no_text(), "is not text in UTF-8"),
        ("https_proxy", OsString::from("user:s3cr3t@not a url"), no_address),
        ("HTTPS_PROXY", OsString::from("proxy.lan:3128/s3cr3t"), no_address),
        ("ALL_PROXY", OsString::from("ftp://user:s3cr3t@proxy.lan"), no_address),
        ("all_proxy", OsString::from("http://a\ns3cr3t"), "has a line break"),
        ("https_proxy", OsString::from("socks5://user:s3cr3t@127.0.0.1:1"), socks),
        ("http_proxy", OsString::from("user:s3cr3t@not a url"), no_address),
        ("NO_PROXY", no_text(), "is not text in UTF-8"),
        (
            "SSL_CERT_FILE",
            no_folder.clone().into(),
            "names a file that cannot be read",
        ),
        (
            "SSL_CERT_FILE",
            scene.cluster.data().join("PG_VERSION").into(),
            "names a file that holds no certificate",
        ),
        (
            "SSL_CERT_DIR",
            no_folder.clone().into(),
            "names no folder that can be read",
        ),
        (
            "SSL_CERT_DIR",
            scene.cluster.data().join("base").into(),
            "names no folder with certificates",
        ),
    ] {
        let sane = scene.s3.environment(Options::default()).env("OPENAI_API_KEY", API_KEY);
        // In capitals, as some write it.
        let sane = sane.env("OPENAI_BASE_URL", "HTTPS://127.0.0.1:1/v1");
        scene.cluster.restart_with(|_| sane.env(name, value));
        let error = scene.cluster.try_rows(embed).expect_err("it leads nowhere");
        let error = error.as_db_error().unwrap_or_else(|| panic!("{error}"));
        let shown = format!("{error:?}");
        assert!(
            shown.contains(&format!("{name} in the environment of the server {said}")),
            "{shown}"
        );
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }
    // What requests do not go through is no reason to send none.
    let sane = scene.s3.environment(Options::default()).env("OPENAI_API_KEY", API_KEY);
    let sane = sane.env("OPENAI_BASE_URL", "https://127.0.0.1:1/v1");
    let sane = sane
        .env("HTTP_PROXY", "socks5://127.0.0.1:1")
        .env("ALL_PROXY", "socks5://127.0.0.1:1");
    scene
        .cluster
        .restart_with(|_| sane.env("HTTPS_PROXY", "http://127.0.0.1:1"));
    let (message, _) = scene.cluster.refusal(embed);
    assert!(!message.contains("_PROXY"), "{message}");
}
