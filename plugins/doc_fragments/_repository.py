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
      gcs:
        description: A bucket of Google Cloud Storage.
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
          project:
            description:
              - The project that a bucket is made in, where one is made.
              - Taken from E(GCP_PROJECT), E(GOOGLE_CLOUD_PROJECT) or E(GOOGLE_PROJECT_ID), or from the credentials, by default.
            type: str
          endpoint:
            description:
              - The URL of the server, for private endpoints and emulators.
              - Over V(http://) no credentials are ever sent.
            type: str
      azure:
        description: A container of Azure Blob Storage.
        type: dict
        suboptions:
          container:
            description: The name of the container.
            type: str
            required: true
          prefix:
            description: The folder within the container; the container itself by default.
            type: str
            default: ""
          endpoint:
            description:
              - The URL of the blob service, for national clouds, private endpoints and emulators.
              - An emulator's has the account's name as its path.
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
  service_account_contents:
    description:
      - The JSON of a Google service account's key, from E(GCP_SERVICE_ACCOUNT_CONTENTS) by default.
      - Without it and O(service_account_file), Google's application default credentials are used (E(GOOGLE_APPLICATION_CREDENTIALS), workload identity).
    type: jsonarg
  service_account_file:
    description: A file with the JSON of a Google service account's key, from E(GCP_SERVICE_ACCOUNT_FILE) by default.
    type: path
  storage_account_name:
    description: The Azure storage account of the container, from E(AZURE_STORAGE_ACCOUNT) or E(AZURE_ACCOUNT_NAME) by default.
    type: str
  storage_account_key:
    description: The key of the Azure storage account, from E(AZURE_STORAGE_KEY) or E(AZURE_ACCOUNT_KEY) by default.
    type: str
  storage_sas_token:
    description:
      - A shared access signature for the container, from E(AZURE_STORAGE_SAS_TOKEN) or E(AZURE_ACCOUNT_SAS) by default.
      - Used where there is no O(storage_account_key).
    type: str
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
  - google-cloud-storage, for repositories in Google Cloud Storage
  - azure-storage-blob, for repositories in Azure Blob Storage
"""
