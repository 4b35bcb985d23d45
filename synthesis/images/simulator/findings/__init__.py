"""How each concept of the catalogue looks: one painter a concept.

To add a concept: write its painter (`Painter` in `change.py`) and name it in `PAINTERS`. What findings bring
about beyond their opacity are consequences (`consequence.py`), switched on one by one.
"""

from collections.abc import Mapping
from types import MappingProxyType

from synthesis.images.simulator.findings import devices, focal, incidental, mediastinum, opacities, pleura
from synthesis.images.simulator.findings.airspace_haze import AirspaceHaze
from synthesis.images.simulator.findings.change import Change, Painter
from synthesis.images.simulator.findings.consequence import Consequence, Painted, acting_once, paint
from synthesis.images.simulator.findings.pleural_fluid import PleuralFluid
from synthesis.images.simulator.findings.volume_loss import VolumeLoss

PAINTERS: Mapping[str, Painter] = MappingProxyType(
    {
        painter.__name__: painter
        for painter in (
            mediastinum.enlarged_cardiomediastinum,
            mediastinum.cardiomegaly,
            opacities.lung_opacity,
            opacities.edema,
            opacities.consolidation,
            opacities.pneumonia,
            opacities.atelectasis,
            pleura.pneumothorax,
            pleura.pleural_effusion,
            mediastinum.fracture,
            opacities.infiltration,
            focal.mass,
            focal.nodule,
            focal.emphysema,
            focal.fibrosis,
            pleura.pleural_thickening,
            mediastinum.hernia,
            opacities.ground_glass_opacity,
            focal.tuberculosis,
            focal.hyperinflation,
            mediastinum.scoliosis,
            devices.endotracheal_tube,
            devices.central_venous_catheter,
            devices.nasogastric_tube,
            devices.pacemaker,
            devices.chest_drain,
            incidental.low_lung_volumes,
            incidental.tortuous_aorta,
            incidental.degenerative_spine,
            incidental.granuloma,
            devices.sternotomy_wires,
            devices.surgical_clips,
            devices.ecg_leads,
        )
    }
)

__all__ = [
    "PAINTERS",
    "AirspaceHaze",
    "Change",
    "Consequence",
    "Painted",
    "Painter",
    "PleuralFluid",
    "VolumeLoss",
    "acting_once",
    "paint",
]
