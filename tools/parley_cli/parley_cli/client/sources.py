"""Which files `ingest` takes, and by what names they are cited later."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from parley_cli.exits import CliError, ExitCode

SUFFIXES = frozenset(
    (
        *(".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".xhtml", ".pdf", ".epub"),
        *(".docx", ".pptx", ".xlsx", ".xls", ".ods", ".csv", ".tsv", ".json", ".jsonl", ".eml", ".zip"),
    )
)
"""What is taken of a folder. Program sources are read as well, when they are named."""


@dataclass(frozen=True)
class Source:
    """A file to upload and its document's name."""

    path: Path
    name: str


def _stem(given: Path) -> Path:
    """Return the name that a given path lends to its files: itself when it leads down from here."""
    is_below = not given.is_absolute() and ".." not in given.parts
    return given if is_below else Path(given.resolve().name)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _in_folder(folder: Path) -> list[Source]:
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    inside = [path.relative_to(folder) for path in found]
    return [
        Source(folder / path, (_stem(folder) / path).as_posix()) for path in inside if not _is_hidden(path)
    ]


def find_sources(paths: list[Path]) -> list[Source]:
    """Return the files named, and of folders those that can be read; CliError when one is missing.

    Files that would have the same name have their whole paths for names.
    """
    sources: dict[Path, Source] = {}
    for given in paths:
        if not given.exists():
            raise CliError(
                f"There is no {given}: nothing was uploaded.", ExitCode.NOT_FOUND, code="not_found"
            )
        found = _in_folder(given) if given.is_dir() else [Source(given, _stem(given).as_posix())]
        for source in found:
            sources.setdefault(source.path.resolve(), source)
    names = Counter(source.name for source in sources.values())
    return [
        # Of two documents of one name the second would replace the first.
        source if names[source.name] == 1 else Source(source.path, path.as_posix().lstrip("/"))
        for path, source in sources.items()
    ]
