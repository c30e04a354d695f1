"""Where weights lie: by what fits, and never on more cards than hold them once."""

import pytest

from kbit.spec.placement import BATCH_BYTES, CPU, HOST_BYTES, Placement, choose_placement, hidden_room

CARD = 72e9
GB = 10**9


@pytest.mark.parametrize(
    ("weights", "max_gpus", "expected"),
    [
        (26 * GB, 1, Placement("twin", 1)),  # 13 billion parameters of 16 bits
        (26 * GB, 8, Placement("twin", 1)),
        (41 * GB, 1, Placement("host", 1)),  # 20 billion fit once, not twice
        (41 * GB, 8, Placement("host", 1)),
        (60 * GB, 1, Placement("host", 1)),
        (131 * GB, 1, Placement("streamed", 1)),
        (131 * GB, 2, Placement("host", 2)),
        (131 * GB, 8, Placement("host", 2)),
        (352 * GB, 4, Placement("streamed", 1)),
        (352 * GB, 8, Placement("host", 6)),
    ],
)
def test_placement_of_the_papers_sizes_on_cards_of_80_gb(weights, max_gpus, expected):
    assert choose_placement(weights, weights * 97 // 100, CARD, max_gpus) == expected


def test_a_cpu_is_a_twin_whatever_the_size():
    assert choose_placement(10**12, 10**12, 0, 0) == CPU == Placement("twin", 0)


def test_a_small_host_reads_pristine_weights_from_their_files():
    linears = 40 * GB
    enough = linears + HOST_BYTES
    assert choose_placement(41 * GB, linears, CARD, 1, enough).kind == "host"
    assert choose_placement(41 * GB, linears, CARD, 1, enough - 1).kind == "mapped"


def test_what_is_kept_free_for_batches_decides():
    assert choose_placement(100, 0, 100 + BATCH_BYTES, 1).kind == "twin"
    assert choose_placement(100, 0, 99 + BATCH_BYTES, 1).kind == "streamed"
    assert choose_placement(100, 50, 150, 1, batch_bytes=0).kind == "twin"
    assert choose_placement(100, 50, 149, 1, batch_bytes=0).kind == "host"


def test_a_card_smaller_than_a_batch_streams():
    assert choose_placement(10**6, 10**6, BATCH_BYTES / 2, 4) == Placement("streamed", 1)


def test_more_linears_than_weights_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="2 bytes of linears"):
        choose_placement(1, 2, CARD, 1)


def test_hidden_states_have_what_process_and_blocks_leave():
    assert hidden_room(100 * GB, 5 * GB) == 100 * GB - HOST_BYTES - 10 * GB
    assert hidden_room(8 * GB, 5 * GB) == 0
