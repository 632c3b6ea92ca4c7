//! Texts to vectors by a provider: what is asked, and what comes back.

mod support;

use ai_pipeline::embed::{EmbedSettings, Embedded, Embedder, Error};
use ai_pipeline::error::Class;
use ai_pipeline::secret::Secret;
use provider::{Behaviour, Provider};
use support::embedder::{DIMENSIONS, embedder, expected, model, settings};
use support::{KEY, in_time, texts};

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts_over_several_requests() {
    let provider = Provider::start();
    for behaviour in [Behaviour::Well, Behaviour::Shuffled, Behaviour::FloatsOnly] {
        provider.reset();
        provider.behave(behaviour);
        let texts = texts(5000, "text");
        let embedded = in_time(embedder(&provider).embed(texts.clone())).await.unwrap();
        assert_eq!(embedded, expected(&texts));
        let sizes: Vec<usize> = provider.seen().iter().map(|request| request.texts.len()).collect();
        assert_eq!(sizes.len(), 3, "{sizes:?}");
        assert_eq!(*sizes.iter().max().unwrap(), 2048);
    }
}

#[tokio::test]
async fn a_request_says_what_was_configured() {
    let provider = Provider::start();
    provider.require_key(Some(KEY));
    in_time(embedder(&provider).embed(texts(1, "a"))).await.unwrap();
    let request = provider.seen().remove(0);
    assert_eq!(request.api_key.as_deref(), Some(KEY));
    assert_eq!(request.model, "text-embedding-3-small");
    assert_eq!(request.dimensions, Some(DIMENSIONS));
    assert_eq!(request.user.as_deref(), Some("someone"));
    assert_eq!(request.encoding_format.as_deref(), Some("base64"));
}

#[tokio::test]
async fn ada_is_asked_without_dimensions_and_has_only_one_length() {
    let provider = Provider::start();
    let embedder = Embedder::new(&model("text-embedding-ada-002", 1536), settings(&provider)).unwrap();
    assert_eq!(
        in_time(embedder.embed(texts(1, "a"))).await.unwrap().vectors[0].len(),
        1536
    );
    assert_eq!(provider.seen()[0].dimensions, None);
    let error = Embedder::new(&model("text-embedding-ada-002", 768), settings(&provider))
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "dimensions must be 1536 for text-embedding-ada-002");
    assert_eq!(error.class(), Class::Configuration);
}

#[tokio::test]
async fn a_model_may_be_left_its_own_length() {
    let provider = Provider::start();
    let ask = async |most: usize| {
        let embedder = Embedder::of_any_length(&model("m", most), settings(&provider)).unwrap();
        in_time(embedder.embed(texts(2, "text"))).await
    };
    let embedded = ask(16_000).await.unwrap();
    assert!(embedded.vectors.iter().all(|vector| vector.len() == 1536));
    assert_eq!(provider.seen().pop().unwrap().dimensions, None);
    assert_eq!(ask(1536).await.unwrap(), embedded);
    assert!(matches!(ask(1535).await, Err(Error::Dimensions { actual: 1536, .. })));
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_before_any_request() {
    let provider = Provider::start();
    let refused = |change: &dyn Fn(&mut EmbedSettings)| {
        let mut settings = settings(&provider);
        change(&mut settings);
        let error = Embedder::new(&model("m", DIMENSIONS), settings).err().unwrap();
        assert_eq!(error.class(), Class::Configuration);
        error
    };
    assert!(
        refused(&|settings| settings.base_url = "localhost:1/v1".to_owned())
            .hint()
            .unwrap()
            .contains("https://")
    );
    let error = refused(&|settings| settings.api_key = Some(Secret::new(format!("{KEY}\n"))));
    assert!(error.hint().unwrap().contains("OPENAI_API_KEY"));
    assert!(!format!("{error:?} {error}").contains(KEY));
    assert!(Embedder::new(&model("m", 0), settings(&provider)).is_err());
}

#[tokio::test]
async fn a_text_that_is_too_long_for_the_model_is_cut() {
    let provider = Provider::start();
    let long = "supercalifragilistic ".repeat(20_000);
    let texts = vec!["short".to_owned(), long.clone()];
    assert_eq!(in_time(embedder(&provider).embed(texts)).await.unwrap().cut, [1]);
    let sent = provider.seen().remove(0).texts;
    assert_eq!(sent[0], "short");
    assert!(long.starts_with(&sent[1]));
    assert_eq!(bpe_openai::cl100k_base().count(sent[1].as_str()), 8191);

    provider.reset();
    let unknown = Embedder::new(&model("some-model", DIMENSIONS), settings(&provider)).unwrap();
    assert_eq!(in_time(unknown.embed(vec![long.clone()])).await.unwrap().cut, [0; 0]);
    assert_eq!(
        provider.seen()[0].texts[0],
        long,
        "the limits of other models are theirs to apply"
    );
}

#[tokio::test]
async fn empty_texts_fail_without_a_request_and_no_texts_need_none() {
    let provider = Provider::start();
    let embedder = embedder(&provider);
    let error = in_time(embedder.embed(vec!["a".to_owned(), String::new()]))
        .await
        .unwrap_err();
    assert_eq!(error, Error::Empty { index: 1, of: 2 });
    assert_eq!(error.class(), Class::Permanent);
    assert_eq!(in_time(embedder.embed(Vec::new())).await, Ok(Embedded::default()));
    assert_eq!(provider.counts().requests, 0);
}
