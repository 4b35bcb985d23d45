"""The reports of the Open-i chest radiographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.table import read_frame, select
from datamodules.tables.table_error import MissingFileError, TableError

if TYPE_CHECKING:
    import pandas as pd


class OpenI(Manifest):
    """The Indiana University collection in Open-i (Demner-Fushman et al. 2016, doi 10.1093/jamia/ocv080).

    Columns: ``image`` (``CXR1_1_IM-0001-3001.png``), ``patient`` (the study, for patients are not published),
    ``findings``, ``impression``, ``mesh`` (the coders' terms, separated by ``|``: each heading, and each with
    its first qualifier, as in ``Thickening|Thickening/pleura``) and ``projection`` ("Frontal", "Lateral", or
    nothing where that list is not given).

    Args:
        reports: Folder of the XML files, in that of the data set.
        projections: List of the projections beside it, ``indiana_projections.csv`` of the Kaggle edition
            (``uid``, ``filename``, ``projection``), for the collection does not say itself which images are
            lateral; None for none.
    """

    def __init__(self, reports: str = "ecgen-radiology", projections: str | None = None) -> None:
        self.path = reports
        self.projections = projections

    def frame(self, root: Path) -> pd.DataFrame:
        """Return a row for each image, in the order of the reports' numbers; see `Manifest`."""
        import pandas as pd

        folder = root / self.path
        files = sorted(folder.glob("*.xml"), key=lambda path: (len(path.stem), path.stem))
        if not files:
            raise MissingFileError(f"{folder}: no reports (*.xml) there; unpack NLMCXR_reports.tgz.")
        rows = [row for path in files for row in _rows(path)]
        if not rows:
            raise TableError(f"{folder}: no report names an image (parentImage); unpack NLMCXR_reports.tgz.")
        frame = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1))
        if self.projections is None:
            return frame.assign(projection="")
        known = self._projections(root / self.projections)
        return frame.assign(projection=frame["image"].map(known).fillna(""))

    @staticmethod
    def _projections(path: Path) -> dict[str, str]:
        listed = select(read_frame(path), path, ["filename", "projection"])
        names = "CXR" + listed["filename"].str.replace(".dcm", "")
        return dict(zip(names, listed["projection"], strict=True))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise TableError(f"{path}: is no XML ({error}); unpack NLMCXR_reports.tgz again.") from error
    sections = {
        section.get("Label", "").upper(): " ".join("".join(section.itertext()).split())
        for section in root.iter("AbstractText")
    }
    terms = ["/".join(part.strip() for part in (m.text or "").split("/")) for m in root.iter("major")]
    headings = dict.fromkeys("/".join(term.split("/")[:depth]) for term in terms for depth in (1, 2) if term)
    identifier = root.find("uId")
    shared = {
        "patient": path.stem if identifier is None else identifier.get("id", path.stem),
        "findings": sections.get("FINDINGS", ""),
        "impression": sections.get("IMPRESSION", ""),
        "mesh": "|".join(headings),
    }
    return [{"image": f"{image.get('id')}.png", **shared} for image in root.iter("parentImage")]
