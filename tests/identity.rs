//! Who asks S3: keys of the server's environment, a role assumed with them, or nobody.

mod support;

use support::{Options, Request, Scene, s3};

/// The role that the vectorizer reads as.
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

/// What the `Authorization` header says.
fn signed_by(request: &Request) -> Option<&str> {
    let authorization = request.headers.get("authorization")?;
    authorization.split_once("Credential=")?.1.split('/').next()
}

fn gets(scene: &Scene) -> Vec<Request> {
    let requests = scene.s3.requests().into_iter();
    requests.filter(|request| request.method == "GET").collect()
}

fn create_vectorizer_with_role(scene: &Scene) {
    scene.cluster.execute(&format!(
        "SELECT ai.create_vectorizer(
             'document'::regclass,
             loading => ai.loading_uri(column_name => 'uri', aws_role_arn => '{ROLE}'),
             embedding => ai.embedding_openai('text-embedding-3-small', 768),
             destination => ai.destination_table('document_embeddings'))"
    ));
}

/// The text of an element of an XML document.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, from) = xml.split_once(&format!("<{name}>"))?;
    Some(from.split_once(&format!("</{name}>"))?.0)
}

#[test]
fn keys_of_the_environment_sign() {
    let scene = Scene::start();
    let uri = scene.s3.put("private.txt", "Not for everybody.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["Not for everybody."]);
    let gets = gets(&scene);
    assert_eq!(gets.len(), 1);
    assert_eq!(signed_by(&gets[0]), Some(s3::ACCESS_KEY));
    assert!(!format!("{gets:?}").contains(s3::SECRET_KEY));
}

#[test]
fn a_session_token_goes_along() {
    let scene = Scene::start_with(|options| options.env("AWS_SESSION_TOKEN", "the-session"));
    let uri = scene.s3.put("private.txt", "Not for everybody.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["Not for everybody."]);
    let token = gets(&scene)[0].headers.get("x-amz-security-token").cloned();
    assert_eq!(token.as_deref(), Some("the-session"));
}

#[test]
fn a_role_is_assumed_once_with_the_external_id_of_the_server() {
    let scene = Scene::start_with(|options| options.env("AWS_ASSUME_ROLE_EXTERNAL_ID", "tenant-7"));
    let uris: Vec<String> = (0..5)
        .map(|number| scene.s3.put(&format!("{number}.txt"), format!("Document {number}.")))
        .collect();
    scene.create_document_table();
    scene.insert_documents(&uris.iter().map(String::as_str).collect::<Vec<_>>());
    create_vectorizer_with_role(&scene);
    scene.cluster.wait_until_settled();
    for (number, uri) in uris.iter().enumerate() {
        assert_eq!(scene.chunks(uri), [format!("Document {number}.")]);
    }

    let requests = scene.s3.requests();
    let asked: Vec<&Request> = requests.iter().filter(|request| request.method == "POST").collect();
    assert_eq!(asked.len(), 1, "STS is asked once for all documents: {asked:#?}");
    let form: Vec<&str> = asked[0].body.split('&').collect();
    for parameter in [
        "Action=AssumeRole",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader",
        "ExternalId=tenant-7",
        "RoleSessionName=pg-ai",
    ] {
        assert!(form.contains(&parameter), "{parameter} is in {form:?}");
    }
    assert_eq!(
        signed_by(asked[0]),
        Some(s3::ACCESS_KEY),
        "the server's own keys ask for the role"
    );
    let temporary = element(&asked[0].answer, "AccessKeyId").expect("STS gives a key");
    let token = element(&asked[0].answer, "SessionToken").expect("STS gives a token");
    let gets = gets(&scene);
    assert_eq!(gets.len(), 5);
    for request in gets {
        assert_eq!(signed_by(&request), Some(temporary));
        assert_eq!(
            request.headers.get("x-amz-security-token").map(String::as_str),
            Some(token)
        );
    }
}

#[test]
fn without_an_external_id_none_is_sent() {
    let scene = Scene::start();
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_document_table();
    scene.insert_documents(&[&uri]);
    create_vectorizer_with_role(&scene);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["Some text."]);
    let requests = scene.s3.requests();
    let asked = requests
        .iter()
        .find(|request| request.body.contains("Action=AssumeRole"));
    assert!(
        asked.is_some_and(|request| !request.body.contains("ExternalId")),
        "{asked:?}"
    );
}

#[test]
fn the_endpoint_of_sts_may_be_another() {
    let sts = support::S3::start();
    let scene = Scene::start_with(|options| options.env("AWS_ENDPOINT_URL_STS", sts.url()));
    let uri = scene.s3.put("a.txt", "Some text.");
    scene.create_document_table();
    scene.insert_documents(&[&uri]);
    create_vectorizer_with_role(&scene);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["Some text."]);
    let methods = |requests: Vec<Request>| requests.into_iter().map(|request| request.method).collect::<Vec<_>>();
    assert_eq!(methods(sts.requests()), ["POST"]);
    assert_eq!(methods(scene.s3.requests()), ["GET"]);
}

fn without_credentials(options: Options) -> Options {
    options
        .env("AWS_ACCESS_KEY_ID", "")
        .env("AWS_SECRET_ACCESS_KEY", "")
        .env("AWS_REGION", "")
}

/// The harness gives the server nothing but what is named: HOME is the data directory, which has no `.aws`, and the
/// metadata service of the instance is switched off.
#[test]
fn a_public_object_is_read_without_credentials() {
    let scene = Scene::start_with(without_credentials);
    let uri = scene.s3.put_public("public.txt", "For everybody.");
    scene.create_documents(&[&uri]);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&uri), ["For everybody."]);
    let gets = gets(&scene);
    assert_eq!(gets.len(), 1);
    let sent: Vec<&String> = gets[0].headers.keys().collect();
    assert!(!gets[0].headers.contains_key("authorization"), "{sent:?}");
    assert!(!gets[0].headers.contains_key("x-amz-security-token"), "{sent:?}");
    assert!(!gets[0].target.contains("X-Amz-"), "{}", gets[0].target);
}

#[test]
fn a_role_cannot_be_assumed_by_nobody() {
    let scene = Scene::start_with(without_credentials);
    // Public: it would be read if the role were forgotten.
    let uri = scene.s3.put_public("public.txt", "For everybody.");
    scene.create_document_table();
    scene.insert_documents(&[&uri]);
    create_vectorizer_with_role(&scene);
    let errors = "SELECT details ->> 'error_reason' FROM ai.vectorizer_errors WHERE failure_class = 'configuration'";
    let reason = format!("role {ROLE} cannot be assumed: no AWS credentials were found");
    support::wait_until(
        "the error is written down",
        support::DEADLINE,
        || scene.cluster.column(errors),
        |rows| rows == &[reason.as_str()],
    );
    assert_eq!(scene.s3.requests().len(), 0);
    assert_eq!(scene.chunks(&uri), Vec::<String>::new());
}
