"""What a row says of the GPU it was scored on, held against nvidia-smi."""

import subprocess

from kbit.evaluation.provenance import gpu_columns


def test_the_gpu_and_its_driver_are_those_nvidia_smi_names():
    command = ["nvidia-smi", "--query-gpu=uuid,driver_version", "--format=csv,noheader"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    known = [tuple(line.split(", ")) for line in lines]
    columns = gpu_columns(1)
    # Which of them is the first that is visible, CUDA_VISIBLE_DEVICES says.
    assert (columns["gpu_uuids"], columns["driver_version"]) in known
    assert columns["cuda_version"]
