//! Mail and its like among documents: a message is read, a mailbox refused by name, and no harm done to neighbours.

mod support;

use support::Scene;

/// A message with an attachment, as it is sent: a line of its base64 a thousand times and more.
fn message() -> String {
    let line = "iVBORw0KGgoAAAANSUhEUgAAAAoAAAAKCAYAAACNMs+9AAAAFUlEQVR42mP8z8BQz0AEYBxVSF+F\r\n";
    format!(
        "From: Anna <anna@example.org>\r\nTo: bob@example.org\r\nSubject: The report\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=_42\"\r\n\r\n--=_42\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n\
         --=_42\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--=_42--\r\n",
        line.repeat(20_000)
    )
}

/// What is read of it: the picture has no name.
const READ: &str = "# The report\n\nAnna <anna@example.org> → bob@example.org\n\nHere it is.";

#[test]
fn a_message_is_read_and_a_mailbox_refused_while_neighbours_are_embedded() {
    let scene = Scene::start();
    let s3 = &scene.s3;
    let named = s3.put("inbox/17.eml", message());
    let nameless = s3.put("inbox/18", message());
    let mailbox = s3.put(
        "inbox.mbox",
        format!("From anna@example.org Fri Mar  1 10:00:00 2024\n{}", message()),
    );
    let dump = s3.put(
        "picture.txt",
        message().split_once("base64\r\n\r\n").expect("it has an attachment").1,
    );
    let wide: Vec<u8> = "Grüße".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = s3.put("wide.txt", wide);
    let good = s3.put("good.txt", "A text.");
    scene.create_documents(&[&named, &nameless, &mailbox, &dump, &wide, &good]);
    scene.cluster.wait_until_settled();
    assert_eq!(scene.chunks(&good), ["A text."]);
    assert_eq!(scene.chunks(&wide), ["Grüße"]);
    assert_eq!(scene.chunks(&named), [READ]);
    assert_eq!(scene.chunks(&nameless), [READ]);
    for (uri, reason) in [
        (
            &mailbox,
            "the document is a mailbox, and only single messages are parsed",
        ),
        (&dump, "the document is mostly base64, which is no text"),
    ] {
        let errors = scene.errors();
        let row = errors.iter().find(|row| row.uri.as_ref() == Some(uri));
        let row = row.unwrap_or_else(|| panic!("{uri} has an error row among {errors:#?}"));
        assert_eq!(
            (row.step.as_str(), row.class.as_str(), row.reason.as_str()),
            ("parsing", "permanent", reason)
        );
        assert_ne!(row.hint, "");
        assert_eq!(scene.chunks(uri), [""; 0]);
    }
    assert_eq!(scene.provider.counts().inputs, 4);
}

/// A column has neither a name nor a media type.
#[test]
fn a_message_in_a_column_of_bytes_is_known_by_its_content() {
    let scene = Scene::start();
    let cluster = &scene.cluster;
    cluster.execute("CREATE TABLE doc (id int PRIMARY KEY, body bytea)");
    cluster.execute(&format!("INSERT INTO doc VALUES (1, '{}'), (2, 'A text.')", message()));
    cluster.execute(
        "SELECT ai.create_vectorizer('doc', loading => ai.loading_column('body'), parsing => ai.parsing_auto(),
             embedding => ai.embedding_openai('text-embedding-3-small', 8))",
    );
    cluster.wait_until_settled();
    assert_eq!(
        cluster.column("SELECT chunk FROM doc_embedding_store ORDER BY id"),
        [READ, "A text."]
    );
}
