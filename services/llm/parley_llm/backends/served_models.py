"""The models of a server, whatever its wire format: which there are now, and their answers."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob, ModelInfo
from parley_messaging.circuit import Circuits

from parley_llm.backends.model_server import ModelServer
from parley_llm.backends.patience import MOST_REQUESTS, Patience
from parley_llm.backends.server_errors import ServerFault, readable
from parley_llm.backends.server_options import ServerOptions
from parley_llm.backends.wire_format import AnswerDecoder, ListedModel, WireFormat
from parley_llm.language_model import Chunk, FinalChunk

if TYPE_CHECKING:
    from parley_llm.backends.answer_stream import AnswerStream

LIST_BUDGET_S = 1.0
END_OF_STREAM_S = 1.0

_log = logging.getLogger("parley.llm")


class ServedModels:
    """Every chat model of one server, as `<pool>/<name>`. Open it by `open_models_of`.

    A server that lets its callers wait for the list of models has none for a while: turns are then started
    with another model at once, and do not wait for the list either. One to which no connection comes about
    keeps nobody waiting after the first few answers.
    """

    def __init__(self, wire: WireFormat, options: ServerOptions, circuits: Circuits) -> None:
        self._wire = wire
        self._options = options
        self._prefix = f"{wire.pool}/"
        self._listing = circuits.to(wire.pool)
        self._server = ModelServer(options, wire.refusal, circuits.to(f"{wire.pool}-connect"))
        self._listed: tuple[ModelInfo, ...] = ()
        self._last_reason: str | None = None

    @property
    def pool(self) -> str:
        return self._wire.pool

    @property
    def can_continue(self) -> bool:
        return self._wire.can_continue

    def serves(self, model_id: str) -> bool:
        return model_id.startswith(self._prefix) and len(model_id) > len(self._prefix)

    async def models(self) -> tuple[ModelInfo, ...]:
        try:
            with self._listing.passing(LIST_BUDGET_S), readable("list"):
                listed = await self._wire.listed(await self._server.client())
        except ParleyError as error:
            self._tell_once(str(error))
            # One slow answer is no reason to refuse the turns of its models.
            return self._listed if error.code is ErrorCode.TIMEOUT else ()
        self._tell_once(None)
        preferred_first = sorted(listed, key=lambda model: model.name != self._options.default_model)
        self._listed = tuple(self._info(model) for model in preferred_first)
        return self._listed

    async def watch(self) -> None:
        """Know the server, and have it ready for its first model when it comes up; runs until cancelled.

        The first job may be an answer to take over: whether it can be gone on with is to be known by then.
        """
        is_ready = False
        while True:
            models = await self.models()
            if not models:
                is_ready = False
            elif not is_ready:
                is_ready = await self.prepare(models[0].id)
            await asyncio.sleep(self._options.watch_interval_s)

    async def generate(self, job: GenerateJob, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        options = self._options
        patience = Patience(
            deadline_ms=job.deadline_ms,
            most_wait_s=options.retry_wait_s,
            first_wait_s=options.first_retry_s,
            # Another model answers sooner than one that is asked again.
            most_requests=1 if job.fallbacks else MOST_REQUESTS,
        )
        while True:
            has_begun = False
            try:
                async with aclosing(self._answer(job, written)) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
                    return
            except ServerFault as error:
                if has_begun:
                    raise
                wait_s = patience.wait_s(error)
                model, code = job.model, error.code.value
                _log.info("model asked again", extra={"model": model, "after_s": wait_s, "code": code})
            await asyncio.sleep(wait_s)

    async def _answer(self, job: GenerateJob, written: str) -> AsyncGenerator[Chunk, None]:
        """Ask once, and yield what comes."""
        model = job.model.removeprefix(self._prefix)
        decoder = self._wire.decoder(model)
        with readable(model):
            server = await self._server.client()
            request = await self._wire.request(server, model, job, written)
            async with server.answering(request, model) as stream:
                while decoder.ending is None:
                    received = await stream.read()
                    for piece in stream.heard(decoder.feed(received) if received else decoder.close()):
                        yield piece
                    if not received and decoder.ending is None:
                        raise stream.broken_off()
                await _read_to_end(stream, decoder)
                yield FinalChunk(decoder.usage, decoder.ending)

    async def close(self) -> None:
        """Close the connections to the server."""
        await self._server.close()

    async def prepare(self, model_id: str) -> bool:
        """Have a model ready for its first answer; return whether it is."""
        model = model_id.removeprefix(self._prefix)
        try:
            with readable(model):
                await self._wire.prepare(await self._server.client(), model)
        except ParleyError as error:
            _log.warning("model not loaded", extra={"model": model_id, "reason": str(error)})
            return False
        return True

    def _info(self, model: ListedModel) -> ModelInfo:
        return ModelInfo(
            id=f"{self._prefix}{model.name}",
            pool=self.pool,
            context_tokens=model.context_tokens,
            owned_by=model.owned_by,
            created_at_s=model.created_at_s,
            capabilities=model.capabilities,
            price=model.price,
            version=model.version,
        )

    def _tell_once(self, reason: str | None) -> None:
        """Log why nothing is listed, when it is not what was logged last."""
        if reason is not None and reason != self._last_reason:
            level = logging.INFO if self._options.is_assumed else logging.WARNING
            _log.log(level, "models of a server not listed", extra={"server": self.pool, "reason": reason})
        self._last_reason = reason


@asynccontextmanager
async def open_models_of(
    wire: WireFormat, options: ServerOptions, circuits: Circuits | None = None
) -> AsyncGenerator[ServedModels]:
    """Open the models of a server, which may be away; close its connections at the end."""
    models = ServedModels(wire, options, circuits or Circuits())
    try:
        yield models
    finally:
        await models.close()


async def _read_to_end(stream: "AnswerStream", decoder: AnswerDecoder) -> None:
    """Read what follows the answer, such as its usage; the connection can then be used again."""
    with suppress(ParleyError, TimeoutError, ValueError, TypeError, LookupError, AttributeError):
        async with asyncio.timeout(END_OF_STREAM_S):
            while received := await stream.read():
                for _ in decoder.feed(received):
                    pass
            for _ in decoder.close():
                pass
