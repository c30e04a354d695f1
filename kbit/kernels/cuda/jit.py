"""Programs become machine code on first use: compiled by NVRTC through cuda.core, kept on disk, loaded once a process.

The key of what is kept digests the source, the compiler's version, the options and the architecture (cuda.core's own
`make_program_cache_key`); each entry begins with the digest of its machine code, so that a damaged one is compiled
again.
"""

import fcntl
import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kbit.kernels.cuda import read_source
from kbit.kernels.cuda.launch import Program
from kbit.spec.errors import UserError

if TYPE_CHECKING:
    from cuda.core import ProgramOptions

CACHE_VARIABLE = "KBIT_KERNEL_CACHE"
MOST_CACHE_BYTES = 256 << 20
DIGEST_BYTES = hashlib.sha256().digest_size
INSTALL = "install it with `make cuda` or `pip install 'kbit[cuda]'`"


def cache_folder() -> Path:
    """Where machine code is kept: KBIT_KERNEL_CACHE, or kbit/kernels in the user's cache folder."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own)
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(user) / "kbit" / "kernels"


def compile_program(program: Program, arch: str) -> bytes:
    """Machine code (a cubin) of a program for an architecture such as sm_90, from the cache or compiled into it.

    No GPU is needed. UserError: cuda.core or NVRTC is not installed. A cache that cannot be written is a warning; the
    code is compiled all the same.
    """
    try:
        from cuda.core import ProgramOptions
        from cuda.pathfinder import DynamicLibNotFoundError
    except ImportError as error:
        raise UserError(f"kernels for NVIDIA GPUs need cuda.core, which is not there ({error}): {INSTALL}") from error
    source = read_source(program.file, dict(program.macros))
    # Without contraction, as in the definition: a product is rounded before it is compared or added to.
    options = ProgramOptions(name=program.file, arch=arch, std="c++17", fma=False)
    try:
        return read_or_compile(source, options)
    except DynamicLibNotFoundError as error:
        raise UserError(f"kernels for NVIDIA GPUs need NVRTC, which is not there ({error}): {INSTALL}") from error


def read_or_compile(source: str, options: "ProgramOptions") -> bytes:
    """From the cache, or into it."""
    from cuda.core.utils import FileStreamProgramCache, make_program_cache_key

    key = make_program_cache_key(code=source, code_type="c++", options=options, target_type="cubin")
    try:
        with FileStreamProgramCache(cache_folder(), max_size_bytes=MOST_CACHE_BYTES) as cache, one_writer(key):
            if (kept := undamaged(cache.get(key))) is not None:
                return kept
            code = compile_source(source, options)
            cache[key] = hashlib.sha256(code).digest() + code
            return code
    except OSError as error:
        warnings.warn(f"machine code of the kernels cannot be kept in {cache_folder()} ({error})", stacklevel=3)
        return compile_source(source, options)


def compile_source(source: str, options: "ProgramOptions") -> bytes:
    from cuda.core import Program as CudaProgram

    return bytes(CudaProgram(source, "c++", options).compile("cubin").code)


def undamaged(entry: bytes | None) -> bytes | None:
    """The machine code of an entry; None if there is none, or it is not what was written."""
    if entry is None or hashlib.sha256(entry[DIGEST_BYTES:]).digest() != entry[:DIGEST_BYTES]:
        return None
    return entry[DIGEST_BYTES:]


@contextmanager
def one_writer(key: bytes) -> Iterator[None]:
    """Of many processes that need the same program at once, one compiles it and the others wait for it."""
    folder = cache_folder() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / hashlib.sha256(key).hexdigest()[:16]).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
