# make run   install into .venv and start the server
# make test  the same, then lint, types and every test
.PHONY: run install test lint types unit bench check-flood fuzz generate clean
.DEFAULT_GOAL := run

PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
INSTALLED := .venv/installed
SOURCES := pyproject.toml setup.py $(wildcard polypaint/*.pyx polypaint/*.pxd)
ARGS ?=

run: $(INSTALLED)
	$(BIN)/polypaint-fast serve $(ARGS)

install: $(INSTALLED)

# What is missing stops make with one line that says how to get it.
lacking = $(if $(shell command -v $(PYTHON)),$(shell $(PYTHON) ci/needs.py),there is no \
  $(PYTHON). Debian, Ubuntu: apt install python3-venv python3-dev gcc make)
PIP := $(BIN)/pip --quiet --disable-pip-version-check install
FAILED := echo "Not installed: the lines above say why. pip needs a network or a mirror." >&2

.venv/bin/python:
	$(if $(lacking),$(error $(lacking)))
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

$(INSTALLED): .venv/bin/python $(SOURCES)
	$(if $(lacking),$(error $(lacking)))
	@$(PIP) --upgrade pip && $(PIP) -e . || { $(FAILED); exit 1; }
	@touch $@

.venv/dev: $(INSTALLED)
	@$(PIP) -e ".[dev]" || { $(FAILED); exit 1; }
	@touch $@

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/cython-lint polypaint
	$(BIN)/lint-imports
	$(BIN)/python ci/shape.py

types: .venv/dev
	$(BIN)/mypy
	$(BIN)/stubtest polypaint._codec polypaint._framing polypaint._fanout polypaint._raster --allowlist ci/stubtest-allowlist.txt

unit: .venv/dev
	$(BIN)/coverage erase
	$(BIN)/pytest -n auto --cov --cov-report=term $(ARGS)

test: lint types unit

# Ratios to a relay in C in the same run; large drawings; floods; says at the end what it left out.
bench: .venv/dev
	$(BIN)/python benchmarks/run.py $(ARGS)

# Everybody but the sender of a flood draws on, nobody else is closed, and memory comes back.
check-flood: .venv/dev
	$(BIN)/python benchmarks/flood.py --short $(ARGS)

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
