"""all-MiniLM-L6-v2 on disk: which files, where, and how to know them."""

from dataclasses import dataclass
from pathlib import Path

MODEL = "all-MiniLM-L6-v2"
ENGINE = "onnx-fp32"
DIMENSIONS = 384
MAX_TOKENS = 256
DEFAULT_BATCH_TOKENS = 256


@dataclass(frozen=True)
class PinnedFile:
    """A file of the published model, known by its content."""

    name: str
    size_bytes: int
    sha256: str


WEIGHTS = PinnedFile(
    "model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
)
TOKENIZER = PinnedFile(
    "tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
)
# The number changes with what `graph.py` writes, so that a newer service never runs an older graph.
GRAPH_NAME = "fp32-1.onnx"
RKNN_NAME = "rk3588-1.rknn"


@dataclass(frozen=True)
class ModelFiles:
    """The model's directory."""

    directory: Path

    @property
    def weights(self) -> Path:
        return self.directory / WEIGHTS.name

    @property
    def tokenizer(self) -> Path:
        return self.directory / TOKENIZER.name

    @property
    def graph(self) -> Path:
        return self.directory / GRAPH_NAME

    @property
    def rknn(self) -> Path:
        return self.directory / RKNN_NAME

    def has_published_files(self) -> bool:
        """Compare sizes only: files get here by a rename after their hash was checked."""
        return all(
            _size_bytes(self.directory / file.name) == file.size_bytes for file in (WEIGHTS, TOKENIZER)
        )

    def is_complete(self) -> bool:
        """Whether all is there; a graph that a power cut has left empty is not."""
        return self.has_published_files() and bool(_size_bytes(self.graph))


def model_dir_of(data_dir: Path) -> Path:
    return data_dir / "models" / "all-minilm-l6-v2"


def _size_bytes(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
