"""Points in time as clients write them: ISO 8601; a date alone is its midnight, UTC if it names no zone."""

from datetime import UTC, datetime


def as_ms(moment: datetime | None) -> int | None:
    """Return a point in time in Unix milliseconds."""
    if moment is None:
        return None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(zoned.timestamp() * 1000)
