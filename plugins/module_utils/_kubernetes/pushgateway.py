# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""How metrics get to a Pushgateway, and go again: one group for each invoker.

A push is a POST, which replaces the families that it names and leaves the others of its group.
"""

from __future__ import annotations

import json
import typing as t

from .._core.errors import PushgatewayUnavailable

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from .metrics import Sample


class Invoked(t.NamedTuple):
    """An invoker, as the labels of its metrics name it."""

    kind: str
    namespace: str
    name: str


def job_key(kind: str, namespace: str, name: str) -> str:
    """Return the Pushgateway's job, hence the group, of an invoker."""
    return f"{kind.lower()}-{namespace}-{name}"


def push(url: str, key: str, samples: Sequence[Sample], *, timeout_seconds: float = 30) -> None:
    """Add ``samples`` to the group ``key``; nothing is sent if there are none.

    Raises ``PushgatewayUnavailable``.
    """
    from prometheus_client import CollectorRegistry, pushadd_to_gateway

    if not samples:
        return
    registry = CollectorRegistry()
    registry.register(_Collected(samples))
    _send(url, lambda: pushadd_to_gateway(url, key, registry, timeout=timeout_seconds))


def delete_group(url: str, key: str, *, timeout_seconds: float = 30) -> None:
    """Remove all that was pushed for an invoker. Raises ``PushgatewayUnavailable``."""
    from prometheus_client import delete_from_gateway

    _send(url, lambda: delete_from_gateway(url, key, timeout=timeout_seconds))


def pushed_invokers(url: str, *, timeout_seconds: float = 30) -> set[Invoked]:
    """Return the invokers that the gateway has metrics of, by ``GET /api/v1/metrics``.

    Raises ``PushgatewayUnavailable``.
    """
    import urllib.request

    found: set[Invoked] = set()

    def read() -> None:
        where = f"{url.rstrip('/')}/api/v1/metrics"
        # As prometheus_client asks.
        with urllib.request.build_opener().open(where, timeout=timeout_seconds) as answer:
            groups = json.load(answer)["data"]
        # The other fields of a group are its labels, and whether and when it was pushed.
        values = [value for group in groups for value in group.values()]
        families = [each for each in values if isinstance(each, dict) and "metrics" in each]
        labels = [one.get("labels") or {} for each in families for one in each["metrics"]]
        found.update(
            Invoked(one["invoker_kind"], one["namespace"], one["invoker_name"])
            for one in labels
            if {"invoker_kind", "namespace", "invoker_name"} <= one.keys()
        )

    _send(url, read)
    return found


def _send(url: str, request: Callable[[], None]) -> None:
    import http.client

    try:
        request()
    # Of urllib: no answer, no address at all, or no HTTP.
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise PushgatewayUnavailable(
            f"The Pushgateway at {url} cannot be used: {exc}; check that it runs and "
            "that its address is right."
        ) from exc


class _Collected:
    """Samples as prometheus_client collects them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import GaugeMetricFamily

        families: dict[str, GaugeMetricFamily] = {}
        for sample in self._samples:
            for name in sample.family.names:
                family = families.setdefault(name, GaugeMetricFamily(name, sample.family.says))
                family.add_sample(name, dict(sample.labels), float(sample.value))
        yield from families.values()
