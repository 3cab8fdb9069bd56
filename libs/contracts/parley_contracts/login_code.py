"""The one-time codes in login links: `parley` writes a file for each, a gateway takes it away.

A file's name is the code's hash: who can list the folder can log in nobody.
"""

import hashlib

LOGIN_CODES_FOLDER = "login-codes"
"""In the folder of the secrets."""

LOGIN_CODE_S = 900
"""How long a code is good for, seconds."""


def code_file(code: str) -> str:
    """Return the name of a code's file."""
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
