//! How each API words its refusals.

use serde_json::{Value, json};

use crate::api::Api;

/// Why a request is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal<'a> {
    /// The request is none.
    Malformed,
    /// No key, or a wrong one.
    Unauthorized(Option<&'a str>),
    /// No such model.
    NotFound(&'a str),
    /// Too many requests.
    Throttled,
    /// The server's own fault.
    ServerError,
    /// An input that is not acceptable, which some servers repeat.
    Input(&'a str),
    /// Input number so and so is empty.
    Empty(usize),
    /// No inputs.
    NoInputs,
    /// More inputs than this: so many.
    TooManyInputs(usize, usize),
    /// More tokens in the request than this: so many.
    TooManyTokens(usize, usize),
    /// An input is longer than the model takes.
    TooLong,
    /// This model has no choice of dimensions.
    NoDimensions,
    /// More dimensions than this: so many.
    TooManyDimensions(usize, usize),
}

impl Refusal<'_> {
    /// Status and body.
    pub fn answer(self, api: Api) -> (u16, Value) {
        match api {
            Api::Openai => openai(self),
            Api::Azure => azure(self),
            Api::Mistral => mistral(self),
            Api::Voyageai => voyageai(self),
            Api::Ollama => ollama(self),
            Api::Cohere => cohere(self),
            Api::Huggingface => huggingface(self),
        }
    }
}

fn openai(refusal: Refusal<'_>) -> (u16, Value) {
    let error = |status: u16, message: String, kind: &str, param: Value, code: Value| {
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        (status, json!({ "error": error }))
    };
    let invalid =
        |message: String, param: Value, code: Value| error(400, message, "invalid_request_error", param, code);
    match refusal {
        Refusal::Malformed => {
            let message = "'$.input' is invalid. Please check the API reference.";
            invalid(message.to_owned(), Value::Null, Value::Null)
        }
        Refusal::Unauthorized(None) => {
            let message = "You didn't provide an API key. You need to provide your API key in an Authorization header \
                           using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).";
            error(
                401,
                message.to_owned(),
                "invalid_request_error",
                Value::Null,
                Value::Null,
            )
        }
        Refusal::Unauthorized(Some(key)) => {
            // The beginning and the end of the key that it did not know.
            let start: String = key.chars().take(8).collect();
            let end: String = key.chars().skip(key.chars().count().saturating_sub(4)).collect();
            let message =
                format!("Incorrect API key provided: {start}********{end}. You can find your API key in your account.");
            error(
                401,
                message,
                "invalid_request_error",
                Value::Null,
                json!("invalid_api_key"),
            )
        }
        Refusal::NotFound(model) => {
            let message = format!("The model `{model}` does not exist or you do not have access to it.");
            error(
                404,
                message,
                "invalid_request_error",
                Value::Null,
                json!("model_not_found"),
            )
        }
        Refusal::Throttled => {
            let message = "Rate limit reached for requests. Limit: 3000 / min. Please try again later.";
            error(
                429,
                message.to_owned(),
                "requests",
                Value::Null,
                json!("rate_limit_exceeded"),
            )
        }
        Refusal::ServerError => {
            let message = "The server had an error while processing your request. Sorry about that!";
            error(500, message.to_owned(), "server_error", Value::Null, Value::Null)
        }
        Refusal::Input(input) => {
            let message = format!("This input is not acceptable: {input}");
            invalid(message, json!("input"), json!("invalid_input"))
        }
        Refusal::Empty(index) => {
            let param = format!("input[{index}]");
            let message = format!("Invalid '{param}': input cannot be an empty string.");
            invalid(message, json!(param), json!("empty_string"))
        }
        Refusal::NoInputs => {
            let message = "Invalid 'input': input cannot be an empty array.";
            invalid(message.to_owned(), json!("input"), json!("empty_array"))
        }
        Refusal::TooManyInputs(most, sent) => {
            let message = format!(
                "Invalid 'input': array too long. Expected an array with maximum length {most}, but got an array with \
                 length {sent} instead."
            );
            invalid(message, json!("input"), json!("array_above_max_length"))
        }
        Refusal::TooManyTokens(most, sent) => {
            let message = format!("Requested {sent} tokens, max {most} tokens per request");
            let code = "max_tokens_per_request";
            error(400, message, code, Value::Null, json!(code))
        }
        Refusal::TooLong => {
            let message = "Invalid 'input': maximum input length is 8192 tokens.";
            invalid(message.to_owned(), Value::Null, Value::Null)
        }
        Refusal::NoDimensions => {
            let message = "This model does not support specifying dimensions.";
            invalid(message.to_owned(), Value::Null, Value::Null)
        }
        Refusal::TooManyDimensions(most, asked) => {
            let message = format!("Invalid value for 'dimensions' = {asked}. Must be less than or equal to {most}.");
            invalid(message, json!("dimensions"), Value::Null)
        }
    }
}

fn azure(refusal: Refusal<'_>) -> (u16, Value) {
    let error =
        |status: u16, code: &str, message: &str| (status, json!({ "error": { "code": code, "message": message } }));
    match refusal {
        Refusal::Unauthorized(_) => error(
            401,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for \
             an active subscription and use a correct regional API endpoint for your resource.",
        ),
        Refusal::NotFound(_) => error(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 \
             minutes, please wait a moment and try again.",
        ),
        Refusal::Throttled => error(
            429,
            "429",
            "Requests to the Embeddings_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call \
             rate limit of your current OpenAI S0 pricing tier. Please retry after 1 second.",
        ),
        other => openai(other),
    }
}

fn mistral(refusal: Refusal<'_>) -> (u16, Value) {
    let error = |status: u16, message: &str, kind: &str, code: &str| {
        let body = json!({ "object": "error", "message": message, "type": kind, "param": null, "code": code });
        (status, body)
    };
    match refusal {
        Refusal::Unauthorized(_) => (401, json!({ "detail": "Unauthorized" })),
        Refusal::NotFound(model) => error(400, &format!("Invalid model: {model}"), "invalid_model", "1500"),
        Refusal::Throttled => error(429, "Rate limit exceeded", "rate_limited", "1300"),
        Refusal::ServerError => error(500, "Internal Server Error", "internal_server_error", "3000"),
        Refusal::TooManyTokens(most, sent) => {
            let message = format!("Too many tokens in batch. Max is {most} got {sent}");
            error(400, &message, "invalid_request_error", "3210")
        }
        Refusal::TooManyInputs(..) => error(
            400,
            "Too many inputs in request, split into more batches.",
            "invalid_request_prompt",
            "3210",
        ),
        Refusal::TooLong => error(
            400,
            "Input id 0 has 9000 tokens, exceeding max 8192 tokens.",
            "invalid_request_prompt",
            "3051",
        ),
        Refusal::Input(input) => {
            let error = json!({ "type": "value_error", "loc": ["body", "input"], "msg": format!("bad: {input}") });
            (422, json!({ "detail": [error] }))
        }
        _ => error(400, "Invalid request", "invalid_request_error", "3000"),
    }
}

fn voyageai(refusal: Refusal<'_>) -> (u16, Value) {
    let detail = |status: u16, detail: String| (status, json!({ "detail": detail }));
    match refusal {
        Refusal::Unauthorized(_) => detail(401, "Provided API key is invalid.".to_owned()),
        Refusal::NotFound(model) => detail(
            400,
            format!("Model {model} is not supported. Supported models are ['voyage-3.5', 'voyage-3.5-lite']."),
        ),
        Refusal::Throttled => detail(
            429,
            "You have not yet added your payment method in the billing page and will have reduced rate limits of 3 RPM \
             and 10K TPM."
                .to_owned(),
        ),
        Refusal::ServerError => detail(500, "Internal server error".to_owned()),
        Refusal::TooManyTokens(most, sent) => detail(
            400,
            format!(
                "Request to model 'voyage-3.5' failed. The max allowed tokens per submitted batch is {most}. Your batch \
                 has {sent} tokens after truncation. Please lower the number of tokens in the batch."
            ),
        ),
        Refusal::TooManyInputs(most, sent) => detail(
            400,
            format!("The batch size limit is {most}. Your batch size is {sent}."),
        ),
        Refusal::TooLong => detail(
            400,
            "Request to model 'voyage-3.5' failed. The example at index 0 in your batch has too many tokens and does \
             not fit into the model's context window of 32000 tokens. Please lower the number of tokens in the listed \
             example(s) or use truncation."
                .to_owned(),
        ),
        Refusal::Input(input) => detail(400, format!("Input cannot be embedded: {input}")),
        _ => detail(400, "Input cannot contain empty strings or empty lists".to_owned()),
    }
}

fn ollama(refusal: Refusal<'_>) -> (u16, Value) {
    let error = |status: u16, error: String| (status, json!({ "error": error }));
    match refusal {
        Refusal::Unauthorized(_) => error(401, "unauthorized".to_owned()),
        Refusal::NotFound(model) => error(404, format!("model {model:?} not found, try pulling it first")),
        Refusal::Throttled => error(429, "too many requests".to_owned()),
        Refusal::ServerError => error(500, "llama runner process has terminated: exit status 2".to_owned()),
        Refusal::TooLong => error(400, "the input length exceeds the context length".to_owned()),
        Refusal::Input(_) => error(
            500,
            "failed to encode response: json: unsupported value: NaN".to_owned(),
        ),
        _ => error(400, "invalid input type".to_owned()),
    }
}

fn cohere(refusal: Refusal<'_>) -> (u16, Value) {
    let message = |status: u16, message: String| {
        let id = "2c2ee4ac-9a02-4a4d-9c0c-d2b6cd4bd0cc";
        (status, json!({ "id": id, "message": message }))
    };
    match refusal {
        Refusal::Unauthorized(_) => message(401, "invalid api token".to_owned()),
        Refusal::NotFound(model) => message(
            404,
            format!(
                "model '{model}' not found, make sure the correct model ID was used and that you have access to the model."
            ),
        ),
        Refusal::Throttled => message(
            429,
            "You are using a Trial key, which is limited to 100 API calls / minute. You can continue to use the Trial \
             key for free or upgrade to a Production key with higher rate limits."
                .to_owned(),
        ),
        Refusal::ServerError => message(500, "internal server error".to_owned()),
        Refusal::TooManyInputs(most, sent) => message(
            400,
            format!("invalid request: total number of texts must be at most {most} - received {sent}"),
        ),
        Refusal::TooLong => message(
            400,
            "too many tokens: total number of tokens in the text cannot exceed 512 - received 600. Try using a shorter \
             text or setting truncate."
                .to_owned(),
        ),
        Refusal::Input(input) => message(400, format!("invalid request: text is not acceptable: {input}")),
        _ => message(400, "invalid request: valid texts must be provided".to_owned()),
    }
}

fn huggingface(refusal: Refusal<'_>) -> (u16, Value) {
    let error = |status: u16, kind: &str, error: String| (status, json!({ "error": error, "error_type": kind }));
    match refusal {
        Refusal::Unauthorized(_) => (401, json!({ "error": "Invalid username or password." })),
        Refusal::NotFound(model) => (404, json!({ "error": format!("Model {model} does not exist") })),
        Refusal::Throttled => error(429, "Overloaded", "Model is overloaded".to_owned()),
        Refusal::ServerError => (500, json!({ "error": "Internal Server Error" })),
        Refusal::TooManyInputs(most, sent) => error(
            422,
            "Validation",
            format!("batch size {sent} > maximum allowed batch size {most}"),
        ),
        Refusal::TooLong => error(
            413,
            "Validation",
            "Input validation error: `inputs` must have less than 512 tokens. Given: 600".to_owned(),
        ),
        Refusal::Input(_) => error(422, "Tokenizer", "Tokenization error".to_owned()),
        _ => error(400, "Empty", "Input is empty".to_owned()),
    }
}
