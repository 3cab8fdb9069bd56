"""When a server that has refused an answer is asked once more: before anything is written, and in time."""

import random
import time
from collections.abc import Callable

from parley_llm.backends.server_errors import ServerFault

MOST_REQUESTS = 3
FIRST_WAIT_S = 0.5


class Patience:
    """Counts the requests of one answer. A wait that does not end before the turn's deadline is not begun."""

    def __init__(
        self,
        *,
        deadline_ms: int,
        most_wait_s: float,
        first_wait_s: float = FIRST_WAIT_S,
        most_requests: int = MOST_REQUESTS,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._deadline_s = deadline_ms / 1000
        self._most_wait_s = most_wait_s
        self._first_wait_s = first_wait_s
        self._clock = clock
        self._chance = chance
        self._most_requests = most_requests
        self._requests = 1

    def wait_s(self, error: ServerFault) -> float:
        """Return how long to wait before the next request: what the server says, or longer each time.

        Raises:
            ServerFault: `error`, where there is to be no other request.
        """
        # Those who were refused together do not come again together.
        own_s = self._first_wait_s * 2 ** (self._requests - 1) * (1 + self._chance())
        wait_s = own_s if error.retry_after_s is None else error.retry_after_s + self._chance()
        is_soon = (error.retry_after_s or own_s) <= self._most_wait_s
        is_in_time = self._clock() + wait_s < self._deadline_s
        if not (error.retryable and self._requests < self._most_requests and is_soon and is_in_time):
            raise error
        self._requests += 1
        return wait_s
