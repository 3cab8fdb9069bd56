"""What fake model servers answer, whatever their protocol: behaviours, words and faults by a model's name.

Words name their call and place, as in `c3w17`, so that a second generation cannot pass for the first.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

FAULTS = frozenset(
    {
        "cut",
        "cut_early",
        "unfinished",
        "stall",
        "silent",
        "malformed",
        "failing",
        "failing429",
        "failing_quota",
    }
)
QUICK_MODEL = "llama3.2:1b"
WORDS_BEFORE_FAULT = 3
_FIRST_WORD = re.compile(r"c(\d+)w0 ")
_WORD = re.compile(r"c(\d+)w(\d+) ")


class ConnectionCutError(Exception):
    """Raised in a body so that the server drops the connection."""


@dataclass(frozen=True)
class Behaviour:
    """How one model answers; times in milliseconds. Signed words name the call that wrote them.

    A fault comes after `words_before_fault`.

    `pad` dots in each word make an answer large without many words. `form` is how the stream is written.
    """

    fault: str | None = None
    ttft_ms: float = 0
    gap_ms: float = 0
    count: int = 20
    is_signed: bool = False
    pad: int = 0
    form: str = ""
    words_before_fault: int = WORDS_BEFORE_FAULT


def behaviour_of(model: str) -> Behaviour | None:
    """Return how a model of that name behaves; None when there is no such model."""
    if model in FAULTS:
        return Behaviour(fault=model, count=10)
    if model == QUICK_MODEL:
        return Behaviour()
    name, _, values = model.partition(":")
    if name == "form":
        return Behaviour(count=0 if values == "nothing-but-done" else 4, form=values)
    if name != "paced":
        return None
    numbers = {
        key: float(value) for key, _, value in (pair.partition("=") for pair in values.split(",") if pair)
    }
    cut = int(numbers.get("cut", 0))
    return Behaviour(
        fault="cut" if cut else None,
        words_before_fault=cut,
        ttft_ms=numbers.get("ttft", 0),
        gap_ms=numbers.get("gap", 0),
        count=int(numbers.get("count", 20)),
        is_signed=bool(numbers.get("signed", 0)),
        pad=int(numbers.get("pad", 0)),
    )


async def scripted_words(behaviour: Behaviour, words: list[str]) -> AsyncIterator[str]:
    """Yield words at a model's pace; one with a fault sends a few and then cuts, stalls or just ends."""
    if behaviour.fault == "silent":
        await asyncio.Event().wait()
    await asyncio.sleep(behaviour.ttft_ms / 1000)
    if behaviour.fault == "cut_early":
        raise ConnectionCutError
    for index, word in enumerate(words):
        if index and behaviour.gap_ms:
            await asyncio.sleep(behaviour.gap_ms / 1000)
        if index == behaviour.words_before_fault and behaviour.fault:
            if behaviour.fault == "cut":
                raise ConnectionCutError
            if behaviour.fault == "stall":
                await asyncio.Event().wait()
            return
        yield word


def remaining_words(behaviour: Behaviour, prefix: str, call: int) -> list[str]:
    """Return the words of an answer that a prefix of an earlier call does not hold yet."""
    if behaviour.is_signed:
        return _signed_words(behaviour.count, prefix, call)
    earlier = _FIRST_WORD.match(prefix)
    number = int(earlier.group(1)) if earlier else call
    words = [f"c{number}w{index} {'.' * behaviour.pad}" for index in range(behaviour.count)]
    left = len(prefix) if "".join(words).startswith(prefix) else 0
    rest: list[str] = []
    for word in words:
        if left < len(word):
            rest.append(word[left:])
        left = max(left - len(word), 0)
    return rest


def _signed_words(count: int, prefix: str, call: int) -> list[str]:
    """Return words that name this call, counted on from a prefix that ends with a whole word, else from 0."""
    written = _WORD.findall(prefix)
    is_ours = "".join(f"c{number}w{index} " for number, index in written) == prefix
    first = len(written) if is_ours else 0
    return [f"c{call}w{index} " for index in range(first, count)]
