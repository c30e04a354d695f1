"""The place: from Snakemake's config and from a profile, alike; a mistake is one line."""

import pytest
from pydantic import ValidationError

from kbit.spec.errors import UserError
from kbit.spec.hardware import Hardware, hardware_of, hardware_of_profile


def test_defaults_are_one_card_of_80_gb():
    hardware = hardware_of({"study": "config/paper.yaml", "trust_remote_code": True})
    assert hardware == Hardware(gpu_memory_gb=80, max_gpus=1)
    assert hardware.gpu_memory_bytes == pytest.approx(72e9)
    with pytest.raises(ValidationError, match="frozen"):
        hardware.max_gpus = 8


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"max_gpus": "two"}, r"max_gpus: 'two': input should be a valid integer"),
        ({"max_gpus": -1}, r"max_gpus: -1: input should be greater than or equal to 0"),
        ({"gpu_memory_gb": 0}, r"gpu_memory_gb: 0: input should be greater than 0"),
        ({"gpu_request": "--gpus"}, r"gpu_request: '--gpus': input should be 'none', 'gpus' or 'gres'"),
        ({"gpu_model": "gpu:a100"}, r"gpu_model: 'gpu:a100': string should match pattern"),
        ({"gpu_memory": 40}, r"gpu_memory: unknown key 'gpu_memory': accepted here are gpu_memory_gb, gpu_model, "),
    ],
)
def test_a_mistake_names_the_key_and_what_is_accepted(config, message):
    with pytest.raises(UserError, match=rf"^Snakemake's config: {message}") as raised:
        hardware_of({"study": "s.yaml", **config})
    assert "\n" not in str(raised.value)


def profile(folder, text, hardware="gpu_memory_gb: 40\nmax_gpus: 4\n"):
    (folder / "profile.yaml").write_text(text)
    (folder / "hardware.yaml").write_text(hardware)
    return folder


def test_a_profile_names_the_file_that_describes_its_place(tmp_path):
    folder = profile(tmp_path, "cores: all\nconfigfile: hardware.yaml\n")
    assert hardware_of_profile(folder) == Hardware(gpu_memory_gb=40, max_gpus=4)
    assert hardware_of_profile(folder / "profile.yaml") == hardware_of_profile(folder)


def test_a_profile_that_says_nothing_has_the_defaults(tmp_path):
    assert hardware_of_profile(profile(tmp_path, "cores: all\n")) == Hardware()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cores: all\nconfig:\n  max_gpus: 4\n", "drops config: when a study is named"),
        ("configfile: [hardware.yaml]\n", "is not the name of one file"),
        ("configfile: nowhere.yaml\n", "no file nowhere.yaml"),
        ("{", "profile.yaml is not YAML: "),
        ("[cores]", "holds a list"),
    ],
)
def test_a_profile_that_cannot_work_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        hardware_of_profile(profile(tmp_path, text))


def test_only_the_command_line_trusts_remote_code(tmp_path):
    folder = profile(tmp_path, "configfile: hardware.yaml\n", "trust_remote_code: true\n")
    with pytest.raises(UserError, match="unknown key 'trust_remote_code'"):
        hardware_of_profile(folder)


def test_a_profile_is_found_as_snakemake_finds_it(tmp_path):
    with pytest.raises(UserError, match="no profile folder"):
        hardware_of_profile(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"no profile\.yaml in"):
        hardware_of_profile(tmp_path)
    (tmp_path / "config.yaml").write_text("cores: all\n")
    assert hardware_of_profile(tmp_path) == Hardware()
    (tmp_path / "config.v8+.yaml").write_text("configfile: hardware.yaml\n")
    (tmp_path / "hardware.yaml").write_text("max_gpus: 2\n")
    assert hardware_of_profile(tmp_path) == Hardware(max_gpus=2)
