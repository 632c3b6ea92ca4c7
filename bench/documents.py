"""Texts that are the same in every run: words of a real book in random order, no two documents alike."""

import random
import re

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


def edited(text, number):
    """The page with one line changed, somewhere in the middle."""
    lines = text.split("\n")
    at = len(lines) // 2
    while not lines[at].startswith("- "):
        at += 1
    lines[at] = f"- {sentence(random.Random(-1 - number))}"
    return "\n".join(lines)
