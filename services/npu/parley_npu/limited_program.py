"""Becomes another program under limits: `limited_program.py MEMORY_BYTES CPU_S PROGRAM [ARGUMENT ...]`.

Run by its path and in isolation: it imports nothing but the standard library.
"""

import os
import resource
import sys


def main() -> None:
    memory_bytes, cpu_s, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    for nothing in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(nothing, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.execv(program, sys.argv[3:])


if __name__ == "__main__":
    main()
