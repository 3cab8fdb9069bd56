"""What turns may spend, as settings say it."""

from parley_limits import Most

_KINDS = ("turns", "tokens", "micros")


def parse_most(text: str) -> Most:
    """Return what `turns=500,tokens=100000,micros=2000000` allows; what is left out is not limited.

    Raises:
        ValueError: It says something else.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = part.partition("=")
        is_number = number.isascii() and number.isdecimal() and len(number) <= 15
        if name not in _KINDS or name in found or not is_number:
            raise ValueError(f"{part!r} is no quota: turns=N, tokens=N or micros=N, with commas between")
        found[name] = int(number)
    return Most(**found)
