# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Kubernetes cluster for tests, from its own programs, in Linux namespaces of its own.

`namespaces` runs a command in new namespaces, `inside` is their first process. What runs in there
makes a `KubeCluster`: one node, and a second one where a test asks for it.
"""
