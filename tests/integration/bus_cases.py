"""Messages for any channel of the catalogue: valid, nearly valid and noise; headers may be wrong."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol, cast

from hypothesis import strategies as st
from parley_contracts import headers
from parley_contracts.channel import Channel, ChannelKind
from parley_contracts.claims import Acting, ClaimsSigner
from parley_contracts.subject_permissions import TURN_SUBJECTS, area_of
from pydantic import BaseModel

from tests.contract.made_messages import made

LINE = b"NATS/1.0\r\n"
SOON_MS = 8_000
DEEP = "@deep@"
NESTED = 5_000
LARGE = "x" * 300_000
UNSAYABLE = ("", " ", "a b", "a.b", "*", ">", "a.>", "\x00", "\ud800", "ä", "../x", "x" * 200, "a\r\nb")
"""Ids that no part of a subject, or no row, can carry."""

EXTREMES = (-1, 0, 2**31, 2**53, 2**63, -(2**63), 2**64, 10**30, 10**400, 1e308, -0.0, float("nan"), 0.5)
STRANGE: tuple[Any, ...] = (
    None,
    True,
    "",
    "\x00",
    "\ud800",
    LARGE,
    DEEP,
    [],
    {},
    [None],
    {"": None},
    ["x"] * 5_000,
)
_STRANGER = st.sampled_from(STRANGE).map(deepcopy)
"""A copy: what is put into one message may be spoilt further there."""

PARTS = ("é", "a$b", "%00", "x" * 200, "0", "-", "a:b", "NaN", "\u202e")
WORDS = (b"", b"x", b"-1", b"9" * 400, b"1e9", "١٢٣".encode(), b"\xff\xfe", b"a\x00b", b"x" * 5_000, b"{}")
BLOCKS = (
    b"\r\n",
    LINE + b"\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 100 Idle\xff\r\n\r\n",
    b"NATS/1.0 \xff\xff\xff\r\n\r\n",
    LINE + b": nameless\r\n\r\n",
    LINE + b"no colon\r\n\r\n",
    LINE + b"Parley-Deadline\r\n folded: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
)
"""Blocks of headers that are no such, or of which nothing can be taken."""


class Likeness(StrEnum):
    """How much a message is like what its channel carries."""

    VALID = "valid"
    NEARLY = "nearly"
    NOISE = "noise"


@dataclass(frozen=True)
class Case:
    """One message, ready to be published as it is."""

    speaker: str
    subject: str
    headers: bytes
    body: bytes
    likeness: Likeness


class Known(Protocol):
    """What there is in the stack that messages can name."""

    @property
    def principals(self) -> Sequence[Acting]:
        """Who may be spoken for."""
        ...

    @property
    def ids(self) -> Mapping[str, Sequence[str]]:
        """Ids that are somebody's, by the fields that name such."""
        ...

    @property
    def signer(self) -> ClaimsSigner:
        """Vouches for anybody, as gateways do."""
        ...


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@st.composite
def cases(draw: st.DrawFn, channel: Channel, places: Sequence[tuple[str, str]], known: Known) -> Case:
    """Return a message for a channel by one of those who may say something there, and where each may."""
    acting = draw(st.sampled_from(known.principals))
    message = draw(st.sampled_from(channel.messages))
    likeness = draw(st.sampled_from([*Likeness, Likeness.NEARLY]))
    told = draw(_valid(message, acting, known))
    parts = [draw(_part(name, told, known)) for name in channel.parameters]
    if likeness is Likeness.NEARLY:
        told = draw(_spoilt(told))
    body = draw(_noise(encoded(told))) if likeness is Likeness.NOISE else encoded(told)
    speaker, said_at = draw(st.sampled_from(places))
    names = iter(parts)
    drawn = [next(names) if part == "*" else part for part in channel.pattern.split(".")]
    literal = [own if part == "*" else part for own, part in zip(drawn, said_at.split("."), strict=True)]
    return Case(
        speaker=speaker,
        subject=".".join(literal),
        headers=draw(_header_block(channel, acting, told, known, is_right=likeness is Likeness.VALID)),
        body=body,
        likeness=likeness,
    )


def encoded(told: Any) -> bytes:
    """Return JSON, of what JSON can and of what it cannot say."""
    return json.dumps(told).replace(f'"{DEEP}"', "[" * NESTED + "]" * NESTED).encode()


# -- bodies ------------------------------------------------------------------------------------------


@st.composite
def _valid(draw: st.DrawFn, message: type[BaseModel], acting: Acting, known: Known) -> dict[str, Any]:
    told: dict[str, Any] = draw(made(message)).model_dump(mode="json")
    for place, name in list(_places(told)):
        if not isinstance(name, str):
            continue
        if name.endswith("_ms") and isinstance(place[name], int):
            place[name] = now_ms() + draw(st.sampled_from([0, -1_000, SOON_MS]))
        elif name == "owner_id":
            place[name] = acting.owner_id
        elif isinstance(place[name], str) and name in known.ids and draw(st.integers(0, 3)):
            place[name] = draw(st.sampled_from(known.ids[name]))
    if "role" in told and "scopes" in told:
        told |= {"role": acting.role.value, "scopes": None}
    return told


@st.composite
def _spoilt(draw: st.DrawFn, told: dict[str, Any]) -> Any:
    """Return a message in which one to three places are wrong."""
    found: Any = json.loads(json.dumps(told))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(found))
        if not places:
            return draw(_STRANGER)
        place, name = draw(st.sampled_from(places))
        wrong = st.one_of(st.none(), st.sampled_from(UNSAYABLE), st.sampled_from(EXTREMES), _STRANGER)
        if isinstance(name, str) and (name.endswith("_id") or name in ("home", "pool")):
            place[name] = draw(st.sampled_from(UNSAYABLE))
        elif isinstance(name, str) and not draw(st.integers(0, 3)):
            del place[name]
        else:
            place[name] = draw(wrong)
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a JSON value: what holds it, and its name or number there."""
    if isinstance(value, dict):
        for name, inner in list(cast(dict[str, Any], value).items()):
            yield value, name
            yield from _places(inner)
    elif isinstance(value, list):
        for number, inner in enumerate(cast(list[Any], value)[:20]):
            yield value, number
            yield from _places(inner)


def _noise(valid: bytes) -> st.SearchStrategy[bytes]:
    """Return bytes that are no message, some of them nearly JSON."""
    return st.one_of(
        st.binary(max_size=200),
        st.integers(0, len(valid)).map(lambda end: valid[:end]),
        st.sampled_from(
            [
                b"",
                b"null",
                b"[]",
                b'"',
                b"[" * 100_000,
                b'{"type":' * 20_000,
                b'{"type":%b}' % (b"9" * 5_000),
                valid * 2,
                b"\xef\xbb\xbf" + valid,
                valid.replace(b'"', b"\xff", 3),
                valid.decode().encode("utf-16"),
                b"\x00" * 500_000,
            ]
        ),
    )


def _said(told: Any, name: str) -> list[str]:
    """Return the texts that a message has in fields of a name, from the outside in."""
    found = [place[field] for place, field in _places(told) if field == name]
    return [one for one in found if isinstance(one, str)]


# -- subjects and headers ----------------------------------------------------------------------------


@st.composite
def _part(draw: st.DrawFn, name: str, told: dict[str, Any], known: Known) -> str:
    """Return what varies in a subject: mostly what the message itself says, or what is there."""
    if name == "number":
        return str(draw(st.sampled_from([1, 1, 2, 3, 0, 2**70, "x"])))
    sayable = [
        one for one in (*_said(told, name), *known.ids.get(name, ())) if one.isascii() and one.isalnum()
    ]
    return draw(
        st.sampled_from(PARTS) if not sayable or not draw(st.integers(0, 4)) else st.sampled_from(sayable)
    )


@st.composite
def _header_block(
    draw: st.DrawFn, channel: Channel, acting: Acting, told: Any, known: Known, *, is_right: bool
) -> bytes:
    """Return headers as they go over the wire; empty is none."""
    if channel.is_bare and draw(st.integers(0, 3)):
        return b""
    # What is valid otherwise is mostly to be taken.
    is_right = is_right and bool(draw(st.integers(0, 3)))
    if not is_right and not draw(st.integers(0, 12)):
        return draw(st.sampled_from(BLOCKS))
    right: dict[str, bytes] = {
        headers.CLAIMS: draw(_claims(channel, acting, told, known, is_right=is_right)),
        headers.MESSAGE_ID: b"fuzz",
        headers.CORRELATION_ID: b"fuzz",
        headers.TRACEPARENT: b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01",
        headers.DEADLINE: str(now_ms() + SOON_MS).encode(),
    }
    if channel.kind is ChannelKind.COMMAND:
        right[headers.TURN] = encoded(told)
    lines: list[tuple[str, bytes]] = list(right.items()) if is_right else []
    for name, value in () if is_right else right.items():
        wrong = draw(st.sampled_from(WORDS))
        match draw(st.sampled_from(["right"] * 9 + ["missing", "wrong", "doubled", "twice"])):
            case "right":
                lines.append((name, value))
            case "wrong":
                lines.append((name, wrong))
            case "doubled":
                lines += draw(st.permutations([(name, value), (name, wrong)]))
            case "twice":
                lines += [(name, value)] * 2
            case _:
                continue
    return LINE + b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in lines) + b"\r\n"


def _may_be_claimed(turn_id: str) -> bool:
    """Return whether claims can name it at all; half a character stands in none."""
    return len(turn_id) < 128 and not any("\ud800" <= one <= "\udfff" for one in turn_id)


@st.composite
def _claims(
    draw: st.DrawFn, channel: Channel, acting: Acting, told: Any, known: Known, *, is_right: bool
) -> bytes:
    """Return claims that hold for the message; one time in eight for somebody else, or for elsewhere."""
    said = acting if is_right or draw(st.integers(0, 7)) else draw(st.sampled_from(known.principals))
    if channel.kind is ChannelKind.REQUEST:
        area = area_of(channel.pattern) if is_right or draw(st.integers(0, 7)) else "elsewhere"
        return known.signer.sign(said, area).encode()
    if channel.pattern in TURN_SUBJECTS:
        said = replace(said, turn_id=next(filter(_may_be_claimed, _said(told, "turn_id")), None))
        return known.signer.sign_lasting(said, TURN_SUBJECTS).encode()
    return known.signer.sign_lasting(said, (channel.pattern,)).encode()
