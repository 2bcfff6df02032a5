"""Asks ``fork_server.py`` for a command; as a program it is ``kedro`` to whoever finds it in ``PATH``."""

import os
import signal
import stat
import sys
from multiprocessing.connection import Client
from multiprocessing.reduction import send_handle
from pathlib import Path

PROGRAM = """#!{python}
import sys
sys.path.insert(0, {here!r})
from fork_client import stand_in
stand_in({address!r})
"""


def ask(address, arguments, cwd, environment, streams, started=lambda pid: None):
    """Exit code, as ``subprocess`` has it, and bytes of memory of the command.

    ``streams``: the three standard ones. ``started`` is given the process' number. Raises ``EOFError`` where
    the server is gone.
    """
    with Client(address) as connection:
        connection.send({"args": arguments, "cwd": str(cwd), "env": environment})
        for stream in streams:
            send_handle(connection, stream.fileno(), None)
        started(connection.recv())
        return connection.recv()


def stand_in(address):
    """Be ``kedro`` with these arguments, by a child of the server: its streams, its exit code, Ctrl-C."""

    def hand_on(pid):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: os.kill(pid, received))

    streams = (sys.stdin, sys.stdout, sys.stderr)
    code, _ = ask(address, sys.argv[1:], Path.cwd(), dict(os.environ), streams, hand_on)
    sys.exit(code if code >= 0 else 128 - code)


def write_stand_in(directory, address):
    """The program ``kedro`` in this directory."""
    program = directory / "kedro"
    here = str(Path(__file__).parent)
    program.write_text(PROGRAM.format(python=sys.executable, here=here, address=address))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
