"""Dates as documents write them, in milliseconds since 1970."""

import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_PDF_DATE = re.compile(
    r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?'?|Z.*)?\s*", re.ASCII
)
_YEARS = range(1900, 2201)
_MAX_CHARS = 80


def as_ms(value: datetime | date | str | None) -> int | None:
    """Return a date in milliseconds; None when it is none, or none that can be meant. UTC unless it says."""
    if isinstance(value, str):
        value = _parsed(value.strip())
    if value is None or value.year not in _YEARS:
        return None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return round(value.timestamp() * 1000)


def _parsed(text: str) -> datetime | None:
    if not text or len(text) > _MAX_CHARS:
        return None
    if len(text) == 4 and text.isdecimal():
        text = f"{text}-01-01"
    for parse in (datetime.fromisoformat, parsedate_to_datetime, _pdf_date):
        try:
            return parse(text)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


def _pdf_date(text: str) -> datetime:
    match = _PDF_DATE.fullmatch(text)
    if match is None:
        raise ValueError
    year, month, day, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    zone = f"{sign}{zone_hours}:{zone_minutes or '00'}" if sign else "+00:00"
    return datetime.fromisoformat(
        f"{year}-{month or '01'}-{day or '01'}T{hour or '00'}:{minute or '00'}:{second or '00'}{zone}"
    )
