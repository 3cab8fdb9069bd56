"""Connections to the outside: resolved by us, checked, and made to the address that was checked."""

from parley_egress.address_policy import AddressPolicy, parse_allow_hosts, parse_networks
from parley_egress.dialing import TargetRefusedError
from parley_egress.posting import Posted, Poster, PostError

__all__ = [
    "AddressPolicy",
    "PostError",
    "Posted",
    "Poster",
    "TargetRefusedError",
    "parse_allow_hosts",
    "parse_networks",
]
