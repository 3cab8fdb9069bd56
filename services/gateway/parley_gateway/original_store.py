"""Where uploads are kept: sealed by this process, under keys that accounts tells it."""

from parley_envelope import DataKeys, Originals
from parley_messaging import Bus
from parley_messaging.data_key_asking import asking_for_data_keys


def open_originals(bus: Bus) -> Originals:
    """Return the originals; keys are asked for when the first of them is put or read."""
    return Originals(bus.objects, DataKeys(asking_for_data_keys(bus)))
