"""The codes of login links: files that `parley` writes, each good for one log-in."""

import os
import time
from pathlib import Path

from parley_contracts.login_code import LOGIN_CODE_S, LOGIN_CODES_FOLDER, code_file


class LoginCodes:
    """The codes in a folder of secrets, which gateways of one machine share."""

    def __init__(self, secrets_folder: Path) -> None:
        self._folder = secrets_folder / LOGIN_CODES_FOLDER

    def take(self, code: str) -> bool:
        """Return whether a code is good, and let it be good no more: of several who ask, one is told so."""
        path = self._folder / code_file(code)
        try:
            made_s = path.stat().st_mtime
            os.unlink(path)
        except OSError:
            return False
        return -LOGIN_CODE_S < time.time() - made_s < LOGIN_CODE_S
