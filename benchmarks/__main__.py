# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python -m benchmarks [speed|memory|scale] [--rounds N] [--gigabytes N]

scale: [--index-files N] [--on local|s3]

Ratios between two ways of doing the same on one machine in one run; a figure that misses its limit
makes the exit status 1.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.testbed.postgres import PostgresOptions, PostgresServer

from .contenders import Contest, Granary, PgDumpWithRestic, stored_bytes
from .data import make_database
from .memory import Footprint, measure
from .scale import INDEX_FILES, measure_scale

MAJOR = 15
GB = 10**9
MIB = 1 << 20
SERVER = {"max_wal_size": "8GB", "shared_buffers": "512MB", "checkpoint_timeout": "30min"}
# What a restore needs besides the archives of the schema.
PSS_BAR = 500 * MIB
SCRATCH_BAR = 4 * MIB


class Report:
    """Prints figures beside their bars and remembers whether all were met."""

    def __init__(self) -> None:
        self.met = True

    def at_least(self, what: str, figure: float, limit: float, note: str = "") -> None:
        """Show a ratio that should be high."""
        self._show(what, f"{figure:.2f}", f">= {limit:g}", figure >= limit, note)

    def at_most(self, what: str, figure: float, limit: float, note: str = "") -> None:
        """Show a figure that should be low."""
        self._show(what, f"{figure:,.2f}", f"<= {limit:,g}", figure <= limit, note)

    def _show(self, what: str, figure: str, limit: str, met: bool, note: str) -> None:
        self.met &= met
        verdict = "met" if met else "NOT MET"
        sys.stdout.write(f"{what:52} {figure:>12}  {limit:>12}  {verdict:8} {note}\n")
        sys.stdout.flush()


@contextmanager
def contest() -> Iterator[Contest]:
    """Yield two servers and a folder on disk."""
    options = PostgresOptions(settings=SERVER)
    with (
        PostgresServer(MAJOR, options) as source,
        PostgresServer(MAJOR, options) as target,
        tempfile.TemporaryDirectory(dir="/var/tmp", prefix="granary-benchmark.") as folder,
    ):
        yield Contest(source=source, target=target, major=MAJOR, folder=Path(folder))


def compare(
    name: str, ours: Callable[[], float], theirs: Callable[[], float], times: dict[str, list[float]]
) -> None:
    """Run both once, one after the other, and note the seconds."""
    for who, run in (("restic", theirs), ("granary", ours)):
        seconds = run()
        times.setdefault(f"{name} {who}", []).append(seconds)
        sys.stdout.write(f"  {name:14} {who:8} {seconds:6.1f} s\n")
        sys.stdout.flush()


def speed(arguments: argparse.Namespace) -> bool:
    """Compare first backups, unchanged second ones, restores, and stored bytes."""
    report, times = Report(), dict[str, list[float]]()
    sizes: dict[str, int] = {}
    with contest() as place:
        make_database(place.source, "shop", int(arguments.gigabytes * GB))
        for round_number in range(arguments.rounds):
            ours = Granary(place, place.folder / f"granary-{round_number}")
            theirs = PgDumpWithRestic(place, place.folder / f"restic-{round_number}")
            ours.create()
            theirs.create()
            compare("first", partial(ours.back_up, "shop"), partial(theirs.back_up, "shop"), times)
            sizes = {one.name: stored_bytes(one.repository) for one in (ours, theirs)}
            packs = stored_bytes(ours.repository / "data")
            files = len(list((ours.repository / "index").iterdir()))
            compare("second", partial(ours.back_up, "shop"), partial(theirs.back_up, "shop"), times)
            sizes["unchanged"] = stored_bytes(ours.repository / "data") - packs
            sizes["index files"] = len(list((ours.repository / "index").iterdir())) - files
            times.setdefault("changes granary", []).append(ours.back_up_changes("shop"))
            sys.stdout.write(f"  {'second, skipped':23} {times['changes granary'][-1]:6.1f} s\n")
            for restore in (theirs.restore, ours.restore):
                name = "restore restic" if restore == theirs.restore else "restore granary"
                times.setdefault(name, []).append(restore("shop"))
                sys.stdout.write(f"  {name:23} {times[name][-1]:6.1f} s\n")
                place.target.execute("DROP DATABASE shop")
    for what, name, other, limit in (
        ("first", "first", "first", 2.0),
        ("second", "second", "second", 2.2),
        ("second with skip_unchanged", "changes", "second", 2.2),
        ("restore", "restore", "restore", 1.5),
    ):
        ours_s = statistics.median(times[f"{name} granary"])
        theirs_s = statistics.median(times[f"{other} restic"])
        note = f"{theirs_s:.1f} s against {ours_s:.1f} s"
        report.at_least(f"{what}: times as fast as with restic", theirs_s / ours_s, limit, note)
    report.at_most("stored bytes / restic's", sizes["granary"] / sizes["pg_dump | restic"], 1.1)
    report.at_most("unchanged second backup stores, MiB", sizes["unchanged"] / MIB, 1)
    report.at_most("unchanged second backup, index files", sizes["index files"], 1)
    same_table_thrice(report, int(arguments.gigabytes * GB / 5))
    return report.met


def same_table_thrice(report: Report, size_bytes: int) -> None:
    """Compare what is stored of three databases that hold the same rows."""
    with contest() as place:
        make_database(place.source, "one", size_bytes)
        for name in ("two", "three"):
            place.source.execute(f"CREATE DATABASE {name} TEMPLATE one")
        ours = Granary(place, place.folder / "granary")
        theirs = PgDumpWithRestic(place, place.folder / "restic")
        for contender in (ours, theirs):
            contender.create()
            contender.back_up("one", "two", "three")
        ratio = stored_bytes(ours.repository) / stored_bytes(theirs.repository)
        report.at_most("the same rows in three databases / restic's", ratio, 1.1)


def memory(arguments: argparse.Namespace) -> bool:
    """Compare the footprint of backups of 1 GB and of 4 GB."""
    report = Report()
    found: dict[int, Footprint] = {}
    for gigabytes in (1, 4):
        with contest() as place:
            make_database(place.source, "shop", gigabytes * GB)
            ours = Granary(place, place.folder / "granary")
            ours.create()
            found[gigabytes] = measure(ours.argv_of_backup("shop"))
        pss = found[gigabytes].pss_bytes / MIB
        report.at_most(f"backup of {gigabytes} GB: PSS of all processes, MiB", pss, PSS_BAR / MIB)
        scratch = found[gigabytes].scratch_bytes / MIB
        report.at_most(f"backup of {gigabytes} GB: scratch disk, MiB", scratch, SCRATCH_BAR / MIB)
    growth = abs(found[4].pss_bytes / found[1].pss_bytes - 1) * 100
    report.at_most("difference between the two, %", growth, 10)
    return report.met


def scale(arguments: argparse.Namespace) -> bool:
    """Measure a backup, a prune's plan and a merge in a repository of a million blobs."""
    report = Report()
    kinds = [arguments.on] if arguments.on else ["local", "s3"]
    for index_files in [arguments.index_files] if arguments.index_files else INDEX_FILES:
        measure_scale(index_files, kinds, report.at_most)
    return report.met


def main() -> int:
    """Run what was asked for."""
    runs = {"speed": speed, "memory": memory, "scale": scale}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=[*runs, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gigabytes", type=float, default=1.5)
    parser.add_argument("--index-files", type=int, choices=INDEX_FILES)
    parser.add_argument("--on", choices=["local", "s3"])
    arguments = parser.parse_args()
    chosen = runs.values() if arguments.what == "all" else [runs[arguments.what]]
    missed = [run for run in chosen if not run(arguments)]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
