"""How many connections are open, in all and from each host. Full rule: a new one is refused and closed."""

from collections import Counter

from parley_contracts.addresses import host_of

from parley_gateway.networks import Networks


class Connections:
    """Counts what is open at this process; some addresses are not counted by host."""

    def __init__(self, *, total: int, per_host: int, uncounted: Networks) -> None:
        self.refused: dict[str, int] = {"total": 0, "host": 0}
        self._total = total
        self._per_host = per_host
        self._uncounted = uncounted
        self._open = 0
        self._hosts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._open

    @property
    def hosts(self) -> int:
        """How many hosts have a connection that is counted."""
        return len(self._hosts)

    def enter(self, address: str) -> bool:
        """Count a connection; False, and not counted, when there is no room for it."""
        if self._open >= self._total:
            self.refused["total"] += 1
            return False
        if address not in self._uncounted:
            host = host_of(address)
            if self._hosts[host] >= self._per_host:
                self.refused["host"] += 1
                return False
            self._hosts[host] += 1
        self._open += 1
        return True

    def leave(self, address: str) -> None:
        """Count a connection no longer."""
        self._open -= 1
        if address in self._uncounted:
            return
        host = host_of(address)
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
