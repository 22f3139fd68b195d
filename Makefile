# make run   install into .venv and start the server
# make test  the same, then lint, types and every test
.PHONY: run install test lint types unit bench fuzz generate clean
.DEFAULT_GOAL := run

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
INSTALLED := .venv/installed
SOURCES := pyproject.toml setup.py $(wildcard polypaint/*.pyx)
ARGS ?=

run: $(INSTALLED)
	$(BIN)/polypaint-fast serve $(ARGS)

install: $(INSTALLED)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "polypaint-fast needs Python 3.11 or newer; make PYTHON=python3.12 names another"; exit 1; }
	@$(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "on Debian and Ubuntu: apt install python3-venv python3-dev gcc make"; exit 1; }

$(INSTALLED): .venv/bin/python $(SOURCES)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/dev: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/cython-lint polypaint
	$(BIN)/lint-imports

types: .venv/dev
	$(BIN)/mypy
	$(BIN)/stubtest polypaint._codec polypaint._raster --allowlist ci/stubtest-allowlist.txt

unit: .venv/dev
	$(BIN)/coverage erase
	$(BIN)/pytest -n auto --cov --cov-report=term $(ARGS)

test: lint types unit

# Ratios to a relay in C in the same run; figures of the codec; large drawings.
bench: .venv/dev
	mkdir -p build
	$(BIN)/python benchmarks/end_to_end.py --json build/bench.json --chart build/bench.svg $(ARGS)
	$(BIN)/python benchmarks/stall.py
	$(BIN)/python benchmarks/drawings.py
	$(BIN)/python benchmarks/journal.py
	$(BIN)/python benchmarks/matches.py
	$(BIN)/python benchmarks/tanks.py
	$(BIN)/python benchmarks/stores.py
	$(BIN)/python benchmarks/slow.py
	$(BIN)/python benchmarks/many.py
	$(BIN)/pytest benchmarks -q --no-cov --benchmark-columns=median,ops

# The extensions with AddressSanitizer and UBSan, in a folder of their own, and 10⁷ bad inputs.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1
fuzz: .venv/dev
	rm -rf build/fuzz && mkdir -p build/fuzz
	POLYPAINT_CFLAGS="$(SANITIZE)" POLYPAINT_LDFLAGS="-fsanitize=address,undefined" \
	  $(BIN)/python setup.py -q build_ext --build-lib build/fuzz --build-temp build/fuzz/temp
	cp -r polypaint/*.py polypaint/paint polypaint/matches polypaint/tanks polypaint/store polypaint/net build/fuzz/polypaint/
	ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
	  PYTHONPATH=build/fuzz $(BIN)/python ci/fuzz.py $(ARGS)

generate: .venv/dev
	$(BIN)/python ci/generate.py

clean:
	rm -rf build dist *.egg-info polypaint/*.so .venv
