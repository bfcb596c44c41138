# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twin of ``repository()`` in ``plugins/module_utils/_ansible/argspec.py``."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  backend:
    description:
      - Where the repository is. Exactly one kind of place is given.
    type: dict
    required: true
    suboptions:
      local:
        description: A folder on the host that runs the task, which may be a mounted network file system.
        type: dict
        suboptions:
          path:
            description: The folder.
            type: path
            required: true
      s3:
        description: A bucket of Amazon S3 or of a server that speaks its protocol.
        type: dict
        suboptions:
          bucket:
            description: The name of the bucket.
            type: str
            required: true
          prefix:
            description: The folder within the bucket; the bucket itself by default.
            type: str
            default: ""
          endpoint:
            description:
              - The URL of the server, such as V(https://s3.example.com), for anything but Amazon S3.
              - With an endpoint, buckets are addressed by path.
            type: str
          region:
            description: The region of the bucket.
            type: str
  password:
    description:
      - The password of the repository, the same that C(restic) asks for.
      - Taken from the environment variable E(RESTIC_PASSWORD) by default.
      - Who loses it loses every backup; keep it where the repository is not.
    type: str
    required: true
  access_key:
    description:
      - The access key of the bucket, from E(AWS_ACCESS_KEY_ID) by default.
      - Without one, the places are searched where the AWS tools look (shared files, instance and pod roles).
    type: str
  secret_key:
    description: The secret that belongs to O(access_key), from E(AWS_SECRET_ACCESS_KEY) by default.
    type: str
  session_token:
    description: The session token of temporary credentials, from E(AWS_SESSION_TOKEN) by default.
    type: str
  profile:
    description: The profile in the shared AWS files, from E(AWS_PROFILE) by default.
    type: str
  ca_bundle:
    description: A file of certificate authorities that the server's certificate is verified with, from E(AWS_CA_BUNDLE) by default.
    type: path
  repository_lock_wait:
    description:
      - For how many seconds to wait while somebody else holds a lock that conflicts with ours.
      - A lock whose owner is proved dead is removed without waiting.
    type: int
    default: 300
requirements:
  - cryptography
  - zstandard
  - boto3, for repositories in S3
"""
