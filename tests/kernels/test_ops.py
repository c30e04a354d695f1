"""The operator: its schema, its fake, what it refuses."""

import pytest
import torch

from kbit.kernels import ops, reference

CODEBOOK = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0])


@pytest.mark.parametrize("dtype", ops.WEIGHT_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(8, 24), (0, 4)], ids=str)
def test_opcheck(shape: tuple[int, int], dtype: torch.dtype) -> None:
    """Schema (nothing mutated or aliased), fake and real result agree, also under tracing with dynamic shapes."""
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    torch.library.opcheck(ops.fake_quantize, (weight, CODEBOOK, 16, torch.float16))


def test_meta_tensor_gives_shape_and_dtype_only() -> None:
    weight = torch.empty(6, 10, dtype=torch.bfloat16, device="meta").t()
    result = torch.ops.kbit.fake_quantize(weight, CODEBOOK.to("meta"), 64, torch.bfloat16)
    assert (result.shape, result.dtype, result.device.type) == ((10, 6), torch.bfloat16, "meta")
    assert result.is_contiguous()


def test_a_kernel_of_a_device_plugs_in() -> None:
    """What the CUDA kernels will do, on the one device every machine has; the default comes back afterwards."""
    calls = []

    def kernel(weight, codebook, block_size, absmax_dtype):
        calls.append(block_size)
        return reference.fake_quantize(weight, codebook, block_size, absmax_dtype)

    probe = torch.library.custom_op("kbit_test::fake_quantize", ops.fake_quantize._init_fn, mutates_args=())
    probe.register_kernel("cpu")(kernel)
    weight = torch.randn(4, 32, generator=torch.Generator().manual_seed(0))
    result = probe(weight, CODEBOOK, 16, torch.float16)
    assert calls == [16]
    assert torch.equal(result, ops.fake_quantize(weight, CODEBOOK, 16, torch.float16))


@pytest.mark.parametrize(
    ("weight", "codebook", "block_size", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.float64), CODEBOOK, 16, "weight is torch.float64, not one of torch.float32"),
        (torch.zeros(2, 2), CODEBOOK.double(), 16, r"codebook is torch.float64 \[5\]"),
        (torch.zeros(2, 2), CODEBOOK[:0], 16, r"codebook is torch.float32 \[0\], not torch.float32 \[1 to 256\]"),
        (torch.zeros(2, 2), torch.zeros(257), 16, r"\[257\]"),
        (torch.zeros(2, 2), CODEBOOK[:, None], 16, r"\[5, 1\]"),
        (torch.zeros(2, 2), CODEBOOK, 0, "block_size is 0"),
        (torch.zeros(2, 2), CODEBOOK.to("meta"), 16, "codebook is on meta, the weight on cpu"),
    ],
)
def test_refuses(weight: torch.Tensor, codebook: torch.Tensor, block_size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.check_arguments(weight, codebook, block_size)
