"""Asks ``fork_server.py`` for a command; as a program it is ``kedro`` or ``dvc``, found in ``PATH``."""

import os
import signal
import stat
import sys
from multiprocessing.connection import Client
from multiprocessing.reduction import send_handle
from pathlib import Path

LISTENING = "listening on "
"""How the server's line with its address begins."""
PROGRAM = """#!{python}
import sys
sys.path.insert(0, {here!r})
from tests.end_to_end.fork_client import stand_in
stand_in({address!r}, {name!r})
"""


def take_lease(address):
    """A connection that keeps the server; raises ``OSError`` or ``EOFError`` where it is gone."""
    connection = Client(address)
    connection.send(None)
    connection.recv()
    return connection


def begin(address, arguments, cwd, environment, streams):
    """A connection and the command's process number; at its end the connection has its exit code, as
    ``subprocess`` has it, and its bytes of memory.

    ``streams``: the three standard ones. Raises ``EOFError`` where the server is gone.
    """
    connection = Client(address)
    connection.send({"args": arguments, "cwd": str(cwd), "env": environment})
    for stream in streams:
        send_handle(connection, stream.fileno(), None)
    return connection, connection.recv()


def stand_in(address, name):
    """Be this program with these arguments, by a child of the server: its streams, its exit code, Ctrl-C."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    connection, pid = begin(address, [name, *sys.argv[1:]], Path.cwd(), dict(os.environ), streams)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: os.kill(pid, received))
    code, _ = connection.recv()
    sys.exit(code if code >= 0 else 128 - code)


def write_program(name, address):
    """Text of one that is this command."""
    here = str(Path(__file__).parents[2])
    return PROGRAM.format(python=sys.executable, here=here, address=address, name=name)


def write_stand_ins(directory, address):
    """The programs ``kedro`` and ``dvc`` in this directory."""
    for name in ("kedro", "dvc"):
        program = directory / name
        program.write_text(write_program(name, address))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
