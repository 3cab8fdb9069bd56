"""The NPU backend over a fake `rknnlite` that computes by ONNX and breaks like the driver."""

import importlib
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parley_npu.backends import npu_cores, rknn_minilm
from parley_npu.backends.embedder import BackendError, Vectors
from parley_npu.backends.onnx_minilm import OnnxMiniLm
from parley_npu.backends.rknn_minilm import RknnMiniLm, padded
from parley_npu.model_files import ModelFiles
from parley_npu.parity import read_parity
from parley_npu.tokenizing import WordPieces

from tests.unit.npu.opened_backends import rknn_file

pytestmark = pytest.mark.model

TEXTS = [f"{'the wing flutters ' * (n * 5 % 30)}at mach {n}" for n in range(9)]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that tells the fake what to do."""
    path = tmp_path / "script"
    monkeypatch.setenv("FAKE_RKNN_SCRIPT", str(path))
    return path


@pytest.fixture
def rknn(tmp_path: Path, model_files: ModelFiles, script: Path) -> Generator[RknnMiniLm]:
    backend = RknnMiniLm(rknn_file(tmp_path, model_files))
    yield backend
    script.write_text("")
    backend.close()


@pytest.fixture(scope="module")
def pieces(model_files: ModelFiles) -> WordPieces:
    return WordPieces(model_files)


@pytest.fixture(scope="module")
def reference(model_files: ModelFiles, pieces: WordPieces) -> Vectors:
    backend = OnnxMiniLm(model_files)
    backend.open()
    return backend.infer(pieces.cut(TEXTS))


def contexts() -> list[int]:
    """Return the core masks that have a context now."""
    fake: Any = importlib.import_module("rknnlite.api")
    return sorted(fake.RKNNLite.masks_in_use)


def test_each_core_has_one_context_and_gives_it_back(rknn: RknnMiniLm) -> None:
    rknn.open()
    assert contexts() == [1, 2, 4]
    rknn.open()
    assert contexts() == [1, 2, 4]
    rknn.close()
    assert contexts() == []


def test_many_callers_never_meet_in_a_context(
    rknn: RknnMiniLm, pieces: WordPieces, reference: Vectors, script: Path
) -> None:
    rknn.open()
    with ThreadPoolExecutor(6) as callers:
        found = [callers.submit(rknn.infer, pieces.cut(TEXTS)) for _ in range(6)]
        for one in found:
            assert (one.result(60) * reference).sum(axis=1).min() > 0.99999

    assert not script.with_name("script.broken").exists()


def test_the_fake_itself_breaks_when_two_callers_meet(rknn: RknnMiniLm, script: Path) -> None:
    del rknn
    fake: Any = importlib.import_module("rknnlite.api")
    context = fake.RKNNLite()
    assert context._user.acquire(blocking=False)
    with pytest.raises(RuntimeError, match="two callers"):
        context.inference(inputs=[])

    assert script.with_name("script.broken").exists()


def test_texts_are_padded_to_the_smallest_shape_and_longer_ones_are_left_to_others(
    rknn: RknnMiniLm, pieces: WordPieces
) -> None:
    texts = pieces.cut(["word " * count for count in (1, 30, 31, 126, 127)])

    assert [padded(text)[0].shape for text in texts[:4]] == [(1, 32), (1, 32), (1, 64), (1, 128)]
    assert [rknn.takes(text) for text in texts] == [True, True, True, True, False]
    assert padded(texts[0])[1].sum() == 3


def test_it_passes_the_proof_and_wrong_vectors_do_not(
    rknn: RknnMiniLm, pieces: WordPieces, script: Path
) -> None:
    parity = read_parity(pieces)
    rknn.open()
    assert parity.cosine(rknn) > 0.99999
    script.write_text("noise")
    with pytest.raises(BackendError, match="not those of the space"):
        parity.cosine(rknn)


@pytest.mark.parametrize(
    ("fault", "said"), [("load", "could not be loaded"), ("init", "could not be started")]
)
def test_a_failed_start_leaves_no_context_and_a_later_one_succeeds(
    rknn: RknnMiniLm, script: Path, fault: str, said: str
) -> None:
    script.write_text(fault)
    with pytest.raises(BackendError, match=said):
        rknn.open()
    assert contexts() == []
    script.write_text("")
    rknn.open()
    assert contexts() == [1, 2, 4]


def test_a_start_that_raises_gives_its_contexts_back(
    rknn: RknnMiniLm, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake: Any = importlib.import_module("rknnlite.api")
    released: list[object] = []

    def raising(context: object, core_mask: int) -> int:
        del context
        raise OSError(f"no driver for {core_mask}")

    def release(context: object) -> None:
        released.append(context)

    monkeypatch.setattr(fake.RKNNLite, "init_runtime", raising)
    monkeypatch.setattr(fake.RKNNLite, "release", release)
    with pytest.raises(OSError, match="no driver"):
        rknn.open()

    assert len(released) == 3


def test_none_from_an_inference_is_a_failure_and_the_next_one_is_served(
    rknn: RknnMiniLm, pieces: WordPieces, script: Path, reference: Vectors
) -> None:
    rknn.open()
    script.write_text("inference")
    with pytest.raises(BackendError, match="None"):
        rknn.infer(pieces.cut(TEXTS))
    script.write_text("")
    np.testing.assert_allclose(rknn.infer(pieces.cut(TEXTS)), reference, atol=2e-3)


def test_who_comes_while_it_is_closed_is_refused_at_once(rknn: RknnMiniLm, pieces: WordPieces) -> None:
    rknn.open()
    cores = rknn._cores  # pyright: ignore[reportPrivateUsage] - what a caller in between holds
    assert cores is not None
    rknn.close()
    with pytest.raises(BackendError, match="being closed"):
        cores.run([padded(text) for text in pieces.cut(["one"])], 60)


def test_a_core_that_hangs_is_given_up_and_gets_no_second_context(
    tmp_path: Path, model_files: ModelFiles, pieces: WordPieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rknn_minilm, "INFER_S", 0.2)
    monkeypatch.setattr(npu_cores, "CLOSE_S", 0.2)
    fake: Any = importlib.import_module("rknnlite.api")
    is_over = threading.Event()

    def never(context: object, inputs: object) -> None:
        del context, inputs
        assert is_over.wait(60)

    rknn = RknnMiniLm(rknn_file(tmp_path, model_files))
    rknn.open()
    try:
        with monkeypatch.context() as hanging:
            hanging.setattr(fake.RKNNLite, "_infer", never)
            with pytest.raises(BackendError, match="has not answered"):
                rknn.infer(pieces.cut(["one"]))
            with pytest.raises(BackendError, match="not come back"):
                rknn.open()
    finally:
        is_over.set()
        monkeypatch.setattr(npu_cores, "CLOSE_S", 10)
        rknn.open()
    assert contexts() == [1, 2, 4]
    rknn.close()


def test_without_the_library_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(importlib.import_module("sys").modules, "rknnlite.api", None)
    with pytest.raises(BackendError, match="rknn-toolkit-lite2 is not installed"):
        RknnMiniLm(tmp_path / "none.rknn").open()
