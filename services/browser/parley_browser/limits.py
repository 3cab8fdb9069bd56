"""The bounds of one read and of all reads together."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadLimits:
    """How many pages are read at a time, how long a read may take and how much it may fetch."""

    concurrency: int = 2
    queue: int = 8
    navigation_timeout_s: float = 15.0
    quiet_timeout_s: float = 3.0
    read_timeout_s: float = 30.0
    max_page_bytes: int = 20 * 1024 * 1024
    max_requests: int = 400
    max_html_chars: int = 3_000_000
