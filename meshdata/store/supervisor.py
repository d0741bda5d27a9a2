"""Keeps an embedded server alive as long as somebody uses it, and not longer; runs as a process of its own.

Started by `embedded.py` as a plain file, not as a module: importing the package would cost ten times what this needs.
Every user of the server holds the writing end of the fifo `users`; when the last one lets go of it, by closing or by
dying in whatever way, the kernel ends the fifo. That is the whole protocol: it needs no heartbeat, and `kill -9` of a
user is an end like any other.

Arguments: the folder, 1 or 0 (whether to remove the folder at the end), a folder to remove always ("" for none), the
server's command line. The reading end of `users` is standard input, `alive.lock` (locked while this process lives)
standard output, the log standard error.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import sys
from types import FrameType

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 10
USERS = 0


class Stop(BaseException):
    """A signal came: the server ended by itself, or this process is asked to end."""


def raise_stop(signum: int, frame: FrameType | None) -> None:
    raise Stop


def start_server(command: list[str]) -> int:
    """Fork and execute the server; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        if sys.platform == "linux":  # should this process be killed, the server goes with it
            with contextlib.suppress(Exception):
                import ctypes

                ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.execv(command[0], command)
    finally:
        os._exit(127)


def wait_for_last_user(folder: str) -> None:
    """Block until nobody holds the fifo; returns holding the lock, so that newcomers wait for our end."""
    while True:
        os.set_blocking(USERS, True)
        os.read(USERS, 1)  # nobody ever writes: this returns when the last writer is gone
        lock = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_blocking(USERS, False)
        try:
            os.read(USERS, 1)
            return
        except BlockingIOError:  # somebody came while we waited for the lock
            os.close(lock)


def stop_server(pid: int) -> None:
    """End the server: asked first, so that it flushes its log, killed when it does not follow."""

    def kill(signum: int, frame: FrameType | None) -> None:
        os.kill(pid, signal.SIGKILL)

    signal.signal(signal.SIGALRM, kill)
    signal.alarm(STOP_SECONDS)
    os.kill(pid, signal.SIGTERM)  # a process that ended already is still ours to wait for, so its number is not taken
    os.waitpid(pid, 0)
    signal.alarm(0)


def main(arguments: list[str]) -> None:
    """Run the server until its last user is gone."""
    folder, remove_folder, also_remove, *command = arguments
    ends = (signal.SIGCHLD, signal.SIGTERM)
    for signum in ends:
        signal.signal(signum, raise_stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    server = start_server(command)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)
        wait_for_last_user(folder)
    except Stop:
        pass  # without the lock: who starts a server here waits for the end of this process, and may hold it
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    stop_server(server)
    if also_remove:
        shutil.rmtree(also_remove, ignore_errors=True)
    if remove_folder == "1":
        shutil.rmtree(folder, ignore_errors=True)
    else:
        for name in ("users", "redis.sock", "socket"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


if __name__ == "__main__":
    main(sys.argv[1:])
