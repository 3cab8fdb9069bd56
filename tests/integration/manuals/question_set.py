"""The questions with what is right for each, and the packages whose documents they are asked of."""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("questions.toml")


@dataclass(frozen=True)
class Package:
    """A Debian package. `documents` are pairs: path in the package, and the name to upload it under."""

    name: str
    version: str
    documents: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Question:
    """A question, and the file where its answer stands; `pages` are the right ones, empty for no PDF."""

    text: str
    file: str
    pages: frozenset[int]

    def is_answered_by(self, file: str, page: int | None) -> bool:
        """Whether a citation of that file and page is right."""
        return file == self.file and (not self.pages or page in self.pages)


@dataclass(frozen=True)
class QuestionSet:
    """What `questions.toml` holds."""

    packages: tuple[Package, ...]
    questions: tuple[Question, ...]

    def without(self, names: Collection[str]) -> "QuestionSet":
        """Return the set without packages of these names and the questions about them."""
        kept = tuple(package for package in self.packages if package.name not in names)
        files = {file for package in kept for _, file in package.documents}
        return QuestionSet(kept, tuple(question for question in self.questions if question.file in files))


def read_questions() -> QuestionSet:
    """Read the file beside this module."""
    content = tomllib.loads(_FILE.read_text())
    packages = tuple(
        Package(
            name=package["name"],
            version=package["version"],
            documents=tuple((document["path"], document["name"]) for document in package["documents"]),
        )
        for package in content["package"]
    )
    questions = tuple(
        Question(question["text"], question["file"], frozenset(question.get("pages", ())))
        for question in content["question"]
    )
    return QuestionSet(packages, questions)
