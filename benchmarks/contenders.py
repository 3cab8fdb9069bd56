"""Who streams a model's answer to clients: the upstream itself, Parley, its peers, all on one upstream."""

import json
import os
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peer_installs import installed
from benchmarks.processes import running
from benchmarks.readiness import http_is_ready
from benchmarks.upstream import MODEL
from tests.conftest import free_port
from tests.integration.stack import open_stack

PEER_READY_S = 120.0
RUNNER_SLOTS = 1200
LLM_SLOTS = 512
LLM_WORKERS = ("llm-0", "llm-1")
"""Two, so that 1,000 answers find a slot: one process may have 512."""

CHAINLIT_APP = """
import os

import chainlit as cl
import httpx
from openai import AsyncOpenAI

limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
client = AsyncOpenAI(
    base_url=os.environ["UPSTREAM_URL"] + "/v1",
    api_key="sk-bench",
    max_retries=0,
    http_client=httpx.AsyncClient(limits=limits, timeout=600, trust_env=False),
)


@cl.on_message
async def answer(message: cl.Message) -> None:
    reply = cl.Message(content="")
    messages = [{"role": "user", "content": message.content}]
    stream = await client.chat.completions.create(model="bench", messages=messages, stream=True)
    async for part in stream:
        if part.choices and (text := part.choices[0].delta.content):
            await reply.stream_token(text)
    await reply.update()
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way from the upstream to a client. `processes` are its own, by name: pid and all its children."""

    name: str
    dialect: str
    port: int
    key: str = "sk-bench"
    processes: dict[str, int] = field(default_factory=dict[str, int])
    versions: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def address(self) -> dict[str, Any]:
        """How the clients come to it."""
        return {"dialect": self.dialect, "port": self.port, "key": self.key}


Opener = Callable[[Path, str], AbstractAsyncContextManager[Contender]]


def _port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@asynccontextmanager
async def _direct(_: Path, url: str) -> AsyncGenerator[Contender]:
    yield Contender("direct", "openai", _port_of(url))


def _parley(name: str, window_ms: float | None, dialect: str = "parley") -> Opener:
    """Return what opens a stack without retrieval; `window_ms` None leaves the worker's default.

    The dialect says by which protocol the upstream is asked.
    """

    @asynccontextmanager
    async def opened(folder: Path, url: str) -> AsyncGenerator[Contender]:
        environment = {
            "OLLAMA_HOST": url,
            "OPENAI_BASE_URL": f"{url}/v1",
            "ANTHROPIC_BASE_URL": url,
            "PARLEY_LLM_SLOTS": str(LLM_SLOTS),
            "PARLEY_LLM_OLLAMA_DEFAULT_MODEL": MODEL,
            "PARLEY_GATEWAY_RUNNER_SLOTS": str(RUNNER_SLOTS),
        }
        if window_ms is not None:
            environment["PARLEY_LLM_DELTA_WINDOW_MS"] = f"{window_ms:g}"
        services = (*LLM_WORKERS, "memory")
        async with open_stack(
            folder / name, model_dir=folder, services=services, environment=environment
        ) as stack:
            processes = {part: process.pid for part, process in stack.processes.items()}
            yield Contender(name, dialect, _port_of(stack.url()), stack.owner_key, processes)

    return opened


def _peer_environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment without our own settings and without a proxy, its home in `folder`."""
    kept = {"PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"}
    base = {name: value for name, value in os.environ.items() if name in kept}
    return {**base, "HOME": str(folder), "PYTHONUNBUFFERED": "1", "NO_PROXY": "*", **settings}


def _litellm(name: str, workers: int) -> Opener:
    """Return what opens LiteLLM's proxy as its documentation advises for production, without a database."""

    @asynccontextmanager
    async def opened(folder: Path, url: str) -> AsyncGenerator[Contender]:
        peer = await installed("litellm")
        port, own = free_port(), folder / name
        own.mkdir()
        # It does not start without a key of its own, nor with a weak one.
        key = f"sk-{secrets.token_hex(24)}"
        upstream = {"model": f"openai/{MODEL}", "api_base": f"{url}/v1", "api_key": "sk-bench"}
        settings = {
            "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
            "litellm_settings": {
                "telemetry": False,
                "set_verbose": False,
                "num_retries": 0,
                "request_timeout": 600,
            },
            "general_settings": {"master_key": key, "disable_spend_logs": True, "disable_error_logs": True},
        }
        # JSON is YAML.
        (own / "config.yaml").write_text(json.dumps(settings), encoding="utf-8")
        environment = _peer_environment(
            own,
            LITELLM_LOG="ERROR",
            LITELLM_MODE="PRODUCTION",
            LITELLM_TELEMETRY="False",
            LITELLM_LOCAL_MODEL_COST_MAP="True",
            AIOHTTP_CONNECTOR_LIMIT="0",
            AIOHTTP_CONNECTOR_LIMIT_PER_HOST="0",
        )
        argv = [peer.program("litellm"), "--config", str(own / "config.yaml"), "--host", "127.0.0.1"]
        argv += ["--port", str(port), "--num_workers", str(workers)]
        if workers > 1:
            # On two busy cores a worker is not up within the 5 s after which it would be started again.
            argv += ["--timeout_worker_healthcheck", "120"]
        async with running(name, argv, environment, own) as process:
            await http_is_ready(process, port, path="/health/liveliness", within_s=PEER_READY_S)
            yield Contender(name, "openai", port, key, {name: process.pid}, peer.versions)

    return opened


@asynccontextmanager
async def _chainlit(folder: Path, url: str) -> AsyncGenerator[Contender]:
    peer = await installed("chainlit")
    port, own = free_port(), folder / "chainlit"
    own.mkdir()
    (own / "app.py").write_text(CHAINLIT_APP, encoding="utf-8")
    environment = _peer_environment(
        own,
        CHAINLIT_APP_ROOT=str(own),
        UPSTREAM_URL=url,
        UVICORN_WS_PER_MESSAGE_DEFLATE="false",
    )
    argv = [peer.program("chainlit"), "run", str(own / "app.py"), "--headless", "--host", "127.0.0.1"]
    argv += ["--port", str(port), "--no-cache"]
    async with running("chainlit", argv, environment, own) as process:
        await http_is_ready(process, port, path="/project/translations", within_s=PEER_READY_S)
        yield Contender(
            "chainlit", "chainlit", port, processes={"chainlit": process.pid}, versions=peer.versions
        )


OPENERS: dict[str, Opener] = {
    "direct": _direct,
    "parley": _parley("parley", None),
    "parley window 0": _parley("parley window 0", 0),
    "litellm": _litellm("litellm", 1),
    "litellm 2 workers": _litellm("litellm 2 workers", 2),
    "chainlit": _chainlit,
}
"""By name, in the order in which they take turns; `parley` has the worker's default window."""

ON_REQUEST: dict[str, Opener] = {
    "parley openai": _parley("parley openai", None, "parley-openai"),
    "parley anthropic": _parley("parley anthropic", None, "parley-anthropic"),
}
"""Contenders that run only when they are named: the same stack, its upstream asked by another protocol."""
