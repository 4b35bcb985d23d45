"""What the page says of its encoder."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.demo.measured import measured

CARD = """\
# short
## Measured on the data of the training run: val

**val: AUROC with 95 % intervals, n = 1000**

| concept | positive | zero shot outside | zero shot | probe |
| :-- | --: | --: | --: | --: |
| edema | 102 | 0.611 [0.569, 0.651] | 0.978 [0.964, 0.990] | 0.979 [0.966, 0.990] |
| mean of 30 |  | 0.613 [0.601, 0.626] | 0.798 [0.789, 0.806] | 0.834 [0.825, 0.842] |
| mean of 22 distinct findings |  | 0.626 [0.612, 0.639] | 0.785 [0.775, 0.795] | 0.819 [0.809, 0.828] |

**val: other figures**

| figure | value |
| :-- | --: |
| retrieval/i2t_hit@10 | 0.606 [0.574, 0.637] |
"""


def test_an_exported_directory_tells_by_its_card(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    assert measured(tmp_path) == [
        "zero-shot AUROC, mean of 30 concepts, 0.798 [0.789, 0.806] (n = 1000)",
        "image → report R@10 0.606 [0.574, 0.637]",
    ]


def test_a_checkpoint_tells_by_the_summary_of_its_run(tmp_path: Path) -> None:
    details = {"val/zero_shot": {"n": 50, "intervals": {"auroc_macro": [0.7, 0.8]}}}
    (tmp_path / "summary.json").write_text(
        json.dumps({"val/zero_shot/auroc_macro": 0.75, "details": details})
    )
    assert measured(tmp_path / "checkpoints" / "best.ckpt") == [
        "zero-shot AUROC 0.750 [0.700, 0.800] (n = 50)"
    ]


def test_nothing_is_told_where_nothing_lies(tmp_path: Path) -> None:
    assert measured(tmp_path) == []
    assert measured(tmp_path / "checkpoints" / "best.ckpt") == []
