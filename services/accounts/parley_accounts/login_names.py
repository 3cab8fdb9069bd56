"""Names and addresses in the one form in which they are compared and kept."""

import re
import unicodedata

from parley_contracts.errors import ErrorCode, ParleyError

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(?:\.[^@\s.]+)*")
_MAX_EMAIL_CHARS = 254


def folded(text: str) -> str:
    """Return text as it is compared: case and the ways to write a character make no difference."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def normal_name(text: str) -> str:
    """Return a user's name as it is kept; `invalid_request` for what is none.

    Plain letters only, so that no two names look the same, and never an `@`, so that none is an address.
    """
    name = folded(text)
    if not _NAME.fullmatch(name):
        message = "name: 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter or digit."
        raise ParleyError(ErrorCode.INVALID_REQUEST, message, field="name")
    return name


def normal_email(text: str) -> str:
    """Return an address as it is kept; `invalid_request` for what is none."""
    email = folded(text)
    if len(email) > _MAX_EMAIL_CHARS or not _EMAIL.fullmatch(email) or not email.isprintable():
        raise ParleyError(ErrorCode.INVALID_REQUEST, "email: this is no address.", field="email")
    return email
