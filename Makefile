# make run: try it. make test: everything that CI checks. make install: what both share, quick the second time.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# uv does not read pip's settings; hand over a local folder of wheels where pip has been given one.
UV     := UV_FIND_LINKS="$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$($(PYTHON) -m pip config get global.find-links 2>/dev/null)}}" $(BIN)/uv

.PHONY: run test install install-test debian lint types fuzz faults bench truth format pictures clean

run: install
	$(BIN)/redrabbit demo

install: $(VENV)/.installed-demo

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "redrabbit needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing: apt-get install python3-venv"; exit 2; }
	$(BIN)/python -m pip install --quiet uv

$(VENV)/.installed-demo: pyproject.toml | $(BIN)/uv
	$(UV) pip install --quiet --python $(BIN)/python -e '.[demo]'
	@touch $@

install-test: $(VENV)/.installed-test

# The CPU's build of torch is a tenth of the size: from a local folder of wheels, else from PyTorch's own index.
$(VENV)/.installed-test: pyproject.toml | $(VENV)/.installed-demo
	$(UV) pip install --quiet --python $(BIN)/python torch==2.13.0+cpu 2>/dev/null \
		|| $(UV) pip install --quiet --python $(BIN)/python --torch-backend=cpu torch==2.13.0
	$(UV) pip install --quiet --python $(BIN)/python -e '.[test]'
	@touch $@

debian:
	@sh tests/debian-packages.sh

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install-test
	$(BIN)/mypy

test: install-test debian lint types
	$(BIN)/python -m pytest

# Seconds for each target; TARGETS="pictures labels" are only those.
SECONDS ?= 60
fuzz: install-test
	$(BIN)/python -m tests.hostile.fuzz --seconds $(SECONDS) $(TARGETS)

# TRIES of each fault; ONLY="text" those with the text in their name.
TRIES ?= 200
faults: install-test debian
	$(BIN)/python -m tests.faults --tries $(TRIES) --only "$(ONLY)"

bench: install-test
	$(BIN)/python -m tests.bench

truth: install-test
	$(BIN)/python -m tests.bench.truth

format: install-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: install-test
	@mkdir -p build
	$(BIN)/redrabbit demo --parts 3000 --seed 2 --prevalence 0.05 --fault defocus@1000 --report build/report.json --exit
	$(BIN)/python docs/picture.py build/report.json 0.68 1000 docs/recall.png
	cp deploy/models/el-cells.onnx build/
	$(BIN)/redrabbit gate build/el-cells.onnx elpv --report build/gate.html || test $$? -ne 2
	chromium --headless --no-sandbox --disable-background-networking --hide-scrollbars --window-size=1000,1420 --screenshot=docs/gate.png build/gate.html
	$(BIN)/redrabbit plan --prevalence 0.005 --parts-per-day 50000 --picture docs/plan.png
	$(BIN)/python -m docs.panels
	$(BIN)/python -m docs.screens

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
