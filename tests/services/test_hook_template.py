# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program that renders the templates of hooks, built from its source."""

from __future__ import annotations

import json
import os
import subprocess
import typing as t
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.operator.image import golang


@pytest.fixture(scope="module")
def program() -> Path:
    """It, built where it has not been yet."""
    return golang.hook_template()


def rendered(
    program: Path, template: str, data: t.Any = None, **more: t.Any
) -> subprocess.CompletedProcess[str]:
    """What became of a template."""
    request = json.dumps({"template": template, "data": data or {}, **more})
    return subprocess.run(
        [program],
        input=request,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "SECRET": "in the environment"},
    )


@pytest.mark.parametrize(
    ("template", "data", "text"),
    [
        ("plain {text}", {}, "plain {text}"),
        ("{{ .Name | upper | quote }}", {"Name": "demo"}, '"DEMO"'),
        ("{{ .a.b.c }}", {"a": {"b": {"c": "deep"}}}, "deep"),
        ("{{ .missing }}", {}, "<no value>"),
        ("{{ range .l }}[{{ . }}]{{ end }}", {"l": ["x", "y"]}, "[x][y]"),
        ('{{ if eq .phase "Succeeded" }}good{{ else }}bad{{ end }}', {"phase": "Failed"}, "bad"),
        # Numbers are those of the API's objects.
        ("{{ .n }}", {"n": 12345678}, "12345678"),
        ("{{ if gt .n 1 }}many{{ end }}", {"n": 2}, "many"),
        ("{{ .n }} {{ add .n 1 }}", {"n": 9007199254740993}, "9007199254740993 9007199254740994"),
        ("{{ .n }}", {"n": 0.5}, "0.5"),
        ("{{ .n }}", {"n": 1e300}, "1e+300"),
        ("{{ index .l 1 }}", {"l": [1, 2000000]}, "2000000"),
        # As notifications to a chat are written.
        (
            '{{ $m := dict "phase" .phase "hosts" .hosts }}{{ toJson $m }}',
            {"phase": "Succeeded", "hosts": 1},
            '{"hosts":1,"phase":"Succeeded"}',
        ),
        ("{{ .t | default `none` | trunc 4 }}", {"t": ""}, "none"),
        ("<{{ .html }}>", {"html": "<&>"}, "<<&>>"),
        ("é{{ .u }}", {"u": "ü\u2028"}, "éü\u2028"),
    ],
)
def test_it_renders_as_go_does(
    program: Path, template: str, data: dict[str, t.Any], text: str
) -> None:
    done = rendered(program, template, data)
    assert (done.stdout, done.stderr, done.returncode) == (text, "", 0)


@pytest.mark.parametrize(
    "function", ['env "SECRET"', 'expandenv "$SECRET"', 'getHostByName "localhost"']
)
def test_it_looks_at_nothing_but_its_data(program: Path, function: str) -> None:
    done = rendered(program, "{{ " + function + " }}")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f'function "{function.split(maxsplit=1)[0]}" not defined' in done.stderr


@pytest.mark.parametrize(
    ("template", "data", "cause"),
    [
        ("{{ .a", {}, "unclosed action"),
        ("{{ noSuchThing 1 }}", {}, 'function "noSuchThing" not defined'),
        ("before {{ .n.x }}", {"n": 1}, "can't evaluate field x"),
        ("before {{ fail `no` }}", {}, "error calling fail: no"),
        ('{{ template "other" }}', {}, '"other" not defined'),
        ("{{ index .l 5 }}", {"l": [1]}, "index out of range"),
    ],
)
def test_what_cannot_be_rendered_leaves_nothing_but_its_cause(
    program: Path, template: str, data: dict[str, t.Any], cause: str
) -> None:
    done = rendered(program, template, data)
    assert (done.stdout, done.returncode) == ("", 1)
    assert cause in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("request_text", "cause"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "not JSON"),
        ('{"data": {}}', "has no template"),
        ('{"template": null}', "has no template"),
        ('{"template": 1}', "not JSON"),
    ],
)
def test_a_request_that_is_none_is_refused(program: Path, request_text: str, cause: str) -> None:
    done = subprocess.run(
        [program], input=request_text, capture_output=True, text=True, check=False, timeout=30
    )
    assert (done.stdout, done.returncode) == ("", 1)
    assert cause in done.stderr
