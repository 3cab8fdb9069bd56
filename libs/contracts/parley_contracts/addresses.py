"""What counts as one host: the address that one holder is given."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address


def read_address(text: str) -> Address | None:
    """Return an address without its zone, one of IPv4 that came as IPv6 as such; None for what is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or IPv6Address(int(found))) if isinstance(found, IPv6Address) else found


def host_of(text: str) -> str:
    """Return what counts as one host: an IPv4 address, or the /64 that one holder of IPv6 is given."""
    address = read_address(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return text if address is None else str(address)
