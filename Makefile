# The course's few commands. Everything lives in .venv; remove that folder to start over.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# CPU=1 leaves out what PyTorch needs on Linux for NVIDIA's GPUs, 5 GB. Its build without them is in an index of its
# own, which PyTorch's installation page names: make course CPU=1 PIP_EXTRA_INDEX_URL=...
CPU    ?=
PINS   := $(if $(CPU),$(VENV)/requirements-cpu.txt,requirements.lock)
# The oldest versions that pyproject.toml allows, in an environment of their own on the oldest Python.
OLDEST_PYTHON ?= python3.11
OLDEST        := .venv-oldest
OLDEST_PINS   := tests/requirements-oldest.txt
# JupyterLab's defaults for this environment: no question about news, no look for updates.
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings/overrides.json
NOTEBOOKS    ?= notebooks
# Such as --no-browser, or --ServerApp.port=9000.
LAB_OPTIONS  ?=

COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml -o

.DEFAULT_GOAL := help
.PHONY: help course lab test test-slow test-browser test-oldest notebooks check-notebooks site benchmark lint lock setup clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(if $(CPU),grep -vE '^(cuda|nvidia|triton)' requirements.lock > $(PINS))
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(PINS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(READY)

$(LAB_SETTINGS): rcnn_helpers/course/lab_settings.json $(READY)
	@mkdir -p $(@D) && cp $< $@

setup: $(READY) $(LAB_SETTINGS)  ## create the environment in .venv

course: $(READY)  ## set everything up, run the whole course on embedded data, print the result table
	$(BIN)/rcnn course

# Only this machine can reach it, and only with the token in the address. Root, as in a container, needs leave.
# The list of extensions is read from this environment: by default, opening it asks PyPI about each of them.
lab: $(READY) $(LAB_SETTINGS)  ## open the course in JupyterLab
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab --ServerApp.root_dir=$(NOTEBOOKS) --LabApp.default_url=/lab/tree/00_start_here.ipynb \
		--ServerApp.ip=127.0.0.1 --LabApp.extension_manager=readonly $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_OPTIONS)

test: $(READY)  ## set everything up and run the tests
	$(BIN)/python -m pytest -m "not slow and not browser"

test-slow: $(READY)  ## run the tests that take longer
	$(BIN)/python -m pytest -m "slow and not browser"

test-browser: $(READY) $(LAB_SETTINGS)  ## use the notebooks in JupyterLab in Chromium as a learner would
	$(BIN)/python -m pytest -m browser -rA

test-oldest: $(OLDEST)/.ready  ## run the tests with the oldest versions allowed (Linux: 6 GB, CUDA included)
	$(OLDEST)/bin/python -m pytest -m "not slow and not browser"

$(OLDEST)/.ready: $(OLDEST_PINS) pyproject.toml
	$(OLDEST_PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -r $(OLDEST_PINS)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

notebooks: $(READY)  ## generate the notebooks from their sources and execute them (laptop profile)
	$(BIN)/python -m rcnn_helpers.course.notebooks --write

check-notebooks: $(READY)  ## fail if a notebook is older than its source; execute all on the smoke profile
	RCNN_PROFILE=smoke $(BIN)/python -m rcnn_helpers.course.notebooks --check

site: $(READY)  ## build the course as a web site in the folder site, to be read without a network
	$(BIN)/python -m rcnn_helpers.course.site

benchmark: $(READY)  ## time every stage beside its peer, on one core and on two; keep it in data/results
	$(BIN)/python tests/benchmarks/run.py

lint: $(READY)  ## check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

lock: $(READY)  ## refresh requirements.lock and the oldest versions from the ranges in pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) requirements.lock
	$(COMPILE) $(OLDEST_PINS) --resolution lowest-direct

clean:  ## remove the environment
	rm -rf $(VENV) $(OLDEST) .venv-benchmark
