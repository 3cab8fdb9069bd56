"""Connections to the outside: resolved by us, checked, and made to the address that was checked."""

from parley_egress.address_policy import AddressPolicy, parse_allow_hosts, parse_networks
from parley_egress.dialing import TargetRefusedError, resolving_in
from parley_egress.exchange import Answer, Asked, ExchangeError, Exchanger
from parley_egress.posting import Posted, Poster, PostError
from parley_egress.waiting_threads import open_threads

__all__ = [
    "AddressPolicy",
    "Answer",
    "Asked",
    "ExchangeError",
    "Exchanger",
    "PostError",
    "Posted",
    "Poster",
    "TargetRefusedError",
    "open_threads",
    "parse_allow_hosts",
    "parse_networks",
    "resolving_in",
]
