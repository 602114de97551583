#!/usr/bin/env bash
# Called by the Makefile. Makes the virtual environment, or builds the compiled parts into it; says what and how long.
set -euo pipefail

started=$(date +%s)
step() { printf '== %s\n' "$1"; }
# Prints the time taken, and adds it to a note in the environment that the demo reads for its report.
took() { # VENV
  local seconds=$(($(date +%s) - started))
  printf '   done in %d s\n' "$seconds"
  echo $(($(cat "$1/.setup_seconds" 2>/dev/null || echo 0) + seconds)) >"$1/.setup_seconds"
}

environment() { # PYTHON VENV REQUIREMENTS
  step "environment $2 from $3 (first time about 3 minutes; the CUDA build of PyTorch takes 7 GB)"
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "setup: $("$1" --version 2>&1) is too old; Python 3.10 or newer is needed: make PYTHON=/path/to/python3" >&2
    exit 1
  }
  command -v "${CXX:-c++}" >/dev/null || {
    echo "setup: no C++ compiler (${CXX:-c++}); install one that knows C++17, for example Debian's g++" >&2
    exit 1
  }
  [ -x "$2/bin/python" ] || "$1" -m venv "$2" || {
    echo "setup: 'python -m venv' failed; on Debian the package python3-venv provides it" >&2
    exit 1
  }
  "$2/bin/python" -m pip install --quiet --upgrade pip
  "$2/bin/python" -m pip install --quiet --requirement "$3"
  took "$2"
}

build() { # VENV
  local venv
  venv=$(cd "$1" && pwd)
  step "compiled parts: LAMMPS plugin, OpenMM force, native engine, TorchScript backend (first time about 2 minutes)"
  # cmake and ninja of the environment, not those of the system
  PATH="$venv/bin:$PATH" "$venv/bin/python" -m pip install --quiet --no-build-isolation --no-deps \
    --config-settings=build-dir="build/$(basename "$venv")" --editable .
  took "$1"
}

"$@"
