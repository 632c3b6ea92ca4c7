//! `docs/adopt-pgai.sql` names the vectorizers whose documents pgai parsed otherwise, with the statement that lists
//! them.

mod support;

#[path = "support/shop.rs"]
mod shop;

use shop::{adopt, pgai, remark};

#[test]
fn vectorizers_of_parsed_documents_are_named() {
    let (scene, shop) = pgai();
    shop.execute("CREATE TABLE public.scan (id int PRIMARY KEY, uri text, body bytea, note text)");
    for (name, loading, parsing) in [
        ("by_uri", "ai.loading_uri('uri')", "ai.parsing_auto()"),
        ("by_pdf", "ai.loading_uri('uri')", "ai.parsing_pymupdf()"),
        ("by_bytes", "ai.loading_column('body')", "ai.parsing_auto()"),
        ("plain", "ai.loading_column('note')", "ai.parsing_auto()"),
        ("unparsed", "ai.loading_uri('uri')", "ai.parsing_none()"),
    ] {
        shop.execute(&format!(
            "SELECT ai.create_vectorizer('public.scan'::regclass, name => '{name}', loading => {loading}, parsing => {parsing},
                 embedding => ai.embedding_openai('text-embedding-3-small', 8), destination => ai.destination_table('{name}'))"
        ));
    }
    let adopted = adopt(&scene);
    for name in ["by_uri", "by_pdf", "by_bytes"] {
        let said = remark(&adopted, name);
        assert!(
            said.starts_with("adopted|") || said.contains("adopted"),
            "{name}: {said}"
        );
        let statement = format!("SELECT * FROM ai.verify_vectorizer('{name}')");
        assert!(
            said.contains("parsed documents may get other chunks") && said.contains(&statement),
            "{said}"
        );
        // It is what it says.
        assert!(shop.try_rows(&statement).is_ok(), "{statement}");
    }
    for name in ["plain", "unparsed", "titles", "pages"] {
        let said = remark(&adopted, name);
        assert!(!said.contains("parsed documents"), "{name}: {said}");
    }
}
