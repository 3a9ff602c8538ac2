"""The client of keras_unet3p's serving endpoints, without TensorFlow.

What stands here is public. The modules beside it are those of keras_unet3p that the client uses,
under this package's name.
"""

from unet3p_client._version import __version__
from unet3p_client.client import Client, EndpointAddress, EndpointError, access_of_environment
from unet3p_client.geometry import TileGeometry
from unet3p_client.images.drift import DriftMonitor, DriftWarning
from unet3p_client.postprocessing.instance_rule import InstanceRule
from unet3p_client.postprocessing.mask_rule import MaskRule

__all__ = [
    "Client",
    "DriftMonitor",
    "DriftWarning",
    "EndpointAddress",
    "EndpointError",
    "InstanceRule",
    "MaskRule",
    "TileGeometry",
    "__version__",
    "access_of_environment",
]
