"""Counters of the agent as Prometheus families, read when a scrape asks; between scrapes nothing is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lictor.metrics.catalog import METRICS


class Sample(NamedTuple):
    """One value of a metric of the catalogue, with the values of its labels in their order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


Source = Callable[[], Iterable[Sample]]


class AgentCollector(Collector):
    """Asks its sources for samples. Raises KeyError for a metric that the catalogue does not have."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = list(sources)

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for source in self._sources:
            for name, value, labels in source():
                family = families.get(name)
                if family is None:
                    family = families[name] = _family(name)
                # The library writes what it is given; a name of its own form comes from `_family`.
                family.add_metric(labels, value)  # type: ignore[attr-defined]
        yield from families.values()

    def describe(self) -> Iterable[Metric]:
        return ()


def _family(name: str) -> Metric:
    metric = METRICS[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(name, metric.meaning, labels=metric.labels)
