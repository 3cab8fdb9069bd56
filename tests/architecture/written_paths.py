"""Paths that stand in documents and files: those that must exist, and those that must not be written."""

import re
from collections.abc import Iterator
from pathlib import Path

LINK = re.compile(r"\]\(([^)\s]+)\)")
BACKTICKED = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PATH = re.compile(r"(?:\./)?[A-Za-z0-9_.*][A-Za-z0-9_.*/-]*")
FILE_ENDINGS = (".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sh", ".txt", ".vue", ".ts", ".html")
MADE_WHEN_IT_RUNS = ("data/", "./data")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

# Composed, so that this file does not hold what it looks for.
OF_A_MACHINE = re.compile(
    r"(?<![\w/.:}~-])/(?:" + "|".join(("work", "root", "home/[a-z]+", "Users/[A-Za-z]+")) + r")/"
)


def named_paths(document: str, root: Path) -> set[str]:
    """Return the paths in this project that a Markdown document links to or puts in backticks."""
    prose = FENCE.sub("", document)
    linked = {link.partition("#")[0] for link in LINK.findall(prose) if "://" not in link}
    ticked = {text for text in BACKTICKED.findall(prose) if _is_path(text, root)}
    found = {
        path.partition(":")[0].strip() for path in linked | ticked if not path.startswith(("mailto:", "/"))
    }
    return {path for path in found if path and not path.startswith(MADE_WHEN_IT_RUNS)}


def _is_path(text: str, root: Path) -> bool:
    if not PATH.fullmatch(text):
        return False
    if text.endswith(FILE_ENDINGS):
        return True
    return "/" in text and (root / text.removeprefix("./").partition("/")[0]).is_dir()


def missing_paths(document: str, root: Path) -> list[str]:
    """Return the paths a document names that do not exist under `root`; `*` stands for anything."""
    return sorted(
        path
        for path in named_paths(document, root)
        if not (any(root.glob(path)) if "*" in path else (root / path).exists())
    )


def machine_paths(text: str) -> Iterator[tuple[int, str]]:
    """Return line number and text of each line that names a folder of somebody's machine."""
    for number, line in enumerate(text.splitlines(), start=1):
        if OF_A_MACHINE.search(line):
            yield number, line.strip()
