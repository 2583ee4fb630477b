VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: run smoke test thorough soak test-slow lint docs bench

run: $(VENV)/installed
	$(BIN)/entropy-loop run configs/astronaut.yaml

smoke: $(VENV)/installed
	$(BIN)/entropy-loop run configs/smoke.yaml

# One process per core, each with one thread.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --durations 20

# A file's tests stay together, for they share what they made.
test: $(VENV)/installed $(VENV)/npm $(VENV)/browser
	$(PYTEST) --dist loadfile

# What CI runs after `make test`: every fault as often as is promised, and the tests that take long. Single tests take
# minutes here, so they are dealt out one by one.
thorough: $(VENV)/installed $(VENV)/npm $(VENV)/browser
	$(PYTEST) --dist worksteal --faults full -m 'faults or thorough'

# Five times as many kills and flipped bits.
soak: $(VENV)/installed
	$(PYTEST) --dist worksteal --faults soak -m faults tests/faults

test-slow: $(VENV)/installed
	$(BIN)/python -m pytest -m slow -s tests/slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --severity-level high src

# The documentation as a site: build/site/index.html. The reference pages are written anew from the code.
docs: $(VENV)/installed
	$(BIN)/python -m scripts.tools.write_reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet -f docs/site/mkdocs.yml

$(VENV)/installed: pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint .ci/constraints.txt --editable '.[dev]'
	touch $@

# What the tests look at pages with: a real browser, and axe, which finds what a screen reader cannot read.
$(VENV)/npm: $(VENV)/installed
	npm install --prefix $@ --no-save --no-audit --no-fund axe-core@4.14.1
	touch $@

$(VENV)/browser: $(VENV)/installed tests/browser/install.py
	$(BIN)/python tests/browser/install.py
	touch $@

bench: $(VENV)/installed
	rm -f bench.json
	for id in sampling precision training scoring chain sweep start scaling contention cores rating; do \
	  $(BIN)/python -m scripts.bench.$$id --json bench.json || exit 1; done
