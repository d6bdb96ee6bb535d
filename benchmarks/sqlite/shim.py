"""Shim by which every sync to the disk takes 1 ms longer, as on the disk of a rented server.

It is compiled where gcc is, and preloaded by the dynamic linker.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["DELAY_US", "make_shim"]

DELAY_US: Final = 1000
_COMPILE_TIMEOUT_S: Final = 60
_SOURCE: Final = f"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

#define DELAYED(name)                                          \\
  int name(int fd) {{                                           \\
    static int (*real)(int);                                   \\
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name);   \\
    usleep({DELAY_US});                                               \\
    return real(fd);                                           \\
  }}

DELAYED(fsync)
DELAYED(fdatasync)
"""


def make_shim(directory: str) -> Path | None:
    """Compile the shim in a directory; None where there is no gcc, or it cannot."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return None
    source, library = Path(directory, "delayed_sync.c"), Path(directory, "delayed_sync.so")
    source.write_text(_SOURCE, encoding="ascii")
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True, timeout=_COMPILE_TIMEOUT_S)
    return library if done.returncode == 0 else None
