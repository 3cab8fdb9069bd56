"""The models of the fake upstream that the chaos runs stream from."""

from tests.integration.paced import PacedModel

SIX_SECONDS = PacedModel(gap_ms=50, count=120)
TEN_SECONDS = PacedModel(gap_ms=50, count=200)
MODELS = (SIX_SECONDS.name, TEN_SECONDS.name)
