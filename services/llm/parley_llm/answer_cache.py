"""Answers that are given again, word for word, where everything that decides them is the same.

What is kept is sealed under the question itself: whoever reads Redis, or its files, and does not know the
whole prompt learns from it neither the prompt nor the answer.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from parley_contracts.llm import GenerateJob
from parley_contracts.turns import GenerationParams, TokenUsage
from prometheus_client import CollectorRegistry, Counter
from pydantic_core import from_json, to_json

from parley_llm.answer_store import AnswerStore, root_of
from parley_llm.language_model import Chunk, FinalChunk, Piece, ReasoningChunk, TextChunk, ToolCallChunk

FORM = 1
"""Of what is kept; another one is another key."""

MOST_BYTES = 262_144
PIECE_CHARS = 4_000
NONCE_BYTES = 12
_KEPT_REASONS = frozenset({"stop", "length", "tool_calls"})


def is_deterministic(params: GenerationParams) -> bool:
    """Return whether the same question is meant to have the same answer; likelihoods are not kept."""
    return (params.temperature == 0 or params.seed is not None) and not params.logprobs


class CacheMeter:
    """Counts what became of questions that may be answered from the cache."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "parley_llm_remembered_answers",
            "Questions that may be answered from the cache: `hit`, `miss`, and answers that were `kept`.",
            ["outcome"],
            registry=registry,
        )

    def count(self, outcome: str) -> None:
        """Count one."""
        self._answers.labels(outcome).inc()


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    secret: bytes


class AnswerCache:
    """Finds answers and keeps them, for one owner each. `servers` says of each pool how it is used."""

    def __init__(self, store: AnswerStore, meter: CacheMeter, servers: Mapping[str, str]) -> None:
        self._store = store
        self._meter = meter
        self._servers = servers

    async def entry(self, job: GenerateJob, pool: str, version: str) -> "CacheEntry | None":
        """Return the place of an answer, with what is there; None for one that is not to be kept."""
        if not job.uses_cache or pool not in self._servers or not is_deterministic(job.params):
            return None
        key = _key_of(job, self._servers[pool], version)
        root = root_of(job.turn.owner_id)
        found = await self._store.get(root, key.name)
        kept = () if found is None else _opened(found, key)
        self._meter.count("hit" if kept else "miss")
        return CacheEntry(self._store, self._meter, root, key, kept)


class CacheEntry:
    """One place. `kept` is the answer that is there; empty where there is none.

    Of what is written it is told piece by piece, and it keeps that at the end.
    """

    def __init__(
        self, store: AnswerStore, meter: CacheMeter, root: str, key: _Key, kept: tuple[Chunk, ...]
    ) -> None:
        self.kept = kept
        self._store = store
        self._meter = meter
        self._root = root
        self._key = key
        self._pieces: list[tuple[list[Any], list[str]]] = []

    async def add(self, chunk: Chunk) -> None:
        """Note a chunk; the final one has the answer kept, if it is whole and not too large."""
        if isinstance(chunk, FinalChunk):
            await self._keep(chunk)
            return
        *whose, text = _noted(chunk)
        if self._pieces and self._pieces[-1][0] == whose:
            self._pieces[-1][1].append(text)
        else:
            self._pieces.append((whose, [text]))

    async def _keep(self, final: FinalChunk) -> None:
        if final.finish_reason not in _KEPT_REASONS or not final.usage.is_told or not final.is_repeatable:
            return
        pieces = [[*whose, "".join(texts)] for whose, texts in self._pieces]
        told = {"pieces": pieces, "usage": final.usage, "reason": final.finish_reason}
        plain = to_json(told)
        if len(plain) > MOST_BYTES:
            return
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(self._key.secret).encrypt(nonce, plain, self._key.name.encode())
        if await self._store.put(self._root, self._key.name, sealed):
            self._meter.count("kept")


def _key_of(job: GenerateJob, server: str, version: str) -> _Key:
    """Return where the answer of a job stands, and what it is sealed under: both follow from the question."""
    decides = to_json(
        {
            "form": FORM,
            "owner": job.turn.owner_id,
            "server": server,
            "model": job.model,
            "version": version,
            "messages": job.messages,
            "files": [
                (one.id, one.sha256, one.name, one.content_type, one.max_chars, one.is_left_out)
                for one in job.attachments
            ],
            "params": job.params,
            "tools": job.tools,
        }
    )
    return _Key(hashlib.sha256(b"name\0" + decides).hexdigest(), hashlib.sha256(b"key\0" + decides).digest())


def _noted(piece: Piece) -> list[Any]:
    """Return a piece as it is kept: whose it is, then its text."""
    if isinstance(piece, TextChunk):
        return ["text", piece.text]
    if isinstance(piece, ReasoningChunk):
        return ["reasoning", piece.text]
    # A later piece of a call names neither: it belongs to the one that began with that index.
    return ["call", piece.index, piece.id, piece.name, piece.arguments]


def _opened(sealed: bytes, key: _Key) -> tuple[Chunk, ...]:
    """Return the answer that was sealed; nothing for what is none of ours."""
    try:
        plain = AESGCM(key.secret).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], key.name.encode())
        told = from_json(plain)
        usage = _remembered(TokenUsage.model_validate(told["usage"]))
        pieces = [chunk for noted in told["pieces"] for chunk in _chunks_of(noted)]
        return (*pieces, FinalChunk(usage, told["reason"]))
    except (InvalidTag, ValueError, TypeError, LookupError):
        return ()


def _chunks_of(noted: list[Any]) -> Iterator[Piece]:
    match noted:
        case ["text", text]:
            yield from (TextChunk(text[at : at + PIECE_CHARS]) for at in range(0, len(text), PIECE_CHARS))
        case ["reasoning", text]:
            yield from (
                ReasoningChunk(text[at : at + PIECE_CHARS]) for at in range(0, len(text), PIECE_CHARS)
            )
        case ["call", index, call_id, name, arguments]:
            yield ToolCallChunk(index, call_id, name, arguments)
        case _:
            raise ValueError("a piece of no kind")


def _remembered(usage: TokenUsage) -> TokenUsage:
    """Return what an answer counts that nobody was asked for."""
    return usage.model_copy(
        update={
            "cached_tokens": usage.prompt_tokens,
            "remembered_prompt_tokens": usage.prompt_tokens,
            "remembered_completion_tokens": usage.completion_tokens,
        }
    )
