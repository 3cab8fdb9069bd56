"""Which hosts tools may ask over HTTP: those that the operator names, and none unless he does."""

from dataclasses import dataclass

from parley_egress.address_policy import DEFAULT_PORTS, HostPort, parse_host


@dataclass(frozen=True, slots=True)
class HttpHosts:
    """Exact hosts, and with `*.` before them all below them; each at one port, or at the usual ones.

    Attributes:
        exact: Hosts.
        below: Names below which every host is allowed.
    """

    exact: frozenset[tuple[str, int | None]]
    below: frozenset[tuple[str, int | None]]

    def allows(self, target: HostPort) -> bool:
        """Return whether a host may be asked at a port."""
        ports = (target.port, None) if target.port in DEFAULT_PORTS.values() else (target.port,)
        parents = target.host.split(".")[1:]
        above = [".".join(parents[start:]) for start in range(len(parents))]
        return any(
            (target.host, port) in self.exact or any((name, port) in self.below for name in above)
            for port in ports
        )

    def __bool__(self) -> bool:
        return bool(self.exact or self.below)


def parse_http_hosts(text: str) -> HttpHosts:
    """Return the hosts of a comma-separated list; ValueError for an entry that names none."""
    exact, below = set[tuple[str, int | None]](), set[tuple[str, int | None]]()
    for entry in filter(None, (one.strip() for one in text.split(","))):
        name = entry.removeprefix("*.")
        (below if name != entry else exact).add(_host_and_port(name))
    return HttpHosts(frozenset(exact), frozenset(below))


def _host_and_port(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        host, port = text, ""
    if "*" in host or (port and not (port.isdecimal() and 0 < int(port) < 65_536)):
        raise ValueError(f"not a host, nor host:port: {text!r}")
    return str(parse_host(host)), int(port) if port else None
