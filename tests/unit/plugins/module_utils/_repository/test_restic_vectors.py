# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A repository that restic 0.19.1 made, byte for byte: what we read must stay readable.

Made by `restic init` and `restic backup hello.txt`; hello.txt holds `hello from restic`.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ansible_collections.granary.postgres.plugins.module_utils._core.errors import (
    RepositoryDamaged,
    WrongPassword,
)
from ansible_collections.granary.postgres.plugins.module_utils._core.redaction import Secret
from ansible_collections.granary.postgres.plugins.module_utils._repository.config import open_config
from ansible_collections.granary.postgres.plugins.module_utils._repository.index_load import (
    load_index,
)
from ansible_collections.granary.postgres.plugins.module_utils._repository.model import BlobKind
from ansible_collections.granary.postgres.plugins.module_utils._repository.reader import BlobReader
from ansible_collections.granary.postgres.plugins.module_utils._repository.unpacked import (
    list_ids,
    read_unpacked,
)
from ansible_collections.granary.postgres.plugins.module_utils._storage.base import Backend
from ansible_collections.granary.postgres.plugins.module_utils._storage.model import LocalSettings
from ansible_collections.granary.postgres.plugins.module_utils._storage.registry import open_backend

PASSWORD = Secret("open-sesame")
DATA = bytes.fromhex("b718dcd659c04afda5d8a4a3fdab7b47f48fe21d2483a3cbf45c663c4b1118e7")
TREE = bytes.fromhex("d87f47a056c8cce321bcd84e437f7743b43d01e4b73d2b765f06354b25ff1648")
FILES = {
    "config": (
        "Q6/j4pB/Do6M0m4zJW2F5H+uXJfs18eAIWTWzfpWBSZYdA8RHAiMouzXu9+A+Gzq/XfsRjmZv+Y4VDcI3zq7"
        "8sJXy+P7T5twmejrBEo7Zr6iSuz+PxFXzvZsBwwpuETyHoVHiOy3Rn+P37C6WATqI362YdKqJbpqJAL2MSNJ"
        "A3T/Sy7XfSGJB9G2l7jIKluPkknsldttpUpqSKE="
    ),
    "snapshots/38f1e6829a982ced191013d9c0fb42ba68e74aed02a26fbe3fc45052dcb619a3": (
        "raH712c3vATka7boNMeyqGIcH9UAAweDLvsQNChkQeQstHiJFS1Bljy72IEWdfZVtlr1duKQ/fNBmiOwWtP0"
        "u7HRbgLxD7jBv+FahGIq7iQXj05zdo57Ykkkiy++gfFhfOdMR8xOZMrvGi+xa/7O895Cb1tJJYI0kstR673l"
        "2OPYy/p0Ouwyo5rVtceb7hfE22eSMV2/g+e2jy8zvhsGHrkKfCrntz7Eu3ycbhootnj+qx5pvl4PMMrdnhCW"
        "8D+Bave9keZRcR44nFPtspzFv9TAKdqKc/a6CqwTIxal4zRuUQNHLcus1exyszGN0CSjNNBYa1FXpaT0Y/7n"
        "1GPVSC0ELOJYaP//pvCHQk2GRaLc0Q2b8p11/Q/n9uNy5KNJYs/pcirwM+pDQWwVJkgQVIm66rfmJqbddS66"
        "PeV4Y92gBE8wZf7+JYh06zo6p2y8NOq7+B356hWplTBfeEgbuk3Z04781ikGUUM="
    ),
    "data/23/234b6dd1c3eab110c4031430f6cc882a3e00867810120e3f5faa368f5e2dd8ed": (
        "vkR8c+MoeofKI5H/uS02hw/txwrpBZBLjyqGQDFT4LCoswaw80lNHs18k4+rO0Wybglyk4gg1lKL0iJdNYy0"
        "+ZRa1fWI2RkV6cnvw9L5Tta8Lh3+QRnvLJXaimiJYS/j/Hj8XUFx9fKcEeZnMxOh20sZYz6JWqzZq7f1F6IL"
        "5gymB6mCl1kFj7K694ho9pvCK7X2Ce/vLxbFUC4MhNNE87kj9ePMQa048sCfycHAW0czT5B3y7X3OzNCUAo/"
        "PnUrCQDV0D21fMJd8dyZM3u8lJn3qOaFEik4o/PnogQLIrdBrQia6at49Jr1XIVZTBtNX4Qf6zASQPdH3PhP"
        "k6uaiXnHC7sifvyw6m2uq5UBpMIHo6qCeU8ruhWuqMze4dAK091u3Iup06TXPw0/J0wQrjzQ4SpuRDw4jyng"
        "xEW3zJ7UIHuB8IkJldGdWUkAAAA="
    ),
    "data/18/184f77f7dfee3bb503abf75ea4aed1fdae8a408ec203176ea97df46f84fb7bb9": (
        "S0X1ETSkG6TOW9ud4nFvwQZHUacrLIeI4EY5xSyt9x6EAN9lugbBXRFuAF9/YjobBDS2D9egOtAQMXWb7Cj5"
        "eX/xLUj0gU6YN499WRQdVg3ldSrFNbLtfTvwNtWKdNBnp2oQOec0new022fbiHxZi89mzJTGYUzsXu6E+UoP"
        "PDc3NGpBSQAAAA=="
    ),
    "index/dcba53a7af1966343092b62cab44cc563f684125a2a484a0081d898a0baeb234": (
        "ha6/qvUbiIBj27HHEohpgYzI774Ml9KY8ZX1jhUT+fuVC2uX+YRE6AH+7RT87VxBW7Esg8/rUyUoa11xYscr"
        "uEhIbZqABPjUMtc2AIBleNIQUzR5+V8mwgL1OndwNqvJNks+f4v3TePWiNaGKtGDlPYBeHWwPMXAYAAl0VJE"
        "D9EzvkWc6aac85Tg8P67vPA5W9Q9ZSwkvzeCRGfnnyMLX52NPivknBY1aztM0gUwEr1s3djeLFbeFyWqGjiD"
        "2cAJonsnaQRrrNCU1uOJmSy4swN0f21Kim50sqsQ16sNyA738+rLttWecdnhe6ssRyJqwNfwZRV5FycaMmxg"
        "aFi7dRy+m3zLgpEH30Seac53mLe7D7QyJBlHVDhodPa1RzmJcPuH+77l8MPIDMNGjpDzu7XT/g=="
    ),
    "keys/05e6aee570d53b999cfc0def4e1f3a0f355ddeeba18fc5650e198516153eae4b": (
        "eyJjcmVhdGVkIjoiMjAyNi0xMS0yMlQxMzoyNDowNS42NjEyNjc4ODdaIiwidXNlcm5hbWUiOiJyb290Iiwi"
        "aG9zdG5hbWUiOiJ2bSIsImtkZiI6InNjcnlwdCIsIk4iOjMyNzY4LCJyIjo4LCJwIjo3LCJzYWx0IjoiaUFY"
        "cnFrMEhFdm9VYzFMWnUvZUFaVmlzQ1JiMnllL2R6UENNR3lFNjJtdjlTT1plTDM2aEtBSk9FUTFwTzlsNkFS"
        "MXZxSmhiQ2EyeGJic3h5VWxsVnc9PSIsImRhdGEiOiI1eEJoL3QxYXNhdHA3UmdtMVhWM2pXUXAvNkFWMWVY"
        "ZE5MTUtjOGYrNnB0TUV5ZVZvU3hkT2lPWkVlaFFMZGNDRFdONE9TbkJmenpBV29yaDl2MTl5OTVpZDI2aHFK"
        "VU9ocnU2Qlo0U3E1OXNmSE9DZk1NdDloZ1U0YndTaXk5eExRQTI0V1k1ODcxckFwNEovV1QzaEF4UXo4UEN1"
        "UnN4Z0t5OVdZMXlNWGdSQlN4MlpZczR2NzBLdnd5cXJXTkpTazV6MDJaTHE0ZEhnR0t0MzZEVUxBPT0ifQ=="
    ),
}


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(text))
    return open_backend(LocalSettings(path=str(tmp_path)))


def test_config_opens_with_its_password(backend: Backend) -> None:
    config, dummy = open_config(backend, [Secret("wrong"), PASSWORD])
    assert config.version == 2
    assert config.id == "2e57af48312aa3b88a3993171cf5c32f90e42ca05abee857654092f379cf586f"
    assert config.polynomial == 0x2D735B6D943A25


def test_wrong_password_is_told_from_damage(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(WrongPassword, match="key files tried: 1"):
        open_config(backend, [Secret("wrong")])
    next(tmp_path.glob("keys/*")).write_bytes(b"{}")
    with pytest.raises(RepositoryDamaged, match="No key file"):
        open_config(backend, [PASSWORD])


def test_blobs_and_snapshot_are_read(backend: Backend) -> None:
    dummy, key = open_config(backend, [PASSWORD])
    packs = {bytes.fromhex(e.name[-64:]): e.size for e in backend.entries("data/")}
    index, report = load_index(backend, key, known_packs=packs)
    reader = BlobReader(key=key, backend=backend, index=index)
    assert reader.read(BlobKind.DATA, DATA) == b"hello from restic\n"
    assert reader.length(BlobKind.DATA, DATA) == 18
    assert reader.read(BlobKind.TREE, TREE).startswith(b'{"nodes":[{"name":"hello.txt"')
    assert not index.has(BlobKind.TREE, DATA)
    assert (report.files, report.packs, report.blobs) == (1, 2, 2)
    (snapshot,) = list_ids(backend, "snapshots")
    assert f'"tree":"{TREE.hex()}"'.encode() in read_unpacked(backend, key, "snapshots", snapshot)


def test_packs_of_restic_are_adopted_without_their_index(backend: Backend, tmp_path: Path) -> None:
    dummy, key = open_config(backend, [PASSWORD])
    packs = {bytes.fromhex(e.name[-64:]): e.size for e in backend.entries("data/")}
    with_index, dummy_report = load_index(backend, key, known_packs=packs)
    next(tmp_path.glob("index/*")).unlink()
    index, report = load_index(backend, key, known_packs=packs)
    assert {pack.id for pack in report.adopted} == set(packs)
    for kind, blob_id in ((BlobKind.DATA, DATA), (BlobKind.TREE, TREE)):
        assert index.find(kind, blob_id) == with_index.find(kind, blob_id)
