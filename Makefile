# Each target does its own set-up. `make demo` and `make test` are the two commands to begin with.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := pip install --quiet --disable-pip-version-check -c constraints.txt
export OPENVINO_TELEMETRY_OPT_OUT := 1

.PHONY: demo test check test-device test-arm64 bench peers reliability format clean
.DEFAULT_GOAL := test

$(READY): pyproject.toml constraints.txt
	@echo "setting up $(VENV) with $$($(PYTHON) --version): the converters bring torch and three engines, a few minutes the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) torch
	$(BIN)/$(PIP) -e '.[convert,onnx,openvino,tflite,mqtt,web,sweep,dev]'
	@touch $@

demo: $(READY)  ## the whole of edgekit on a rendered shop: build, run, bench, one page to look at
	$(BIN)/python examples/demo/run.py --out out/demo

test: $(READY)  ## every test, on the main interpreter, two files at a time, the long ones first, one thread each
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-device: $(READY)  ## the device side's tests on every other Python at hand, and on the legacy TFLite runtime
	$(BIN)/python tests/device/other_pythons.py

test-arm64: $(READY)  ## the device side on 64-bit ARM under emulation: needs qemu-user-static, debootstrap and proot; some ten minutes a board
	$(BIN)/python tests/device/arm64.py $(addprefix --bundle ,$(BUNDLES))

check: $(READY)  ## format, lint, types, and which way imports point
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

reliability: $(READY)  ## every fault rig, with the numbers of the tests; LONG=--long for those of README
	$(BIN)/python -m edgekit.benchmarks.reliability $(LONG)

bench: $(READY)  ## the speed table of README, from interleaved runs on this host, of those of its bundles that were built
	$(BIN)/python -m edgekit.benchmarks.speed $(addprefix --bundle ,$(wildcard out/yolox-nano-320.ekb out/yolox-nano-640.ekb out/peers/*.ekb)) \
	    $(addprefix --classifier ,$(wildcard out/grocery-0.35.ekb))

peers: $(READY)  ## edgekit beside Ultralytics, Model API, benchmark_app and a plain script; INSTALL=--install makes their environments
	$(BIN)/python -m edgekit.benchmarks.peers $(INSTALL)

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .venv-* build dist out *.egg-info
