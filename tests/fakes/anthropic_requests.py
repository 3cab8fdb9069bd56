"""What Anthropic's Messages API refuses in a request, and which part of a prompt it keeps."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from tests.fakes.shown_images import WrongImageError, anthropic_image

MOST_BREAKPOINTS = 4


NEWEST_VERSION = "2026-10-21"


def fault_of(body: dict[str, Any], version: str, *, takes_prefill: bool) -> str | None:
    """Return what the API says against a request; None when it takes it."""
    return next(_faults(body, version, takes_prefill=takes_prefill), None)


def _faults(body: dict[str, Any], version: str, *, takes_prefill: bool) -> Iterator[str]:
    for name in ("temperature", "top_p", "top_k"):
        if name in body and version >= NEWEST_VERSION:
            yield f"{name}: Extra inputs are not permitted"
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or limit < 1:
        yield "max_tokens: Field required"
    messages: list[dict[str, Any]] = body.get("messages") or []
    if not messages:
        yield "messages: at least one message is required"
    if messages[0].get("role") != "user":
        yield 'messages: first message must use the "user" role'
    for place, message in enumerate(messages):
        following = messages[place + 1] if place + 1 < len(messages) else None
        for fault in _faults_of_message(message, following):
            yield f"messages.{place}{fault}"
    if messages[-1]["role"] == "assistant" and not takes_prefill:
        yield (
            "This model does not support assistant message prefill."
            " The conversation must end with a user message."
        )
    if sum(1 for block in _blocks_in_order(body) if block.get("cache_control")) > MOST_BREAKPOINTS:
        yield f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided."
    yield from _faults_of_options(body)


def _faults_of_options(body: dict[str, Any]) -> Iterator[str]:
    temperature = body.get("temperature")
    if temperature is not None and not 0 <= temperature <= 1:
        yield "temperature: range: 0..1"
    if temperature is not None and body.get("top_p") is not None:
        yield "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    thinking: dict[str, Any] = body.get("thinking") or {}
    if thinking.get("type") == "enabled" and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        yield "`max_tokens` must be greater than `thinking.budget_tokens`."
    if thinking.get("type") in {"enabled", "adaptive"} and temperature not in {None, 1}:
        yield "`temperature` may only be set to 1 when thinking is enabled."
    choice: dict[str, Any] = body.get("tool_choice") or {"type": "auto"}
    if body.get("tool_choice") and not body.get("tools"):
        yield "tool_choice may only be specified while providing tools"
    if thinking.get("type") == "enabled" and choice["type"] in {"any", "tool"}:
        yield "Thinking may not be enabled when tool_choice forces tool use."


def _faults_of_message(message: dict[str, Any], following: dict[str, Any] | None) -> Iterator[str]:
    if message.get("role") not in {"user", "assistant"}:
        yield f': Unexpected role "{message.get("role")}". Allowed roles are "user" or "assistant".'
    blocks = blocks_of(message.get("content"))
    if not blocks:
        yield ": all messages must have non-empty content"
    for place, block in enumerate(blocks):
        if block["type"] == "text" and not block["text"].strip():
            yield f".content.{place}: text content blocks must be non-empty"
        if block["type"] == "image" and (fault := _image_fault(block)):
            yield f".content.{place}.image.{fault}"
        if block["type"] == "tool_use" and not isinstance(block.get("input"), dict):
            yield f".content.{place}.tool_use.input: Input should be a valid dictionary"
    is_begun = following is None and message["role"] == "assistant"
    if is_begun and blocks[-1].get("text", "").endswith((" ", "\n")):
        yield ": final assistant content cannot end with trailing whitespace"
    called = {block["id"] for block in blocks if block["type"] == "tool_use"}
    answers = blocks_of(following["content"] if following else None)
    if called - {block["tool_use_id"] for block in answers if block["type"] == "tool_result"}:
        yield ": `tool_use` ids were found without `tool_result` blocks immediately after"


def _image_fault(block: dict[str, Any]) -> str | None:
    try:
        anthropic_image(block)
    except WrongImageError as error:
        return str(error)
    return None


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """Return content as blocks: a string is one block of text."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content or [])


def _blocks_in_order(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what stands before the answer as the API hashes it: tools, the system prompt, messages."""
    yield from body.get("tools") or []
    yield from blocks_of(body.get("system"))
    messages: list[dict[str, Any]] = body.get("messages") or []
    for message in messages:
        yield from blocks_of(message.get("content"))


def words_in(block: dict[str, Any]) -> int:
    """Return how many words stand for the tokens of a block."""
    return len(json.dumps({key: block[key] for key in block if key != "cache_control"}).split())


class KeptPrefixes:
    """The provider's prefix cache: what stood before each breakpoint of earlier requests, in words."""

    def __init__(self) -> None:
        self._kept: set[str] = set()

    def count(self, body: dict[str, Any]) -> dict[str, int]:
        """Return the counts of a prompt: read from what is kept, newly kept, and neither."""
        hashed = hashlib.sha256(str(body["model"]).encode())
        total = read = marked = 0
        found: list[str] = []
        for block in _blocks_in_order(body):
            total += words_in(block)
            plain = {key: block[key] for key in block if key != "cache_control"}
            hashed.update(json.dumps(plain, sort_keys=True).encode())
            name = hashed.hexdigest()
            if name in self._kept:
                read = total
            if block.get("cache_control"):
                marked = total
                found.append(name)
        self._kept.update(found)
        return {
            "input_tokens": total - max(read, marked),
            "cache_creation_input_tokens": max(0, marked - read),
            "cache_read_input_tokens": read,
        }
