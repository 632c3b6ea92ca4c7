//! Who asks S3 and STS, and what becomes of it when they refuse.

mod load_s3_setup;
mod load_server;

use ai_pipeline::error::Class;
use ai_pipeline::load::{Loader, Tag};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use futures_util::future::join_all;
use load_s3_setup::{
    ROLE, SECRET, assumed, aws, is_sts, load, refusal, settings, shown, signed_for, without_credentials,
};
use load_server::{Reply, Server, answer};

#[tokio::test]
async fn a_role_is_assumed_once_with_the_external_id() {
    let server = Server::start(|request| {
        if is_sts(request) {
            assumed()
        } else {
            answer("200 OK", "", "hello")
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for document in join_all((0..20).map(|_| load(&loader, Some(ROLE)))).await {
        assert_eq!(document.unwrap().bytes, "hello");
    }
    let (sts, s3): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(is_sts);
    assert_eq!((sts.len(), s3.len()), (1, 20));
    for part in [
        "Action=AssumeRole",
        "ExternalId=tenant-7",
        "RoleSessionName=pg-ai",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Freader",
    ] {
        assert!(sts[0].body.contains(part), "{part}: {}", sts[0].body);
    }
    assert!(sts[0].header("authorization").contains("Credential=AKIAIOSFODNN7WXYZ/"));
    for request in s3 {
        assert!(
            request.header("authorization").contains("Credential=ASIAASSUMED/"),
            "{request:?}"
        );
        assert_eq!(request.header("x-amz-security-token"), "of-the-role");
        assert_eq!(request.target.split('?').next(), Some("/bucket/folder/a%20b.txt"));
    }
}

#[tokio::test]
async fn another_role_is_another_identity() {
    let server = Server::start(|request| {
        if is_sts(request) {
            assumed()
        } else {
            answer("200 OK", "", "hello")
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for role in [
        Some(ROLE),
        Some("arn:aws:iam::123456789012:role/other"),
        None,
        Some(ROLE),
    ] {
        load(&loader, role).await.unwrap();
    }
    let (sts, s3): (Vec<_>, Vec<_>) = server.requests().into_iter().partition(is_sts);
    assert_eq!((sts.len(), s3.len()), (2, 4));
    assert!(s3[2].header("authorization").contains("Credential=AKIAIOSFODNN7WXYZ/"));
}

#[tokio::test]
async fn a_role_that_is_denied_stops_the_vectorizer_after_one_question() {
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized: token-0 for tenant-7</Message>\
                  </Error></ErrorResponse>";
    let server = Server::start(move |_| answer("403 Forbidden", "", denied)).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for result in join_all((0..20).map(|_| load(&loader, Some(ROLE)))).await {
        let (class, text) = shown(result.unwrap_err());
        assert_eq!(class, Class::Configuration);
        assert!(
            text.contains(ROLE) && text.contains("trust policy") && text.contains("access key ...WXYZ"),
            "{text}"
        );
    }
    assert_eq!(server.requests().len(), 1, "no request without the role");
}

#[tokio::test]
async fn a_server_that_repeats_secrets_is_not_repeated() {
    let body = format!("<Error><Code>AccessDenied</Code><Message>not with {SECRET} (token-0), sorry</Message></Error>");
    let server = Server::start(move |_| answer("403 Forbidden", "", &body)).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (_, text) = shown(load(&loader, None).await.unwrap_err());
    assert!(text.contains("not with *** *** sorry"), "{text}");
}

#[tokio::test]
async fn a_role_without_credentials_is_never_anonymous() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let loader = Loader::with_aws(settings(), without_credentials(&server.url));
    let (class, text) = shown(load(&loader, Some(ROLE)).await.unwrap_err());
    assert_eq!(class, Class::Configuration);
    assert!(
        text.contains("no AWS credentials were found") && text.contains("AWS_ACCESS_KEY_ID"),
        "{text}"
    );
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_public_object_needs_no_credentials() {
    let server = Server::start(|_| answer("200 OK", "ETag: \"1\"\r\nContent-Type: text/plain\r\n", "hello")).await;
    let loader = Loader::with_aws(settings(), without_credentials(&server.url));
    let document = load(&loader, None).await.unwrap();
    assert_eq!(document.bytes, "hello");
    assert_eq!(document.name.as_deref(), Some("a b.txt"));
    assert_eq!(document.media_type.as_deref(), Some("text/plain"));
    assert_eq!(document.tag.as_ref().map(Tag::as_str), Some("\"1\""));
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), "");
    assert_eq!(requests[0].header("if-none-match"), "");
}

#[tokio::test]
async fn a_private_object_without_credentials_says_where_they_were_looked_for() {
    let server = Server::start(|_| refusal("403 Forbidden", "", "AccessDenied", "")).await;
    let loader = Loader::with_aws(settings(), without_credentials(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    for part in [
        "An error occurred (AccessDenied)",
        "no AWS credentials were found",
        "AWS_ACCESS_KEY_ID",
        "~/.aws",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_private_object_says_which_right_is_missing() {
    let server = Server::start(|_| refusal("403 Forbidden", "", "AccessDenied", "")).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Permanent);
    assert!(
        text.contains("s3:GetObject on arn:aws:s3:::bucket/folder/a b.txt"),
        "{text}"
    );
    assert!(text.contains("access key ...WXYZ"), "{text}");
}

#[tokio::test]
async fn an_expired_token_is_replaced_once() {
    let server = Server::start(|request| {
        if request.header("x-amz-security-token") == "token-1" {
            answer("200 OK", "", "hello")
        } else {
            refusal("400 Bad Request", "", "ExpiredToken", "")
        }
    })
    .await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    for document in join_all((0..20).map(|_| load(&loader, None))).await {
        assert_eq!(document.unwrap().bytes, "hello");
    }
}

#[tokio::test]
async fn a_token_that_stays_expired_is_an_error_of_the_configuration() {
    let server = Server::start(|_| refusal("400 Bad Request", "", "ExpiredToken", "")).await;
    let loader = Loader::with_aws(settings(), aws(&server.url));
    let (class, text) = shown(load(&loader, None).await.unwrap_err());
    assert_eq!(class, Class::Configuration);
    assert!(text.contains("AWS_SESSION_TOKEN"), "{text}");
    assert_eq!(server.requests().len(), 2);
}

/// Runs [`as_a_process`] in a process of its own with this environment, beside an empty home.
async fn in_environment(variables: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "as_a_process", "--nocapture"]).env_clear();
    command
        .env("LOAD_IN_THIS_PROCESS", "1")
        .env("HOME", home.path())
        .envs(variables.iter().copied());
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The child of [`in_environment`]; by itself it has nothing to do.
#[tokio::test]
async fn as_a_process() {
    if std::env::var_os("LOAD_IN_THIS_PROCESS").is_some() {
        match load(&Loader::new(settings()), None).await {
            Ok(document) => println!("loaded {}", String::from_utf8_lossy(&document.bytes)),
            Err(error) => println!("{error}"),
        }
    }
}

#[tokio::test]
async fn the_environment_gives_keys_region_and_endpoint() {
    for endpoint in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let server = Server::start(|_| answer("200 OK", "", "hello")).await;
        let variables = [
            (endpoint, server.url.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIAENVIRONMENT"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "sa-east-1"),
        ];
        let said = in_environment(&variables).await;
        assert!(said.contains("loaded hello"), "{said}");
        let request = &server.requests()[0];
        assert!(
            request.header("authorization").contains("Credential=AKIAENVIRONMENT/"),
            "{request:?}"
        );
        assert!(signed_for(request, "sa-east-1"), "{request:?}");
        assert!(request.target.starts_with("/bucket/folder/"), "path style: {request:?}");
    }
}

#[tokio::test]
async fn an_environment_without_credentials_does_not_hang_on_the_metadata_service() {
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let silent = Server::start(|_| Reply::Stall(Vec::new())).await;
    let metadata = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", silent.url.as_str());
    let said = in_environment(&[("AWS_ENDPOINT_URL", &server.url), metadata]).await;
    assert!(said.contains("loaded hello"), "{said}");
    assert!(!silent.requests().is_empty(), "it was asked");
    let request = &server.requests()[0];
    assert_eq!(request.header("authorization"), "", "{request:?}");
}

#[tokio::test]
async fn a_source_of_credentials_that_fails_is_not_taken_for_none() {
    #[derive(Debug)]
    struct Broken;
    impl ProvideCredentials for Broken {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            use aws_credential_types::provider::error::CredentialsError;
            future::ProvideCredentials::ready(Err(CredentialsError::provider_error("the metadata service is tired")))
        }
    }
    let server = Server::start(|_| answer("200 OK", "", "hello")).await;
    let provider = SharedCredentialsProvider::new(Broken);
    let aws = without_credentials(&server.url)
        .into_builder()
        .credentials_provider(provider)
        .build();
    let (class, text) = shown(load(&Loader::with_aws(settings(), aws), None).await.unwrap_err());
    assert_eq!(class, Class::Transient);
    assert!(text.contains("the metadata service is tired"), "{text}");
    assert!(server.requests().is_empty());
}
