"""A folder of documents of every kind that is read, the same for the same seed."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.unit.rag.office_files import docx_file, epub_file, mail_file, pptx_file, xlsx_file
from tests.unit.rag.papers import pdf

_SUBJECTS = ("pump", "valve", "seal", "motor", "filter", "sensor", "boiler", "turbine", "bearing", "gasket")
_VERBS = ("needs", "holds", "moves", "loses", "measures", "replaces", "protects", "follows", "cools", "warns")
_OBJECTS = ("oil", "pressure", "water", "heat", "current", "dust", "noise", "steam", "grease", "torque")
_PLACES = ("in winter", "after a week", "below the deck", "at full load", "near the inlet", "before a test")
_LINE_CHARS = 80
_LINES_A_PAGE = 40


class _Words:
    """Sentences of a made-up manual; a number in each tells them apart."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def sentence(self) -> str:
        pick = self.random.choice
        number = self.random.randrange(10_000)
        subject, other = pick(_SUBJECTS), pick(_SUBJECTS)
        return (
            f"The {subject} of unit {number} {pick(_VERBS)} {pick(_OBJECTS)} of the {other} {pick(_PLACES)}."
        )

    def paragraph(self) -> str:
        return " ".join(self.sentence() for _ in range(self.random.randint(2, 8)))

    def title(self) -> str:
        subject, thing = self.random.choice(_SUBJECTS), self.random.choice(_OBJECTS)
        return f"{subject.title()} {thing} {self.random.randrange(1000)}"

    def sections(self) -> dict[str, list[str]]:
        """Return titles with paragraphs: a few to a few dozen, as manuals go."""
        count = min(30, int(self.random.paretovariate(1.2)) + 1)
        return {
            self.title(): [self.paragraph() for _ in range(self.random.randint(1, 5))] for _ in range(count)
        }

    def rows(self) -> list[list[str]]:
        rows = ([self.title(), self.sentence(), str(self.random.randrange(500))] for _ in range(30))
        return [["Part", "Remark", "Price"], *rows]


def _markdown(words: _Words) -> bytes:
    parts = (f"## {title}\n\n" + "\n\n".join(texts) for title, texts in words.sections().items())
    return "\n\n".join((f"# {words.title()}", *parts)).encode()


def _html(words: _Words) -> bytes:
    parts = (
        f"<h2>{title}</h2>" + "".join(f"<p>{text}</p>" for text in texts)
        for title, texts in words.sections().items()
    )
    head = f"<!DOCTYPE html><html lang=en><head><title>{words.title()}</title></head>"
    return f"{head}<body>{''.join(parts)}</body></html>".encode()


def _plain(words: _Words) -> bytes:
    parts = (
        f"{title}\n{'-' * len(title)}\n\n" + "\n\n".join(texts) for title, texts in words.sections().items()
    )
    return "\n\n".join(parts).encode()


def _pdf(words: _Words) -> bytes:
    lines: list[str] = []
    for title, texts in words.sections().items():
        lines.append(title)
        for text in texts:
            lines += [text[at : at + _LINE_CHARS] for at in range(0, len(text), _LINE_CHARS)]
    return pdf([lines[at : at + _LINES_A_PAGE] for at in range(0, len(lines), _LINES_A_PAGE)])


def _docx(words: _Words) -> bytes:
    return docx_file(words.sections(), table=words.rows())


def _pptx(words: _Words) -> bytes:
    return pptx_file(list(words.sections().items()), notes=words.paragraph())


def _xlsx(words: _Words) -> bytes:
    return xlsx_file({words.title(): words.rows(), words.title(): words.rows()})


def _csv(words: _Words) -> bytes:
    return "\n".join(";".join(row) for row in words.rows()).encode()


def _json(words: _Words) -> bytes:
    return json.dumps({"name": words.title(), "parts": words.sections()}, indent=1).encode()


def _mail(words: _Words) -> bytes:
    return mail_file(words.paragraph(), {"plan.md": _markdown(words)}, subject=words.title())


def _epub(words: _Words) -> bytes:
    chapters = words.sections().items()
    return epub_file(
        {
            f"c{number}.xhtml": f"<h1>{title}</h1>" + "".join(f"<p>{text}</p>" for text in texts)
            for number, (title, texts) in enumerate(chapters)
        }
    )


def _code(words: _Words) -> bytes:
    functions = (
        f'def step_{number}(unit: int) -> int:\n    """{words.sentence()}"""\n    # {words.sentence()}\n'
        f"    return unit * {words.random.randrange(100)}\n"
        for number in range(words.random.randint(3, 30))
    )
    return "\n\n".join(functions).encode()


_MAKERS: tuple[tuple[str, Callable[[_Words], bytes], int], ...] = (
    ("md", _markdown, 5),
    ("html", _html, 4),
    ("txt", _plain, 3),
    ("pdf", _pdf, 4),
    ("docx", _docx, 3),
    ("pptx", _pptx, 2),
    ("xlsx", _xlsx, 2),
    ("csv", _csv, 2),
    ("json", _json, 2),
    ("eml", _mail, 2),
    ("epub", _epub, 1),
    ("py", _code, 3),
)


def write_folder(folder: Path, files: int, *, seed: int = 7) -> list[Path]:
    """Write documents of all kinds into a folder, in subfolders of a hundred; return their paths.

    Dates inside some of the packed ones are those of the day, so only their texts are the same each time.
    """
    random = Random(seed)
    kinds = [(suffix, maker) for suffix, maker, share in _MAKERS for _ in range(share)]
    paths: list[Path] = []
    for number in range(files):
        suffix, maker = kinds[number % len(kinds)]
        path = folder / f"{number // 100:02}" / f"{number:04}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(maker(_Words(Random(random.getrandbits(64)))))
        paths.append(path)
    return paths
