"""From where a model lies to an engine that runs it."""

from kbit.models.engine import Engine
from kbit.models.load import load_model
from kbit.models.locator import Locator
from kbit.models.resident import Resident


def open_engine(locator: Locator, dtype: str, device: str, trust_remote_code: bool = False) -> Engine:
    """The engine of a model in `dtype` (float32, float16 or bfloat16) on `device` (cpu or cuda).

    trust_remote_code: run code that comes with the model's files. UserError as `load_model` raises it.
    """
    return Resident(load_model(locator, dtype, device, trust_remote_code))
