"""The questions of Rad-ReStruct."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datamodules.tables.json_file import read_json
from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.questions import ANSWERS
from datamodules.tables.table_error import MissingFileError, TableError

if TYPE_CHECKING:
    import pandas as pd

_SPLITS = ("train", "val", "test")
_OPEN, _AGAIN = "choose among other answers", "ask for another of what was asked for before"
_IMAGES = "id_to_img_mapping_frontal_reports.json"


class RadReStruct(Manifest):
    """Rad-ReStruct (Pellegrini et al. 2023, arXiv 2307.05766): structured reports of the Open-i images.

    As in ``data/radrestruct`` of github.com/ChantalMP/Rad-ReStruct: ``<split>_qa_pairs/<report>.json`` holds
    a list of ``[question, [answers], history, {"answer_type", "options", "path"}]``, and
    ``id_to_img_mapping_frontal_reports.json`` the frontal images of each report.

    Used are questions between yes and no: whether there is anything of a kind (``level 1``, without a
    history) and what (``level 2``). Left out are those of the third level, which choose among many answers,
    and "is there another …?", which only means something after what was answered before.

    Columns: ``image`` (without suffix), ``patient`` (the report), ``split``, ``question``, ``answer``,
    ``level``; a row for each question about each image.
    """

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each question about each image; see `Manifest`."""
        import pandas as pd

        images = read_json(root / _IMAGES)
        if not isinstance(images, dict):
            raise TableError(f"{root / _IMAGES}: is no object of reports and images; fetch it again.")
        counts: Counter[str] = Counter()
        rows = [row for split in _SPLITS for row in _split(root / f"{split}_qa_pairs", split, images, counts)]
        self.left_out = f"{counts['used']:,} of {counts.total():,} questions of the reports are used; " + (
            f"left out are {counts[_OPEN]:,} that {_OPEN} and {counts[_AGAIN]:,} that {_AGAIN}"
        )
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1))


def _split(folder: Path, split: str, images: dict[str, Any], counts: Counter[str]) -> list[dict[str, str]]:
    files = sorted(folder.glob("*.json"), key=lambda path: (len(path.stem), path.stem))
    if not files:
        raise MissingFileError(f"{folder}: no questions (*.json) there; copy data/radrestruct there.")
    rows = []
    for path in files:
        if not isinstance(images.get(path.stem), list):
            raise TableError(f"{path}: {_IMAGES} names no images of report {path.stem!r}; fetch both again.")
        asked = _closed(path, counts)
        for image in images[path.stem]:
            shared = {"image": str(image), "patient": path.stem, "split": split}
            rows += [shared | question for question in asked]
    return rows


def _closed(path: Path, counts: Counter[str]) -> list[dict[str, str]]:
    """Return the questions of a report that are answered by yes or no; count these and the others."""
    found = read_json(path)
    if not isinstance(found, list):
        raise TableError(f"{path}: is no list of questions; fetch it again.")
    asked: dict[str, dict[str, str]] = {}
    for row, entry in enumerate(found, 1):
        try:
            question, answers, history, about = entry
            options, place = {str(option) for option in about["options"]}, about["path"]
        except (ValueError, TypeError, KeyError) as error:
            raise TableError(
                f"{path}, row {row}, value {str(entry)[:80]!r}: is no [question, answers, history, "
                f"{{options, path}}] ({type(error).__name__}: {error}); fetch it again."
            ) from error
        kind = _OPEN if options != set(ANSWERS) else _AGAIN if place in asked else "used"
        counts[kind] += 1
        if kind != "used":
            continue
        if not (isinstance(answers, list) and len(answers) == 1):
            raise TableError(
                f"{path}, row {row} ({question!r}), value {answers!r}: is not one answer; correct it."
            )
        level = "level 2" if history else "level 1"
        asked[place] = {"question": str(question), "answer": str(answers[0]), "level": level}
    return list(asked.values())
