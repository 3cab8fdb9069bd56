"""How long to wait before a process is started again."""

from collections import deque
from dataclasses import dataclass, field

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0
WINDOW_S = 60.0
LOOP_AFTER = 3


@dataclass
class BackOff:
    """Triples the wait with each crash of the last minute; a process that stayed up starts at once."""

    crashes: deque[float] = field(default_factory=deque[float])

    def crashed(self, now_s: float) -> float:
        """Note a crash and return the seconds to wait."""
        while self.crashes and now_s - self.crashes[0] > WINDOW_S:
            self.crashes.popleft()
        self.crashes.append(now_s)
        return min(FIRST_DELAY_S * 3.0 ** (len(self.crashes) - 1), LONGEST_DELAY_S)

    @property
    def is_loop(self) -> bool:
        """Whether it crashes again and again."""
        return len(self.crashes) >= LOOP_AFTER
