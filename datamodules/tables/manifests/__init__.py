"""The lists of public data sets, each joined into one table that `datamodules.TableImages` reads."""

from datamodules.tables.manifests.chestx_det10 import ChestXDet10
from datamodules.tables.manifests.manifest import Manifest
from datamodules.tables.manifests.mimic_cxr import MimicCxr
from datamodules.tables.manifests.ms_cxr import MsCxr
from datamodules.tables.manifests.nih_chestxray14 import NihChestXray14
from datamodules.tables.manifests.open_i import OpenI
from datamodules.tables.manifests.rad_restruct import RadReStruct
from datamodules.tables.manifests.rsna_pneumonia import RsnaPneumonia
from datamodules.tables.manifests.siim_pneumothorax import SiimPneumothorax
from datamodules.tables.manifests.split_tables import Derived, SplitTables
from datamodules.tables.manifests.table_file import TableFile
from datamodules.tables.manifests.vindr_cxr import VinDrCxr

__all__ = [
    "ChestXDet10",
    "Derived",
    "Manifest",
    "MimicCxr",
    "MsCxr",
    "NihChestXray14",
    "OpenI",
    "RadReStruct",
    "RsnaPneumonia",
    "SiimPneumothorax",
    "SplitTables",
    "TableFile",
    "VinDrCxr",
]
