//! The length of inputs in tokens: estimated for the size of a request, exact where a text may be too long
//! for the model.

/// OpenAI's limit for one input of its embedding models.
const GREATEST_TOKENS: usize = 8191;
/// The longest token of cl100k is a run of 128 spaces.
const GREATEST_TOKEN_BYTES: usize = 128;

/// Most tokens of an input, for the models whose tokenizer (cl100k) is known.
pub(super) fn greatest(model: &str) -> Option<usize> {
    [
        "text-embedding-ada-002",
        "text-embedding-3-small",
        "text-embedding-3-large",
    ]
    .contains(&model)
    .then_some(GREATEST_TOKENS)
}

/// The text that tokens of a model stand for; of tokens that came of a text, the provider makes the same
/// again. `Err` says what is in the way.
pub(super) fn text(model: &str, tokens: &[i32]) -> Result<String, String> {
    if greatest(model).is_none() {
        return Err(format!("the tokens of the model {model:?} are not known here"));
    }
    let tokenizer = &bpe_openai::cl100k_base().bpe;
    let known = |token: &i32| {
        u32::try_from(*token)
            .ok()
            .filter(|token| (*token as usize) < tokenizer.num_tokens())
    };
    let tokens = tokens
        .iter()
        .map(|token| known(token).ok_or_else(|| format!("{token} is no token of cl100k_base")));
    let bytes = tokenizer.decode_tokens(&tokens.collect::<Result<Vec<u32>, String>>()?);
    String::from_utf8(bytes).map_err(|_| "the tokens end in the middle of a character".to_owned())
}

/// Tokens of a text, estimated for the provider's limit per request.
///
/// A quarter of the bytes, as pgai does; 0.4 for bytes that are not ASCII, because a Chinese character has three bytes
/// and about one token. Counting exactly would cost 36 ms of CPU per full request (33 MB/s), to avoid a rejection that
/// is not paid for and that makes later requests smaller.
pub(super) fn estimate(text: &str) -> usize {
    let foreign = text.bytes().filter(|byte| !byte.is_ascii()).count();
    (text.len() - foreign).div_ceil(4) + foreign * 2 / 5
}

/// Cuts a text to its first `most` cl100k tokens; a character that the cut would split goes too. Returns whether
/// anything went.
///
/// A text of no more bytes than that cannot have more tokens, and is not looked at.
pub(super) fn cut(text: &mut String, most: usize) -> bool {
    let whole = text.len();
    if whole > most {
        text.truncate(text.floor_char_boundary(bytes_of_tokens(text, most)));
    }
    text.len() < whole
}

/// Bytes of the first `most` tokens of a text, or of all of it. Looks at no more of the text than it needs.
fn bytes_of_tokens(text: &str, most: usize) -> usize {
    let tokenizer = bpe_openai::cl100k_base();
    let (mut left, mut kept) = (most, 0);
    for piece in tokenizer.split(text) {
        match tokenizer.bpe.count_till_limit(piece.as_bytes(), left) {
            Some(tokens) => {
                left -= tokens;
                kept += piece.len();
            }
            None => {
                let enough = &piece.as_bytes()[..piece.len().min((left + 1) * GREATEST_TOKEN_BYTES)];
                let tokens = tokenizer.bpe.encode_via_backtracking(enough);
                return kept
                    + tokens
                        .iter()
                        .take(left)
                        .map(|token| tokenizer.bpe.token_len(*token))
                        .sum::<usize>();
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> usize {
        bpe_openai::cl100k_base().count(text)
    }

    #[test]
    fn a_text_is_cut_to_its_first_tokens_and_a_shorter_one_left_alone() {
        let text = "The quick brown fox jumps over the lazy dog. ".repeat(2000);
        let mut long = text.clone();
        assert!(cut(&mut long, GREATEST_TOKENS));
        assert_eq!(tokens(&long), GREATEST_TOKENS);
        assert!(text.starts_with(&long));
        let mut fits = text[..30_000].to_owned();
        assert!(tokens(&fits) < GREATEST_TOKENS);
        assert!(!cut(&mut fits, GREATEST_TOKENS));
        assert_eq!(fits.len(), 30_000);
    }

    #[test]
    fn tokens_stand_for_their_text() {
        let of = |tokens: &[i32]| text("text-embedding-3-small", tokens);
        // tiktoken.get_encoding("cl100k_base").encode("tiktoken is great!")
        assert_eq!(of(&[83, 1609, 5963, 374, 2294, 0]).unwrap(), "tiktoken is great!");
        assert_eq!(of(&[]).unwrap(), "");
        for (tokens, reason) in [
            (&[-1][..], "-1 is no token of cl100k_base"),
            (&[200_000], "200000 is no token of cl100k_base"),
            (&[9468], "the tokens end in the middle of a character"),
        ] {
            assert_eq!(of(tokens).unwrap_err(), reason);
        }
        assert!(text("nomic", &[1]).unwrap_err().contains("nomic"));
    }

    #[test]
    fn a_cut_keeps_characters_and_words_without_end_whole() {
        for unit in ["語", "🦀", "a", "\u{0}", "é"] {
            let mut text = unit.repeat(100_000);
            cut(&mut text, 1000);
            assert!(!text.is_empty() && text.len().is_multiple_of(unit.len()), "{unit:?}");
            assert!((999..=1000).contains(&tokens(&text)), "{unit:?}: {}", tokens(&text));
        }
    }

    #[test]
    fn the_estimate_is_near_the_count_for_prose() {
        let english = "The worker fetches documents, splits them into chunks and writes embeddings. ".repeat(50);
        let chinese = "工作进程获取文档,将其拆分为块并写入嵌入向量。".repeat(50);
        for text in [english, chinese] {
            let (estimated, counted) = (estimate(&text) as f64, tokens(&text) as f64);
            assert!((0.8..2.0).contains(&(estimated / counted)), "{estimated} for {counted}");
        }
    }
}
