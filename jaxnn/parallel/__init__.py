"""Where arrays lie: meshes of devices, rows split over them, params whole on each or split by rules."""

from jaxnn.parallel.meshes import DATA, MODEL, make_mesh
from jaxnn.parallel.placement import gathered, place_rows, place_whole, split_evenly, split_params

__all__ = ["DATA", "MODEL", "gathered", "make_mesh", "place_rows", "place_whole", "split_evenly", "split_params"]
