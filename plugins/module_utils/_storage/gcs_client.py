# Copyright (c) 2026 Granary contributors
# Simplified BSD License (see LICENSES/BSD-2-Clause.txt or https://opensource.org/licenses/BSD-2-Clause)
# SPDX-License-Identifier: BSD-2-Clause

"""The client of Google Cloud Storage: where it goes, as whom, and that retries are ours."""

from __future__ import annotations

import json
import os
import sys
import typing as t

from .._core.errors import ConfigError
from .._core.redaction import Secret
from .model import check_endpoint

if t.TYPE_CHECKING:
    import requests
    from google.auth.credentials import Credentials
    from google.cloud.storage import Client

    from .http_session import Answers
    from .model import GcsSettings

GOOGLE = "https://storage.googleapis.com"
_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_NO_ASIDES = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
_SECRET_FIELDS = ("private_key", "refresh_token", "client_secret")


def secrets_of(settings: GcsSettings) -> tuple[Secret | None, ...]:
    """Return what must not be seen in a text; a key's lines as one, as sentences have them."""
    if not settings.credentials:
        return ()
    found = [settings.credentials]
    try:
        fields = json.loads(settings.credentials.reveal())
    except ValueError:
        return tuple(found)
    if isinstance(fields, dict):
        texts = [fields[name] for name in _SECRET_FIELDS if isinstance(fields.get(name), str)]
        found += [Secret(shown) for text in texts for shown in (text, " ".join(text.split()))]
    return tuple(found)


def endpoint_of(settings: GcsSettings) -> str:
    """Return the endpoint of the settings or, as Google's libraries do, of the environment.

    Raises ``ConfigError`` when that of the environment cannot be used.
    """
    found = settings.endpoint or os.environ.get("STORAGE_EMULATOR_HOST") or GOOGLE
    if "://" not in found:
        found = f"http://{found}"
    check_endpoint(found, store="Google Cloud Storage")
    return found.rstrip("/")


def connect(settings: GcsSettings, answers: Answers) -> Client:
    """Return a new client, heard by ``answers``; a machine's own identity may be looked for.

    It may be shared by threads but not across a fork. Raises ``ConfigError``.
    """
    try:
        from google.cloud.storage import Client
    except ImportError as exc:
        raise ConfigError(
            "Google Cloud Storage needs the Python library google-cloud-storage, which "
            f"{sys.executable} does not have ({exc}); install it there."
        ) from exc
    # Else it asks for the bucket's own data besides, in threads of its own that a fork would cut.
    os.environ.setdefault(_NO_ASIDES, "true")
    endpoint = endpoint_of(settings)
    credentials, project, session = _identity(settings, plain=endpoint.startswith("http://"))
    answers.attach(session, connections=settings.max_connections, ca_bundle=settings.ca_bundle)
    return Client(
        project=settings.project or project,
        credentials=credentials,
        client_options={"api_endpoint": endpoint},
        _http=session,
    )


def _identity(
    settings: GcsSettings, *, plain: bool
) -> tuple[Credentials, str | None, requests.Session]:
    """Return who we are, whose project that is, and a session that says so."""
    import requests
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession

    if plain:
        # A token would be read by everybody on the way.
        return AnonymousCredentials(), None, requests.Session()
    credentials, project = _credentials(settings)
    return credentials, project, AuthorizedSession(credentials)


def _credentials(settings: GcsSettings) -> tuple[Credentials, str | None]:
    from google import auth
    from google.auth.exceptions import GoogleAuthError

    try:
        text = _text_of(settings)
        if text is None:
            return auth.default(scopes=_SCOPES)
        return _read(text)
    except (GoogleAuthError, ValueError, KeyError, TypeError) as exc:
        # Some errors show the key that they cannot read: only their kind is told then.
        said = str(exc) if _shows_nothing(exc) else f"{type(exc).__name__} while reading them"
        raise ConfigError(
            f"The Google credentials cannot be used: {said.rstrip('.')}; give the JSON of a "
            "service account's key, or set up application default credentials."
        ) from (exc if _shows_nothing(exc) else None)


def _shows_nothing(exc: BaseException) -> bool:
    """Tell whether an error of the search for credentials shows nothing of them."""
    from google.auth.exceptions import DefaultCredentialsError

    return isinstance(exc, DefaultCredentialsError)


def _text_of(settings: GcsSettings) -> str | None:
    if settings.credentials:
        return settings.credentials.reveal()
    if settings.credentials_file is None:
        return None
    try:
        with open(settings.credentials_file, encoding="utf-8") as file:
            return file.read()
    except OSError as exc:
        raise ConfigError(
            f"The Google credentials {settings.credentials_file!r} cannot be read: "
            f"{exc.strerror}; check its rights."
        ) from exc


def _read(text: str) -> tuple[Credentials, str | None]:
    """Return credentials by their type, and the project that they name."""
    from google.auth import identity_pool
    from google.oauth2 import credentials as user
    from google.oauth2 import service_account

    fields = json.loads(text)
    match fields.get("type") if isinstance(fields, dict) else None:
        case "service_account":
            made = service_account.Credentials.from_service_account_info(fields, scopes=_SCOPES)
        case "authorized_user":
            made = user.Credentials.from_authorized_user_info(fields, scopes=_SCOPES)
        case "external_account":
            made = identity_pool.Credentials.from_info(fields, scopes=_SCOPES)
        case dummy:
            raise ConfigError(
                "The Google credentials are of no type that can be used; "
                "give the JSON of a service account's key."
            )
    return made, fields.get("project_id")
