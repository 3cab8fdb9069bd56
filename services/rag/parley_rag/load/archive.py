"""Opens ZIP-based files: entries that could fill disk or memory, or leave their folder, are refused."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from parley_contracts.file_names import CONTROL_CHARACTERS, name_fault

from parley_rag.load.extraction import UnreadableDocument
from parley_rag.load.limits import ReadLimits

_BLOCK_BYTES = 1 << 16
_RATIO_FROM_BYTES = 1 << 20
_DIRECTORY_BYTES_PER_ENTRY = 1024  # a long name and its extras
_END = struct.Struct("<4s4H2LH")  # the end record: signature, disks, entries here and in all, size, start
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_LOCATOR_BYTES = 20
_COMMENT_BYTES = 0xFFFF
_LOCAL = struct.Struct("<4s5H3L2H")
_UTF8_FLAG, _ENCRYPTED_FLAG = 0x800, 0x1
_FILE_TYPE, _REGULAR, _SYMLINK = 0o170000, 0o100000, 0o120000
MAX_NAME_CHARS = 300
NAME_TOO_LONG = f"Its name is longer than {MAX_NAME_CHARS} characters."
# What zipfile raises on a damaged archive, or on one that it cannot unpack (a RuntimeError as well).
_BROKEN = (BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error)


class RefusedEntry(Exception):
    """An entry is not unpacked; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive: its normalised name, the size it claims, and why it is refused if it is."""

    name: str
    size_bytes: int
    refused: str | None
    info: ZipInfo


class Budget:
    """How much may still be unpacked: shared by an archive and those inside it."""

    def __init__(self, limits: ReadLimits) -> None:
        self.limits = limits
        self.entries_left = limits.archive_entries
        self.bytes_left = limits.inflated_bytes

    def take_entry(self) -> None:
        """Count one more entry."""
        if not self.entries_left:
            raise RefusedEntry(_too_many(self.limits.archive_entries))
        self.entries_left -= 1

    def take_bytes(self, count: int) -> None:
        """Count bytes that were unpacked, or are about to be."""
        if count > self.bytes_left:
            raise RefusedEntry(too_large(self.limits.inflated_bytes))
        self.bytes_left -= count


class Archive:
    """An opened ZIP file, its directory checked; contents are counted while they are unpacked."""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._budget = budget
        limits = budget.limits
        _check_directory(file, limits.archive_entries)
        try:
            self._zip = ZipFile(file)
            infos = self._zip.infolist()
            if len(infos) > limits.archive_entries:
                raise UnreadableDocument(_too_many(limits.archive_entries))
            _check_overlap(file, infos, self._zip.start_dir)
        except _BROKEN as error:
            raise UnreadableDocument("The archive is damaged and cannot be opened.") from error
        self.entries = tuple(_entries(infos, limits))
        # The first of a name counts.
        self._by_name = {entry.name: entry for entry in reversed(self.entries)}

    def names(self) -> set[str]:
        """Return the names of all entries, of the refused ones too."""
        return set(self._by_name)

    def read(self, name: str) -> bytes | None:
        """Return an entry's content, None when there is none of that name; RefusedEntry as for `blocks`."""
        entry = self._by_name.get(name)
        return None if entry is None else b"".join(self.blocks(entry))

    def blocks(self, entry: Entry) -> Iterator[bytes]:
        """Yield an entry's content in blocks; RefusedEntry when it is too much or damaged."""
        if entry.refused is not None:
            raise RefusedEntry(entry.refused)
        if entry.size_bytes > self._budget.bytes_left:
            raise RefusedEntry(too_large(self._budget.limits.inflated_bytes))
        try:
            with self._zip.open(entry.info) as stream:
                while block := stream.read(_BLOCK_BYTES):
                    self._budget.take_bytes(len(block))
                    yield block
        except _BROKEN as error:
            raise RefusedEntry("It is damaged.") from error


def too_large(limit_bytes: int) -> str:
    """Return what people are told about files that would get too large."""
    return f"Unpacked, it would be larger than the {limit_bytes >> 20:,} MiB allowed."


def safe_name(name: str) -> str:
    """Return an entry's name as a relative path; RefusedEntry when it is none."""
    if fault := name_fault(name):
        raise RefusedEntry(fault)
    parts = [part.strip() for part in name.replace("\\", "/").split("/")]
    clean = "/".join(part for part in parts if part not in {"", "."})
    if not clean:
        raise RefusedEntry("It has no name.")
    if len(clean) > MAX_NAME_CHARS:
        raise RefusedEntry(NAME_TOO_LONG)
    return clean


def shown_name(name: str) -> str:
    """Return a name that can be shown whatever it holds."""
    return CONTROL_CHARACTERS.sub("\ufffd", name)[:MAX_NAME_CHARS].strip() or "\ufffd"


def _too_many(limit: int) -> str:
    return f"The archive holds more than {limit:,} files."


def _check_directory(file: BinaryIO, max_entries: int) -> None:
    """Refuse a directory that is too long before it is read into memory."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _COMMENT_BYTES - _END.size - _END64.size - _END64_LOCATOR_BYTES))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        raise UnreadableDocument("The archive is damaged and cannot be opened: its end is missing.")
    _, _, _, _, entries, directory_bytes, _, _ = _END.unpack_from(tail, at)
    at64 = at - _END64_LOCATOR_BYTES - _END64.size
    if at64 >= 0 and tail[at64 : at64 + 4] == b"PK\x06\x06":
        _, _, _, _, _, _, _, entries, directory_bytes, _ = _END64.unpack_from(tail, at64)
    if entries > max_entries or directory_bytes > max_entries * _DIRECTORY_BYTES_PER_ENTRY:
        raise UnreadableDocument(_too_many(max_entries))


def _check_overlap(file: BinaryIO, infos: list[ZipInfo], directory_start: int) -> None:
    """Refuse an archive whose entries share bytes: a small one could be unpacked into any size."""
    spans: list[tuple[int, int]] = []
    for info in infos:
        file.seek(info.header_offset)
        header = _LOCAL.unpack(file.read(_LOCAL.size))
        if header[0] != b"PK\x03\x04":
            raise BadZipFile
        spans.append(
            (info.header_offset, info.header_offset + _LOCAL.size + sum(header[9:]) + info.compress_size)
        )
    spans.sort()
    for (_, end), (start, _) in pairwise([*spans, (directory_start, directory_start)]):
        if end > start:
            raise UnreadableDocument("The archive is not honest: its files overlap (a ZIP bomb).")


def _entries(infos: list[ZipInfo], limits: ReadLimits) -> Iterator[Entry]:
    seen: set[str] = set()
    for info in infos:
        raw = _raw_name(info)
        if info.is_dir() and not info.file_size:
            continue
        try:
            name = safe_name(raw)
            _check_entry(info, limits)
            if name in seen:
                raise RefusedEntry("Another file in the archive has the same name.")
        except RefusedEntry as error:
            yield Entry(shown_name(raw), info.file_size, str(error), info)
            continue
        seen.add(name)
        yield Entry(name, info.file_size, None, info)


def _raw_name(info: ZipInfo) -> str:
    """Return the name as it stands in the archive; many packers write UTF-8 without saying so."""
    if info.flag_bits & _UTF8_FLAG:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode()
    except UnicodeError:
        return info.orig_filename


def _check_entry(info: ZipInfo, limits: ReadLimits) -> None:
    mode = (info.external_attr >> 16) & _FILE_TYPE
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise RefusedEntry("It is encrypted: unpack it with its password first.")
    if mode == _SYMLINK:
        raise RefusedEntry("It is a link, not a file.")
    if mode not in {0, _REGULAR}:
        raise RefusedEntry("It is no ordinary file.")
    if info.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        raise RefusedEntry("It is packed in a way that is not read: pack it as ordinary ZIP.")
    if info.file_size > limits.inflated_bytes:
        raise RefusedEntry(too_large(limits.inflated_bytes))
    if info.file_size > _RATIO_FROM_BYTES and info.file_size > limits.inflation * info.compress_size:
        raise RefusedEntry(f"Unpacked, it would be more than {limits.inflation} times as large (a ZIP bomb).")
