"""The nursery: a process that has the parsers loaded and forks for each document.

It has one thread, so that forking is safe, and reads no document itself. Its control socket takes `start ID`
with the child's stdin, stdout and stderr, and `kill ID`; it answers `ID EXIT_CODE` when a child has ended.
"""

import gc
import importlib
import os
import pkgutil
import selectors
import signal
import socket
import sys
import traceback
from typing import NoReturn

import parley_rag.load
from parley_rag.child_process import end_with_parent, leave_signals_to_parent
from parley_rag.load.__main__ import main as read

_MESSAGE_BYTES = 100
_WAKE_BYTES = 4096
_CHILD_FILES = 3
_MAX_FILES = 1024  # more than a nursery has open


class _Nursery:
    """The children of one control socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}  # pid by id

    def run(self) -> None:
        """Serve until the other side is gone; the children end with it."""
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as ready:
            ready.register(self._control, selectors.EVENT_READ)
            ready.register(woken, selectors.EVENT_READ)
            goes_on = True
            while goes_on:
                sources = {key.fileobj for key, _ in ready.select()}
                if woken in sources:
                    woken.recv(_WAKE_BYTES)
                goes_on = self._control not in sources or self._obey()
                self._reap()

    def _obey(self) -> bool:
        """Do what a message says; False when there are no more."""
        message, files, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, _CHILD_FILES)
        if not message:
            return False
        verb, number = message.decode().split()
        if verb == "start":
            pid = os.fork()
            if not pid:
                self._be_child(files)
            self._children[int(number)] = pid
            for file in files:
                os.close(file)
        elif (pid := self._children.get(int(number))) is not None:  # not reaped yet, so the pid is its own
            os.kill(pid, signal.SIGKILL)
        return True

    def _reap(self) -> None:
        for number, pid in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[number]
                self._control.send(f"{number} {os.waitstatus_to_exitcode(status)}".encode())

    def _be_child(self, files: list[int]) -> NoReturn:
        exit_code = 1
        try:
            end_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for place, file in enumerate(files):
                os.dup2(file, place)
            os.closerange(_CHILD_FILES, _MAX_FILES)
            read()
            sys.stdout.flush()
            exit_code = 0
        except BaseException:  # noqa: BLE001  the end of the child, whatever ended it
            traceback.print_exc()
        finally:
            os._exit(exit_code)


def main() -> None:
    leave_signals_to_parent()
    for module in pkgutil.iter_modules(parley_rag.load.__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"parley_rag.load.{module.name}")
    gc.collect()
    gc.freeze()  # what is loaded stays shared with the children
    _Nursery(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
