"""What reading one document may take, for the service and for the reading process."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """What reading one document, or unpacking one archive, may take.

    `inflation` is how many times longer than packed an entry beyond a megabyte may get, `nesting` how deep
    archives may stand in archives.
    """

    timeout_s: float = 120.0
    memory_bytes: int = 1 << 30
    text_chars: int = 50_000_000
    passage_chars: int = 900
    pages: int = 20_000
    page_chars: int = 1_000_000
    archive_entries: int = 5_000
    inflated_bytes: int = 512 << 20
    inflation: int = 200
    nesting: int = 3
