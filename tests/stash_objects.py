# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Objects of Stash's API as users write them, with a Task whose steps are shell scripts.

The Task reports as a real one does: by writing the session's status from its last container.
"""

from __future__ import annotations

import json
import typing as t

from tests.testbed.kube.images import BUSYBOX_IMAGE, KUBECTL_IMAGE
from tests.testbed.kube.kubectl import Object

STASH = "stash.appscode.com"
V1ALPHA1 = f"{STASH}/v1alpha1"
V1BETA1 = f"{STASH}/v1beta1"
APPCATALOG = "appcatalog.appscode.com/v1alpha1"
SECRET = "storage"
REPOSITORY = "repo"
CONFIGURATION = "pg-backup"
BINDING = "pg"
NEVER = "0 0 31 2 *"
"""A schedule whose time never comes."""


def secret(namespace: str, name: str = SECRET) -> Object:
    """The access to a backend."""
    keys = {"RESTIC_PASSWORD": "p", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": keys,
    }


def repository(namespace: str, name: str = REPOSITORY, **spec: t.Any) -> Object:
    """A repository in S3; `spec` are more of its fields."""
    backend = {"s3": {"endpoint": "http://s3:9000", "bucket": "b"}, "storageSecretName": SECRET}
    return _object(V1ALPHA1, "Repository", name, namespace, {"backend": backend, **spec})


def binding(namespace: str, name: str = BINDING, server: str = "pg", **config: t.Any) -> Object:
    """The PostgreSQL server behind a service, and its login in the Secret `pg`."""
    service = {"name": server, "port": 5432, "scheme": "postgresql", **config}
    spec = {"type": "postgres", "clientConfig": {"service": service}, "secret": {"name": "pg"}}
    return _object(APPCATALOG, "AppBinding", name, namespace, spec)


def configuration(namespace: str, task: str, name: str = CONFIGURATION, **spec: t.Any) -> Object:
    """A BackupConfiguration of the binding into the repository; `spec` replaces its fields."""
    wanted = {
        "schedule": NEVER,
        "task": {"name": task},
        "repository": {"name": REPOSITORY},
        "target": {"ref": {"apiVersion": APPCATALOG, "kind": "AppBinding", "name": BINDING}},
        "retentionPolicy": {"name": "keep-last-5", "keepLast": 5, "prune": True},
        **spec,
    }
    return _object(V1BETA1, "BackupConfiguration", name, namespace, wanted)


def backup_session(
    namespace: str, name: str, invoker: str = CONFIGURATION, **spec: t.Any
) -> Object:
    """A session as a user makes it by hand: without labels."""
    wanted = {"invoker": {"apiGroup": STASH, "kind": "BackupConfiguration", "name": invoker}}
    return _object(V1BETA1, "BackupSession", name, namespace, {**wanted, **spec})


def restore_session(namespace: str, task: str, name: str = "pg-restore", **spec: t.Any) -> Object:
    """A RestoreSession of the repository's latest snapshot into the binding."""
    wanted = {
        "task": {"name": task},
        "repository": {"name": REPOSITORY},
        "target": {
            "ref": {"apiVersion": APPCATALOG, "kind": "AppBinding", "name": BINDING},
            "rules": [{"snapshots": ["latest"]}],
        },
        **spec,
    }
    return _object(V1BETA1, "RestoreSession", name, namespace, wanted)


def task(name: str, *scripts: str) -> list[Object]:
    """A Task and its Functions, one for each shell script."""
    functions = [_function(f"{name}-{at}", script) for at, script in enumerate(scripts)]
    steps = [{"name": each["metadata"]["name"]} for each in functions]
    return [*functions, _object(V1BETA1, "Task", name, None, {"steps": steps})]


def reporting(phase: str = "Succeeded", error: str = "") -> str:
    """A script that reports, for a backup or a restore, that its host ended with `phase`."""
    host = {"hostname": "host-0", "phase": phase, "duration": "1.5s"}
    stats = json.dumps([{**host, "error": error} if error else host])
    words = "kubectl -n ${NAMESPACE} patch --subresource=status --type=json"
    # The variables are those of Functions; one of the two names is empty.
    return f"""
        if [ -n "${{BACKUP_SESSION:=}}" ]; then
            {words} backupsession "${{BACKUP_SESSION:=}}" \
                -p '[{{"op": "add", "path": "/status/targets/0/stats", "value": {stats}}}]'
        else
            {words} restoresession "${{RESTORE_SESSION:=}}" \
                -p '[{{"op": "add", "path": "/status/stats", "value": {stats}}}]'
        fi
    """


def cluster_roles() -> list[Object]:
    """The rights of the Jobs, as far as the scripts need them."""
    everything = [{"apiGroups": [STASH], "resources": ["*"], "verbs": ["*"]}]
    names = ("stash-cron-job", "stash-backup-job", "stash-restore-job")
    return [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": everything,
        }
        for name in names
    ]


def _function(name: str, script: str) -> Object:
    image = KUBECTL_IMAGE if "kubectl" in script else BUSYBOX_IMAGE
    spec = {"image": image, "command": ["sh", "-ec"], "args": [script]}
    return _object(V1BETA1, "Function", name, None, spec)


def _object(api_version: str, kind: str, name: str, namespace: str | None, spec: Object) -> Object:
    place = {"namespace": namespace} if namespace else {}
    metadata = {"name": name, **place}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
