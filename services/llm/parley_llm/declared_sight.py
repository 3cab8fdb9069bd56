"""Models that see images by the word of the operator: OpenAI's own list says nothing of abilities."""

from fnmatch import fnmatchcase

from parley_contracts.llm import ModelInfo


class DeclaredSight:
    """Patterns of ids; `*` stands for any characters, `?` for one."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns

    @classmethod
    def parse(cls, text: str) -> "DeclaredSight":
        """Return what a setting says: patterns separated by commas."""
        return cls(tuple(one.strip() for one in text.split(",") if one.strip()))

    def told(self, info: ModelInfo) -> ModelInfo:
        """Return a model with `vision` among its capabilities when it is one of these."""
        if "vision" in info.capabilities or not any(fnmatchcase(info.id, one) for one in self._patterns):
            return info
        return info.model_copy(update={"capabilities": (*info.capabilities, "vision")})
