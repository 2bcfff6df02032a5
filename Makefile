# make unlearn: the main job.  make test: every check.  Both set up what they need.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Kedro, DVC and MLflow report usage by default. Offline, each attempt costs seconds.
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export DVC_NO_ANALYTICS := 1
# Pulled if missing: results of your own stay. `dvc checkout --force` restores the reference.
REFERENCE := data/03_primary/images data/03_primary/manifest.parquet data/06_models/base data/06_models/classifier
# Compiled on all cores; pip would use one. A few files are for another Python version and do not compile.
PIP_INSTALL := pip install --quiet --disable-pip-version-check --no-compile
COMPILE := python -m compileall -qq --workers 0 -x '/tests/' $(VENV)/lib || true
TABLES := sweep several sequence images compare-digits audits words compare-words fashion-table own-images

.PHONY: unlearn test lint setup setup-dev pull ui viz docs compare keys $(TABLES) tune recipe guidance pull-words fashion-mnist icons benchmark \
	clean help

unlearn: pull  ## erase a digit: set up, pull reference data and models, run
	kedro run --pipeline=unlearn

test: setup-dev pull lint  ## set up, then run every check and test
	pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

lint: setup-dev  ## check style and types
	ruff check .
	ruff format --check .
	mypy

setup: $(VENV)/.installed  ## virtual environment with the locked dependencies
setup-dev: $(VENV)/.installed-dev  ## the same with development tools

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "expected Python 3.11 or newer: use make PYTHON=python3.12")'
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

pull: setup  ## digits, manifest, base model and classifier from the reference store in the repository
	@missing=$$(for path in $(REFERENCE); do [ -e $$path ] || echo $$path; done); \
	if [ -n "$$missing" ]; then \
		python scripts/drop_damaged_objects.py; \
		echo "dvc pull" $$missing; dvc pull --quiet $$missing; \
	fi

# MLflow would start eight more processes for jobs that nothing here uses.
ui: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
ui: setup  ## MLflow on http://127.0.0.1:5000
	@echo 'runs: http://127.0.0.1:5000/#/experiments/1/runs  models: http://127.0.0.1:5000/#/models'
	kedro mlflow ui

viz: setup-dev  ## the flow with previews on http://127.0.0.1:4141
	kedro viz run

docs: setup-dev  ## documentation as a site in build/docs; a dead link or a wrong reference fails
	sphinx-build -W --keep-going --fresh-env --quiet -c docs . build/docs

compare: REFERENCE += data/06_models/compare/retrain/class-0-seed-0
compare: setup pull  ## every method on the request: table, plot, page; continues where it stopped
	kedro run --pipeline=compare

keys: setup  ## key pair that signs a model and its evidence, in conf/local
	kedro keys

sweep:  ## table: eight digits × three seeds, about an hour; continues where it stopped
several:  ## table: two, three and five digits at once; continues where it stopped
sequence:  ## table: five requests in a row, about 6 minutes
images:  ## table: lists of single images, beside a retrained model; continues where it stopped
compare-digits:  ## table: every method on every digit, hours; continues where it stopped
audits:  ## table: audits of every method on every digit, hours; continues where it stopped
words:  ## table: every word erased from the small text-to-image model, about 20 minutes
compare-words:  ## table: every method on the word "three", about an hour; continues where it stopped
own-images:  ## table: six sets of images, a model trained for each, hours; continues where it stopped
fashion-table:  ## table: every class of Fashion-MNIST, hours; continues where it stopped
$(TABLES): setup pull
	python benchmarks/table.py $@

tune: setup-dev pull  ## table: every method with the same number of tries, hours; continues where it stopped
	python benchmarks/tune.py

recipe: setup pull  ## table: changes of EraseDiff's settings on the tuning digits, about an hour; continues where it stopped
	python benchmarks/recipe.py

guidance: setup pull  ## table: FID of the base models by guidance scale, some minutes
	python benchmarks/guidance.py local tiny_text_to_image icons

words compare-words guidance pull-words: REFERENCE += $(addprefix data/,03_primary/tiny_text_to_image/images 03_primary/tiny_text_to_image/manifest.parquet 06_models/tiny_text_to_image/base 06_models/tiny_text_to_image/classifier)
pull-words: setup pull  ## data and models of the small text-to-image model

FASHION_MNIST := data/03_primary/fashion_mnist/manifest.parquet
fashion-mnist fashion-table: REFERENCE += data/06_models/fashion_mnist/base data/06_models/fashion_mnist/classifier
fashion-table own-images: $(FASHION_MNIST)
$(FASHION_MNIST): | setup
	kedro run --env=fashion_mnist --pipeline=prepare

fashion-mnist: setup pull $(FASHION_MNIST)  ## erase a class of Fashion-MNIST, about 15 minutes
	kedro run --env=fashion_mnist --pipeline=unlearn

icons guidance: REFERENCE += $(addprefix data/,03_primary/icons/images 03_primary/icons/manifest.parquet 06_models/icons/base 06_models/icons/classifier)
icons: setup pull  ## erase flags from the model of colour icons
	kedro run --env=icons --pipeline=unlearn

benchmark: setup pull  ## time and memory as ratios; use an idle machine
	python benchmarks/benchmark.py

clean:  ## remove the virtual environment, MLflow's store and checkpoints; results stay
	rm -rf $(VENV) mlflow.db* mlruns mlartifacts data/.checkpoints .viz

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*##/\1\t/' | expand -t 16
