"""What the hub's client raises, as one line."""

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError

from kbit.models.hub import HubUnreachableError, hub_errors
from kbit.spec.errors import UserError


def raise_answer(status: int) -> None:
    response = httpx2.Response(status, request=httpx2.Request("GET", "http://127.0.0.1/api/models/some-org/small"))
    with hub_errors("model 'small'", "some-org/small", None, "fetching"):
        raise HfHubHTTPError(f"{status} for the url", response=response)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_busy_counts_as_out_of_reach(status):
    with pytest.raises(HubUnreachableError, match=f"cannot be reached, fetching needs the network .*{status}"):
        raise_answer(status)


def test_any_other_answer_is_a_refusal():
    with pytest.raises(UserError, match=r"the hub refuses some-org/small: .*400") as caught:
        raise_answer(400)
    assert not isinstance(caught.value, HubUnreachableError)
