"""The model's tokenizer: what of a text the model reads."""

from collections.abc import Sequence

import tokenizers

from parley_npu.backends.embedder import CutText
from parley_npu.model_files import MAX_TOKENS, ModelFiles

# Far more than 256 tokens of any writing; the tokenizer would read the rest only to drop it.
MAX_CHARS = 32_768


class WordPieces:
    """Cuts at 256 tokens, where the tokenizer's own file would cut and pad to 128."""

    def __init__(self, files: ModelFiles) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)  # pyright: ignore[reportUnknownMemberType] -- untyped **kwargs
        self._tokenizer.no_padding()

    def cut(self, texts: Sequence[str]) -> list[CutText]:
        read = [text[:MAX_CHARS] for text in texts]
        return [
            CutText(_as_cut(text, encoding), encoding.ids)
            for text, encoding in zip(read, self._tokenizer.encode_batch(read), strict=True)
        ]


def _as_cut(text: str, encoding: tokenizers.Encoding) -> str:
    """Return what of the text its tokens stand for; the last of them is the end mark."""
    if len(encoding.ids) < MAX_TOKENS:
        return text
    return text[: encoding.offsets[-2][1]]
