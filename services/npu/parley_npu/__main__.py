"""The npu service: `python -m parley_npu`."""

from parley_messaging import Service, run_service

from parley_npu.engine import open_engine
from parley_npu.handlers import EmbedHandlers, bind
from parley_npu.recognition import TextReader
from parley_npu.reranking import open_reranker
from parley_npu.settings import NpuSettings


async def compose(service: Service, settings: NpuSettings) -> None:
    lanes = await service.enter(open_engine(settings, service.metrics))
    service.check("model", lanes.check)
    reranker = await service.enter(open_reranker(settings.npu_reranker_path))
    bind(service, EmbedHandlers(lanes), TextReader(settings.npu_recognise_s), reranker)


def main() -> None:
    run_service("npu", NpuSettings, compose)


if __name__ == "__main__":
    main()
