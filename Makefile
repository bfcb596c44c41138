# Every target does all of its own set-up. Needed beforehand: Debian 12 (or a later one), root, git, make, python3 >= 3.11.
.DEFAULT_GOAL := help
.PHONY: help install demo image test test-long test-faults bench

export PATH := $(CURDIR)/.venv/bin:$(PATH)
PYTHON3 ?= python3
REQUIREMENTS := requirements.txt operator/requirements.txt requirements-dev.txt
# One installation per state of the requirements and place of the checkout: a file of that name says that it is there.
INSTALLED := .venv/.installed-$(shell (cat $(REQUIREMENTS); pwd) | sha256sum | cut -c1-16)

help: ## what can be asked for
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

install: $(INSTALLED) ## the development environment in .venv: Ansible, every tool, and this collection linked into it

$(INSTALLED): export DEBIAN_FRONTEND = noninteractive
$(INSTALLED):
	@missing=""; \
	$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	command -v shellcheck >/dev/null || missing="$$missing shellcheck"; \
	if [ -n "$$missing" ]; then \
	    echo "install: Debian packages$$missing"; \
	    apt-get update -qq && apt-get install -qqy --no-install-recommends $$missing >/dev/null 2>&1 || \
	        { echo "install: apt-get could not install$$missing; install them and try again" >&2; exit 1; }; \
	fi
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "install: python3 is older than 3.11; name a newer one by PYTHON3=..." >&2; exit 1; }
	@[ "$$(cat .venv/.home 2>/dev/null)" = "$(CURDIR)" ] || rm -rf .venv
	@echo "install: Python packages into .venv (about a minute)"
	@$(PYTHON3) -m venv .venv && echo "$(CURDIR)" > .venv/.home
	@.venv/bin/pip install --quiet --disable-pip-version-check $(addprefix -r ,$(REQUIREMENTS))
	@site=$$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	for tree in "$$site" .venv/tree; do \
	    mkdir -p "$$tree/ansible_collections/granary" && \
	    ln -sfn "$(CURDIR)" "$$tree/ansible_collections/granary/postgres" || exit 1; \
	done
	@python -m tests.testbed install kubernetes-core
	@cache=$${GRANARY_CACHE:-/var/cache/granary}/kubernetes-core/ansible_collections/kubernetes; \
	for tree in "$$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" .venv/tree; do \
	    ln -sfn "$$cache" "$$tree/ansible_collections/kubernetes" || exit 1; \
	done
	@rm -f .venv/.installed-* && touch $@
	@echo "install: done"

demo: install ## a PostgreSQL backed up, changed, backed up again, restored and proved
	@python -m tests.testbed install demo
	@programs=$$(python -c 'from tests.testbed.postgres import client_bin; print(client_bin(16))') && \
	ANSIBLE_CALLBACK_RESULT_FORMAT=yaml ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false \
	ansible-playbook granary.postgres.demo -e demo_bin_dir=$$programs

image: install ## the operator's image in build/image.tar; IMAGE=NAME:TAG names it, FRESH=1 fetches Debian's packages anew
	@python -m ansible_collections.granary.postgres.operator.image build --output build/image.tar \
	    $(if $(IMAGE),--name $(IMAGE)) $(if $(FRESH),--fresh)

test: install ## every check and test, matrices sampled; the last line counts
	@python -m tests.testbed install test
	@python -m tests.run $(TESTS)

test-long: install ## the same with whole matrices
	@python -m tests.testbed install test long
	@python -m tests.run --long $(TESTS)

test-faults: install ## the whole failure matrix, all crash states, 20 minutes of many at once
	@python -m tests.testbed install test
	@python -m tests.run --long --only faults $(TESTS)

bench: install ## side by side with pg_dump | restic, on this machine
	@python -m tests.testbed install test
	@python -m benchmarks $(BENCH)
