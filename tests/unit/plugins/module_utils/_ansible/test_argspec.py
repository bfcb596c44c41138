# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that several modules share: what is documented is what is taken."""

from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.granary.postgres.plugins.doc_fragments import (
    _kubernetes,
    _postgres,
    _repository,
)
from ansible_collections.granary.postgres.plugins.module_utils._ansible import argspec

COMPARED = ("type", "default", "choices", "required", "elements", "aliases")


def shape(options: dict[str, t.Any], nested: str) -> dict[str, t.Any]:
    """Return what both sides say of the options, without what only one of them knows."""
    return {
        name: {
            **{key: option.get(key) for key in COMPARED},
            "required": bool(option.get("required")),
            "suboptions": shape(option.get(nested, {}), nested),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize(
    ("spec", "fragment"),
    [
        (argspec.repository(), _repository.ModuleDocFragment),
        (argspec.postgres(), _postgres.ModuleDocFragment),
        (argspec.kubernetes(), _kubernetes.ModuleDocFragment),
    ],
)
def test_shared_options_are_documented_as_they_are(
    spec: argspec.ArgumentSpec, fragment: type[t.Any]
) -> None:
    documented = yaml.safe_load(fragment.DOCUMENTATION)["options"]
    assert shape(spec.options, "options") == shape(documented, "suboptions")


def test_merged_specs_keep_the_rules_of_both() -> None:
    merged = argspec.repository().merge(argspec.restore())
    assert merged.required_together == (("access_key", "secret_key"),)
    assert merged.required_by["session_token"] == ("access_key",)


def test_every_secret_says_so() -> None:
    shared = (argspec.repository(), argspec.postgres(), argspec.kubernetes())
    hidden = {
        name for spec in shared for name, option in spec.options.items() if option.get("no_log")
    }
    of_repository = {
        *("password", "access_key", "secret_key", "session_token"),
        *("service_account_contents", "storage_account_key", "storage_sas_token"),
    }
    assert hidden == {*of_repository, "login_password", "api_key"}
