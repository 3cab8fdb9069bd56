"""The project's Python files, parsed: what the rules of this folder are functions of."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
FOLDERS = ("libs", "services", "tools", "tests", "benchmarks", "examples")
PRODUCT = ("libs", "services", "tools")
NOT_OURS = frozenset({"node_modules", "__pycache__", ".venv", ".peers", "data", "results", "dist"})


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file; `path` is relative to the root of the tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def folder(self) -> str:
        """The folder at the root in which it stands."""
        return self.path.parts[0]

    def at(self, line: int) -> str:
        """Return a place in it, as compilers write it."""
        return f"{self.path}:{line}"


def made_tree(files: Mapping[str, str]) -> tuple[Source, ...]:
    """Return a tree from path to text."""
    return tuple(
        Source(PurePosixPath(path), text, ast.parse(text, filename=path)) for path, text in files.items()
    )


def ours(root: Path, pattern: str) -> Iterator[Path]:
    """Return the files under `root` that match, without what is installed, kept or built there."""
    for path in sorted(root.rglob(pattern)):
        parts = path.relative_to(root).parts
        if path.is_file() and NOT_OURS.isdisjoint(parts) and not parts[0].startswith(".git"):
            yield path


@cache
def real_tree() -> tuple[Source, ...]:
    """Return every Python file of the project."""
    return made_tree(
        {
            path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
            for folder in FOLDERS
            for path in ours(ROOT / folder, "*.py")
        }
    )


def within(sources: Iterable[Source], folders: Iterable[str]) -> list[Source]:
    """Return those sources that stand in one of the root's `folders`."""
    wanted = set(folders)
    return [source for source in sources if source.folder in wanted]
