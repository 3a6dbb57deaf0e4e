# Everything a developer or CI runs. Each target installs the project into .venv first, when that is out of date.

PYTHON ?= python3
BIN := .venv/bin
PACKAGES := cli costmodel layers validate

.PHONY: help report test slow lint types bench soundness mutants clean
.DEFAULT_GOAL := help

help: ## List the targets
	@sed -n 's/^\([a-z]*\): .*## /\1\t/p' Makefile

report: .venv/installed ## Measure every method and write report/index.html
	$(BIN)/lipcost validate --output report

test: .venv/installed ## Tests, doctests and the documentation's code blocks
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow" -n auto --dist loadgroup

slow: .venv/installed ## What takes longer: every kind of network with every method, the published algorithms exhaustively
	OMP_NUM_THREADS=1 $(BIN)/pytest -m slow -n auto --dist loadgroup

lint: .venv/installed ## Style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed ## Static types
	@mkdir -p build/types/lipcost
	@for package in $(PACKAGES); do ln -sfn ../../../$$package build/types/lipcost/$$package; done
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests benchmarks

bench: .venv/installed ## What predictions and layers cost, beside others; REFERENCE=path of the reference implementation
	$(BIN)/python -m benchmarks.predictions
	$(BIN)/python -m benchmarks.counters
	$(BIN)/python -m benchmarks.layers $(if $(REFERENCE),--reference $(REFERENCE))

soundness: .venv/installed ## Whether the layers are 1-Lipschitz, for degenerate weights too; REFERENCE as above
	$(BIN)/python -m benchmarks.soundness --published --orthogonium $(if $(REFERENCE),--reference $(REFERENCE))

mutants: .venv/installed ## What each rule does changed in turn: do the tests of the rules tell? Takes an hour
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m benchmarks.mutate_rules

clean: ## Remove everything generated, .venv included
	rm -rf .venv build dist report *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find $(PACKAGES) benchmarks tests docs -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	@touch $@
