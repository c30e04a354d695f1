"""A runner of CUDA programs on this machine's processor."""

import sys

import pytest
from host_runner import HostRunner


@pytest.fixture(scope="session")
def run(require, tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("the emulation of threads is written for Linux")
    return HostRunner(tmp_path_factory.mktemp("kernels"), require("compiler"))
