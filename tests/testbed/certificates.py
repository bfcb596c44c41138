# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A certificate authority for one test session: servers' and clients' certificates."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .ports import HOST

if t.TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    PrivateKey: t.TypeAlias = "ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """A certificate and its key as PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `certificate` is the file that clients trust."""

    def __init__(self, folder: Path, name: str = "Granary test authority") -> None:
        """Make a new authority that keeps its files in `folder`."""
        from cryptography.hazmat.primitives.asymmetric import ec

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / "ca.crt"
        self._write(self.certificate, self._sign(_distinguished(name), self._key, None))

    def issue(
        self,
        common_name: str,
        *,
        server: bool = False,
        organization: str | None = None,
        addresses: Sequence[str] = (),
    ) -> CertificateFiles:
        """A certificate; a server's one is valid for localhost, 127.0.0.1 and `addresses`.

        `organization` is what Kubernetes takes for the group of a client.
        """
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        files = CertificateFiles(
            certificate=self._folder / f"{common_name}.crt", key=self._folder / f"{common_name}.key"
        )
        valid_for = ("localhost", HOST, *addresses) if server else ()
        subject = _distinguished(common_name, organization)
        self._write(files.certificate, self._sign(subject, key, valid_for))
        write_key(files.key, key)
        return files

    def _sign(
        self, subject: x509.Name, key: PrivateKey, valid_for: Sequence[str] | None
    ) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        is_authority = valid_for is None
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(_distinguished(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if valid_for:
            names = x509.SubjectAlternativeName([_general_name(name) for name in valid_for])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    @staticmethod
    def _write(path: Path, certificate: x509.Certificate) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding

        path.write_bytes(certificate.public_bytes(Encoding.PEM))


def write_key(path: Path, key: PrivateKey) -> None:
    """Write a private key as PEM for nobody else to read."""
    from cryptography.hazmat.primitives import serialization as form

    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            form.Encoding.PEM, form.PrivateFormat.TraditionalOpenSSL, form.NoEncryption()
        )
    )


def _distinguished(name: str, organization: str | None = None) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _general_name(address: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
