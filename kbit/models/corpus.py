"""The committed public-domain corpus: its splits as text, as tokens, and the tokenizer trained on it."""

import json
import lzma
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = Path("data/corpus")
END_OF_TEXT = "<|endoftext|>"
VOCABULARY_SIZE = 1024


def read_runs(split: str, corpus: Path = CORPUS) -> list[dict]:
    """The runs of a split (train, valid, test), in order: {"run": int, "work": str, "text": str} each."""
    lines = lzma.decompress((corpus / f"{split}.jsonl.xz").read_bytes()).decode().splitlines()
    return [json.loads(line) for line in lines]


def train_tokenizer(corpus: Path = CORPUS) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 1,024 entries, trained on the train split alone.

    A larger vocabulary would let the 16-bit embedding outweigh the quantized weights of models this small.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((run["text"] for run in read_runs("train", corpus)), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
    )


def tokenize_runs(tokenizer: PreTrainedTokenizerFast, runs: list[dict]) -> np.ndarray:
    """All runs as one int64 sequence [tokens], an end-of-text token before each."""
    ids = tokenizer([run["text"] for run in runs], add_special_tokens=False)["input_ids"]
    return np.concatenate([np.array([tokenizer.eos_token_id, *run], dtype=np.int64) for run in ids])
