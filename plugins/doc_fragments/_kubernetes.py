# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twin of ``kubernetes()`` in ``plugins/module_utils/_ansible/argspec.py``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - A kubeconfig file, from E(K8S_AUTH_KUBECONFIG) by default.
      - Where no option says anything, the service account of the pod is used, else E(KUBECONFIG), else C(~/.kube/config).
    type: path
  context:
    description: The context of the kubeconfig file, from E(K8S_AUTH_CONTEXT) by default.
    type: str
  host:
    description:
      - The URL of the API server, from E(K8S_AUTH_HOST) by default.
      - Together with O(api_key) or O(client_cert) no kubeconfig file is read.
    type: str
  api_key:
    description: The token to log in with, from E(K8S_AUTH_API_KEY) by default.
    type: str
  ca_cert:
    description: A file of certificate authorities that the API server's certificate is verified with, from E(K8S_AUTH_SSL_CA_CERT) by default.
    type: path
    aliases: [ssl_ca_cert]
  validate_certs:
    description: Whether the API server's certificate is verified, from E(K8S_AUTH_VERIFY_SSL) by default; if nothing is said, it is.
    type: bool
    aliases: [verify_ssl]
  client_cert:
    description: A client certificate to log in with, from E(K8S_AUTH_CERT_FILE) by default.
    type: path
    aliases: [cert_file]
  client_key:
    description: The key of O(client_cert), from E(K8S_AUTH_KEY_FILE) by default.
    type: path
    aliases: [key_file]
  proxy:
    description: The URL of an HTTP proxy to the API server, from E(K8S_AUTH_PROXY) by default.
    type: str
  no_proxy:
    description: Names, with commas between them, that are reached without it, from E(K8S_AUTH_NO_PROXY) by default.
    type: str
requirements:
  - kubernetes
"""
