# Copyright (c) 2026 Granary contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Golden repositories: what each released version has written, for every later one to read.

`python -m tests.faults.golden` makes those of this version, once: a version that is released is
never made again.
"""
