"""Where uploads are kept and files of exports are read: sealed under keys that accounts tells."""

from parley_envelope import DataKeys, ExportFiles, Originals
from parley_messaging import Bus
from parley_messaging.data_key_asking import asking_for_data_keys


def open_stored_files(bus: Bus) -> tuple[Originals, ExportFiles]:
    """Return both over the same keys, which are asked for when the first of them is put or read."""
    keys = DataKeys(asking_for_data_keys(bus))
    return Originals(bus.objects, keys), ExportFiles(bus.objects, keys)
