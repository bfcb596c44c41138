# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The only place that spells an option.

Each function here has a twin of the same name in ``plugins/doc_fragments``; a unit test compares
the two.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible.module_utils.basic import env_fallback

Option = dict[str, t.Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArgumentSpec:
    """Options and the rules between them, as ``AnsibleModule`` takes them."""

    options: dict[str, Option]
    mutually_exclusive: tuple[tuple[str, ...], ...] = ()
    required_together: tuple[tuple[str, ...], ...] = ()
    required_by: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def merge(self, other: ArgumentSpec) -> ArgumentSpec:
        """Return both specs as one; the names of their options must differ."""
        return ArgumentSpec(
            options={**self.options, **other.options},
            mutually_exclusive=self.mutually_exclusive + other.mutually_exclusive,
            required_together=self.required_together + other.required_together,
            required_by={**self.required_by, **other.required_by},
        )

    def to_kwargs(self) -> dict[str, t.Any]:
        """Return the keyword arguments of ``AnsibleModule``."""
        return {
            "argument_spec": self.options,
            "mutually_exclusive": [list(names) for names in self.mutually_exclusive],
            "required_together": [list(names) for names in self.required_together],
            "required_by": {name: list(names) for name, names in self.required_by.items()},
        }


def _text(*variables: str, no_log: bool = False, **more: t.Any) -> Option:
    option: Option = {"type": "str", "no_log": no_log, **more}
    if variables:
        option["fallback"] = (env_fallback, list(variables))
    return option


def _backend() -> Option:
    local = {"path": {"type": "path", "required": True}}
    s3 = {
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "endpoint": {"type": "str"},
        "region": {"type": "str"},
    }
    gcs = {
        "bucket": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "project": _text("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_PROJECT_ID"),
        "endpoint": {"type": "str"},
    }
    azure = {
        "container": {"type": "str", "required": True},
        "prefix": {"type": "str", "default": ""},
        "endpoint": {"type": "str"},
    }
    places = {"local": local, "s3": s3, "gcs": gcs, "azure": azure}
    return {
        "type": "dict",
        "required": True,
        "options": {kind: {"type": "dict", "options": place} for kind, place in places.items()},
        "required_one_of": [list(places)],
        "mutually_exclusive": [list(places)],
    }


def _cloud_credentials() -> dict[str, Option]:
    """Those of Google's and Azure's stores, called as the collections of both call them."""
    return {
        "service_account_contents": {
            "type": "jsonarg",
            "no_log": True,
            "fallback": (env_fallback, ["GCP_SERVICE_ACCOUNT_CONTENTS"]),
        },
        "service_account_file": {
            "type": "path",
            "fallback": (env_fallback, ["GCP_SERVICE_ACCOUNT_FILE"]),
        },
        "storage_account_name": _text("AZURE_STORAGE_ACCOUNT", "AZURE_ACCOUNT_NAME"),
        "storage_account_key": _text("AZURE_STORAGE_KEY", "AZURE_ACCOUNT_KEY", no_log=True),
        "storage_sas_token": _text("AZURE_STORAGE_SAS_TOKEN", "AZURE_ACCOUNT_SAS", no_log=True),
    }


def repository() -> ArgumentSpec:
    """Where the repository is and how to open it."""
    return ArgumentSpec(
        options={
            "backend": _backend(),
            "password": _text("RESTIC_PASSWORD", no_log=True, required=True),
            "access_key": _text("AWS_ACCESS_KEY_ID", no_log=True),
            "secret_key": _text("AWS_SECRET_ACCESS_KEY", no_log=True),
            "session_token": _text("AWS_SESSION_TOKEN", no_log=True),
            "profile": _text("AWS_PROFILE"),
            "ca_bundle": {"type": "path", "fallback": (env_fallback, ["AWS_CA_BUNDLE"])},
            **_cloud_credentials(),
            "repository_lock_wait": {"type": "int", "default": 300},
        },
        required_together=(("access_key", "secret_key"),),
        required_by={"session_token": ("access_key",)},
    )


def postgres() -> ArgumentSpec:
    """How to reach the server and its client programs."""
    modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
    return ArgumentSpec(
        options={
            "login_host": _text("PGHOST"),
            "login_port": {"type": "int", "fallback": (env_fallback, ["PGPORT"])},
            "login_user": _text("PGUSER"),
            "login_password": _text("PGPASSWORD", no_log=True),
            "login_unix_socket": {"type": "path"},
            "login_db": _text("PGDATABASE"),
            "ssl_mode": _text("PGSSLMODE", choices=modes),
            "ca_cert": {"type": "path", "fallback": (env_fallback, ["PGSSLROOTCERT"])},
            "ssl_cert": {"type": "path", "fallback": (env_fallback, ["PGSSLCERT"])},
            "ssl_key": {
                "type": "path",
                "no_log": False,
                "fallback": (env_fallback, ["PGSSLKEY"]),
            },
            "bin_dir": {"type": "path"},
        },
    )


def repository_info() -> ArgumentSpec:
    """Which snapshots to show, and in which shape."""
    return ArgumentSpec(
        options={
            "host": {"type": "str"},
            "tags": {"type": "list", "elements": "str", "default": []},
            "limit": {"type": "int"},
            "query": {"type": "str"},
        },
    )


def repository_check() -> ArgumentSpec:
    """How much of the data to read, and whether to repair."""
    return ArgumentSpec(
        options={
            "read_data": {"type": "bool", "default": False},
            "read_data_subset": {"type": "str"},
            "repair": {"type": "bool", "default": False},
        },
    )


def repository_key() -> ArgumentSpec:
    """Which key is to be there or to go."""
    return ArgumentSpec(
        options={
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "key_password": _text(no_log=True),
            "key_id": _text(),
            "replace": {"type": "bool", "default": False},
        },
        mutually_exclusive=(("key_password", "key_id"),),
    )


def backup() -> ArgumentSpec:
    """What to back up, and how."""
    return ArgumentSpec(
        options={
            "host": {"type": "str", "required": True},
            "databases": {"type": "list", "elements": "str"},
            "exclude_tables": {"type": "list", "elements": "str", "default": []},
            "globals": {"type": "bool", "default": True},
            "jobs": {"type": "int"},
            "compression": {"type": "str", "choices": ["auto", "max", "off"], "default": "auto"},
            "tags": {"type": "list", "elements": "str", "default": []},
            "format": {"type": "str", "choices": ["parallel", "plain"], "default": "parallel"},
            "dump_args": {"type": "list", "elements": "str", "default": []},
            "lock_timeout": {"type": "int", "default": 60},
            "yield_after": {"type": "int"},
            "segment_threshold": {"type": "bytes", "default": "8MB"},
            "pack_size": {"type": "bytes", "default": "16MB"},
            "skip_unchanged": {"type": "bool", "default": False},
            "accept_warnings": {"type": "bool", "default": False},
            "new_system": {"type": "bool", "default": False},
            "allow_newer_server": {"type": "bool", "default": False},
        },
    )


def restore() -> ArgumentSpec:
    """What to restore from which snapshot, and into what."""
    flags = ("clean", "no_owner", "no_privileges", "no_tablespaces")
    return ArgumentSpec(
        options={
            "snapshot": {"type": "str", "default": "latest"},
            "host": {"type": "str"},
            "databases": {"type": "list", "elements": "str"},
            "rename": {"type": "dict", "default": {}},
            "tables": {"type": "list", "elements": "str"},
            "into": {"type": "str"},
            "rename_tables": {"type": "dict", "default": {}},
            "globals": {"type": "bool", "default": True},
            "jobs": {"type": "int"},
            **{name: {"type": "bool", "default": False} for name in flags},
        },
    )


def retention() -> ArgumentSpec:
    """Which snapshots stay, and whether what only the others used goes."""
    rules = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
    spans = ("within", *(f"within_{name}" for name in rules[1:]))
    texts: Option = {"type": "list", "elements": "str"}
    return ArgumentSpec(
        options={
            "host": {"type": "str"},
            "paths": texts,
            "tags": texts,
            "snapshots": texts,
            **{f"keep_{name}": {"type": "str"} for name in (*rules, *spans)},
            "keep_tags": texts,
            "group_by": {
                "type": "list",
                "elements": "str",
                "choices": ["host", "paths", "tags"],
                "default": ["host", "paths"],
            },
            "prune": {"type": "bool", "default": True},
            "allow_remove_all": {"type": "bool", "default": False},
        },
    )


def kubernetes() -> ArgumentSpec:
    """How to reach the API server: by the names and variables of kubernetes.core."""

    def path(variable: str, *aliases: str) -> Option:
        option: Option = {"type": "path", "no_log": False}
        option["fallback"] = (env_fallback, [f"K8S_AUTH_{variable}"])
        return {**option, "aliases": list(aliases)} if aliases else option

    verify = (env_fallback, ["K8S_AUTH_VERIFY_SSL"])
    return ArgumentSpec(
        options={
            "kubeconfig": path("KUBECONFIG"),
            "context": _text("K8S_AUTH_CONTEXT"),
            "host": _text("K8S_AUTH_HOST"),
            "api_key": _text("K8S_AUTH_API_KEY", no_log=True),
            "ca_cert": path("SSL_CA_CERT", "ssl_ca_cert"),
            "validate_certs": {"type": "bool", "aliases": ["verify_ssl"], "fallback": verify},
            "client_cert": path("CERT_FILE", "cert_file"),
            "client_key": path("KEY_FILE", "key_file"),
            "proxy": _text("K8S_AUTH_PROXY"),
            "no_proxy": _text("K8S_AUTH_NO_PROXY"),
        },
    )


def _session(**options: Option) -> ArgumentSpec:
    waiting: dict[str, Option] = {
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": 3600},
    }
    return ArgumentSpec(
        options={"namespace": {"type": "str", "required": True}, **options, **waiting}
    )


def backup_session() -> ArgumentSpec:
    """Which BackupConfiguration to run, under which name."""
    return _session(name={"type": "str"}, invoker={"type": "str", "required": True})


def restore_session() -> ArgumentSpec:
    """What to restore, from where and into which database."""
    return _session(
        **{name: {"type": "str", "required": True} for name in ("name", "target", "repository")},
        repository_namespace={"type": "str"},
        task={"type": "str", "default": "postgres-restore"},
        params={"type": "dict", "default": {}},
        snapshot={"type": "str", "default": "latest"},
        source_host={"type": "str"},
    )
