# Each target sets up .venv by itself; on a fresh machine `make demo` is all it takes.
.PHONY: help demo test test-vllm test-interop leaderboard lint bench d3rlpy docs clean
.DEFAULT_GOAL := help

PYTHON ?= python3
JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
VLLM_BIN := .venv-vllm/bin
VLLM_PIP := $(VLLM_BIN)/python -m pip --quiet --disable-pip-version-check
D3RLPY_BIN := .venv-d3rlpy/bin
D3RLPY_PIP := $(D3RLPY_BIN)/python -m pip --quiet --disable-pip-version-check

# PyPI's Linux build of torch brings gigabytes of CUDA libraries; `make TORCH=torch==2.13.0` asks for it.
ifeq ($(shell uname -s),Linux)
TORCH ?= torch==2.13.0+cpu
else
TORCH ?= torch==2.13.0
endif
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# Spinning OpenMP threads slow each other down on shared cores.
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE

help:
	@echo "make demo        evaluate the tiny agent, train it with GRPO, evaluate it again (outputs/refund/)"
	@echo "make test        the tests, on JOBS=$(JOBS) processes"
	@echo "make test-vllm   the tests of vLLM, in an environment of their own (.venv-vllm)"
	@echo "make test-interop  the tests of the adapters, in environments of their own (.venv-interop and others)"
	@echo "make lint        ruff, mypy --strict, import-linter"
	@echo "make bench       throughput of the environments and of the trainer"
	@echo "make d3rlpy      what offline learning is compared with, in an environment of its own (.venv-d3rlpy)"
	@echo "make leaderboard play the baselines that are missing, verify all, build the page (outputs/leaderboard/site/)"
	@echo "make docs        the documentation, as HTML in site/"
	@echo "make clean       remove what the tools and tests left (not .venv, not outputs/)"

# torch goes first and alone, so that nothing that depends on it can choose another build.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "Setting up .venv; this happens once and takes a few minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install -c constraints.txt "$(TORCH)" 2>/dev/null || \
		$(PIP) install -c constraints.txt --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	@$(PIP) install -c constraints.txt -e ".[train,dev]"
	@touch $@

.venv/.installed-docs: .venv/.installed
	@$(PIP) install -c constraints.txt -e ".[docs]"
	@touch $@

# vLLM goes with an older transformers than the rest of the package is tested with.
.venv-vllm/.installed: pyproject.toml tests/vllm/requirements.txt
	@echo "Setting up .venv-vllm; this happens once and takes a few minutes."
	@test -x $(VLLM_BIN)/python || $(PYTHON) -m venv .venv-vllm
	@$(VLLM_PIP) install "$(TORCH)" 2>/dev/null || $(VLLM_PIP) install --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	@$(VLLM_PIP) install --no-deps -r tests/vllm/requirements.txt
	@$(VLLM_PIP) install --no-deps -e .
	@touch $@

# The libraries of the adapters pin versions that the rest need not have. $(call interop,ENVIRONMENT,REQUIREMENTS) sets up
# one that has them; nothing is compiled before it is imported, since little of it is.
define interop
	@echo "Setting up $(1); this happens once and takes a minute or two."
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@$(1)/bin/python -m pip --quiet --disable-pip-version-check install --no-compile "$(TORCH)" 2>/dev/null || \
		$(1)/bin/python -m pip --quiet install --no-compile --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	@$(1)/bin/python -m pip --quiet --disable-pip-version-check install --no-compile --no-deps -r $(2) -e .
	@touch $(1)/.installed
endef

.venv-interop/.installed: pyproject.toml tests/interop/requirements.txt
	$(call interop,.venv-interop,tests/interop/requirements.txt)

.venv-verl/.installed: pyproject.toml tests/interop/verl/requirements.txt
	$(call interop,.venv-verl,tests/interop/verl/requirements.txt)

.venv-older/.installed: pyproject.toml tests/interop/older/requirements.txt
	$(call interop,.venv-older,tests/interop/older/requirements.txt)

# TRL is tested beside our trainers, with the versions that those have.
.venv-trl/.installed: pyproject.toml tests/interop/trl/requirements.txt
	$(call interop,.venv-trl,tests/interop/trl/requirements.txt)

# d3rlpy pins an older Gymnasium than the package needs.
.venv-d3rlpy/.installed: tests/benchmarks/offline/requirements.txt
	@echo "Setting up .venv-d3rlpy; this happens once and takes a few minutes."
	@test -x $(D3RLPY_BIN)/python || $(PYTHON) -m venv .venv-d3rlpy
	@$(D3RLPY_PIP) install "$(TORCH)" 2>/dev/null || $(D3RLPY_PIP) install --extra-index-url $(TORCH_INDEX) "$(TORCH)"
	@$(D3RLPY_PIP) install --no-deps -r tests/benchmarks/offline/requirements.txt
	@touch $@

demo: .venv/.installed
	$(BIN)/python docs/examples/refund_demo.py

test: .venv/.installed
	$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

test-vllm: .venv-vllm/.installed
	$(VLLM_BIN)/python -m pytest -q tests/vllm

# The adapters' own examples are among the tests: what the default run leaves out is named here. Each environment runs
# those of the modules whose libraries it has, and skips the tests of the others.
INTEROP_TEST := -m pytest -q -o addopts="--strict-markers --import-mode=importlib --doctest-modules" tests/interop
VERL_MODULES := ss_gym/interop/verifiers.py ss_gym/interop/verl.py
OLDER_MODULES := ss_gym/interop/rllib.py ss_gym/interop/verifiers_multi_turn.py ss_gym/interop/verl.py

test-interop: .venv-interop/.installed .venv-verl/.installed .venv-older/.installed .venv-trl/.installed
	.venv-interop/bin/python $(INTEROP_TEST) ss_gym/interop $(addprefix --ignore=,$(sort $(VERL_MODULES) $(OLDER_MODULES)))
	.venv-verl/bin/python $(INTEROP_TEST) $(VERL_MODULES)
	.venv-older/bin/python $(INTEROP_TEST) $(OLDER_MODULES)
	.venv-trl/bin/python $(INTEROP_TEST)/test_trl.py ss_gym/interop/trl.py ss_gym/interop/signatures.py

leaderboard: .venv/.installed
	$(BIN)/python -m ss_baselines.leaderboard --workers $(JOBS) --results ss_baselines/results

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: .venv/.installed
	$(BIN)/python -m tests.benchmarks.run

d3rlpy: .venv-d3rlpy/.installed

docs: .venv/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f docs/mkdocs.yml

clean:
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find ss_gym ss_trainers ss_baselines tests docs -name __pycache__ -prune -exec rm -rf {} +
