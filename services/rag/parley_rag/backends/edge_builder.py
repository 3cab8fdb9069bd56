"""The process that indexes passages: they come on stdin, an indexed shard is left in a folder.

Indexing takes the engine seconds to minutes in which its process can do nothing else, so it is not the one
that searches. The empty shard that the other writes to meanwhile is made here too: that takes half a second.
"""

import os
import sys
from pathlib import Path

from parley_rag.backends.edge_pipe import Frames
from parley_rag.backends.edge_shard import Shard
from parley_rag.child_process import end_with_parent, leave_signals_to_parent

READY, DONE = b"r", b"d"  # an empty shard is there; the indexed shard is there
_READ_BYTES = 1 << 20
_NICENESS = 19  # searches come first


def main() -> None:
    """Make an empty shard and an indexed one: `FOLDER_OF_INDEXED DIMENSIONS [FOLDER_OF_EMPTY]`."""
    leave_signals_to_parent()
    end_with_parent()  # where the system cannot, the end of stdin does it a little later
    os.nice(_NICENESS)
    folder, dimensions, *empty = sys.argv[1:]
    for one in empty:
        Shard.create(Path(one), int(dimensions)).close()
    os.write(1, READY)
    shard, frames = Shard.create(Path(folder), int(dimensions)), Frames()
    while data := os.read(0, _READ_BYTES):
        for passages in frames.add(data):
            if passages:
                shard.put(passages)
                continue
            shard.index()
            shard.flush()
            shard.close()
            os.write(1, DONE)
            return


if __name__ == "__main__":
    main()
