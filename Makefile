# `make demo`, `make check` and `make test` set up .venv first. `make TORCH_INDEX=https://... demo` takes torch from another index.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

.PHONY: demo check test unit all-tests faults random-kills lint clean

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(BIN)/pip install --quiet --index-url $(TORCH_INDEX) torch torchvision)
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

demo: $(VENV)/ready
	mlflow run . --env-manager local -e sweep -P study=demo
	mlflow run . --env-manager local -e promote
	mlflow run . --env-manager local -e ensemble
	@echo "(mlflow is $(VENV)/bin/mlflow)"

# One process of tests for each core, with one thread of torch in each.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

# Lint, types and unit tests, in about two minutes on two cores without bf16.
check: $(VENV)/ready
	$(MAKE) --jobs=2 lint unit

# Lint, types and all tests, in a quarter (with AVX-512 and bf16) to half an hour.
test: $(VENV)/ready
	$(MAKE) --jobs=2 lint all-tests

unit: $(VENV)/ready
	$(PYTEST) -m "not slow and not e2e" --hypothesis-profile quick

all-tests: $(VENV)/ready
	$(PYTEST)

# A small sweep killed before and after every one of its writes, and given again; about an hour.
faults: $(VENV)/ready
	OMP_NUM_THREADS=1 python -m tests.faults

# Five hundred sweeps killed at random moments, and given again; an hour or two.
random-kills: $(VENV)/ready
	OMP_NUM_THREADS=1 python -m tests.faults.random_kills

lint: $(VENV)/ready
	ruff check src tests benchmarks
	ruff format --check src tests benchmarks
	mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
