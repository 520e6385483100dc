# Two commands do everything from a clean checkout: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
STOP = $(VENV)/bin/stop
PYTEST = $(VENV)/bin/python -m pytest
MODEL ?= qwen2.5-coder-1.5b

.PHONY: run test quick lint check hooks environment developer engine browser clean

run: environment
	@echo "== the sandbox ==" && $(STOP) sandbox build
	@echo "\n== the language model (about 1.1 GB, once) ==" && $(STOP) model pull $(MODEL)
	@echo "\n== what works here ==" && $(STOP) doctor
	@echo "\n== one improvement: the knapsack seed, rewritten by the model (about two minutes) =="
	$(STOP) improve --task knapsack --lm local:$(MODEL) --responses 8
	@echo "\n== self-improvement: the improver rewrites itself (ten to twenty minutes) =="
	$(STOP) run --preset quick --lm local:$(MODEL)
	@echo "\n== the result =="
	$(STOP) lineage last --solutions
	@cat docs/reading-a-run.txt

# Everything. It is to pass on a busy machine as well.
test: check engine browser
	$(PYTEST) --dist loadfile --no-loadscope-reorder -n auto --maxprocesses 4 --durations 20

# What needs neither an engine nor a browser nor a model, in a minute and a half on two cores.
quick: check
	$(PYTEST) --dist loadfile -n 2 -m "not (docker or bubblewrap or browser or model or slow)"

# Fix what can be fixed (formatting, imports), then check.
lint: developer
	-$(VENV)/bin/ruff check --quiet --fix
	$(VENV)/bin/ruff format
	@$(MAKE) --no-print-directory check

check: developer
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

# `make check`, in part, before each commit.
hooks: developer
	$(VENV)/bin/pre-commit install

environment: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; choose one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 -m venv does not work here; on Debian: sudo apt-get install python3-venv"; exit 1; }
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e '.[local]'
	@touch $@

developer: $(VENV)/.developer

$(VENV)/.developer: $(VENV)/.installed
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e '.[local,analysis,dev]'
	@touch $@

# Tests want a container engine. As root on a Debian-like machine one is installed and started;
# STOP_INSTALL_ENGINE=0 tells it not to, and the Docker tests are then skipped by name.
engine: environment
	@PYTHON=$(VENV)/bin/python sh scripts/ensure-engine.sh

# Tests of the report want a browser; likewise, with STOP_INSTALL_BROWSER=0.
browser:
	@sh scripts/ensure-browser.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
