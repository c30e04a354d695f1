"""CUDA C++ of the kernels, and the text that is compiled of it: a file with what it includes, under its macros."""

import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent
INCLUDE = re.compile(r'#include "([^"]+)"\n')


def read_source(file: str, macros: Mapping[str, int]) -> str:
    """The program of `file` for these macros, in one piece: the compiler opens no other file."""
    defines = "".join(f"#define {name} {value}\n" for name, value in sorted(macros.items()))
    return defines + with_includes(file, set())


def with_includes(file: str, included: set[str]) -> str:
    """A file's text with each file that it includes in the place of the first mention."""
    included.add(file)

    def replace(match: re.Match) -> str:
        return "" if match[1] in included else with_includes(match[1], included)

    text = (FOLDER / file).read_text(encoding="utf-8")
    return INCLUDE.sub(replace, text).replace("#pragma once\n", "")
