# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.granary.postgres.operator.controller.options import parse_options
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError

HERE = {"GRANARY_POD_NAMESPACE": "ops", "GRANARY_POD_NAME": "granary-1"}


def test_without_namespaces_the_whole_cluster_is_served() -> None:
    options = parse_options(["--image", "i"], HERE)

    assert options.is_cluster_wide
    assert options.serves("anything")
    assert (options.own_namespace, options.identity) == ("ops", "granary-1")
    assert not options.push_url


def test_named_namespaces_are_all_that_is_served() -> None:
    options = parse_options(["--image", "i", "--namespace", "b", "--namespace=a"], HERE)

    assert options.namespaces == ("a", "b")
    assert options.serves("a")
    assert not options.serves("c")


def test_the_operator_pushes_where_its_jobs_do_unless_told() -> None:
    given = ["--image", "i", "--pushgateway-url=http://service:1"]

    assert parse_options(given, HERE).push_url == "http://service:1"
    options = parse_options([*given, "--push-url=http://localhost:1"], HERE)
    assert options.push_url == "http://localhost:1"
    assert options.pushgateway_url == "http://service:1"


def test_two_processes_of_a_machine_are_two_candidates() -> None:
    assert parse_options(["--image", "i"], {"GRANARY_POD_NAMESPACE": "x"}).identity


def test_a_number_of_workers_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="--workers is 0"):
        parse_options(["--image", "i", "--workers", "0"], HERE)
