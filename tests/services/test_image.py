# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The operator's image: what is in it, that it runs as the cluster runs it, that it is made the
same twice.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import os
import re
import stat
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ansible_collections.granary.postgres.operator.__main__ import COMMANDS
from ansible_collections.granary.postgres.operator.image import build, cache, libraries, programs
from ansible_collections.granary.postgres.operator.image.layer_tar import file_digest
from ansible_collections.granary.postgres.plugins.module_utils._core.errors import ConfigError
from tests.fix_ansible import ROOT
from tests.fix_image import Archive, ImageRoot, blob
from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory
from tests.testbed.ports import answers, free_port
from tests.testbed.process import ServerProcess

MOST_BYTES = 360_000_000
MAJORS = tuple(client.major for client in programs.CLIENTS)
# The flags in the head of a compiled file that never looks at its source (PEP 552).
UNCHECKED = b"\1\0\0\0"


def test_every_blob_is_what_its_name_says(image_archive: Archive) -> None:
    with tarfile.open(image_archive.path) as archive:
        for member in archive:
            if member.name.startswith("blobs/"):
                content = archive.extractfile(member)
                assert content is not None
                digest = hashlib.sha256(content.read()).hexdigest()
                assert member.name == blob(f"sha256:{digest}")


def test_every_runtime_finds_the_same_image_in_it(image_archive: Archive) -> None:
    (described,) = image_archive.json_of("index.json")["manifests"]
    (docker,) = image_archive.json_of("manifest.json")
    layers = [layer["digest"] for layer in image_archive.manifest["layers"]]
    assert described["annotations"]["io.containerd.image.name"] == build.default_name()
    assert docker["RepoTags"] == [build.default_name()]
    assert docker["Config"] == blob(image_archive.manifest["config"]["digest"])
    assert docker["Layers"] == [blob(digest) for digest in layers]
    assert image_archive.config["rootfs"]["diff_ids"] == layers
    assert len(layers) == len(build.LAYERS)


def test_it_runs_as_nobody_in_particular(image_archive: Archive) -> None:
    config = image_archive.config["config"]
    assert config["User"] == "65535:65535"
    assert config["Entrypoint"] == ["granary"]


def test_it_is_small(image_archive: Archive) -> None:
    assert image_archive.path.stat().st_size < MOST_BYTES


def test_nothing_in_it_can_be_written_or_gives_rights(image_archive: Archive) -> None:
    for layer in image_archive.layers():
        for member in layer:
            assert member.isreg() or member.isdir() or member.issym() or member.islnk(), member.name
            if member.issym():
                continue
            assert not member.mode & (stat.S_ISUID | stat.S_ISGID), member.name
            assert member.uid < 65535, member.name
            if member.mode & stat.S_IWOTH:
                assert member.isdir(), member.name
                assert member.mode & stat.S_ISVTX, member.name


def test_every_module_is_compiled(image_root: ImageRoot) -> None:
    """A read-only root cannot keep what Python would compile at every start."""
    for folder in ("usr/lib/python3.11", libraries.FOLDER, "opt/granary"):
        sources = list((image_root.folder / folder).rglob("*.py"))
        missing = [path for path in sources if not compiled(path).exists()]
        assert sources
        assert not missing
        looked_at = [path for path in sources if compiled(path).read_bytes()[4:8] != UNCHECKED]
        assert not looked_at, "their sources have other times in the image"


def compiled(source: Path) -> Path:
    """Where Python looks for the compiled file."""
    return source.parent / "__pycache__" / f"{source.stem}.cpython-311.pyc"


def test_no_trace_of_the_machine_that_built_it(image_root: ImageRoot) -> None:
    assert not (image_root.folder / "etc" / "apt").exists()
    place = str(cache.cache_folder()).encode()
    for path in itertools.chain(
        image_root.folder.rglob("*.pyc"), (image_root.folder / "etc").rglob("*")
    ):
        if path.is_file() and not path.is_symlink():
            assert place not in path.read_bytes(), path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_starts(image_root: ImageRoot, command: str) -> None:
    done = image_root.run("granary", command)
    assert done.returncode in {1, 2}, done.stderr
    assert f"{command}: " in done.stderr
    assert "the following arguments are required" in done.stderr


def test_a_user_without_a_name_can_run_it(image_root: ImageRoot) -> None:
    """OpenShift gives each namespace user ids of its own."""
    done = image_root.run("granary", "operator", "--help", user=1000660000)
    assert done.returncode == 0, done.stderr


def test_every_module_and_library_can_be_imported(image_root: ImageRoot) -> None:
    root = image_root.folder / "opt" / "granary"
    files = (path.relative_to(root) for path in root.rglob("*.py") if path.stem != "__main__")
    ours = sorted(".".join(path.with_suffix("").parts) for path in files)
    theirs = (
        *("azure.storage.blob", "boto3", "cryptography.hazmat.primitives.ciphers.algorithms"),
        *("google.cloud.storage", "jmespath", "kopf", "kubernetes.client", "kubernetes.stream"),
        *("prometheus_client", "psycopg2", "pyfastcdc", "zstandard"),
    )
    code = f"import importlib\nfor name in {[*ours, *theirs]}: importlib.import_module(name)"
    done = image_root.run("python3", "-P", "-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr


def test_only_the_scratch_folder_can_be_written(image_root: ImageRoot) -> None:
    script = "for place in / /tmp /var/tmp /opt /run; do touch $place/x && echo $place; done"
    done = image_root.run("sh", "-c", f"touch /stash-tmp/x && echo yes; {script}; id -un")
    assert done.stdout.split() == ["yes", "granary"]


def test_the_engine_finds_the_clients(image_root: ImageRoot) -> None:
    module = "ansible_collections.granary.postgres.plugins.module_utils._postgres.programs"
    for name in programs.NAMES:
        if name == "pg_isready":
            continue
        code = f"from {module} import find_programs as f; print(*[p.major for p in f({name!r})])"
        done = image_root.run("python3", "-c", code)
        assert done.stdout.split() == [str(major) for major in MAJORS], done.stderr


@pytest.mark.parametrize("major", MAJORS)
def test_the_clients_dump_and_load(
    image_root: ImageRoot,
    postgres: PostgresFactory,
    fresh_database: DatabaseFactory,
    major: int,
) -> None:
    server = postgres(major, auth="scram-sha-256")
    source, target = (Database(server, fresh_database(server)) for dummy in range(2))
    source.execute("create table t as select generate_series(1, 1000) as n")
    folder = f"/usr/lib/postgresql/{major}/bin"
    script = (
        f"set -e; PATH={folder}:$PATH; cd /stash-tmp; pg_isready; "
        f"pg_dump -Fc -f one {source.name}; pg_restore -f one.sql one; "
        f"psql -qX -v ON_ERROR_STOP=1 -f one.sql {target.name}; "
        f"pg_dumpall -f all.sql; grep -c 'CREATE TABLE public.t' all.sql"
    )
    done = image_root.run("sh", "-c", script, environment=server.environment())
    assert done.returncode == 0, done.stderr
    assert target.execute("select count(*), sum(n) from t") == [(1000, 500500)]


def test_every_client_has_its_own_version(image_root: ImageRoot) -> None:
    for major, name in itertools.product(MAJORS, programs.NAMES):
        done = image_root.run(f"/usr/lib/postgresql/{major}/bin/{name}", "--version")
        assert f"{name} (PostgreSQL) {major}." in done.stdout, done.stderr


def test_it_renders_templates(image_root: ImageRoot) -> None:
    request = '{"template": "{{ .name | upper }}", "data": {"name": "x"}}'
    done = image_root.run("hook-template", stdin=request)
    assert (done.stdout, done.returncode) == ("X", 0)


def test_it_has_the_sidecar(image_root: ImageRoot, tmp_path: Path) -> None:
    port = free_port()
    listen = f"--web.listen-address=127.0.0.1:{port}"
    server = ServerProcess(image_root.command("pushgateway", listen), tmp_path / "log")
    try:
        server.wait_until(lambda: answers(port))
        address = f"http://127.0.0.1:{port}/metrics"
        push = urllib.request.Request(f"{address}/job/j", data=b"seen 1\n", method="PUT")
        urllib.request.urlopen(push, timeout=10).close()
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert re.search(rb'^seen\{.*job="j".*\} 1$', answer.read(), re.MULTILINE)
    finally:
        server.stop()


def test_the_libraries_are_those_that_are_listed(image_root: ImageRoot) -> None:
    found = {
        canonicalize_name(one.name): one
        for one in importlib.metadata.distributions(
            path=[str(image_root.folder / libraries.FOLDER)]
        )
    }
    listed = {canonicalize_name(one.name): one for one in requirements("operator/requirements.txt")}
    assert {name: f"=={one.version}" for name, one in found.items()} == {
        name: str(one.specifier) for name, one in listed.items()
    }
    for one in found.values():
        for needed in map(Requirement, one.requires or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                name = canonicalize_name(needed.name)
                assert name in found, f"{one.name} needs {needed}"
                assert needed.specifier.contains(found[name].version), f"{one.name}: {needed}"


def test_a_library_lists_no_file_that_was_left_out(image_root: ImageRoot) -> None:
    """Scripts name the Python that ran pip: their digests would tell one builder from another."""
    path = str(image_root.folder / libraries.FOLDER)
    listed = [
        file for one in importlib.metadata.distributions(path=[path]) for file in one.files or ()
    ]
    assert listed
    assert not [str(file) for file in listed if not Path(str(file.locate())).exists()]


def test_the_libraries_are_what_the_modules_need_and_what_is_tested() -> None:
    pinned = {canonicalize_name(one.name): one for one in requirements("operator/requirements.txt")}
    for needed in requirements("requirements.txt"):
        (version,) = pinned[canonicalize_name(needed.name)].specifier
        assert needed.specifier.contains(version.version), needed
    for name, one in pinned.items():
        assert importlib.metadata.version(name) in one.specifier, f"make install, for {one}"
    twice = {canonicalize_name(one.name) for one in requirements("requirements-dev.txt")}
    assert not twice & set(pinned), "stated twice"


def requirements(name: str) -> list[Requirement]:
    """The lines of a file of requirements."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def test_a_name_without_a_tag_is_refused() -> None:
    with pytest.raises(ConfigError, match="NAME:TAG"):
        build.build_image("local.test:5000/granary")


def test_the_upper_layer_is_made_the_same_elsewhere(
    image_archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "another" / "image"
    place.mkdir(parents=True)
    for kept in ("base", "programs", "libraries", "hook-template", "go"):
        for folder in cache.cache_folder().glob(f"{kept}-*"):
            (place / folder.name).symlink_to(folder)
    monkeypatch.setenv("GRANARY_CACHE", str(place.parent))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    before = os.umask(0o077)
    try:
        again = build.build_image()
    finally:
        os.umask(before)
    assert again != image_archive.path
    assert file_digest(again) == file_digest(image_archive.path)


@pytest.mark.slow
def test_all_of_it_is_made_the_same_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same mirrors: Debian's packages are those of today in both."""
    made = []
    for place in ("one", "another"):
        monkeypatch.setenv("GRANARY_CACHE", str(tmp_path / place))
        made.append([build.layer(name).digest for name in build.LAYERS])
    assert made[0] == made[1]


def test_the_command_line_says_what_it_made(tmp_path: Path, image_archive: Archive) -> None:
    command = ("ansible_collections.granary.postgres.operator.image", "build", "--output")
    done = subprocess.run(
        [".venv/bin/python", "-m", *command, tmp_path / "new" / "image.tar"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[2].rstrip(",") for line in done.stdout.splitlines()[:-1]] == list(
        build.LAYERS
    )
    assert file_digest(tmp_path / "new" / "image.tar") == file_digest(image_archive.path)
