# `make run` and `make test` are all a fresh machine needs; each does its own set-up.

.DEFAULT_GOAL := help
.PHONY: help run test test-all install dev lint format bench bench-peers chaos screenshots lock clean

SHELL := /bin/sh
# The interpreter of .venv, by a relative path: the folder may have a space in its name.
python := .venv/bin/python
# What is passed on, for example: make test ARGS="-k dlq" or make test ARGS="-n 2"
ARGS ?=

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s%s\n", $$1, $$2 }'

run: install ## Start the panel and two workers (PORT=8000 WORKERS=2)
	@$(python) scripts/start.py $(ARGS)

test: dev ## Run all tests, those in a browser too (ARGS="-k name", ARGS="-n 0" one by one)
	@sh scripts/setup_browser.sh
	@$(python) -m pytest -n auto --dist worksteal -m "not slow" $(ARGS)

test-all: dev ## Run the slow tests as well: long fuzzing and storms (same ARGS)
	@sh scripts/setup_browser.sh
	@$(python) -m pytest -n auto --dist worksteal $(ARGS)

install: ## Make .venv with all that is needed to run
	@sh scripts/setup_venv.sh run

dev: install ## Add to .venv what tests and checks need
	@sh scripts/setup_venv.sh dev

lint: dev ## Check style and types
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy

format: dev ## Write the code in the one style
	@$(python) -m ruff check --fix-only .
	@$(python) -m ruff format .

bench: dev ## Measure how fast the queue is (ARGS="throughput --quick")
	@$(python) -m benchmarks $(ARGS)

bench-peers: dev ## Measure others beside it: Huey, RQ, Celery
	@sh benchmarks/peers/setup.sh
	@$(python) -m benchmarks peers $(ARGS)

chaos: dev ## Kill at random for some minutes and prove that no job is lost (ARGS="--seed 1")
	@$(python) -m tests.chaos --panel $(ARGS)

screenshots: dev ## Take the pictures of the panel for the docs
	@sh scripts/setup_browser.sh
	@$(python) scripts/screenshots.py $(ARGS)

lock: dev ## Resolve requirements*.in anew (ARGS="--upgrade" takes new versions)
	@sh scripts/lock.sh $(ARGS)

clean: ## Remove .venv and caches; a queue's database stays
	@rm -rf .venv .venv-unfinished .pytest_cache .mypy_cache .ruff_cache .hypothesis test-results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
