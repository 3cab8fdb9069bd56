"""The npu service with an NPU that fails in the middle of load: another backend computes what it does not.

The service is the real one, as a process; its `rknnlite` is a fake with the real one's calls, which computes
by ONNX, breaks for good when two callers meet in a context, and returns -1, None or nonsense when a file says
so.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest
from parley_cli.supervisor.readiness import http_probe
from parley_contracts import subjects
from parley_contracts.npu import Embed, Embeddings
from parley_messaging.nats_bus import NatsBus
from parley_npu.backends.embedder import Vectors
from parley_npu.backends.onnx_minilm import OnnxMiniLm
from parley_npu.model_files import ModelFiles
from parley_npu.tokenizing import WordPieces
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import free_port
from tests.integration.stack_process import StackProcess
from tests.integration.waiting import eventually
from tests.plain_http import NO_CERTIFICATES

pytestmark = [pytest.mark.stack, pytest.mark.nats, pytest.mark.model]

FAKES = Path(__file__).parents[1] / "fakes"
CLIENTS = 6
ANSWERS = 12
SHORT = [f"{'the wing flutters ' * (n % 9)}at mach {n}" for n in range(30)]
LONG = "pressure over a swept wing at supersonic speed " * 20
"""More tokens than the NPU's largest shape: another backend's from the start."""


class FailingNpu:
    """The service and what its NPU is told to do."""

    def __init__(self, folder: Path, port: int) -> None:
        self.script = folder / "script"
        self._metrics = f"http://127.0.0.1:{port}/metrics"

    def does(self, what: str) -> None:
        self.script.write_text(what, encoding="utf-8")

    @property
    def is_broken(self) -> bool:
        """Whether two callers have met in a context."""
        return self.script.with_name("script.broken").exists()

    async def failures(self) -> float:
        """Return how many batches the NPU has failed at."""
        async with httpx.AsyncClient(verify=NO_CERTIFICATES, trust_env=False) as client:
            text = (await client.get(self._metrics)).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "parley_npu_backend_failures_total" and sample.labels["backend"] == "rknn"
        )


@asynccontextmanager
async def open_npu(folder: Path, model_dir: Path, nats_url: str) -> AsyncGenerator[FailingNpu]:
    port = free_port()
    npu = FailingNpu(folder, port)
    rknn = folder / "rk3588-1.rknn"
    rknn.write_text(str(ModelFiles(model_dir).graph), encoding="utf-8")
    environment = {
        "PYTHONPATH": str(FAKES),
        "FAKE_RKNN_SCRIPT": str(npu.script),
        "NATS_URL": nats_url,
        "PARLEY_DATA_DIR": str(folder),
        "PARLEY_HEALTH_PORT": str(port),
        "PARLEY_NPU_BACKENDS": "rknn,onnx",
        "PARLEY_NPU_CACHE_DAYS": "0",
        "PARLEY_NPU_MODEL_DIR": str(model_dir),
        "PARLEY_NPU_RKNN_PATH": str(rknn),
    }
    process = StackProcess("npu", (sys.executable, "-m", "parley_npu"), environment, folder, http_probe(port))
    await process.start()
    try:
        yield npu
    finally:
        code = await process.close()
    assert code == 0, process.log_end()


@dataclass
class Load:
    """Clients that ask all the time; every vector of theirs is compared."""

    bus: NatsBus
    reference: Vectors
    is_over: bool = False
    by_backend: Counter[str] = field(default_factory=Counter[str])
    worst_cosine: float = 1.0

    async def client(self, number: int) -> None:
        rows = [(number * 5 + step) % len(SHORT) for step in range(1 + number)]
        while not self.is_over:
            vectors = await self.ask([SHORT[row] for row in rows])
            cosines = (vectors * self.reference[rows]).sum(axis=1)
            self.worst_cosine = min(self.worst_cosine, float(cosines.min()))

    async def ask(self, texts: Sequence[str]) -> Vectors:
        reply = await self.bus.request(
            subjects.NPU_EMBED, Embed(texts=tuple(texts)), Embeddings, timeout_s=30
        )
        assert reply.engine == "onnx-fp32"
        self.by_backend[reply.computed_by or ""] += 1
        return np.frombuffer(reply.vectors, "<f4").reshape(len(texts), reply.dimensions)

    async def until_answered_by(self, backend: str) -> None:
        """Wait for some more answers that this backend alone has computed."""
        wanted = self.by_backend[backend] + ANSWERS

        async def have_come() -> bool:
            return self.by_backend[backend] >= wanted

        await eventually(have_come, within_s=60)


def reference_of(model_dir: Path, texts: Sequence[str]) -> Vectors:
    files = ModelFiles(model_dir)
    backend = OnnxMiniLm(files)
    backend.open()
    return np.vstack([backend.infer([text]) for text in WordPieces(files).cut(texts)])


@asynccontextmanager
async def connected(nats_url: str) -> AsyncGenerator[NatsBus]:
    bus = NatsBus(nats_url, name="clients", grace_s=2)
    await bus.connect()
    try:
        yield bus
    finally:
        await bus.close()


@pytest.mark.parametrize("fault", ["inference", "noise"])
async def test_no_request_fails_and_no_vector_differs_when_the_npu_fails_and_comes_back(
    tmp_path: Path, model_dir: Path, nats_url: str, fault: str
) -> None:
    reference = reference_of(model_dir, SHORT)
    async with open_npu(tmp_path, model_dir, nats_url) as npu, connected(nats_url) as bus:
        load = Load(bus, reference)
        async with asyncio.TaskGroup() as group:
            for number in range(CLIENTS):
                group.create_task(load.client(number))
            try:
                await load.until_answered_by("rknn")
                npu.does(fault)
                await load.until_answered_by("onnx")
                failures = await npu.failures()
                npu.does("")
                await load.until_answered_by("rknn")
            finally:
                load.is_over = True
        long = await load.ask([LONG])

    assert load.worst_cosine > 0.9999
    assert failures >= 1
    assert not npu.is_broken
    np.testing.assert_allclose(long, reference_of(model_dir, [LONG]), atol=1e-5)


@pytest.mark.parametrize("fault", ["init", "noise"])
async def test_an_npu_that_is_away_or_wrong_at_the_start_serves_as_soon_as_it_is_right(
    tmp_path: Path, model_dir: Path, nats_url: str, fault: str
) -> None:
    (tmp_path / "script").write_text(fault, encoding="utf-8")
    async with open_npu(tmp_path, model_dir, nats_url) as npu, connected(nats_url) as bus:
        load = Load(bus, reference_of(model_dir, SHORT[:1]))
        for _ in range(3):
            await load.ask(SHORT[:1])
        assert dict(load.by_backend) == {"onnx": 3}
        npu.does("")

        async def is_the_npu_s() -> bool:
            vectors = await load.ask(SHORT[:1])
            assert float((vectors * load.reference).sum()) > 0.9999
            return load.by_backend["rknn"] > 0

        await eventually(is_the_npu_s, within_s=60)
