"""The models of one job: one after the other is asked, until one begins to answer."""

import logging
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from parley_contracts.attachments import as_seen
from parley_contracts.errors import ErrorCode, ParleyError
from parley_contracts.llm import GenerateJob
from parley_contracts.turns import ModelLink

from parley_llm.catalogue import Catalogue
from parley_llm.language_model import Chunk, LanguageModel, TextChunk

log = logging.getLogger("parley.llm")

CHARS_A_TOKEN = 3
"""A careful guess: a prompt that does not fit may be cut by its server without a word."""


@dataclass(frozen=True, slots=True)
class _Link:
    model: LanguageModel
    job: GenerateJob


class ModelChain:
    """Asks the job's model, then its fallbacks; where all are away, the model that is always there.

    Only who has written nothing is replaced: from the first piece on an answer is one model's, to its end.

    Attributes:
        answering: The id of the model that was asked last.
        is_replaced: It is not the one that was to be asked first.
    """

    def __init__(self, catalogue: Catalogue, job: GenerateJob) -> None:
        self._catalogue = catalogue
        self._job = job
        self._links = tuple(_links(catalogue, job))
        self.answering = job.model
        self.is_replaced = False

    @property
    def is_empty(self) -> bool:
        """Whether this service serves none of the models."""
        return not self._links

    async def goes_on(self, written: str) -> bool:
        """Return whether an answer that another worker began is gone on with: no model does for another.

        With several models it is not known which of them began it. With one it may have been the last
        resort, while that one was away: what that would write is the same each time.
        """
        if len(self._links) != 1 or not self._links[0].model.can_continue:
            return False
        last = self._catalogue.last_resort
        if not written or self._links[0].model is last:
            return True
        quoted = ""
        with suppress(ParleyError):
            async with aclosing(last.generate(self._job)) as chunks:
                async for chunk in chunks:
                    quoted += chunk.text if isinstance(chunk, TextChunk) else ""
                    if len(quoted) >= len(written):
                        break
        return not quoted.startswith(written)

    async def generate(self, *, written: str = "") -> AsyncGenerator[Chunk, None]:
        """Write the answer, as `LanguageModel.generate` does."""
        left = [*self._links]
        has_begun = bool(written)
        while True:
            link = left.pop(0)
            self.answering = link.job.model
            self.is_replaced = self.answering != self._job.model
            try:
                async with aclosing(self._asked(link, written, has_others=bool(left))) as chunks:
                    async for chunk in chunks:
                        has_begun = True
                        yield chunk
                    return
            except ParleyError as error:
                if has_begun:
                    raise
                left = left or await self._last_resort(link, error)
                if not left:
                    raise
                told = {"model": self.answering, "instead": left[0].job.model, "code": error.code.value}
                log.warning("model does not begin; another one is asked", extra=told)

    async def _asked(self, link: _Link, written: str, *, has_others: bool) -> AsyncGenerator[Chunk, None]:
        """Write one model's answer, or what it has answered before where the turn wants that."""
        entry = None if written else await self._catalogue.remembered(link.job, link.model.pool)
        if entry is not None and entry.kept:
            for chunk in entry.kept:
                yield chunk
            return
        guard = self._catalogue.guards.of(link.model.pool)
        async with (
            guard.passing(link.job.model, has_others=has_others),
            aclosing(link.model.generate(link.job, written=written)) as chunks,
        ):
            is_answered = False
            async for chunk in chunks:
                if not is_answered:
                    is_answered = True
                    guard.note_answering()
                if entry is not None:
                    await entry.add(chunk)
                yield chunk

    async def _last_resort(self, asked: _Link, error: ParleyError) -> list[_Link]:
        """Return who quotes where everybody is away. Nobody does where a program reads JSON."""
        last = self._catalogue.last_resort
        if error.code is not ErrorCode.UNAVAILABLE or asked.model is last:
            return []
        if self._job.params.response_format is not None:
            return []
        listed = await last.models()
        name = listed[0].id if listed else last.pool
        return [_Link(last, self._job.model_copy(update={"model": name, "fallbacks": ()}))]


def _links(catalogue: Catalogue, job: GenerateJob) -> Iterator[_Link]:
    """Yield the models that this service serves, each with the job that asks it.

    A job tells of those behind it by its fallbacks: who is asked is not patient where others are.
    """
    prompt_tokens = _prompt_tokens(job) if job.fallbacks else 0
    asked = (ModelLink(model=job.model, params=job.params), *job.fallbacks)
    served = [
        (model, link)
        for number, link in enumerate(asked)
        if (model := _served(catalogue, link.model)) is not None
        and (number == 0 or link.context_tokens is None or prompt_tokens <= link.context_tokens)
    ]
    for number, (model, link) in enumerate(served, start=1):
        changed: dict[str, object] = {
            "model": link.model,
            "params": link.params or job.params,
            "fallbacks": tuple(one for _, one in served[number:]),
        }
        if link is not asked[0]:
            changed["attachments"] = as_seen(job.attachments, sees_images=link.sees_images)
        yield _Link(model, job.model_copy(update=changed) if job.fallbacks else job)


def _prompt_tokens(job: GenerateJob) -> int:
    said = sum(len(one.content) for one in job.messages)
    return (said + sum(one.prompt_chars for one in job.attachments)) // CHARS_A_TOKEN


def _served(catalogue: Catalogue, model_id: str) -> LanguageModel | None:
    try:
        return catalogue.resolve(model_id)
    except ParleyError:
        return None
