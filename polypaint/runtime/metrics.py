"""What the server counts and measures, for Prometheus.

Counterparts: `runtime/server.py` has the parts that count; `web/app.py` shows it as `/metrics`.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from polypaint.engine.context import Context
from polypaint.engine.service import Service
from polypaint.runtime.flusher import Flusher
from polypaint.runtime.logins import Logins
from polypaint.runtime.supervisor import Supervisor
from polypaint.store import Store


class Measured(Protocol):
    """What is measured: `server.Server`."""

    registry: CollectorRegistry
    context: Context
    services: list[Service]
    evicted: int
    flusher: Flusher
    store: Store
    supervisor: Supervisor
    logins: Logins


def measure(server: Measured) -> None:
    """Have the server's registry show all of it."""
    for name, says, value in (
        ("connections", "Open connections.", lambda: server.context.connections),
        (
            "memory_max_bytes",
            "What large things may take.",
            lambda: server.context.memory.bytes_max,
        ),
        (
            "logins_waiting",
            "Logins that wait for their password to be checked.",
            lambda: server.logins.admission.waiting,
        ),
        ("read_only", "1 while nothing can be journaled.", lambda: server.context.read_only),
        ("store_away", "1 while the store does not answer.", lambda: server.store.away),
        (
            "journal_bytes",
            "In the journal, not yet stored.",
            lambda: server.flusher.journal_bytes,
        ),
        (
            "journal_age_seconds",
            "Age of the oldest of it.",
            lambda: server.flusher.journal_age_s,
        ),
    ):
        Gauge(f"polypaint_{name}", says, registry=server.registry).set_function(value)
    for service in server.services:
        for name, gauge in service.gauges().items():
            shown = Gauge(f"polypaint_{name}", gauge.says, registry=server.registry)
            shown.set_function(gauge.value)
    memory = Gauge(
        "polypaint_memory_bytes",
        "What large things take, against memory_max.",
        ["kind"],
        registry=server.registry,
    )
    used = server.context.memory.used
    for kind in used:
        memory.labels(kind).set_function(partial(used.__getitem__, kind))
    server.registry.register(_Counters(server))


class _Counters(Collector):
    """Everything that only grows."""

    def __init__(self, server: Measured) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        server = self._server
        for service in server.services:
            for name, says in service.COUNTED.items():
                value = service.counters[name]
                yield CounterMetricFamily(f"polypaint_{service.PREFIX}{name}", says, value=value)
        yield CounterMetricFamily(
            "polypaint_evicted", "Slow readers closed.", value=server.evicted
        )
        yield SummaryMetricFamily(
            "polypaint_journal_commit_seconds",
            "Time of group commits.",
            count_value=server.flusher.commits,
            sum_value=server.flusher.commit_s,
        )
        yield CounterMetricFamily(
            "polypaint_sends", "Direct writes to sockets.", value=server.context.flush_set.sends
        )
        yield _by_label(
            "polypaint_logins",
            "Logins and new accounts, by what came of them.",
            "result",
            server.logins.counts,
        )
        yield _by_label(
            "polypaint_unexpected_errors",
            "Exceptions that nobody expected: bugs. The log has their tracebacks.",
            "where",
            server.supervisor.errors,
        )


def _by_label(name: str, says: str, label: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, says, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family
