"""The file of each built member of a family: `kbit.spec.members` lists them, nothing here does."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from kbit.spec.members import Member


def implementations(package: str, family: Mapping[str, Member]) -> dict[str, ModuleType]:
    """Name -> module `package`.<file> of every built member. Several members may share a file."""
    return {name: import_module(f"{package}.{member.module}") for name, member in family.items() if member.built}
