"""Whether weights can be quantized on this machine's NVIDIA GPUs: a compiler of their kernels, a place for its code."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kbit.kernels import build
from kbit.upkeep.finding import Finding


def check(_named: Sequence[Path]) -> Iterator[Finding]:
    import torch

    from kbit.kernels.cuda import jit

    archs = sorted({"sm_{}{}".format(*torch.cuda.get_device_capability(i)) for i in range(torch.cuda.device_count())})
    try:
        compiler = f"cuda.core {version('cuda-core')}, NVRTC {version('nvidia-cuda-nvrtc')}"
    except PackageNotFoundError as error:
        if archs:
            what = f"kernels for {', '.join(archs)} need {error.name}, which is not there: no weight can be quantized"
            yield Finding("problem", what, jit.INSTALL)
        return
    folder = jit.cache_folder()
    if not build.make_folder(folder):
        what = f"CUDA kernels: every job compiles them anew, as {folder} is not a folder of yours to write to"
        yield Finding("note", what, f"make it one, or name another: {jit.CACHE_VARIABLE}=...")
        return
    kept = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    target = ", ".join(archs) if archs else "no GPU on this machine"
    yield Finding("ok", f"CUDA kernels: {compiler}, for {target}; {kept:.1f} MB kept in {folder}")
