# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short and the long form of the tests: matrices are sampled by a seed that is printed."""

from __future__ import annotations

import random
import typing as t
from collections.abc import Sequence

import pytest

Row = t.TypeVar("Row")


class Sampler(t.Protocol):
    """Gives `count` of the rows, in their order; in the long form all of them."""

    def __call__(self, rows: Sequence[Row], count: int) -> list[Row]: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --long and --seed."""
    parser.addoption("--long", action="store_true", help="whole matrices, not samples of them")
    parser.addoption("--seed", type=int, default=None, help="draw the same samples as that run")


def pytest_configure(config: pytest.Config) -> None:
    """Draw the seed; xdist's workers take the one of the process that started them."""
    given = getattr(config, "workerinput", {}).get("granary_seed", config.getoption("--seed"))
    config.stash[_SEED] = random.randrange(1_000_000) if given is None else given
    config.addinivalue_line(
        "markers",
        "sampled(name, rows, count, ids=str, indirect=()): run once for each of `count` of the "
        "rows, drawn by the seed; in the long form for each of all of them",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Draw what a test that is marked `sampled` runs with."""
    for marker in metafunc.definition.iter_markers("sampled"):
        name, rows, count = marker.args
        ids, indirect = marker.kwargs.get("ids", str), marker.kwargs.get("indirect", ())
        metafunc.parametrize(name, draw_for(metafunc, rows, count), ids=ids, indirect=indirect)


def draw_for(metafunc: pytest.Metafunc, rows: Sequence[Row], count: int) -> list[Row]:
    """Draw what a test runs with; each test has a draw of its own, from the seed and its name."""
    return _Sampler.of(metafunc.config, metafunc.definition.nodeid)(rows, count)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: t.Any) -> None:
    """Hand the seed to a worker of xdist."""
    node.workerinput["granary_seed"] = node.config.stash[_SEED]


def pytest_report_header(config: pytest.Config) -> str:
    """Print how to draw the same samples again."""
    form = "the long form" if config.getoption("--long") else "the short form"
    return f"{form} of the tests, --seed {config.stash[_SEED]}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked slow, unless the long form is asked for."""
    if config.getoption("--long"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        items[:] = [item for item in items if item not in slow]
        config.hook.pytest_deselected(items=slow)


@pytest.fixture(scope="session")
def sampler(request: pytest.FixtureRequest) -> Sampler:
    """Draws samples; each call by the run's seed, so that the order of tests does not matter."""
    return _Sampler.of(request.config)


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The run's seed, for tests that draw more than rows."""
    return int(request.config.stash[_SEED])


class _Sampler:
    def __init__(self, seed: str, *, whole: bool) -> None:
        self._seed = seed
        self._whole = whole

    @classmethod
    def of(cls, config: pytest.Config, test: str = "") -> _Sampler:
        return cls(f"{config.stash[_SEED]} {test}", whole=bool(config.getoption("--long")))

    def __call__(self, rows: Sequence[Row], count: int) -> list[Row]:
        if self._whole or count >= len(rows):
            return list(rows)
        chosen = sorted(random.Random(self._seed).sample(range(len(rows)), count))
        return [rows[at] for at in chosen]


_SEED = pytest.StashKey[int]()
