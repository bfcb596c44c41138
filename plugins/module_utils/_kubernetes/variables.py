# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The variables that Functions can use, by the names that Stash gives them."""

from __future__ import annotations

import dataclasses
import typing as t

from .names import INTERIM_PATH, SCRATCH_PATH

if t.TYPE_CHECKING:
    from .invoker import Invoker, Retention
    from .repository_spec import RepositorySpec

_MOUNT_PATH = "/stash-data"
_INTERIM_IN_SCRATCH = f"{SCRATCH_PATH}{INTERIM_PATH}/data"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What variables say of the installation: the image of Jobs, and where metrics are pushed."""

    image: str
    pushgateway_url: str


def backup_variables(
    invoker: Invoker, repository: RepositorySpec, session: str, installation: Installation
) -> dict[str, str]:
    """Return the variables for the Job of a BackupSession."""
    return {
        **_common(invoker, repository, installation),
        **_retention(invoker.retention),
        "BACKUP_SESSION": session,
        "HOSTNAME": invoker.host,
        "SOURCE_HOSTNAME": "",
        "TARGET_PATHS": _MOUNT_PATH,
    }


def restore_variables(
    invoker: Invoker, repository: RepositorySpec, installation: Installation
) -> dict[str, str]:
    """Return the variables for the Job of a RestoreSession.

    HOSTNAME and SOURCE_HOSTNAME stay empty where the user named neither: then ``latest`` is that of
    the whole repository.
    """
    rule = invoker.rule
    return {
        **_common(invoker, repository, installation),
        "RESTORE_SESSION": invoker.name,
        "HOSTNAME": invoker.alias,
        "SOURCE_HOSTNAME": invoker.source_host,
        "TARGET_APP_REPLICAS": str(invoker.replicas),
        "RESTORE_SNAPSHOTS": ",".join(rule.snapshots) if rule else "",
        "RESTORE_PATHS": ",".join(rule.paths) if rule else "",
        "EXCLUDE_PATTERNS": ",".join(rule.exclude) if rule else "",
        "INCLUDE_PATTERNS": ",".join(rule.include) if rule else "",
    }


def _common(
    invoker: Invoker, repository: RepositorySpec, installation: Installation
) -> dict[str, str]:
    caches = not invoker.temp_dir.get("disableCaching")
    interim = f"{INTERIM_PATH}/data" if invoker.interim_volume_template else _INTERIM_IN_SCRATCH
    return {
        "NAMESPACE": invoker.namespace,
        "INVOKER_KIND": invoker.kind,
        "INVOKER_NAME": invoker.name,
        "TARGET_NAME": invoker.target.name,
        "TARGET_KIND": invoker.target.kind,
        "TARGET_NAMESPACE": invoker.target.namespace,
        "TARGET_MOUNT_PATH": _MOUNT_PATH,
        "DRIVER_ARGS": " ".join(invoker.target_args),
        "ENABLE_CACHE": _word(caches),
        "INTERIM_DATA_DIR": interim,
        "PROMETHEUS_JOB_NAME": invoker.name,
        "PROMETHEUS_PUSHGATEWAY_URL": installation.pushgateway_url,
        **_repository(repository),
        **_image(installation.image),
    }


def _repository(repository: RepositorySpec) -> dict[str, str]:
    variables = {
        "REPOSITORY_NAME": repository.name,
        "REPOSITORY_NAMESPACE": repository.namespace,
        "REPOSITORY_PROVIDER": repository.provider,
        "REPOSITORY_SECRET_NAME": repository.secret_name,
        "REPOSITORY_SECRET_NAMESPACE": repository.namespace,
        "REPOSITORY_BUCKET": repository.bucket,
        "REPOSITORY_PREFIX": repository.prefix,
        "REPOSITORY_INSECURE_TLS": _word(repository.insecure_tls),
        "MAX_CONNECTIONS": str(repository.max_connections),
    }
    if repository.endpoint:
        variables["REPOSITORY_ENDPOINT"] = repository.endpoint
    if repository.region:
        variables["REPOSITORY_REGION"] = repository.region
    return variables


def _retention(retention: Retention | None) -> dict[str, str]:
    """Return the policy; what is 0 or false has no variable."""
    if retention is None:
        return {}
    variables = {
        f"RETENTION_KEEP_{unit.upper()}": str(count)
        for unit, count in retention.keep.items()
        if count > 0
    }
    if retention.keep_tags:
        variables["RETENTION_KEEP_TAGS"] = ",".join(retention.keep_tags)
    if retention.prune:
        variables["RETENTION_PRUNE"] = "true"
    if retention.dry_run:
        variables["RETENTION_DRY_RUN"] = "true"
    return variables


def _image(image: str) -> dict[str, str]:
    """Return the parts of ``registry/name:tag``; an image by digest has its digest as the tag."""
    registry, dummy, rest = image.rpartition("/")
    name, dummy, tag = rest.partition("@") if "@" in rest else rest.partition(":")
    return {
        "STASH_DOCKER_REGISTRY": registry,
        "STASH_DOCKER_IMAGE": name,
        "STASH_IMAGE_TAG": tag,
    }


def _word(truth: bool) -> str:
    return "true" if truth else "false"
