"""Tries to break what this project promises: `python -m scripts.torture [CAMPAIGN …]`.

Kills, damage, bad inputs, hostile files, lost ranks, memory: every file in `scripts/torture/campaigns/` is a
campaign of many attempts. Killed, it goes on where it was. The table goes to `results/torture/`.
"""

from __future__ import annotations

import argparse
import gc
import os
import pkgutil
import sys
import time
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # and no thread here: this process forks
os.environ |= {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline", "TOKENIZERS_PARALLELISM": "false"}

from callbacks.run.summary import git_commit
from scripts.command_line.errors import exit_code
from scripts.torture import campaigns as folder
from scripts.torture.campaign import Campaign
from scripts.torture.record import Record, row, write_table
from scripts.torture.schedule import Schedule

PRELOADED = (
    "main", "scripts.command_line.command_line", "lightning.pytorch.strategies", "monai.transforms",
    "pandas", "pydicom",
    "scripts.comparison.__main__", "scripts.sweeps.__main__", "scripts.corpora.make_corpus",
    "matplotlib.pyplot", "safetensors.torch", "transformers.models.bert.modeling_bert",
    "transformers.models.vit.modeling_vit", "diffusers", "pyarrow.parquet", "datasets", "webdataset",
)  # fmt: skip
"""Imported once, before anything is forked."""


def known_campaigns() -> dict[str, type[Campaign]]:
    """Return the campaigns there are, by name: one a file."""
    found = {}
    for module in pkgutil.iter_modules(folder.__path__):
        for value in vars(import_module(f"{folder.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Campaign) and value is not Campaign:
                found[value.name] = value
    return found


def parse(args: list[str] | None, names: list[str]) -> argparse.Namespace:
    """Read the program's own command line."""
    parser = argparse.ArgumentParser(
        prog="scripts.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "campaigns", nargs="*", metavar="CAMPAIGN", help=f"some of {', '.join(names)}; all by default"
    )
    parser.add_argument("--short", action="store_true", help="a few attempts of each, in less than a minute")
    parser.add_argument(
        "--only", default="", help="attempts whose name holds this; their outcomes are kept too"
    )
    parser.add_argument("--sabotage", action="store_true", help="break what is tried: attempts have to fail")
    parser.add_argument("--work", type=Path, default=Path("runs/torture"), help="what is written meanwhile")
    parser.add_argument("--out", type=Path, default=Path("results/torture"), help="table and outcomes")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 2, help="processes at once")
    options = parser.parse_args(args)
    if unknown := sorted(set(options.campaigns) - set(names)):
        parser.error(f"no such campaign: {', '.join(unknown)}; there are {', '.join(names)}")
    return options


def main(args: list[str] | None = None) -> int:
    """Run campaigns, write their table, and return 1 if one of them has failed."""
    known = known_campaigns()
    options = parse(args, sorted(known))
    chosen = options.campaigns or [name for name in known if known[name].quick or not options.short]
    campaigns = [known[name]() for name in chosen]
    begun = time.monotonic()
    for name in PRELOADED:
        import_module(name)
    gc.freeze()  # else each forked process would look through all of it, and copy it by that
    print(f"imported in {time.monotonic() - begun:.0f} s", flush=True)
    facts = {"commit": git_commit(), "short": options.short, "sabotage": options.sabotage}
    work = options.work.absolute()
    record = Record(work, facts)
    Schedule(
        campaigns, work, record, options.short, options.cores, options.sabotage, options.only
    ).carry_out()
    print(write_table(options.out, campaigns, record))
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes")
    return int(not all(row(c, record.outcomes.get(c.name, {}))["passed"] for c in campaigns))


if __name__ == "__main__":
    sys.exit(exit_code(main))
