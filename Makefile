# make unlearn: the main job.  make test: every check.  Both set up what they need.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# kedro, dvc and mlflow phone home by default; without a route out that costs seconds a run.
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
# Pulled where it is missing: what a run of your own has put there stays (`dvc checkout --force` undoes it).
REFERENCE := data/03_primary/images data/03_primary/manifest.parquet data/06_models/base data/06_models/classifier
# Larger pages where the kernel gives them on request: 54,000 page faults of a small `kedro run` instead of 118,000.
test lint: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1
test lint: export PYTHONMALLOC := malloc
# pip would compile what it installs on one core; the first import, of what it needs, in every process at once.
# Some of these files are of another Python, and do not compile.
PIP_INSTALL := pip install --quiet --disable-pip-version-check --no-compile
COMPILE := python -m compileall -qq --workers 0 -x '/tests/' $(VENV)/lib || true

.PHONY: unlearn test lint setup setup-dev pull ui viz sweep sequence compare compare-digits audits words compare-words pull-words fashion-mnist fashion-table benchmark keys clean help

unlearn: pull  ## erase a digit: venv, locked dependencies, reference data and models, the run
	kedro run --pipeline=unlearn

test: setup-dev pull lint  ## the same set-up, then every check and test
	pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

lint: setup-dev  ## style, types
	ruff check .
	ruff format --check .
	mypy

setup: $(VENV)/.installed  ## virtual environment with the locked dependencies
setup-dev: $(VENV)/.installed-dev  ## and the tools to develop with

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing the locked dependencies (torch is large: some minutes)"
	$(PIP_INSTALL) -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	$(COMPILE)
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP_INSTALL) -r requirements-dev.lock
	$(COMPILE)
	touch $@

# DVC lays out what is read-only in its cache without a look at it: what is damaged there goes, to be fetched anew.
define DROP_DAMAGED
import hashlib, pathlib, re
for kept in pathlib.Path(".dvc/cache/files/md5").glob("*/*"):
    if re.fullmatch("[0-9a-f]{30}([.]dir)?", kept.name):
        with kept.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        if digest != kept.parent.name + kept.name[:30]:
            print(f"{kept} is damaged: removed, to be fetched anew")
            kept.unlink()
endef
export DROP_DAMAGED

pull: setup  ## digits, manifest, base model and classifier from the reference store in the repository
	@missing=$$(for path in $(REFERENCE); do [ -e $$path ] || echo $$path; done); \
	if [ -n "$$missing" ]; then \
		python -c "$$DROP_DAMAGED"; \
		echo "dvc pull" $$missing; dvc pull --quiet $$missing; \
	fi

# MLflow would start eight more processes, for jobs that nothing here asks for.
ui: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
ui: setup  ## MLflow's pages on http://127.0.0.1:5000
	kedro mlflow ui

compare: REFERENCE += data/06_models/compare/retrain/class-0-seed-0
compare: setup pull  ## every method on the request, one table, one plot; goes on where it stopped
	kedro run --pipeline=compare

keys: setup  ## the pair of keys that sign a model and its evidence, in conf/local
	kedro keys

viz: setup-dev  ## the flow, with previews, on http://127.0.0.1:4141
	kedro viz run

sweep: setup pull  ## the table of ten digits × three seeds, about 40 minutes; goes on where it stopped
	python benchmarks/table.py sweep

sequence: setup pull  ## the table of five requests in a row, about 6 minutes
	python benchmarks/table.py sequence

compare-digits: setup pull  ## every method on every digit: hours; goes on where it stopped
	python benchmarks/table.py compare-digits

audits: setup pull  ## the audits of every method on every digit: hours; goes on where it stopped
	python benchmarks/table.py audits

words compare-words pull-words: REFERENCE += $(addprefix data/,03_primary/tiny_text_to_image/images 03_primary/tiny_text_to_image/manifest.parquet 06_models/tiny_text_to_image/base 06_models/tiny_text_to_image/classifier)
words: setup pull  ## every digit's word erased from the small text-to-image model, about 20 minutes
	python benchmarks/table.py words

pull-words: setup pull  ## what the small text-to-image model needs, beside a result of your own

compare-words: setup pull  ## every method on the word "three", about 40 minutes; goes on where it stopped
	python benchmarks/table.py compare-words

FASHION_MNIST := data/03_primary/fashion_mnist/manifest.parquet
fashion-mnist fashion-table: REFERENCE += data/06_models/fashion_mnist/base data/06_models/fashion_mnist/classifier
$(FASHION_MNIST): | setup
	kedro run --env=fashion_mnist --pipeline=prepare

fashion-mnist: setup pull $(FASHION_MNIST)  ## a class of Fashion-MNIST erased, about 15 minutes
	kedro run --env=fashion_mnist --pipeline=unlearn

fashion-table: setup pull $(FASHION_MNIST)  ## each class of it: hours; goes on where it stopped
	python benchmarks/table.py fashion-table

benchmark: setup pull  ## time and memory as ratios, on a machine with nothing else to do
	python benchmarks/benchmark.py

clean:  ## the virtual environment, MLflow's store and checkpoints; results stay
	rm -rf $(VENV) mlflow.db* mlruns mlartifacts data/.checkpoints .viz

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*##/\1\t/' | expand -t 12
