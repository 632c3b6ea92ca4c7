//! Mail, and files that were made letters: what is read, what is refused by name, and what is a text all the same.

use ai_pipeline::error::Class;
use ai_pipeline::parse::{Error, Format, detect};

/// Bytes that look random, and are the same each time.
fn random(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Base64 in lines of that length.
fn base64(bytes: &[u8], line: usize, end: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            text.push(if at > group.len() {
                '='
            } else {
                char::from(LETTERS[(word >> (18 - 6 * at)) as usize & 63])
            });
        }
    }
    let lines: Vec<&str> = (0..text.len())
        .step_by(line)
        .map(|at| &text[at..text.len().min(at + line)])
        .collect();
    lines.join(end)
}

fn uuencode(bytes: &[u8]) -> String {
    let letter = |six: u32| char::from(if six == 0 { b'`' } else { six as u8 + b' ' });
    let mut text = "begin 644 picture.png\n".to_owned();
    for line in bytes.chunks(45) {
        text.push(letter(line.len() as u32));
        for group in line.chunks(3) {
            let word = group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
            (0..4).for_each(|at| text.push(letter(word >> (18 - 6 * at) & 63)));
        }
        text.push('\n');
    }
    text + "`\nend\n"
}

fn by_bytes(text: &str) -> Result<Format, Error> {
    detect(text.as_bytes(), None, None)
}

const WORDS: &str = "A chunk is a piece of a document that is embedded by itself, and found by what it means.\n";

const ATTACHMENT: &str = "From: Anna <anna@example.org>\r\nTo: bob@example.org\r\nSubject: The report\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=\"=_42\"\r\n\r\n--=_42\r\nContent-Type: text/plain\r\n\r\nHere it is.\r\n--=_42\r\n\
    Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n";

/// A message with an attachment of 1.5 MB, as it is sent.
fn message() -> String {
    format!("{ATTACHMENT}{}\r\n--=_42--\r\n", base64(&random(1_500_000), 76, "\r\n"))
}

#[test]
fn mail_is_known_by_its_name() {
    let message = Ok(Format::Eml);
    for (name, media_type) in [
        (Some("s3://bucket/inbox/17.eml"), None),
        (Some("letter.EML?version=2"), Some("text/plain")),
        (Some("17.emlx"), None),
        (None, Some("message/rfc822")),
        (Some("17"), Some("Message/RFC822; charset=utf-8")),
        (None, Some("multipart/mixed; boundary=x")),
    ] {
        assert_eq!(
            detect(b"Hello Bob", name, media_type),
            message,
            "{name:?} {media_type:?}"
        );
    }
    let mailbox = Error::Mail { seen: "a mailbox" };
    assert_eq!(detect(b"Hello", Some("archive.mbox"), None), Err(mailbox.clone()));
    // An attachment may stand in it as it is.
    let mut bytes = b"From: a@b.c\r\nContent-Transfer-Encoding: binary\r\n\r\n".to_vec();
    bytes.extend(random(5000));
    assert_eq!(detect(&bytes, Some("1.eml"), None), message);
    // A PDF is one, whatever it is called.
    assert_eq!(
        detect(b"%PDF-1.4", Some("1.eml"), Some("message/rfc822")),
        Ok(Format::Pdf)
    );

    assert_eq!(by_bytes(&self::message()), message);
    assert_eq!(
        mailbox.to_string(),
        "the document is a mailbox, and only single messages are parsed"
    );
    assert_eq!(mailbox.class(), Class::Permanent);
    assert!(mailbox.hint().is_some_and(|hint| hint.contains("attachments")));
}

#[test]
fn mail_is_recognised_by_its_headers() {
    let message = Ok(Format::Eml);
    for text in [
        "MIME-Version: 1.0\nFrom: a@b.c\nTo: d@e.f\nContent-Type: text/html\n\n<p>Hello",
        "Received: from x\n\tby y; today\nFrom: a@b.c\nContent-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=C3=9Fe",
        "\u{FEFF}\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nfrom: a@b.c\r\nMIME-VERSION: 1.0\r\n\r\nHello",
        "From: a@b.c\nDate: today\nContent-Type: multipart/alternative; boundary=x\n\n--x\n\nHello",
    ] {
        assert_eq!(by_bytes(text), message, "{text}");
    }
    // Whatever was added on the way.
    for more in [
        format!("X-Long: {}\n", "x".repeat(300 * 1024)),
        format!("Received: from a\n\tby b; {}\n", "today ".repeat(20)).repeat(3000),
    ] {
        let text = format!("{more}From: a@b.c\nTo: d@e.f\nMIME-Version: 1.0\n\nHello");
        assert_eq!(by_bytes(&text), message);
    }
    let mailbox = "From a@b.c Mon Jan  1 00:00:00 2024\nFrom: a@b.c\nSubject: one\n\nHello\n\n\
                   From a@b.c Mon Jan  1 00:00:01 2024\nFrom: a@b.c\nSubject: two\nMIME-Version: 1.0\n\nHello\n";
    assert_eq!(by_bytes(mailbox), Err(Error::Mail { seen: "a mailbox" }));
    let archive = "From: <Saved by Blink>\r\nSnapshot-Content-Location: https://example.org/\r\nSubject: A page\r\n\
                   MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=\"x\"\r\n\r\n--x\r\n";
    for (text, name) in [
        (archive, None),
        ("anything", Some("page.mht")),
        ("anything", Some("page.MHTML")),
    ] {
        let seen = "a web archive (MHTML)".to_owned();
        assert_eq!(
            detect(text.as_bytes(), name, None),
            Err(Error::Unsupported { seen }),
            "{name:?}"
        );
    }
    for parts in [
        "Content-Type: multipart/mixed; boundary=\"==1==\"\nMIME-Version: 1.0\n\n--==1==\nContent-Type: text/cloud-config\n\nx\n",
        "------WebKitFormBoundary7MA4YWxk\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx\r\n\
         ------WebKitFormBoundary7MA4YWxk--\r\n",
    ] {
        assert_eq!(by_bytes(parts), Err(Error::Encoded { how: "MIME parts" }), "{parts}");
    }
}

#[test]
fn files_that_were_made_letters_are_refused_by_name() {
    let file = random(20_000);
    let base64_of = |line, end| base64(&file, line, end);
    let encoded = |how| Err(Error::Encoded { how });
    let one_line = base64_of(100_000, "");
    let for_addresses = |text: &str| text.replace('+', "-").replace('/', "_");
    let words = WORDS.repeat(100);
    for (what, text) in [
        ("MIME", base64_of(76, "\r\n")),
        (
            "PEM",
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                base64_of(64, "\n")
            ),
        ),
        ("one line", one_line.clone()),
        ("with some words", format!("{WORDS}\n{one_line}\n{WORDS}")),
        ("quoted", format!("> {}", base64_of(76, "\n> "))),
        (
            "in JSON",
            format!(
                "{{\"name\": \"picture\", \"image/png\": \"{}\\n\"}}",
                base64_of(76, "\\n")
            ),
        ),
        ("in XML", format!("<data>\n    {}\n</data>", base64_of(72, "\n    "))),
        (
            "as the parts of a string",
            format!("x = \"{}\"", base64_of(72, "\" +\n  \"")),
        ),
        (
            "nothing but a picture",
            format!("![](data:image/png;base64,{one_line})"),
        ),
        ("in lines of 50", base64_of(50, "\n")),
        ("in lines of 57", base64_of(57, "\r\n")),
        ("in lines of 78", base64_of(78, "\n")),
        ("in lines of 100", base64_of(100, "\n")),
        ("a text, in lines of 57", base64(words.as_bytes(), 57, "\n")),
        ("for addresses", for_addresses(&one_line)),
        ("for addresses, in lines", for_addresses(&base64_of(76, "\n"))),
        ("for addresses, in lines of 57", for_addresses(&base64_of(57, "\n"))),
        ("larger than what is looked at", base64(&random(6_000_000), 76, "\n")),
    ] {
        assert_eq!(by_bytes(&text), encoded("base64"), "{what}");
    }
    assert_eq!(by_bytes(&uuencode(&file)), encoded("uuencode"));
    let mut yenc = b"=ybegin line=128 size=20000 name=picture.png\r\n".to_vec();
    yenc.extend(file.iter().map(|byte| byte | 0x80));
    assert_eq!(detect(&yenc, None, None), encoded("yEnc"));
    let error = by_bytes(&one_line).unwrap_err();
    assert_eq!(error.to_string(), "the document is mostly base64, which is no text");
    assert_eq!(error.class(), Class::Permanent);
    assert!(error.hint().is_some());
}

/// None of this was written for programs, or it is and can be read.
#[test]
fn texts_that_hold_some_of_it_are_texts() {
    let words = |times: usize| WORDS.repeat(times);
    let picture = base64(&random(40_000), 60_000, "");
    let certificate = base64(&random(900), 64, "\n");
    let hashes = |number: usize, length: usize| -> String {
        let hash = |at: usize| base64(&random(number * length)[at * length..][..length], 200, "");
        (0..number).map(|at| hash(at) + "\n").collect()
    };
    let classes = |package: &str| -> String {
        let name = "AbstractSingletonProxyFactoryBeanConfigurationProvider1Impl/Test";
        (0..300).map(|_| format!("{package}/{name}\n")).collect()
    };
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for (what, text) in [
        (
            "a picture beside text",
            format!("# Notes\n\n{}\n![](data:image/png;base64,{picture})\n", words(3)),
        ),
        (
            "two of them",
            format!(
                "{0}![](data:image/png;base64,{picture})\n{0}![](data:image/png;base64,{picture})\n",
                words(2)
            ),
        ),
        (
            "a certificate in a manual",
            format!(
                "{}-----BEGIN CERTIFICATE-----\n{certificate}\n-----END-----\n",
                words(40)
            ),
        ),
        (
            "a key",
            format!("ssh-rsa {} anna@example.org\n", base64(&random(500), 1000, "")),
        ),
        ("hashes of 256 bits", hashes(200, 32)),
        ("hashes of 512 bits", hashes(200, 64)),
        (
            "a lock file",
            (0..200).fold(String::new(), |text, at| {
                let hash = base64(&random(64 * 200)[at * 64..][..64], 200, "");
                text + &format!(
                    "    \"node_modules/package-{at}\": {{\n      \"integrity\": \"sha512-{hash}\"\n    }},\n"
                )
            }),
        ),
        (
            "checksums",
            random(6400).chunks(32).map(|hash| hex(hash) + "  file.txt\n").collect(),
        ),
        (
            "a dump in hex",
            random(6400).chunks(32).map(|line| hex(line) + "\n").collect(),
        ),
        (
            "a genome",
            "ACGTACGTACGTTTGACAACGTACGTACGTTTGACAACGTACGTACGTTTGACATTGACA\n".repeat(100),
        ),
        (
            "paths",
            "src/main/java/org/example/documents/Version2/Reader/Parsers/MarkdownParser/Tests/Data/Long\n".repeat(50),
        ),
        ("classes of one package", classes("com/example/project/module1")),
        (
            "classes of many packages",
            (0..300).fold(String::new(), |text, at| {
                text + &format!("org/Tea{at:03}/Pot/AbstractSingletonProxyFactoryBeanConfigurationProvider1Impl/Test\n")
            }),
        ),
        (
            "classes of Java",
            (0..300).fold(String::new(), |text, at| {
                text + &format!("com/example/foo{at:03}/AbstractBarFactory1Implementation.class\n")
            }),
        ),
        (
            "names in kebab case",
            (0..300).fold(String::new(), |text, at| {
                text + &format!("My-Application-Service-{at:03}-In-Production-With-Many-Replicas-2\n")
            }),
        ),
        (
            "hashes with their names",
            (0..300).fold(String::new(), |text, at| {
                text + &format!("sha384-{}\n", base64(&random(48 * 300)[at * 48..][..48], 200, ""))
            }),
        ),
        (
            "keys with a prefix",
            (0..300).fold(String::new(), |text, at| {
                text + &format!("key_test_{}\n", base64(&random(39 * 300)[at * 39..][..39], 200, ""))
            }),
        ),
        ("one long word", "Donaudampfschifffahrtsgesellschaft".repeat(100)),
        ("CSV", "1,2,3,abc,4711,2024-01-01\n".repeat(500)),
        (
            "a memo",
            format!("From: Anna\nTo: Bob\nSubject: The report\nDate: Monday\n\n{}", words(3)),
        ),
        (
            "a message of old",
            format!(
                "Path: a!b\nFrom: a@b\nSubject: x\nMessage-ID: <1@b>\nDate: today\n\n{}",
                words(3)
            ),
        ),
        (
            "a patch",
            format!(
                "From 54d529d1234567890123456789012345678901ab Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nDate: Mon\n\
             Subject: [PATCH] Say so\nMIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n\
             Content-Transfer-Encoding: 8bit\n\n---\n src/lib.rs | 2 +-\n\n{}",
                words(2)
            ),
        ),
        (
            "metadata",
            "Title: A page\nDate: today\nSubject: mail\nContent-Type: text/markdown\n\nText".to_owned(),
        ),
        (
            "front matter",
            "---\ntitle: From here\ncontent-type: text\n---\n\nText\n---\n".to_owned(),
        ),
        (
            "a manual of mail",
            format!("The header of a mail:\n\n    From: a@b.c\n    MIME-Version: 1.0\n\n{ATTACHMENT}"),
        ),
        (
            "a letter",
            "From the first day on I have read it.\n\nFrom: here\n".to_owned(),
        ),
        ("a rule", "----------\nchapter: one\n----------\n".to_owned()),
    ] {
        assert_eq!(by_bytes(&text), Ok(Format::Text), "{what}");
    }
    assert_eq!(
        detect(b"std_msgs/Header header\n", Some("Point.msg"), None),
        Ok(Format::Text)
    );
    // A form that was uploaded as such has a media type of its request.
    assert_eq!(
        detect(b"Hello", None, Some("multipart/form-data; boundary=x")),
        Ok(Format::Text)
    );
}
