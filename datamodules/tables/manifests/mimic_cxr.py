"""The lists and reports of MIMIC-CXR-JPG."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.mimic_report import findings_and_impression
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import MissingFileError, TableError

if TYPE_CHECKING:
    import pandas as pd

LABELS = [
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
]


class MimicCxr(Manifest):
    """MIMIC-CXR-JPG 2.0.0 or 2.1.0 (Johnson et al. 2019, arXiv 1901.07042), with the reports of MIMIC-CXR.

    Columns: ``image`` (``files/p10/p10000032/s50414267/<dicom_id>.jpg``), ``patient``, ``view``, ``split``
    ("train", "validate" or "test"), the 14 labels of a labeler, and ``findings`` and ``impression`` where
    there are reports. A study that the labeler did not read has "?" in every label.

    Args:
        reports: Folder that ``mimic-cxr-reports.zip`` was unpacked into, relative to that of the lists; None
            reads no reports.
        labeler: Whose labels.
    """

    def __init__(
        self, reports: str | None = None, labeler: Literal["chexpert", "negbio"] = "chexpert"
    ) -> None:
        self.reports = reports
        self.labeler = labeler

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, in the order of the metadata; see `Manifest`."""
        import pandas as pd

        images = _list(root, "metadata", ["dicom_id", "subject_id", "study_id", "ViewPosition"])
        splits = _list(root, "split", ["dicom_id", "split"], key="dicom_id")
        labels = _list(root, self.labeler, ["study_id", *LABELS], key="study_id")
        joined = images.merge(splits, "left", "dicom_id").merge(labels, "left", "study_id")
        joined[LABELS] = joined[LABELS].fillna("?")
        frame = (
            joined[["split", *LABELS]]
            .fillna("")
            .assign(
                image=[
                    f"files/p{patient[:2]}/p{patient}/s{study}/{image}.jpg"
                    for image, patient, study in joined[["dicom_id", "subject_id", "study_id"]].to_numpy()
                ],
                patient=joined["subject_id"],
                view=joined["ViewPosition"],
            )
        )
        if self.reports is not None:
            studies = joined[["subject_id", "study_id"]].drop_duplicates().to_numpy()
            texts = _texts(root / self.reports, studies.tolist())
            frame["findings"] = [texts[study][0] for study in joined["study_id"]]
            frame["impression"] = [texts[study][1] for study in joined["study_id"]]
        frame.index = pd.RangeIndex(1, len(frame) + 1)
        return frame


def _list(root: Path, name: str, columns: list[str], key: str | None = None) -> pd.DataFrame:
    path = root / f"mimic-cxr-2.0.0-{name}.csv.gz"
    frame = select(read_frame(path), path, columns)
    if key is not None and frame[key].duplicated().any():
        row = int(frame.index[frame[key].duplicated()][0])
        raise TableError(
            f"{path}, row {row}, column {key!r}, value {frame.loc[row, key]!r}: stands in an earlier row "
            f"already; fetch the file again."
        )
    return frame


def _texts(folder: Path, studies: list[list[str]]) -> dict[str, tuple[str, str]]:
    """Return FINDINGS and IMPRESSION of each study, empty where it has no report."""
    from synthesis.progress import track

    found = {}
    for patient, study in track(studies, f"reading {len(studies):,} reports", transient=True):
        path = folder / "files" / f"p{patient[:2]}" / f"p{patient}" / f"s{study}.txt"
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        found[study] = findings_and_impression(text)
    if not any(map(any, found.values())):
        raise MissingFileError(
            f"{folder}: no report of the {len(studies):,} studies is there, e.g. {path}; unpack "
            f"mimic-cxr-reports.zip of MIMIC-CXR into it, or set reports: null."
        )
    return found
