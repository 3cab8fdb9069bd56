"""The language-model service: `python -m parley_llm`."""

from parley_contracts.llm import GenerateJob
from parley_contracts.turns import PenRole
from parley_messaging import Service, run_service
from parley_messaging.holds import Holds
from parley_messaging.pen import Pen
from parley_messaging.stops import Stops
from parley_messaging.turn_writer import TurnWriters

from parley_llm.backends.extractive import ExtractiveModel
from parley_llm.backends.ollama import OllamaOptions, open_ollama
from parley_llm.catalogue import Catalogue
from parley_llm.generation import Generation
from parley_llm.handlers import bind
from parley_llm.settings import LlmSettings
from parley_llm.worker import GenerationWorker


def ollama_options(settings: LlmSettings) -> OllamaOptions:
    return OllamaOptions(
        host=settings.ollama_host,
        default_model=settings.llm_ollama_default_model,
        keep_alive=settings.llm_ollama_keep_alive,
        context_tokens=settings.llm_ollama_context_tokens,
        first_token_s=settings.llm_first_token_s,
        gap_s=settings.llm_gap_s,
    )


async def compose(service: Service, settings: LlmSettings) -> None:
    bus = service.bus
    ollama = await service.enter(open_ollama(ollama_options(settings)))
    service.spawn(ollama.keep_loaded)
    catalogue = Catalogue([ollama, ExtractiveModel(delta_ms=settings.llm_extractive_delta_ms)])
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
    service.spawn(writers.run)
    bind(service, catalogue, worker, slots=settings.llm_slots)


def main() -> None:
    run_service("llm", LlmSettings, compose)


if __name__ == "__main__":
    main()
