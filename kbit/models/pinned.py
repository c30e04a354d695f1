"""Host memory that a GPU reads and writes directly, at the speed of the bus and beside its computing.

Memory that exists is pinned as it is: torch's own pinned memory comes in powers of two, up to twice what is asked for.
"""

import weakref
from contextlib import suppress

import torch
from torch import Tensor

PORTABLE = 1
"""cudaHostRegisterPortable: pinned for every GPU of the process."""


def pin(tensor: Tensor, owner: object) -> bool:
    """Pin a contiguous CPU tensor's memory for as long as `owner` lives.

    False, and slower copies, where the driver refuses (a container's limits). Needs a GPU in use.
    """
    runtime = torch.cuda.cudart()
    status = runtime.cudaHostRegister(tensor.data_ptr(), tensor.nbytes, PORTABLE)
    if status == runtime.cudaError.success:
        # The finalizer holds the tensor: memory must not be given back before it is unpinned.
        weakref.finalize(owner, unpin, tensor).atexit = False
        return True
    # The refusal stays behind as the thread's last error, and the next kernel would be blamed for it.
    with suppress(RuntimeError):
        torch.zeros(1, device="cuda")
    return False


def unpin(tensor: Tensor) -> None:
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaHostUnregister(tensor.data_ptr())
