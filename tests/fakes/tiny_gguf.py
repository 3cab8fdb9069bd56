"""A llama of a few thousand random weights as a GGUF file: it writes words that mean nothing, quickly.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import random
import struct
from collections.abc import Sequence
from pathlib import Path

WORDS = tuple(f"{first}{second}" for first in ("ka", "lo", "mi", "tu") for second in ("ra", "ne", "so", "vi"))
CONTEXT_TOKENS = 512
_SPECIAL = ("<unk>", "<s>", "</s>")
_EMBEDDING = 32
_HEADS = 2
_FORWARD = 64
_ALIGNMENT = 32
_F32 = 0
_U32_TYPE, _F32_TYPE, _STRING_TYPE, _ARRAY_TYPE, _I32_TYPE = 4, 6, 8, 9, 5
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _u32(key: str, value: int) -> bytes:
    return _string(key) + struct.pack("<II", _U32_TYPE, value)


def _text(key: str, value: str) -> bytes:
    return _string(key) + struct.pack("<I", _STRING_TYPE) + _string(value)


def _array(key: str, kind: int, items: Sequence[bytes]) -> bytes:
    return _string(key) + struct.pack("<IIQ", _ARRAY_TYPE, kind, len(items)) + b"".join(items)


def _vocabulary() -> list[tuple[str, float, int]]:
    """Return the tokens of a SentencePiece model: text, score and type."""
    special = [(text, 0.0, _UNKNOWN if text == "<unk>" else _CONTROL) for text in _SPECIAL]
    single = [(f"<0x{byte:02X}>", 0.0, _BYTE) for byte in range(256)]
    words = [(f"▁{word}", -float(number), _NORMAL) for number, word in enumerate(WORDS)]
    return [*special, *single, *words]


def _metadata(tokens: Sequence[tuple[str, float, int]]) -> list[bytes]:
    epsilon = struct.pack("<If", _F32_TYPE, 1e-5)
    return [
        _text("general.architecture", "llama"),
        _text("general.name", "tiny"),
        _u32("llama.context_length", CONTEXT_TOKENS),
        _u32("llama.embedding_length", _EMBEDDING),
        _u32("llama.block_count", 1),
        _u32("llama.feed_forward_length", _FORWARD),
        _u32("llama.attention.head_count", _HEADS),
        _u32("llama.rope.dimension_count", _EMBEDDING // _HEADS),
        _string("llama.attention.layer_norm_rms_epsilon") + epsilon,
        _text("tokenizer.ggml.model", "llama"),
        _array("tokenizer.ggml.tokens", _STRING_TYPE, [_string(text) for text, _, _ in tokens]),
        _array("tokenizer.ggml.scores", _F32_TYPE, [struct.pack("<f", score) for _, score, _ in tokens]),
        _array("tokenizer.ggml.token_type", _I32_TYPE, [struct.pack("<i", kind) for _, _, kind in tokens]),
        _u32("tokenizer.ggml.bos_token_id", 1),
        _u32("tokenizer.ggml.eos_token_id", 2),
        _u32("tokenizer.ggml.unknown_token_id", 0),
    ]


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors, whose first dimension is the one that lies together."""
    square = (_EMBEDDING, _EMBEDDING)
    return {
        "token_embd.weight": (_EMBEDDING, vocabulary),
        "blk.0.attn_norm.weight": (_EMBEDDING,),
        "blk.0.attn_q.weight": square,
        "blk.0.attn_k.weight": square,
        "blk.0.attn_v.weight": square,
        "blk.0.attn_output.weight": square,
        "blk.0.ffn_norm.weight": (_EMBEDDING,),
        "blk.0.ffn_gate.weight": (_EMBEDDING, _FORWARD),
        "blk.0.ffn_up.weight": (_EMBEDDING, _FORWARD),
        "blk.0.ffn_down.weight": (_FORWARD, _EMBEDDING),
        "output_norm.weight": (_EMBEDDING,),
        "output.weight": (_EMBEDDING, vocabulary),
    }


def _weights(name: str, shape: tuple[int, ...], dice: random.Random) -> list[float]:
    if name.endswith("_norm.weight"):
        return [1.0] * shape[0]
    rows = shape[1]
    found = [dice.gauss(0, 0.5) for _ in range(shape[0] * rows)]
    if name == "output.weight":
        # Whatever is no word is never the likeliest: what is written is text.
        silent = (rows - len(WORDS)) * shape[0]
        found[:silent] = [0.0] * silent
    return found


def write_tiny_gguf(path: Path, *, seed: int = 7) -> None:
    """Write the model; the same seed is the same model."""
    dice = random.Random(seed)
    tokens = _vocabulary()
    infos: list[bytes] = []
    data = b""
    for name, shape in _shapes(len(tokens)).items():
        weights = _weights(name, shape, dice)
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        infos.append(_string(name) + dimensions + struct.pack("<IQ", _F32, len(data)))
        data += struct.pack(f"<{len(weights)}f", *weights)
        data += b"\0" * (-len(data) % _ALIGNMENT)
    metadata = _metadata(tokens)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(metadata)) + b"".join((*metadata, *infos))
    path.write_bytes(head + b"\0" * (-len(head) % _ALIGNMENT) + data)
