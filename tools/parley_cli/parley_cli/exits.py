"""How a command ends: its exit codes and the one error that becomes one sentence."""

import contextlib
import os
import ssl
from collections.abc import Generator
from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    NOT_FOUND = 4
    INTERRUPTED = 130


EXIT_CODES_HELP = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 Parley is not running, 4 not found, 130 stopped."
)


class CliError(Exception):
    """Something the user can act on, told in one sentence and without a traceback."""

    def __init__(
        self, message: str, exit_code: ExitCode = ExitCode.FAILED, *, code: str = "failed", detail: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code
        self.detail = detail


@contextlib.contextmanager
def refusals_as_errors() -> Generator[None]:
    """Raise an OSError that names a path as CliError; others, such as a closed pipe, pass."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise path_refused(error) from None


def path_refused(error: OSError) -> CliError:
    """Return the error of a file or folder that the system does not let us use."""
    is_readable = error.filename is not None and os.access(error.filename, os.R_OK)
    reason = (error.strerror or str(error)).lower()
    verb = "changed" if is_readable else "read"
    return CliError(f"{error.filename} cannot be {verb} ({reason}).", code="path_refused")


def not_running(message: str = "Parley is not running here: start it with `make up`.") -> CliError:
    """Return the error of a command that needs a running stack."""
    return CliError(message, ExitCode.NOT_RUNNING, code="not_running")


def tls_refused(url: str, error: BaseException) -> CliError | None:
    """Return the error of a server that cannot be trusted; None when TLS was not the reason."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    if seen is None:
        return None
    if isinstance(seen, ssl.SSLCertVerificationError):
        reason = seen.verify_message.rstrip(".")
        return CliError(
            f"The certificate of {url} is refused: {reason}."
            " Use the name that it is made for, or let PARLEY_CA_FILE name who has issued it.",
            code="untrusted_certificate",
        )
    return CliError(f"{url} does not speak TLS as it should ({seen.reason}).", code="tls_failed")


def nobody_answers(url: str) -> CliError:
    """Return the error of a stack that cannot be reached."""
    return not_running(f"Nothing answers at {url}: is Parley running there?")
