# Everything from a clean clone: `make demo`, `make test`. Each makes its environment first, once.
#
#   make demo          trajectory → training → model file → LAMMPS and OpenMM, with a report in demo/out
#   make test          lint, types, all tests, in the default environment (PyTorch 2.9, TorchForce)
#   make test-latest   all tests but TorchForce's with the newest PyTorch
#   make bench-peers   MACE, NequIP, Allegro and DeePMD-kit beside this package, on the same structures
#   make setup         the default environment alone
#   make format        clang-format and ruff on the whole tree
#   make clean         build products and environments; downloaded and generated data stay

PYTHON ?= python3
VENV ?= .venv
LATEST := .venv-latest
SOURCES := $(shell find cpp CMakeLists.txt pyproject.toml -type f 2>/dev/null)
CXX_FILES := $(shell find cpp tests/cpp -name '*.cpp' -o -name '*.h' 2>/dev/null)

# Python sources are used in place (editable installation), so only the compiled parts are ever built again.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo bench-peers setup setup-latest test test-latest lint format clean

demo: setup
	@$(VENV)/bin/python demo/run.py

bench-peers: setup
	@$(VENV)/bin/python benchmarks/peers/run.py

setup: $(VENV)/.built

test: setup lint
	@echo "== tests ($$($(VENV)/bin/python -c 'import torch; print("PyTorch", torch.__version__)'), about 10 minutes)"
	@$(VENV)/bin/python -m pytest --durations=10

test-latest: setup-latest
	@echo "== tests with the newest PyTorch, all but TorchForce (about 5 minutes)"
	@$(LATEST)/bin/python -m pytest -m "not torchforce and not slow" --durations=10

lint: setup
	@echo "== lint and types (about 20 seconds)"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/clang-format --dry-run -Werror $(CXX_FILES)

format: setup
	@$(VENV)/bin/ruff check --fix-only .
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/clang-format -i $(CXX_FILES)

setup-latest:
	@$(MAKE) --no-print-directory VENV=$(LATEST) REQUIREMENTS=requirements/latest.txt $(LATEST)/.built

REQUIREMENTS ?= requirements/default.txt

$(VENV)/.installed: $(REQUIREMENTS) requirements/common.txt requirements/build.txt
	@bash tools/setup.sh environment "$(PYTHON)" "$(VENV)" "$(REQUIREMENTS)"
	@touch $@

$(VENV)/.built: $(VENV)/.installed $(SOURCES)
	@bash tools/setup.sh build "$(VENV)"
	@touch $@

clean:
	rm -rf build $(VENV) $(LATEST) demo/out
