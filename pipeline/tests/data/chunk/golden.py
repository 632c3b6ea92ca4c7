#!/usr/bin/env python3
"""LangChain's answers, for the tests of the Rust splitters.

    golden.py > golden.json          the fixed cases, checked in (about a second)
    golden.py --random SEED COUNT    random cases, one JSON object a line, for the differential test

Needs Python 3.11 or newer (possessive quantifiers) and
    pip install langchain-text-splitters==1.1.3
"""

import json
import logging
import random
import re
import sys
import warnings
from importlib.metadata import version

from langchain_text_splitters import CharacterTextSplitter, RecursiveCharacterTextSplitter

PGAI = ["\n\n", "\n", ".", "?", "!", " ", ""]

PROSE = """\
The river had been rising since noon. By evening it stood at the second step of the landing, brown and quick, and the
ferryman had drawn his boat up under the willows. "It will go down," he said. Would it? Nobody on the bank could tell!

Three miles upstream the old weir held, for the moment. Its timbers were cut in 1871, or so the plate says; they have
been mended every spring since then, by men who learned it from their fathers... and who complain about it exactly as
they did.

At nine the wind turned. Rain came in flat, cold sheets, the lamps went out along the quay (one, two, then all of them),
and there was nothing to do but wait. Someone counted: 1.5 m, 1.75 m, 2.0 m.   Then it stopped.
"""

MARKDOWN = """\
# Installing

Get the package, then *read* the notes.

## Steps

1. Download `tool-1.2.tar.gz`
2. Unpack it
   - on Linux: `tar xf tool-1.2.tar.gz`
   - elsewhere: see [the manual](https://example.org/manual#unpack)

| Option | Default | Meaning |
|--------|---------|---------|
| size   | 800     | length  |
| share  | 400     | overlap |

```sh
./configure --prefix=/usr
make && make install
```

---

> Do not run this as root.
> Ever.

### Trouble?

Ask. We answer within a day!
"""

CODE = """\
class Heap:
    \"\"\"A binary heap.\"\"\"

    def __init__(self, items=()):
        self.items = []
        for item in items:
            self.push(item)

    def push(self, item):
\tself.items.append(item)
        at = len(self.items) - 1
        while at > 0 and self.items[at] < self.items[(at - 1) // 2]:
            parent = (at - 1) // 2
            self.items[at], self.items[parent] = self.items[parent], self.items[at]
            at = parent


def main():
    heap = Heap([3, 1, 2])
    print(heap.items[0])  # 1


if __name__ == "__main__":
    main()
"""

CJK = """\
春の朝、川の水は静かに流れていた。漁師は舟を出し、網を投げる。「今日は魚が多いだろうか？」と彼は言った。

北京的冬天很冷，但是阳光很好。人们在公园里散步、下棋、唱歌！孩子们放风筝；老人们喝茶。

　서울의 밤은 밝다. 강을 따라 걷는 사람들이 많다.
"""

TEXTS = {
    "prose": PROSE,
    "markdown": MARKDOWN,
    "code": CODE,
    "cjk": CJK,
    "emoji": "Family 👨‍👩‍👧‍👦 arrives. Flags: 🇫🇷🇯🇵🇧🇷! Skin 👍🏽👍🏿 tones? " * 3 + "🏳️‍🌈" * 12 + "\n\n❤️‍🔥 end 😀.",
    "combining": "Cafe\u0301 au lait. A\u030angstro\u0308m! Z\u0351\u036b\u0343a\u0321\u0329lgo? n\u0303o " * 4 + "\n\n\u0301start",
    "control": "a\0b\0c \x1c one\x1d\x1etwo\x1f\n\nthree\x0b\x0cfour\x85five\u2028six\u2029seven \x1c\n\n\x1c\x1f eight\0",
    "spaces": "\u00a0non\u00a0breaking\u00a0 \u2003em\u2003 \u3000wide\u3000\n\n\u200bzero\u200bwidth\ufeff \u180emongol \u1680ogham\u202f.",
    "crlf": "First line.\r\nSecond line?\r\n\r\nNew paragraph!\r\n\r\n\r\nAfter three.\rOld Mac.\n\r\nMixed.",
    "long": "x" * 150 + " " + "ab" * 60 + ".\n" + "wörd" * 30 + "\n\n" + "1,2;3-" * 25,
    "runs": "a\n\n\n\nb\n\n\n\n\nc....d  e   f    g\n \n \n\nh!!!?!?. . .i" * 3,
    "blank": " \t\n\n \u00a0\u3000\r\n \x1c",
    "empty": "",
}

CHARACTER = [
    ("\n\n", False), (" ", False), ("", False), (".", False), ("a", False), ("。", False), ("\r\n", False), ("\n\n\n", False),
    (r"\s+", True), (r"[.?!]\s", True), (r"(?<=[.?!。])\s*", True), (r"(?=\n#+ )", True), (r"\n(?=\S)", True),
    (r"(?<!\.)\n", True), (r"(?:,|;)\s?", True), (r"\b", True), ("", True),
]

RECURSIVE = [
    (PGAI, False), (["\n\n", "\n", " ", ""], False), ([], False), (["\n\n", ". ", " "], False), ([""], False), (["", " "], False),
    (["。", "，", "、", ""], False), (["\u200d", "\u0301", " "], False), (["zz", "\0"], False),
    (["\nclass ", "\ndef ", "\n\tdef ", "\n    def ", "\n\n", "\n", " ", ""], True),
    ([r"\n#{1,6} ", "```\n", r"\n\*\*\*+\n", r"\n---+\n", r"\n___+\n", r"\n\n", r"\n", " ", ""], True),
    ([r"\n{2,}", r"(?<=[.?!])\s+", r"\s", ""], True), ([r"(?=\b\w)", r"\W"], True), ([r"[\s.]+", r"\w\W", r"x{3}", ""], True),
]

SIZES = [(1, 0), (7, 3), (20, 8), (50, 50), (80, 0), (120, 60), (400, 200)]


def character(size, overlap, separator, is_regex):
    return {"implementation": "character_text_splitter", "chunk_size": size, "chunk_overlap": overlap,
            "separator": separator, "is_separator_regex": is_regex}


def recursive(size, overlap, separators, is_regex):
    return {"implementation": "recursive_character_text_splitter", "chunk_size": size, "chunk_overlap": overlap,
            "separators": separators, "is_separator_regex": is_regex}


def split(chunking, text):
    keys = {key: value for key, value in chunking.items() if key != "implementation"}
    recursive = chunking["implementation"].startswith("recursive")
    return (RecursiveCharacterTextSplitter if recursive else CharacterTextSplitter)(**keys).split_text(text)


def dump(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def golden():
    """Each text with each separator; the sizes go round, so that all combinations of two occur somewhere."""
    chunkings = []
    for make, table in ((character, CHARACTER), (recursive, RECURSIVE)):
        for row, (separators, is_regex) in enumerate(table):
            for column in range(2):
                size, overlap = SIZES[(row + 3 * column) % len(SIZES)]
                chunkings.append(make(size, overlap, separators, is_regex))
    for size, overlap in SIZES + [(800, 400)]:
        chunkings.append(recursive(size, overlap, PGAI, False))
    lines = []
    for chunking in chunkings:
        chunks = {name: split(chunking, text) for name, text in TEXTS.items()}
        lines.append(dump({"chunking": chunking, "chunks": chunks}))
    head = dump({"langchain_text_splitters": version("langchain-text-splitters"), "texts": TEXTS})
    print(head[:-1] + ',"cases":[\n' + ",\n".join(lines) + "\n]}")


ALPHABETS = [
    "ab \n.", "ab\n", "aab  .,!?\n\n", "aA1_ -\t\r\n", "äö日本。 \n", "👨‍👧e\u0301\u200d \n", "\0\x1c\x1d\x1e\x1f\x85\xa0\u2028\u3000 a\n",
    "½²٣x_\u203f\u0301 .", "abc", " \n\t", "a[]&~-{}^$#\\|()*+?.",
]
LITERALS = ["\n\n", "\n", " ", "", ".", ". ", "a", "ab", "aa", "b", "。", "本", "\x1c", "\xa0", "\u0301", "\u200d", "👨", "!", "[", "$", "\\", "zz"]
ATOMS = ["a", "b", " ", "A", "1", "_", "-", "é", "本", r"\.", r"\n", r"\s", r"\S", r"\w", r"\W", r"\d", r"\D", ".", "[ab]", "[^ab]",
         r"[\s,]", r"[^\s\w]", r"[\w.]", r"[\W\d]", r"[\S\n]", "[[&~]", r"[\]\-^]", "[a-c]", r"[\x00-\x1f]", r"\x1c", r"\u0301", "(?:ab|c)",
         "(?:a|b )", "(?i:a)", "(?s:.)", r"\{", "{", r"\$", r"\0"]
ZERO_WIDTH = [r"\b", r"\B", "^", "$", r"\Z", r"\A", "(?=a)", "(?!a)", r"(?<=\s)", r"(?<!\w)", r"(?<=[.!?])", "(?<!b)", r"(?=\n)", "(?m:^)", "(?m:$)",
              r"(?=\w)", r"(?!\s)"]
QUANTIFIERS = [""] * 6 + ["+", "*", "?", "{2}", "{1,}", "{,2}", "{1,2}", "+?", "*?", "??", "++", "*+"]


def random_regex(rng):
    """One that compiles and does not match the empty text, which the Rust splitters refuse."""
    while True:
        branches = []
        for _ in range(rng.choice([1, 1, 1, 2])):
            parts = []
            for _ in range(rng.choice([1, 1, 2, 3])):
                parts.append(rng.choice(ZERO_WIDTH) if rng.random() < 0.25 else rng.choice(ATOMS) + rng.choice(QUANTIFIERS))
            branches.append("".join(parts))
        regex = "|".join(branches)
        try:
            if re.search(regex, "") is None:
                return regex
        except re.error:
            pass


def random_text(rng):
    alphabet = rng.choice(ALPHABETS)
    if rng.random() < 0.2:
        source = rng.choice(list(TEXTS.values()))
        start = rng.randrange(len(source) + 1)
        return source[start:start + rng.randrange(400)]
    return "".join(rng.choices(alphabet, k=rng.choice([0, 1, 2, 5, 10, 30, 100, 300])))


def random_case(rng):
    is_regex = rng.random() < 0.5
    separator = (lambda: random_regex(rng) if rng.random() < 0.9 else "") if is_regex else (lambda: rng.choice(LITERALS))
    size = rng.choice([1, 2, 3, 5, 8, 13, 21, 50, 100])
    overlap = rng.choice([0, 0, 1, size // 3, size // 2, size - 1, size])
    if rng.random() < 0.4:
        chunking = character(size, min(overlap, size), separator(), is_regex)
    else:
        separators = [separator() for _ in range(rng.randrange(5))]
        chunking = recursive(size, min(overlap, size), rng.choice([PGAI, separators, separators]), is_regex)
        if chunking["separators"] is PGAI:
            chunking["is_separator_regex"] = False
    text = random_text(rng)
    return {"text": text, "chunking": chunking, "chunks": split(chunking, text)}


def main():
    if sys.argv[1:2] == ["--random"]:
        seed, count = map(int, sys.argv[2:])
        rng = random.Random(seed)
        for _ in range(count):
            print(dump(random_case(rng)))
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        golden()


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    # Over-long chunks and odd sets are what these cases are about.
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    main()
