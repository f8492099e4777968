# Opsin from a bare clone. Every target makes .venv and installs what it needs, once, then runs.
# Needs: make, bash, Python 3.11 or later with venv.

SHELL := bash
VENV := .venv
BIN := $(VENV)/bin
CLIENTS := tests/clients

# The first Python on the path that is new enough; `make PYTHON=/path/to/python3 ...` names another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Installs this folder, editable, with the extras $(1). pip names every package; we show the large ones.
define install
	@echo "Installing opsin[$(1)] into $(VENV). The first time takes minutes and about 6 GB (PyTorch)."
	@set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --no-input \
		--progress-bar off --editable '.[$(1)]' \
		| { grep --line-buffered -oE '(Downloading|Using cached) .* MB\)|^Installing collected packages' || true; }
	@touch $@
endef

.PHONY: help demo serve test chaos bench install format clean distclean

help:
	@echo "make demo       analyse a real portrait end to end, show the answer, stop"
	@echo "make serve      start the server and leave it up     ARGS='--port 8080'"
	@echo "make test       lint, types, layers, audit, template, tests PYTEST_ARGS='-n auto -k name'"
	@echo "make chaos      every fault, through 10,000 analyses ARGS='-k ray'"
	@echo "make bench      the numbers in the docs              ARGS=..."
	@echo "make install    only the set-up of the above, with the test tools"
	@echo "make format     let ruff format and mend what it can"
	@echo "make clean      remove caches and build output       (distclean: .venv, node_modules too)"

demo: $(VENV)/.installed-run
	@$(BIN)/opsin demo $(ARGS)

serve: $(VENV)/.installed-run
	@exec $(BIN)/opsin serve $(ARGS)

test: install
	@$(BIN)/tox run $(if $(PYTEST_ARGS),-- $(PYTEST_ARGS))

# As root it also fills a small disk and pulls a cable between two network namespaces.
chaos: install
	@CHAOS_ANALYSES=$${CHAOS_ANALYSES:-10000} $(BIN)/python -m pytest -m chaos -s tests/chaos tests/core/engine/ray $(ARGS)

bench: install
	@$(BIN)/python -m bench $(ARGS)

install: $(VENV)/.installed-test $(CLIENTS)/node_modules/.package-lock.json $(VENV)/.installed-old-clients
	@: # so that make has nothing to say

format: $(VENV)/.installed-test
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# The stamps lie in .venv, so that removing it removes them.
$(VENV)/.installed-run: pyproject.toml | $(BIN)/python
	$(call install,all$(,)demo)

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	$(call install,all$(,)demo$(,)test)
	@touch $(VENV)/.installed-run

# The old Python clients of the tests, in folders of their own.
$(VENV)/.installed-old-clients: | $(VENV)/.installed-test
	@echo "Installing the old clients of the tests"
	@$(BIN)/python -m tests.compat.old_clients
	@touch $@

# A comma in an argument of call.
, := ,

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or later found. Install one, or: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is not a Python 3.11 or later that can make virtual environments." >&2; \
		echo "Debian, Ubuntu: apt install python3-venv    (then run make again)" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# The Node programs of the tests, as the tests would install them; npm writes the target last.
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json | $(VENV)/.installed-test
	@echo "Installing the Node clients of the tests"
	@$(BIN)/python -m tests.node
	@touch $@

clean:
	rm -rf .tox .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist build
	find opsin tests bench plugin_template examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean
	rm -rf $(VENV) $(CLIENTS)/node_modules
