"""Read a model's tokenizer from where a locator says. Apart from the weights, whose code takes seconds to import."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from kbit.models.locator import Locator, describe, find_source, not_loadable
from kbit.spec.errors import UserError

VOCABULARY_FILES = ("tokenizer.json", "vocab.json", "*.model")
"""One of these holds the tokens of every tokenizer that a local model is identified by (kbit/spec/models.py)."""


def load_tokenizer(locator: Locator, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """The model's tokenizer. UserError, naming the model, if there is none or it knows no tokens."""
    source, options = find_source(locator, trust_remote_code)
    if locator["path"] is not None and "gguf_file" not in options:
        check_files(locator, Path(source))
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
    except Exception as error:
        # JSON, Unicode and key errors, and the plain Exception of the Rust tokenizers: whatever it is, the files are.
        raise not_loadable(locator, "tokenizer", error) from error
    check_vocabulary(locator, tokenizer)
    return tokenizer


def check_files(locator: Locator, folder: Path) -> None:
    """Of files that are not there transformers makes an empty tokenizer, silently, for some architectures."""
    if not any(file for pattern in VOCABULARY_FILES for file in folder.glob(pattern)):
        raise UserError(
            f"{describe(locator)}: {folder} holds no tokenizer: none of {', '.join(VOCABULARY_FILES)} "
            "(path of the model in its data sheet)"
        )


def check_vocabulary(locator: Locator, tokenizer: PreTrainedTokenizerBase) -> None:
    """Special tokens alone are what a hub model without tokenizer files, or one with empty ones, comes out as."""
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise UserError(
            f"{describe(locator)}: its tokenizer has no vocabulary ({', '.join(VOCABULARY_FILES)}: missing, or empty)"
        )
