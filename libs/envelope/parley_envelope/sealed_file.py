"""Files sealed and opened by name of what they are; whoever finds one finds it whole or not at all."""

import os
import secrets
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from parley_envelope.sealed_stream import Opening, SealingReader
from parley_envelope.segments import HEADER_BYTES, SEGMENT_BYTES, DataKey, Header, Layout, Name, SegmentCipher

KeyOf = Callable[[str], DataKey]
"""Returns the data key of an id; SealError when there is none."""


def seal_file(source: Path, target: Path, key: DataKey, name: Name) -> None:
    """Write a file sealed, in place of what is there; OSError when that cannot be."""
    with source.open("rb") as plain, _draft_of(target) as draft, SealingReader(plain, key, name) as sealing:
        buffer = bytearray(SEGMENT_BYTES)
        while size := sealing.readinto(buffer):
            draft.write(memoryview(buffer)[:size])


def open_file(source: Path, target: Path, key_of: KeyOf, name: Name) -> None:
    """Write what a sealed file holds, in place of what is there.

    Raises:
        SealError: It was changed, is another one, or its key is not there; nothing is written then.
    """
    with source.open("rb") as sealed, _draft_of(target) as draft:
        layout = Layout(os.fstat(sealed.fileno()).st_size)
        header = Header.read(sealed.read(HEADER_BYTES))
        cipher = SegmentCipher(header, key_of(header.key_id), name)
        opening = Opening(cipher, layout, 0, layout.plain_bytes)
        while not opening.is_done and (piece := sealed.read(SEGMENT_BYTES)):
            for plain in opening.feed(piece):
                draft.write(plain)
        opening.finish()


@contextmanager
def _draft_of(target: Path) -> Generator[BinaryIO]:
    """Give a private file that takes the target's place once all of it is on the disk."""
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
