"""The lists of public data sets, each joined into one table that `datamodules.TableImages` reads."""

from datamodules.manifests.manifest import Manifest
from datamodules.manifests.mimic_cxr import MimicCxr
from datamodules.manifests.nih_chestxray14 import NihChestXray14
from datamodules.manifests.open_i import OpenI
from datamodules.manifests.rsna_pneumonia import RsnaPneumonia
from datamodules.manifests.siim_pneumothorax import SiimPneumothorax
from datamodules.manifests.split_tables import Derived, SplitTables
from datamodules.manifests.table_file import TableFile
from datamodules.manifests.vindr_cxr import VinDrCxr

__all__ = [
    "Derived",
    "Manifest",
    "MimicCxr",
    "NihChestXray14",
    "OpenI",
    "RsnaPneumonia",
    "SiimPneumothorax",
    "SplitTables",
    "TableFile",
    "VinDrCxr",
]
