"""Whether weights can be quantized at full speed on this CPU: a C++ compiler, and a place for what it makes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from kbit.kernels import build
from kbit.upkeep.finding import Finding


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    folder = build.cache_folder()
    library, compiler = folder / build.library_name(), build.find_compiler()
    if build.is_trusted(folder) and build.is_trusted(library):
        yield Finding("ok", f"CPU kernels: {library}")
    elif compiler is None:
        yield Finding(
            "note",
            "no C++ compiler: on a CPU weights are quantized by torch's own operations, several times slower",
            f"install one of {', '.join(build.COMPILERS)}, or name it: CXX=...",
        )
    elif build.make_folder(folder):
        yield Finding("ok", f"CPU kernels: {compiler[0]} builds them for the first job that is large enough")
    else:
        yield Finding(
            "note",
            f"CPU kernels: every large job builds them anew, as {folder} is not a folder of yours to write to",
            "make it one, or name another place for caches: XDG_CACHE_HOME=...",
        )
