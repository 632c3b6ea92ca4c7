"""Texts that are the same in every run: words of a real book in random order, no two documents alike."""

import random
import re
import textwrap
import zlib

from cluster import ROOT

BOOK = ROOT / "demo" / "documents" / "alice-in-wonderland.txt"


def words():
    return sorted({word.lower() for word in re.findall(r"[A-Za-z]{2,}", BOOK.read_text(encoding="utf-8"))})


WORDS = words()


def sentence(chance):
    text = " ".join(chance.choices(WORDS, k=chance.randint(8, 18)))
    return text.capitalize() + "."


def paragraph(chance, characters):
    text = sentence(chance)
    while len(text) < characters:
        text += " " + sentence(chance)
    return text


def plain(number, characters):
    """A text of about so many characters, in paragraphs of some 500."""
    chance = random.Random(number)
    text = f"Row {number}."
    while len(text) < characters:
        text += "\n\n" + paragraph(chance, min(450, characters - len(text)))
    return text


def markdown(number, characters=8000):
    """A page with headings, lists and paragraphs."""
    chance = random.Random(number)
    text = f"# Page {number}\n"
    while len(text) < characters:
        text += f"\n## {sentence(chance)[:40]}\n\n{paragraph(chance, 600)}\n\n"
        text += "".join(f"- {sentence(chance)}\n" for _ in range(3))
    return text


# A4 in the points of PDF, with room for this much text in a font whose letters are narrower than half its size.
PAGE, LINES, COLUMNS, FONT_SIZE, LEADING, MARGIN = (595, 842), 54, 90, 10, 14, 50


def pdf(number, characters=8000):
    """The text of `plain` on pages, their streams compressed and in a font that every reader has, as office programs write it."""
    lines = []
    for part in plain(number, characters).split("\n\n"):
        lines += [*textwrap.wrap(part, COLUMNS), ""]
    pages = [lines[start:start + LINES] for start in range(0, len(lines), LINES)]
    numbers = range(4, 4 + 2 * len(pages), 2)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(pages), b" ".join(b"%d 0 R" % at for at in numbers)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for at, page in zip(numbers, pages):
        shown = b"".join(b"(%s)Tj T*\n" % re.sub(rb"([()\\])", rb"\\\1", line.encode("cp1252")) for line in page)
        stream = zlib.compress(
            b"BT /F1 %d Tf %d TL %d %d Td\n%sET" % (FONT_SIZE, LEADING, MARGIN, PAGE[1] - MARGIN, shown)
        )
        objects += [
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 %d %d]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>" % (*PAGE, at + 1),
            b"<</Length %d/Filter/FlateDecode>>stream\n%s\nendstream" % (len(stream), stream),
        ]
    written, places = b"%PDF-1.4\n", []
    for at, content in enumerate(objects, start=1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (at, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return written + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n"
        % (len(objects) + 1, table, len(objects) + 1, len(written))
    )


def edited(text, number):
    """The page with one line changed, somewhere in the middle."""
    lines = text.split("\n")
    at = len(lines) // 2
    while not lines[at].startswith("- "):
        at += 1
    lines[at] = f"- {sentence(random.Random(-1 - number))}"
    return "\n".join(lines)
