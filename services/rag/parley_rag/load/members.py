"""Unpacks archives and e-mails into files with numbers for names, archives in archives too."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from parley_rag.load.archive import (
    MAX_NAME_CHARS,
    NAME_TOO_LONG,
    Archive,
    Budget,
    RefusedEntry,
    safe_name,
    shown_name,
)
from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits
from parley_rag.load.mail import attachments
from parley_rag.load.sniff import MAIL_SUFFIX, ZIP_START, DocumentKind, kind_of_archive, sniff

_JUNK_FOLDERS = frozenset(("__MACOSX",))
_JUNK_NAMES = frozenset((".DS_Store", "Thumbs.db", "desktop.ini"))


@dataclass(frozen=True, slots=True)
class UnpackedMember:
    """A file of an archive: where in the folder it is, or why it is not."""

    name: str
    file: str | None
    size_bytes: int
    error: str | None


def unpack(data: bytes, name: str, limits: ReadLimits, into: Path) -> list[UnpackedMember]:
    """Write the files of a ZIP archive, or what is attached to an e-mail, into a folder."""
    unpacking = _Unpacking(limits, into)
    if sniff(data, name, limits) is DocumentKind.MAIL:
        unpacking.take_mail(data, "", 1)
    else:
        unpacking.take_archive(BytesIO(data), "", 1)
    return unpacking.members


class _Unpacking:
    """Writes members one by one and notes what became of each."""

    def __init__(self, limits: ReadLimits, into: Path) -> None:
        self.members: list[UnpackedMember] = []
        self._limits = limits
        self._budget = Budget(limits)
        self._into = into
        self._files = 0
        self._names: set[str] = set()
        self._alike: Counter[str] = Counter()

    def take_archive(self, file: BinaryIO, above: str, depth: int) -> None:
        archive = Archive(file, self._budget)
        for entry in archive.entries:
            if not _is_junk(entry.name):
                self._take(above + entry.name, entry.size_bytes, archive.blocks(entry), depth)

    def take_mail(self, data: bytes, above: str, depth: int) -> None:
        for name, content in attachments(data):
            path = above + _attached_name(name)
            self._take(path, len(content), self._counted(content), depth)

    def _counted(self, content: bytes) -> Iterator[bytes]:
        self._budget.take_bytes(len(content))
        yield content

    def _take(self, name: str, size_bytes: int, blocks: Iterable[bytes], depth: int) -> None:
        name = self._unused(name)
        file = self._into / f"{self._files:06}"
        self._files += 1
        try:
            self._budget.take_entry()
            if len(name) > MAX_NAME_CHARS:
                raise RefusedEntry(NAME_TOO_LONG)
            with file.open("wb") as member:
                size_bytes = sum(member.write(block) for block in blocks)
            if not size_bytes:
                raise RefusedEntry("The file is empty.")
            inner = self._inner_kind(file, name)
            if inner is DocumentKind.ZIP:
                self._descend(name, file, depth)
                file.unlink()
                return
        except (RefusedEntry, UnreadableDocument) as error:
            file.unlink(missing_ok=True)
            self.members.append(UnpackedMember(name, None, size_bytes, str(error)))
            return
        self.members.append(UnpackedMember(name, file.name, size_bytes, None))
        if inner is DocumentKind.MAIL:
            self._descend_mail(name, file, depth)

    def _unused(self, name: str) -> str:
        """Return a name, with a number where another member has it: attachments may share one."""
        unused = name
        while unused in self._names:
            self._alike[name] += 1
            suffix = PurePosixPath(name).suffix
            unused = f"{name.removesuffix(suffix)} ({self._alike[name] + 1}){suffix}"
        self._names.add(unused)
        return unused

    def _inner_kind(self, file: Path, name: str) -> DocumentKind | None:
        """Return whether a member is an archive or an e-mail itself."""
        with file.open("rb") as member:
            if member.read(len(ZIP_START)) == ZIP_START:
                return kind_of_archive(Archive(member, Budget(self._limits)))
        return DocumentKind.MAIL if PurePosixPath(name.lower()).suffix == MAIL_SUFFIX else None

    def _descend(self, name: str, file: Path, depth: int) -> None:
        if depth >= self._limits.nesting:
            raise RefusedEntry(f"Archives are nested more than {self._limits.nesting} deep.")
        with file.open("rb") as archive:
            self.take_archive(archive, f"{name}/", depth + 1)

    def _descend_mail(self, name: str, file: Path, depth: int) -> None:
        try:
            if depth < self._limits.nesting:
                self.take_mail(file.read_bytes(), f"{name}/", depth + 1)
        except UnreadableDocument:  # reading it as a document says why
            return


def _is_junk(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in _JUNK_NAMES or not _JUNK_FOLDERS.isdisjoint(path.parts[:1])


def _attached_name(name: str) -> str:
    """Return the last part of an attachment's name: folders and control characters mean nothing there."""
    last = shown_name(name.replace("\\", "/").rpartition("/")[2])
    try:
        return safe_name(last)
    except RefusedEntry:
        return "attachment"
