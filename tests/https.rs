//! S3 and provider by HTTPS.

mod support;

#[path = "support/notes.rs"]
mod notes;
#[path = "support/tls.rs"]
mod tls;

use notes::*;
use provider::Provider;
use support::scene::API_KEY;
use support::{Cluster, DEADLINE, Options, S3, Scene, wait_until};
use tls::Tls;

/// S3 and provider by HTTPS, from an authority that the server is told of.
#[test]
fn https_is_spoken() {
    let scene = over_https(|tls, options| options.env("SSL_CERT_FILE", tls.authority().to_str().unwrap()));
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    wait_until(
        "embedded",
        DEADLINE,
        || scene.chunks(&uri),
        |chunks| chunks == &["Some text."],
    );
}

/// Without that, each of both says what is wrong, and nothing is sent.
#[test]
fn unknown_authority_is_refused() {
    let scene = over_https(|_, options| options);
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    create_notes(&scene.cluster, 6);
    add(&scene.cluster, 1, "one");
    let said =
        "SELECT step || ': ' || message || ' ' || coalesce(details::text, '') FROM ai.vectorizer_errors ORDER BY 1";
    let said = wait_until(
        "both have said it",
        DEADLINE,
        || scene.cluster.column(said),
        |said| said.len() == 2,
    );
    for (said, step) in said.iter().zip(["embedding", "loading"]) {
        assert!(
            said.starts_with(step) && said.to_lowercase().contains("certificate"),
            "{said}"
        );
    }
    assert_eq!(scene.provider.counts().requests, 0);
    assert_eq!(scene.s3.requests().len(), 0);
}

struct Https {
    scene: Scene,
    _tls: Tls,
}

impl std::ops::Deref for Https {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.scene
    }
}

fn over_https(change: impl FnOnce(&Tls, Options) -> Options) -> Https {
    let (s3, provider) = (S3::start(), Provider::start());
    let tls = Tls::start(&[&s3.url(), &provider.base_url()]);
    let options = s3
        .environment(Options::default())
        .env("AWS_ENDPOINT_URL", tls.url(0))
        .env("OPENAI_API_KEY", API_KEY)
        .env("OPENAI_BASE_URL", format!("{}/v1", tls.url(1)));
    let cluster = Cluster::start(change(&tls, options));
    cluster.execute("CREATE EXTENSION ai CASCADE");
    let scene = Scene { cluster, s3, provider };
    Https { scene, _tls: tls }
}
