"""The model's tokenizer: what of a text the model reads."""

from collections.abc import Sequence

import tokenizers

from parley_npu.backends.embedder import CutText
from parley_npu.model_files import MAX_TOKENS, ModelFiles

# Far more than 256 tokens of any writing; the tokenizer would read the rest only to drop it.
MAX_CHARS = 32_768
# So much of a text is read at first, and four times as much while that does not fill the window: to read all
# of a long one costs as much as to compute its vector.
FIRST_CHARS = 2_048
# A word of more than 100 letters is one token. What ends so far before the end of what was read is of a word
# that was read whole.
LONGEST_WORD_CHARS = 256


class WordPieces:
    """Cuts at 256 tokens, where the tokenizer's own file would cut and pad to 128."""

    def __init__(self, files: ModelFiles) -> None:
        self._tokenizer = tokenizers.Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)  # pyright: ignore[reportUnknownMemberType] -- untyped **kwargs
        self._tokenizer.no_padding()

    def cut(self, texts: Sequence[str]) -> list[CutText]:
        found: dict[int, CutText] = {}
        chars = FIRST_CHARS
        while left := [row for row in range(len(texts)) if row not in found]:
            read = [texts[row][:chars] for row in left]
            for row, text, encoding in zip(left, read, self._tokenizer.encode_batch(read), strict=True):
                if chars >= min(MAX_CHARS, len(texts[row])) or _is_filled(encoding, chars):
                    found[row] = CutText(_as_cut(text, encoding), encoding.ids)
            chars = min(MAX_CHARS, 4 * chars)
        return [found[row] for row in range(len(texts))]


def _is_filled(encoding: tokenizers.Encoding, chars: int) -> bool:
    """Whether what stands behind the `chars` that were read changes none of the tokens."""
    return len(encoding.ids) == MAX_TOKENS and encoding.offsets[-2][1] <= chars - LONGEST_WORD_CHARS


def _as_cut(text: str, encoding: tokenizers.Encoding) -> str:
    """Return what of the text its tokens stand for; the last of them is the end mark."""
    if len(encoding.ids) < MAX_TOKENS:
        return text
    return text[: encoding.offsets[-2][1]]
