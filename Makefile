# Everything a checkout needs, with nothing but Python >= 3.11 and make: each target sets up what it uses in .venv, once.
# Set-up is done again only when pyproject.toml changes, so a target that ran before runs without a network.

PYTHON ?= python3
VENV ?= .venv
DEMO ?=
DEVICE ?= cpu
TESTS ?=
BENCH ?=

# All tests at once keep each core busy, up to four; with TESTS they run in one process, whose output comes as it is printed.
processes := $(if $(TESTS),,--numprocesses=logical --maxprocesses=4 --dist=worksteal -p no:benchmark)
device := $(if $(filter cuda%,$(DEVICE)),$(if $(filter sim%,$(GRADLOOM_CUDA)),simulator,cuda))
bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check install --quiet --editable

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint clean cuda-compiler

help: ## This list
	@echo "usage: make <target>"
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-7s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'PYTHON=python3.12 chooses the interpreter; DEMO="--epochs 5", TESTS="-x tests/autograd" and BENCH="..." pass'
	@echo "arguments on to the demo, pytest and the benchmarks. DEVICE=cuda trains on a GPU. make cuda-compiler installs"
	@echo "what compiles kernels for GPUs (none is needed), so that the tests look at their machine code, too."

demo: $(VENV)/.examples $(addprefix $(VENV)/.,$(device)) ## Train a network on handwritten digits: progress, accuracy, a loss curve, a saved model
	$(bin)/python learn/examples/digits.py --device $(DEVICE) $(DEMO)

test: $(VENV)/.dev ## All tests
	$(bin)/python -m pytest $(processes) $(TESTS)

cuda-compiler: $(VENV)/.inspect

bench: $(VENV)/.dev ## Micro-benchmarks: how fast the kernels and the engine are on this machine
	$(bin)/python -m bench $(BENCH)

lint: $(VENV)/.dev ## Style (ruff) and types (pyright)
	$(bin)/ruff check .
	$(bin)/pyright --pythonpath $(bin)/python

clean: ## Remove the environment, results and caches of this checkout (not the kernel cache in your home folder)
	rm -rf $(VENV) build dist runs *.egg-info .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(bin)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "gradloom needs Python 3.11 or newer; $(PYTHON) is not. Name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "Python could not make an environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.examples: pyproject.toml $(bin)/python
	@echo "installing what the demo needs into $(VENV) ..."
	@$(pip) ".[examples]"
	@touch $@

$(VENV)/.dev: pyproject.toml $(bin)/python
	@echo "installing what the tests need into $(VENV) ..."
	@$(pip) ".[dev]"
	@touch $@ $(VENV)/.examples

$(VENV)/.cuda $(VENV)/.simulator $(VENV)/.inspect: $(VENV)/.%: pyproject.toml $(bin)/python
	@echo "installing what gradloom[$*] names into $(VENV) ..."
	@$(pip) ".[$*]"
	@touch $@
