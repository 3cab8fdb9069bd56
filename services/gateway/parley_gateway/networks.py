"""Lists of addresses and networks in settings."""

from ipaddress import ip_network

from parley_contracts.addresses import read_address


class Networks:
    """Addresses and networks, separated by commas; ValueError names what is neither."""

    def __init__(self, text: str) -> None:
        self._networks = tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())

    def __contains__(self, text: str) -> bool:
        address = read_address(text)
        return address is not None and any(
            address in network for network in self._networks if network.version == address.version
        )
