# Two commands for a newcomer: `make quickstart` and `make test`. Both set up .venv first, once.
PYTHON ?= python3
BIN := .venv/bin

# Hundreds of processes are started, and without bytecode on disk each takes three times as long to load its packages.
unexport PYTHONDONTWRITEBYTECODE

# Of the tests: that the train step fits a TPU slice is checked with the TPU compiler, 700 MB and for Linux only.
LIBTPU := $(shell grep -o 'libtpu==[0-9.]*' pyproject.toml)

.PHONY: help setup quickstart test static suite bytecode soak parity coverage screenshots format lock
help:
	@echo "make quickstart   set up .venv, run a miniature ablation (about 8 minutes on 2 cores), print where the report is"
	@echo "make test         set up .venv, run every check and test"
	@echo "make soak         simulations and long trials"
	@echo "make parity       our checkpoints in transformers and under lm-evaluation-harness's own backend: installs torch"
	@echo "make coverage     the tests, and which lines they run"
	@echo "make screenshots  the pictures of reports in docs/, of the studies that are in runs/; needs Chromium"
	@echo "make setup        only set up .venv from requirements.lock"
	@echo "make format       format the code"
	@echo "make lock         resolve requirements.lock again"

setup: .venv/ready

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); print("setup: Python", sys.version.split()[0]); sys.exit(None if ok else "setup: Python 3.11, 3.12 or 3.13 is needed; name one with make PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "setup: the venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "setup: creating .venv and installing the locked packages (1 to 4 minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c requirements.lock uv
	@$(INSTALL) || { echo "setup: uv cannot install them; trying pip"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps -r requirements.lock; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# uv takes a third of the time that pip takes. It knows no settings of pip's, so it is told where pip looks.
INSTALL = index="$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2> /dev/null)}"; \
  UV_SYSTEM_CERTS=1 VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps $${index:+--default-index "$$index"} -r requirements.lock

# In a folder of its own: where jax finds it, it looks for a TPU at every start.
.venv/libtpu: .venv/ready
	@case "$$(uname -sm)" in "Linux x86_64") echo "setup: installing $(LIBTPU), the TPU compiler (once)"; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --target $@ $(LIBTPU);; esac
	@mkdir -p $@ && touch $@

quickstart: setup
	@$(BIN)/ablate run quickstart

# What has one core runs beside the rest; what is not run is said at the end.
test: setup
	@$(MAKE) --no-print-directory -j3 static suite
	@echo "Not run: make parity (torch), make soak (simulations), pytest -m tpu_fit, pytest -m 'slow and network'"

static: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Files go to three workers, for tests wait a quarter of their time: for processes, disks and clocks. In the order of the
# tree, where the longest are not the last. All is compiled to bytecode once, before three at a time would do it. What
# runs for a few steps is not worth what LLVM would make of it: XLA's own passes are as ever, and so are all in `soak`.
suite: setup .venv/libtpu bytecode
	XLA_FLAGS="$${XLA_FLAGS---xla_backend_optimization_level=0}" $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not tpu_fit and not soak and not (slow and network)"

bytecode: setup
	@$(BIN)/pytest --collect-only -q > /dev/null || true

# What the documentation promises of intervals and bounds, simulated: minutes, and no part of `make test`.
soak: setup
	$(BIN)/pytest -m soak

# In an environment of its own, for torch is larger than all else together.
PARITY := .venv/parity/bin/python
parity: .venv/parity/ready
	$(PARITY) -c "import torch, transformers, accelerate"
	$(PARITY) -m pytest tests/models/test_export.py tests/analysis/test_harness.py

.venv/parity/ready: .venv/ready
	@echo "setup: creating .venv/parity with torch (a few minutes, once)"
	@$(PYTHON) -m venv .venv/parity
	@$(PARITY) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(PARITY) -m pip install --quiet --disable-pip-version-check -c requirements.lock torch transformers accelerate
	@touch $@

coverage: setup .venv/libtpu
	$(BIN)/pytest --cov --cov-report=term:skip-covered -m "not tpu_fit and not soak and not (slow and network)"

screenshots: setup
	$(BIN)/python docs/screenshots.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# tensorflow-text asks for full TensorFlow; the CPU build serves it, hence the override and --no-deps above. libtpu
# and the CUDA plugin are left out for their size: `ablate fit` and the Dockerfile say how to get them.
# Versions in the lock stay unless uv is told to --upgrade; one version serves every Python.
lock:
	printf "%s ; sys_platform == 'never'\n" tensorflow libtpu jax-cuda12-plugin jax-cuda12-pjrt > .override.txt
	uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --fork-strategy fewest \
	  --override .override.txt --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock
	sed -i "/sys_platform == 'never'/d" requirements.lock
	rm .override.txt
