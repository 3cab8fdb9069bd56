"""How the vector index and its child frame what they say: a length, then one marshalled tuple."""

import struct

LENGTH = struct.Struct("<I")
