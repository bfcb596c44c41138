# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real servers and programs for the tests, the demo and the benchmarks.

It knows nothing of the engine: it installs components, runs them and stops them.
"""
