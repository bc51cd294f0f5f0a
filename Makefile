PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: setup app test test-fast lint clean

setup: .venv/.installed  ## Create .venv with pinned requirements and the command .venv/bin/vision-app

app: setup  ## Open the page on http://127.0.0.1:8501
	$(BIN)/streamlit run streamlit_app.py --server.address=127.0.0.1 --server.port=8501

test: .venv/.installed-dev  ## Run every test, with a process for each core
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=worksteal

test-fast: .venv/.installed-dev  ## Run the tests that need neither a browser nor a training, and no process or export
	$(BIN)/python -m pytest -m "not browser and not training and not slow" --numprocesses=auto --maxprocesses=8 --dist=worksteal

lint: .venv/.installed-dev  ## Check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:  ## Remove everything that the other targets made
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# The stamps are newer than the files they depend on, so a second `make` has nothing to do.
.venv/.installed: requirements.txt pyproject.toml setup.py
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt
	$(PIP) install -r requirements-dev.txt
	touch $@
