# make unlearn: the main job.  make test: every check.  Both set up what they need.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# kedro, dvc and mlflow phone home by default; without a route out that costs seconds a run.
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
PIP_INSTALL := pip install --quiet --disable-pip-version-check

.PHONY: unlearn test lint setup setup-dev pull ui viz sweep clean help

unlearn: pull  ## erase a digit: venv, locked dependencies, reference data and models, the run
	kedro run --pipeline=unlearn

test: setup-dev pull lint  ## the same set-up, then every check and test
	pytest

lint: setup-dev  ## style, types
	ruff check .
	ruff format --check .
	mypy

setup: $(VENV)/.installed  ## virtual environment with the locked dependencies
setup-dev: $(VENV)/.installed-dev  ## and the tools to develop with

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies (torch is large: some minutes)"
	$(PIP_INSTALL) -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP_INSTALL) -r requirements-dev.lock
	touch $@

pull: setup  ## digits, manifest, base model and classifier from the reference store in the repository
	dvc pull --quiet

ui: setup  ## MLflow's pages on http://127.0.0.1:5000
	kedro mlflow ui

viz: setup-dev  ## the flow, with previews, on http://127.0.0.1:4141
	kedro viz run

sweep: setup pull  ## the table of ten digits × three seeds, about 40 minutes; goes on where it stopped
	python benchmarks/sweep.py

clean:  ## everything that a run writes, and the virtual environment
	rm -rf $(VENV) mlflow.db* mlruns mlartifacts data/.checkpoints data/.earlier .viz

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*##/\1\t/' | expand -t 12
