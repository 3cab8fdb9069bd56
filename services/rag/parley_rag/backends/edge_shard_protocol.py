"""How the vector index and its child frame what they say: a length, then one marshalled tuple.

Requests are (number, operation, *arguments), answers (number, whether it succeeded, result). Under the number
`RESTING` the child tells unasked when a rest begins (True) and ends (False): meanwhile it does not answer.
"""

import struct

RESTING = 0
LENGTH = struct.Struct("<I")
