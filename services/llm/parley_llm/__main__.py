"""The language-model service: `python -m parley_llm`."""

from parley_contracts.llm import GenerateJob
from parley_contracts.turns import PenRole
from parley_identity import open_claims
from parley_messaging import Service, run_service
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.stops import Stops
from parley_messaging.turn_writer import TurnWriters

from parley_llm.erasure import AnswerErasure
from parley_llm.generation import Generation
from parley_llm.handlers import bind, bind_erasure, bind_pulls
from parley_llm.model_changes import ModelChanges
from parley_llm.models import open_answers, open_models, slots_of
from parley_llm.pulls import Pulls
from parley_llm.settings import LlmSettings
from parley_llm.tools import offer_tools
from parley_llm.worker import GenerationWorker


async def compose(service: Service, settings: LlmSettings) -> None:
    bus = service.bus
    answers = await service.enter(open_answers(settings))
    opened = await open_models(service, settings, answers)
    catalogue = opened.catalogue
    writers, stops = TurnWriters(bus), Stops(bus)
    holds = Holds(bus, settings.instance, PenRole.WORKER)

    def new_generation(job: GenerateJob) -> Generation:
        return Generation(bus, job, catalogue, stops, window_ms=settings.llm_delta_window_ms)

    worker = GenerationWorker(
        bus,
        holder=settings.instance,
        holds=holds,
        pen=Pen(bus),
        writers=writers,
        stops=stops,
        new_generation=new_generation,
    )
    for part in (writers, stops, holds):
        await part.start()
    service.watch_writers(writers)
    service.spawn(writers.run)
    service.spawn(stops.run)
    changes = ModelChanges(bus, catalogue, period_s=settings.llm_refresh_s)
    pulls = Pulls(bus, opened.library, on_change=changes.tell)
    for told in (changes, pulls):
        await told.start()
        service.spawn(told.run)
    service.on_stop(pulls.stop)
    bind(service, catalogue, worker, slots=settings.llm_slots, slots_of=slots_of(settings))
    bind_pulls(service, pulls)
    bind_erasure(service, AnswerErasure(answers))
    await offer_tools(service)


def main() -> None:
    run_service("llm", LlmSettings, compose, claims=open_claims)


if __name__ == "__main__":
    main()
