"""What may be logged of an error nobody foresaw: where it was raised, and its words only as content.

The words of an error of some library may quote a prompt, an answer or a server.
"""

import traceback

from parley_messaging.logs import CONTENT_KEY


def fault_fields(error: BaseException) -> dict[str, object]:
    """Return the fields of a log line about an error."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "fault": type(error).__name__,
        "raised_at": [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames],
        CONTENT_KEY: str(error),
    }
