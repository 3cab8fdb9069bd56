"""A small service that the tests of a service's life run as a process of its own."""

import asyncio
import logging

from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings
from parley_messaging import Service, ServiceSettings, run_service
from pydantic import Field


class EchoSettings(ServiceSettings):
    echo_s: float = Field(default=0.0, ge=0, description="How long an answer takes.")
    echo_fails_at_stop: bool = Field(default=False, description="Whether its first step of stopping fails.")
    echo_hangs_at_start: bool = Field(default=False, description="Whether it never gets ready.")
    echo_hangs_at_stop: bool = Field(default=False, description="Whether a step of stopping never ends.")


async def compose(service: Service, settings: EchoSettings) -> None:
    async def embed(request: Embed) -> Embeddings:
        await asyncio.sleep(settings.echo_s)
        return Embeddings(model="m", engine="e", dimensions=len(request.texts), vectors=b"\x00" * 4)

    async def fail() -> None:
        raise RuntimeError("a step that fails")

    async def hang() -> None:
        await asyncio.Event().wait()

    if settings.echo_hangs_at_start:
        logging.getLogger("parley.echo").info("hanging")
        await hang()
    if settings.echo_fails_at_stop:
        service.on_stop(fail)
    if settings.echo_hangs_at_stop:
        service.on_stop(hang)
    service.answer(subjects.NPU_EMBED, Embed, embed)


if __name__ == "__main__":
    run_service("echo", EchoSettings, compose)
