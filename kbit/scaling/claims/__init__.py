"""The paper's claims as code: one file each, and this list. A claim is tested on every study's tables and fits.

A test states beforehand what supports and what refutes it; it is never changed because of what it finds.
"""

from kbit.scaling.claims import (
    h01_four_bits,
    h02_gain_until_four_bits,
    h03_parallel_curves,
    h04_collapse_at_three_bits,
    h05_perplexity_and_accuracy,
    h06_small_blocks,
    h07_blocks_for_a_bit,
    h08_data_types,
    h09_int_at_five_bits,
    h10_centering,
    h11_proxy_quantization,
    h12_outliers_follow_weights,
    h13_finetuning,
    h14_gptq_needs_blocks,
)
from kbit.scaling.claims.claim import Claim, Finding, Subject, Tables
from kbit.scaling.claims.table import SCHEMA, claims_frame, read_outliers, write_claims

CLAIMS: tuple[Claim, ...] = (
    h01_four_bits.CLAIM,
    h02_gain_until_four_bits.CLAIM,
    h03_parallel_curves.CLAIM,
    h04_collapse_at_three_bits.CLAIM,
    h05_perplexity_and_accuracy.CLAIM,
    h06_small_blocks.CLAIM,
    h07_blocks_for_a_bit.CLAIM,
    h08_data_types.CLAIM,
    h09_int_at_five_bits.CLAIM,
    h10_centering.CLAIM,
    h11_proxy_quantization.CLAIM,
    h12_outliers_follow_weights.CLAIM,
    h13_finetuning.CLAIM,
    h14_gptq_needs_blocks.CLAIM,
)
"""In the order of the paper's hypotheses H1 to H14."""

__all__ = ["CLAIMS", "SCHEMA", "Claim", "Finding", "Subject", "Tables", "claims_frame", "read_outliers", "write_claims"]
