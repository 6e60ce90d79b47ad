# The course's few commands. Everything lives in .venv; remove that folder to start over.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# JupyterLab's defaults for this environment: no question about news, no look for updates.
LAB_SETTINGS := $(VENV)/share/jupyter/lab/settings/overrides.json
# Such as --no-browser, or --ServerApp.port=9000.
LAB_OPTIONS  ?=

.DEFAULT_GOAL := help
.PHONY: help course lab test test-slow test-browser notebooks check-notebooks site benchmark lint lock setup clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | awk -F'\t' '{printf "  make %-16s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(READY)

$(LAB_SETTINGS): rcnn_helpers/course/lab_settings.json $(READY)
	@mkdir -p $(@D) && cp $< $@

setup: $(READY) $(LAB_SETTINGS)  ## create the environment in .venv

course: $(READY)  ## set everything up, run the whole course on embedded data, print the result table
	$(BIN)/rcnn course

# Only this machine can reach it, and only with the token in the address. Root, as in a container, needs leave.
lab: $(READY) $(LAB_SETTINGS)  ## open the course in JupyterLab
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/jupyter lab --ServerApp.root_dir=notebooks --LabApp.default_url=/lab/tree/00_start_here.ipynb \
		--ServerApp.ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_OPTIONS)

test: $(READY)  ## set everything up and run the tests
	$(BIN)/python -m pytest -m "not slow and not browser"

test-slow: $(READY)  ## run the tests that take longer
	$(BIN)/python -m pytest -m "slow and not browser"

test-browser: $(READY) $(LAB_SETTINGS)  ## use the notebooks in JupyterLab in Chromium as a learner would
	$(BIN)/python -m pytest -m browser -rA

notebooks: $(READY)  ## generate the notebooks from their sources and execute them (laptop profile)
	$(BIN)/python -m rcnn_helpers.course.notebooks --write

check-notebooks: $(READY)  ## fail if a notebook is older than its source; execute all on the smoke profile
	RCNN_PROFILE=smoke $(BIN)/python -m rcnn_helpers.course.notebooks --check

site: $(READY)  ## build the course as a web site in the folder site, to be read without a network
	$(BIN)/python -m rcnn_helpers.course.site

benchmark: $(READY)  ## time every stage beside its peer
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

lint: $(READY)  ## check style
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

lock: $(READY)  ## refresh requirements.lock from the ranges in pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev pyproject.toml -o requirements.lock

clean:  ## remove the environment
	rm -rf $(VENV) .venv-benchmark
