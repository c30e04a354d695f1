"""Which errors are a cell's own passing fault: recorded in its row as `failed`, and tried again with its shard."""

import errno


class DeviceLostError(Exception):
    """The device reported an error after which this process cannot use it."""


OUT_OF_MEMORY_TEXTS = ("out of memory", "can't allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """A GPU's or the host's memory did not suffice; a smaller batch may."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # On the CPU torch's allocator raises a bare RuntimeError.
    return isinstance(error, RuntimeError) and any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)


def is_device_error(error: BaseException) -> bool:
    """CUDA reported an error other than memory: the process can no longer use the device."""
    import torch

    if is_out_of_memory(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (isinstance(error, RuntimeError) and "CUDA error" in str(error))


def is_passing(error: BaseException) -> bool:
    """Memory, device and I/O; a full disk is the node's fault, not the cell's."""
    if isinstance(error, OSError):
        return error.errno != errno.ENOSPC
    return is_out_of_memory(error) or is_device_error(error)


def describe(error: BaseException) -> str:
    """The error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
