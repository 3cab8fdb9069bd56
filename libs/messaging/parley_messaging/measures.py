"""Metrics that are read from where they are kept whenever Prometheus asks: the hot path counts plainly."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

Read = Callable[[], float | Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class _Measure:
    family: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    documentation: str
    read: Read
    label: str


class Measures(Collector):
    """Gauges and counters of a process; with a label, `read` returns a value for each of its values."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._measures: list[_Measure] = []
        registry.register(self)

    def gauge(self, name: str, documentation: str, read: Read, *, label: str = "") -> None:
        """Export what goes up and down."""
        self._measures.append(_Measure(GaugeMetricFamily, name, documentation, read, label))

    def counter(self, name: str, documentation: str, read: Read, *, label: str = "") -> None:
        """Export what only goes up."""
        self._measures.append(_Measure(CounterMetricFamily, name, documentation, read, label))

    def collect(self) -> Iterable[Metric]:
        """Read every measure."""
        for measure in self._measures:
            family = measure.family(
                measure.name, measure.documentation, labels=[measure.label] if measure.label else []
            )
            found = measure.read()
            values = found.items() if isinstance(found, Mapping) else [("", found)]
            for label, value in values:
                family.add_metric([label] if measure.label else [], value)
            yield family
