//! Headers of S3 that are none by its own rules: metadata of users in Latin-1, which the SDK
//! refuses with the whole object.

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

/// Takes headers out of an answer that are not UTF-8. Nothing reads one of those: sizes, dates and
/// tags are ASCII.
#[derive(Debug)]
pub(super) struct Legible;

impl Intercept for Legible {
    fn name(&self) -> &'static str {
        "Legible"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response_mut().headers_mut();
        let illegible: Vec<String> = headers
            .iter_bytes()
            .filter(|(_, value)| std::str::from_utf8(value).is_err())
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in illegible {
            headers.remove(name);
        }
        Ok(())
    }
}
