"""Starts Python as ``python -m`` and ``python -c`` do, but imports nothing from the current folder.

What lies there is data; a ``json.py`` or a folder ``torch`` would be run in place of what is meant. From Python 3.11 on
PYTHONSAFEPATH forbids it (https://docs.python.org/3/using/cmdline.html#envvar-PYTHONSAFEPATH); Python 3.10 has no such
thing, and multiprocessing starts its servers by ``-c``. To be run by path: ``python twist_common/start.py -m MODULE``.
"""

from __future__ import annotations

import sys


def protect_child_processes() -> None:
    """Has the processes that this one starts, those of multiprocessing too, import nothing from the current folder."""
    import os
    from collections.abc import Sequence
    from multiprocessing import util
    from typing import Any

    os.environ["PYTHONSAFEPATH"] = "1"  # for packages of others that start Python
    spawn = util.spawnv_passfds  # by which Python 3.10 to 3.13 start the fork server, the resource tracker and `spawn`
    if spawn.__module__ != util.__name__:
        return  # it is ours already

    def spawn_safely(path: bytes, args: Sequence[Any], passfds: Sequence[int]) -> int:
        at = args.index("-c")
        return spawn(path, [*args[:at], __file__, *args[at:]], passfds)

    util.spawnv_passfds = spawn_safely


def main() -> None:
    """Runs the module or the command that the command line names."""
    protect_child_processes()
    kind, what, *arguments = [word for word in sys.argv[1:3] if word != "-u"] + sys.argv[3:]  # submitit adds a -u
    if kind == "-c":
        sys.argv = ["-c", *arguments]
        exec(what, {"__name__": "__main__"})
    else:
        import runpy

        sys.argv = [what, *arguments]
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):  # Python 3.11 on
        del sys.path[0]  # the folder of this file, before anything is imported
    main()
