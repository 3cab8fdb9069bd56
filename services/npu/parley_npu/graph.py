# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# Reason: onnx's protobuf classes and `helper` functions carry no usable types; they are used nowhere else.
"""Writes all-MiniLM-L6-v2 as an ONNX graph whose tensors stay in the safetensors file next to it.

Tokens in, L2-normalised mean-pooled vectors out, in standard operators of opset 17. Since the weights are
referred to by offset, the graph takes some 30 kB, and the runtime maps the weights instead of copying them.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parley_npu.model_files import DIMENSIONS

if TYPE_CHECKING:
    import onnx

LAYERS = 6
HEADS = 12
HEAD_SIZE = DIMENSIONS // HEADS
NORM_EPSILON = 1e-12
OPSET = 17
IR_VERSION = 8
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "embedding"


def write_graph(weights: Path, target: Path) -> None:
    """Write the graph to `target`; it finds `weights` by name, in whatever directory it is loaded from."""
    target.write_bytes(GraphWriter(weights).model().SerializeToString())


class GraphWriter:
    """Collects nodes and tensors; each method that computes something returns the name of its output."""

    def __init__(self, weights: Path) -> None:
        # Loading onnx costs 0.3 s and 15 MB, and a service whose graph is written never needs it.
        import onnx  # noqa: PLC0415 -- see above

        self._onnx = onnx
        self._location = weights.name
        self._data_start, self._header = read_header(weights)
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: dict[str, onnx.TensorProto] = {}

    def model(self) -> "onnx.ModelProto":
        """Return the whole graph: embeddings, encoder, mean pooling, L2 norm."""
        helper, float32, int64 = self._onnx.helper, self._onnx.TensorProto.FLOAT, self._onnx.TensorProto.INT64
        batch_and_length = self._op("Shape", "input_ids")
        mask = self._op("Cast", "attention_mask", to=float32)
        tokens = self._encoder(self._embeddings(batch_and_length), mask, batch_and_length)
        self._op("Identity", self._normalized(self._pooled(tokens, mask)), output=OUTPUT)
        graph = helper.make_graph(
            self._nodes,
            "all-minilm-l6-v2",
            [helper.make_tensor_value_info(name, int64, ["batch", "length"]) for name in INPUTS],
            [helper.make_tensor_value_info(OUTPUT, float32, ["batch", DIMENSIONS])],
            list(self._tensors.values()),
        )
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)

    def _embeddings(self, batch_and_length: str) -> str:
        """Words + positions + token type 0, normed: batch x length x 384."""
        length = self._op("Slice", batch_and_length, self._int64([1]), self._int64([2]))
        positions = self._op(
            "Slice",
            self._weight("embeddings.position_embeddings.weight"),
            self._int64([0]),
            length,
            self._int64([0]),
        )
        token_type = self._op(
            "Gather", self._weight("embeddings.token_type_embeddings.weight"), self._int64(0)
        )
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        summed = self._op("Add", self._op("Add", words, token_type), positions)
        return self._layer_norm(summed, "embeddings.LayerNorm")

    def _encoder(self, tokens: str, mask: str, batch_and_length: str) -> str:
        """Run the layers on rows of tokens: `Gemm` takes the weights as they are stored, untransposed."""
        heads = self._op("Concat", batch_and_length, self._int64([HEADS, HEAD_SIZE]), axis=0)
        hidden = self._op("Concat", batch_and_length, self._int64([DIMENSIONS]), axis=0)
        padding = self._op("Sub", self._float32(1), self._op("Unsqueeze", mask, self._int64([1, 2])))
        bias = self._op("Mul", padding, self._float32(float(np.finfo(np.float32).min)))
        rows = self._rows(tokens)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            attended = self._attention(rows, bias, heads, f"{name}.attention.self")
            projected = self._dense(attended, f"{name}.attention.output.dense")
            rows = self._layer_norm(self._op("Add", projected, rows), f"{name}.attention.output.LayerNorm")
            inner = self._gelu(self._dense(rows, f"{name}.intermediate.dense"))
            projected = self._dense(inner, f"{name}.output.dense")
            rows = self._layer_norm(self._op("Add", projected, rows), f"{name}.output.LayerNorm")
        return self._op("Reshape", rows, hidden)

    def _attention(self, rows: str, bias: str, heads: str, name: str) -> str:
        query, key, value = (
            self._op("Reshape", self._dense(rows, f"{name}.{part}"), heads)
            for part in ("query", "key", "value")
        )
        query = self._op("Transpose", query, perm=[0, 2, 1, 3])
        key = self._op("Transpose", key, perm=[0, 2, 3, 1])
        value = self._op("Transpose", value, perm=[0, 2, 1, 3])
        scores = self._op("Div", self._op("MatMul", query, key), self._float32(math.sqrt(HEAD_SIZE)))
        shares = self._op("Softmax", self._op("Add", scores, bias), axis=-1)
        mixed = self._op("Transpose", self._op("MatMul", shares, value), perm=[0, 2, 1, 3])
        return self._rows(mixed)

    def _pooled(self, tokens: str, mask: str) -> str:
        """Average the tokens that are not padding: batch x 384."""
        kept = self._op("Mul", tokens, self._op("Unsqueeze", mask, self._int64([2])))
        total = self._op("ReduceSum", kept, self._int64([1]), keepdims=0)
        return self._op("Div", total, self._op("ReduceSum", mask, self._int64([1]), keepdims=1))

    def _normalized(self, vectors: str) -> str:
        length = self._op("ReduceL2", vectors, axes=[1], keepdims=1)
        return self._op("Div", vectors, self._op("Max", length, self._float32(1e-12)))

    def _gelu(self, values: str) -> str:
        """x * (1 + erf(x / sqrt 2)) * 0.5, in the form that runtimes recognise and fuse."""
        erf = self._op("Erf", self._op("Div", values, self._float32(math.sqrt(2))))
        product = self._op("Mul", values, self._op("Add", erf, self._float32(1)))
        return self._op("Mul", product, self._float32(0.5))

    def _dense(self, rows: str, name: str) -> str:
        return self._op("Gemm", rows, self._weight(f"{name}.weight"), self._weight(f"{name}.bias"), transB=1)

    def _layer_norm(self, values: str, name: str) -> str:
        weight, bias = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        return self._op("LayerNormalization", values, weight, bias, axis=-1, epsilon=NORM_EPSILON)

    def _rows(self, values: str) -> str:
        return self._op("Reshape", values, self._int64([-1, DIMENSIONS]))

    def _op(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        name = output or f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(self._onnx.helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    def _float32(self, value: float) -> str:
        return self._constant(np.asarray(value, np.float32))

    def _int64(self, value: int | list[int]) -> str:
        return self._constant(np.asarray(value, np.int64))

    def _constant(self, value: np.ndarray[Any, Any]) -> str:
        name = f"{value.dtype}_{'_'.join(map(str, value.ravel()))}_{value.ndim}d"
        self._tensors.setdefault(name, self._onnx.numpy_helper.from_array(value, name))
        return name

    def _weight(self, name: str) -> str:
        """Refer to a tensor of the safetensors file by its place in it."""
        entry = self._header[name]
        start, end = entry["data_offsets"]
        tensor = self._onnx.TensorProto(
            name=name,
            data_type=self._onnx.TensorProto.FLOAT,
            dims=entry["shape"],
            data_location=self._onnx.TensorProto.EXTERNAL,
        )
        place = {"location": self._location, "offset": self._data_start + start, "length": end - start}
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self._tensors.setdefault(name, tensor)
        return name


def read_header(weights: Path) -> tuple[int, dict[str, Any]]:
    """Return where the data starts and what each tensor is (https://huggingface.co/docs/safetensors)."""
    with weights.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        return 8 + header_bytes, json.loads(stream.read(header_bytes))
