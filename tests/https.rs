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

/// The same, as OpenSSL's `c_rehash` makes such a folder.
#[test]
fn a_folder_of_authorities_is_read() {
    let folder = tempfile::TempDir::new().unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), readable).unwrap();
    let scene = over_https(|tls, options| {
        std::fs::copy(tls.authority(), folder.path().join("5ad8a5d6.0")).unwrap();
        options.env("SSL_CERT_DIR", folder.path().to_str().unwrap())
    });
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    let chunks = || scene.chunks(&uri);
    wait_until("embedded", DEADLINE, chunks, |chunks| chunks == &["Some text."]);
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

/// Whom to trust for S3 is said apart, as for other SDKs of AWS: it opens S3, and no provider.
#[test]
fn the_bundle_of_aws_is_for_s3() {
    let scene = over_https(|tls, options| options.env("AWS_CA_BUNDLE", tls.authority().to_str().unwrap()));
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_documents(&[&uri]);
    let said = "SELECT step || ': ' || message || ' ' || coalesce(details::text, '') FROM ai.vectorizer_errors";
    let said = wait_until(
        "it is said",
        DEADLINE,
        || scene.cluster.column(said),
        |said| !said.is_empty(),
    );
    assert!(
        said[0].starts_with("embedding") && said[0].to_lowercase().contains("certificate"),
        "{said:?}"
    );
    assert_eq!(scene.s3.gets("a.txt"), 1);
    assert_eq!(scene.provider.counts().requests, 0);
}

/// A role is assumed with the same certificates.
#[test]
fn the_bundle_of_aws_is_for_sts() {
    let scene = over_https(|tls, options| options.env("AWS_CA_BUNDLE", tls.authority().to_str().unwrap()));
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_document_table();
    scene.insert_documents(&[&uri]);
    scene.cluster.execute(
        "SELECT ai.create_vectorizer('document', destination => ai.destination_table('document_embeddings'),
             loading => ai.loading_uri('uri', aws_role_arn => 'arn:aws:iam::123456789012:role/reader'),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    wait_until("it arrives", DEADLINE, || scene.s3.gets("a.txt"), |gets| *gets > 0);
}

/// Nothing is trusted in place of what is missing, and the reason names the file.
#[test]
fn a_bundle_that_cannot_be_read_is_named() {
    let broken = tempfile::NamedTempFile::new().unwrap();
    let said = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    std::fs::write(broken.path(), said).unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(broken.path(), readable).unwrap();
    for path in ["/nowhere/ca.pem", "/dev/null", broken.path().to_str().unwrap()] {
        let scene = over_https(|_, options| options.env("AWS_CA_BUNDLE", path));
        let uri = scene.s3.put("a.txt", "Some text.");
        scene.create_documents(&[&uri]);
        let errors = wait_until("it is said", DEADLINE, || scene.errors(), |errors| !errors.is_empty());
        assert_eq!(
            (errors[0].step.as_str(), errors[0].class.as_str()),
            ("loading", "configuration")
        );
        let begins = format!("the certificates of AWS_CA_BUNDLE ({path}) cannot be used: ");
        assert!(errors[0].reason.starts_with(&begins), "{errors:#?}");
        assert_eq!(scene.s3.requests().len(), 0);
    }
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
