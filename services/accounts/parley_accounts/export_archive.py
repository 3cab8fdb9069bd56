"""The file of an export: one ZIP, written piece by piece, with a README in plain words and a manifest."""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, BinaryIO

from parley_contracts.data_places import PLACES, DataPlace, PlaceKind
from parley_contracts.errors import ErrorCode, ParleyError

_PIECE_BYTES = 256 * 1024
_NOT_PLAIN = re.compile(r"[^\w.,()+@ -]", re.ASCII)
_MAX_NAME_CHARS = 120
MANIFEST, README = "manifest.json", "README.txt"

_INTRODUCTION = """Your data in Parley

This file holds what this installation of Parley keeps of you. Each .jsonl file holds one kind of record,
one JSON object in a line; times that end in _ms are milliseconds since 1970. The folder "documents" holds
the files that you have uploaded, as you uploaded them. manifest.json names every file here with its size and
SHA-256.

What the files are:
"""
_LEFT_OUT = "\nWhat is kept of you and is not in here, and why:\n"
_MISSING = "\nDocuments whose upload is not there any more or cannot be read:\n"


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the manifest says of a file."""

    name: str
    size_bytes: int
    sha256: str
    records: int | None = None


class ExportArchive:
    """Writes into an open file. Not for the event loop: it compresses and writes to disk."""

    def __init__(self, file: BinaryIO, *, max_bytes: int) -> None:
        self._file = file
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self._max_bytes = max_bytes
        self._entries: list[_Entry] = []
        self._kind = ""
        self._lines: IO[bytes] | None = None
        self._records = 0
        self._size_bytes = 0
        self._digest = hashlib.sha256()

    def add_records(self, records: Iterable[tuple[str, str]]) -> None:
        """Append lines to the files of their kinds; those of one kind follow each other."""
        for kind, line in records:
            if kind != self._kind:
                self._end_lines()
                self._kind, self._lines = kind, self._zip.open(f"{kind}.jsonl", "w", force_zip64=True)
            self._write(line.encode() + b"\n")
            self._records += 1

    def add_original(self, document_id: str, name: str, content: BinaryIO) -> None:
        """Add an upload under its own name, in a folder of its document's id: no name leads out of it."""
        self._end_lines()
        entry = f"documents/{_plain(document_id)}/{_plain(PurePosixPath(name).name)}"
        with self._zip.open(entry, "w", force_zip64=True) as self._lines:
            while piece := content.read(_PIECE_BYTES):
                self._write(piece)
        self._lines = None
        self._note(entry, None)

    def close(self, about: Mapping[str, object], missing: Iterable[str]) -> int:
        """Add the README and the manifest; return how large the file is."""
        self._end_lines()
        self._add_text(README, _readme(missing))
        files = [
            {
                "name": entry.name,
                "size_bytes": entry.size_bytes,
                "sha256": entry.sha256,
                **({} if entry.records is None else {"records": entry.records}),
            }
            for entry in self._entries
        ]
        self._zip.writestr(MANIFEST, json.dumps({**about, "files": files}, indent=2))
        self._zip.close()
        return self._file.tell()

    def discard(self) -> None:
        """Let go of a file that is not finished; one that is stays as it is."""
        if self._lines is not None:
            self._lines.close()
        self._zip.close()

    def _write(self, piece: bytes) -> None:
        if self._lines is None:
            raise RuntimeError("no file of the archive is open")
        self._lines.write(piece)
        self._digest.update(piece)
        self._size_bytes += len(piece)
        if self._file.tell() > self._max_bytes:
            told = "The export is larger than this installation allows (PARLEY_ACCOUNTS_EXPORT_BYTES)."
            raise ParleyError(ErrorCode.TOO_LARGE, told)

    def _end_lines(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None
            self._note(f"{self._kind}.jsonl", self._records)
            self._kind = ""

    def _note(self, name: str, records: int | None) -> None:
        self._entries.append(_Entry(name, self._size_bytes, self._digest.hexdigest(), records))
        self._records, self._size_bytes, self._digest = 0, 0, hashlib.sha256()

    def _add_text(self, name: str, text: str) -> None:
        data = text.encode()
        self._zip.writestr(name, data)
        self._entries.append(_Entry(name, len(data), hashlib.sha256(data).hexdigest()))


def _plain(name: str) -> str:
    """Return a name that every system takes, and that names no other folder."""
    plain = _NOT_PLAIN.sub("_", name).strip(". ")
    return plain[-_MAX_NAME_CHARS:].strip(". ") or "file"


def _told(place: DataPlace) -> str:
    hidden = f"; not in here: {', '.join(place.hidden)}" if place.hidden else ""
    return f"  {place.name}.jsonl: {place.holds}{hidden}\n"


def _readme(missing: Iterable[str]) -> str:
    exported = [one for one in PLACES if one.is_exported and one.kind is PlaceKind.TABLE]
    lines = [_INTRODUCTION, *map(_told, exported), _LEFT_OUT]
    lines += [f"  {one.name}: {one.holds}. {one.why}\n" for one in PLACES if one.why and not one.is_exported]
    absent = [f"  {document_id}\n" for document_id in missing]
    return "".join([*lines, *([_MISSING, *absent] if absent else [])])
