"""Writes a GGUF file with random weights on the spot: what a server loads when there is nothing to download.

Theory of operation. Joules depend on how many bytes and multiplications a step takes, hardly on what the weights say;
so shapes and types are a real model's and the numbers are noise, scaled so that activations neither die nor explode.
One tile of random blocks, a few megabytes with a prime number of blocks, is written over and over: rows differ, and
the disk is the only limit. The format asks for tensors one after the other, so none may share another's bytes.

The vocabulary is made up as well: ASCII bytes, then words of small letters, so that all output is printable and never
held back for half a letter; two control tokens at its end. With `ignore_eos` a server never stops before it must.

Layout (GGUF, version 3, little-endian): magic, version, counts; metadata as key, type, value; then each tensor's name,
shape, type and offset; then, aligned to 32 bytes, the tensors.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 32
ASCII_TOKENS = 128
"""The first tokens of the vocabulary: bytes; ordinary words come after them."""
CONTROL_TOKENS = 2

Architecture = Literal["llama", "qwen3"]
Weights = Literal["f16", "q8_0", "q4_0"]

_BLOCK = 32
"""Weights of a quantised block."""
_TILE_BLOCKS = 65_537
"""A prime: no row of a matrix begins where another did, until the tile has gone round."""
_F32_TYPE = 0
_TYPES: dict[Weights, tuple[int, int]] = {"f16": (1, 2 * _BLOCK), "q4_0": (2, 18), "q8_0": (8, 34)}
"""ggml's number of the type, and bytes for 32 weights."""
_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9


@dataclass(frozen=True, slots=True)
class Shape:
    """A dense decoder. `name`: of the model whose shape this is, for people. `tokens`: of the vocabulary."""

    name: str
    architecture: Architecture
    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_width: int
    tokens: int
    context: int = 32_768
    rope_base: float = 500_000.0

    def kv_bytes_per_token(self) -> int:
        """Of a cache in 16 bits: keys and values of all layers."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_width


LLAMA_8B = Shape("Llama-3.1-8B", "llama", 32, 4096, 14_336, 32, 8, 128, 128_256)
QWEN3_8B = Shape("Qwen3-8B", "qwen3", 36, 4096, 12_288, 32, 8, 128, 151_936, rope_base=1e6)
LLAMA_1B = Shape("Llama-3.2-1B", "llama", 16, 2048, 8192, 32, 8, 64, 128_256)
SMALL = Shape("small (100M)", "llama", 12, 768, 2048, 12, 4, 64, 16_384)
LITTLE = Shape("little (22M)", "llama", 6, 512, 1408, 8, 4, 64, 4096)
TINY = Shape("tiny", "llama", 2, 128, 256, 4, 2, 32, 1024, context=8192)
TINY_QWEN3 = Shape("tiny", "qwen3", 2, 128, 256, 4, 2, 32, 1024, context=8192, rope_base=1e6)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One of a model. `shape`: as ggml counts, the row's length first."""

    name: str
    shape: tuple[int, ...]

    @property
    def flat(self) -> bool:
        """Whether it is a norm's weights: one per channel, all ones, in 32 bits."""
        return len(self.shape) == 1

    @property
    def elements(self) -> int:
        """How many numbers."""
        return int(np.prod(self.shape))

    def bytes(self, weights: Weights) -> int:
        """Its size, when matrices are of this type."""
        return 4 * self.elements if self.flat else self.elements // _BLOCK * _TYPES[weights][1]


def write(path: Path, shape: Shape, weights: Weights = "q8_0", seed: int = 0) -> int:
    """Write a model; the same seed writes the same file.

    Returns:
        Bytes written.

    Raises:
        OSError: the disk.
    """
    tensors = tuple(tensors_of(shape))
    with path.open("wb", buffering=0) as file:
        head = _header(shape, weights, tensors)
        _put(file, head + bytes(-len(head) % ALIGNMENT))
        tile = _Tile(random_tile(weights, shape.hidden, seed))
        for tensor in tensors:
            size = tensor.bytes(weights)
            if tensor.flat:
                _put(file, np.ones(tensor.elements, np.float32).tobytes())
            else:
                tile.write(file, size)
            _put(file, bytes(-size % ALIGNMENT))
        return file.tell()


def bytes_of(shape: Shape, weights: Weights) -> int:
    """About the size of the file: its tensors."""
    return sum(tensor.bytes(weights) for tensor in tensors_of(shape))


def tensors_of(shape: Shape) -> Iterator[Tensor]:
    """By the names that llama.cpp knows."""
    yield Tensor("token_embd.weight", (shape.hidden, shape.tokens))
    for layer in range(shape.layers):
        for name, dimensions in _of_a_layer(shape):
            yield Tensor(f"blk.{layer}.{name}.weight", dimensions)
    yield Tensor("output_norm.weight", (shape.hidden,))
    yield Tensor("output.weight", (shape.hidden, shape.tokens))


def _of_a_layer(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    yield "attn_norm", (shape.hidden,)
    yield "attn_q", (shape.hidden, queries)
    yield "attn_k", (shape.hidden, keys)
    yield "attn_v", (shape.hidden, keys)
    yield "attn_output", (queries, shape.hidden)
    if shape.architecture == "qwen3":
        yield "attn_q_norm", (shape.head_width,)
        yield "attn_k_norm", (shape.head_width,)
    yield "ffn_norm", (shape.hidden,)
    yield "ffn_gate", (shape.hidden, shape.feed_forward)
    yield "ffn_up", (shape.hidden, shape.feed_forward)
    yield "ffn_down", (shape.feed_forward, shape.hidden)


def vocabulary(tokens: int) -> list[str]:
    """Each token as a byte-level BPE writes it: a letter for each byte, then words with a space before, then control.

    GPT-2's letters for bytes that have none of their own: those from U+0100 on, in order.
    """
    spare = count(0x100)
    alphabet = [chr(byte) if 0x21 <= byte < 0x7F else chr(next(spare)) for byte in range(ASCII_TOKENS)]
    space = alphabet[0x20]
    words = (space + "".join(letters) for length in count(2) for letters in product(ascii_lowercase, repeat=length))
    return [*alphabet, *islice(words, tokens - ASCII_TOKENS - CONTROL_TOKENS), "<|begin|>", "<|stop|>"]


def random_tile(weights: Weights, width: int, seed: int) -> bytes:
    """Blocks of random weights with a standard deviation of 1 / sqrt(width)."""
    random = np.random.default_rng(seed)
    spread = width**-0.5
    if weights == "f16":
        return bytes((spread * random.standard_normal(_BLOCK * _TILE_BLOCKS)).astype("<f2").tobytes())
    size = _TYPES[weights][1]
    blocks = np.empty((_TILE_BLOCKS, size), np.uint8)
    blocks[:, :2] = _scale(spread / _deviation(weights))
    if weights == "q8_0":  # whole numbers from -127 to 127
        numbers = random.integers(-127, 128, (_TILE_BLOCKS, _BLOCK), np.int8)
        blocks[:, 2:] = numbers.view(np.uint8)
    else:  # two in a byte, each 8 above its value
        blocks[:, 2:] = random.integers(0, 256, (_TILE_BLOCKS, _BLOCK // 2), np.uint8)
    return bytes(blocks.tobytes())


def _deviation(weights: Weights) -> float:
    """Of whole numbers, all as likely: sqrt((n^2 - 1) / 12)."""
    choices = 255 if weights == "q8_0" else 16
    return float(((choices**2 - 1) / 12) ** 0.5)


def _scale(value: float) -> NDArray[np.uint8]:
    return np.array([value], "<f2").view(np.uint8)


class _Tile:
    """An endless stream of the same bytes."""

    def __init__(self, tile: bytes) -> None:
        self._tile, self._at = memoryview(tile), 0

    def write(self, file: BinaryIO, size: int) -> None:
        """The next bytes of it."""
        while size:
            piece = self._tile[self._at : self._at + size]
            _put(file, piece)
            size -= len(piece)
            self._at = (self._at + len(piece)) % len(self._tile)


def _put(file: BinaryIO, piece: bytes | memoryview) -> None:
    """All of it: an unbuffered write may take less than it was given."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def _header(shape: Shape, weights: Weights, tensors: Sequence[Tensor]) -> bytes:
    metadata = list(_metadata(shape))
    infos, offset = [], 0
    for tensor in tensors:
        infos.append(_info(tensor, weights, offset))
        size = tensor.bytes(weights)
        offset += size + -size % ALIGNMENT
    return b"".join((b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata)), *metadata, *infos))


def _info(tensor: Tensor, weights: Weights, offset: int) -> bytes:
    rank = len(tensor.shape)
    kind = _F32_TYPE if tensor.flat else _TYPES[weights][0]
    return _text(tensor.name) + struct.pack(f"<I{rank}QIQ", rank, *tensor.shape, kind, offset)


def _metadata(shape: Shape) -> Iterator[bytes]:
    """What llama.cpp asks of these architectures and of a byte-level BPE."""
    ours = shape.architecture
    yield _key("general.architecture", _STRING, _text(ours))
    yield _key("general.name", _STRING, _text(f"{shape.name}, random weights"))
    yield _key("general.alignment", _UINT32, struct.pack("<I", ALIGNMENT))
    for name, number in (
        ("block_count", shape.layers),
        ("context_length", shape.context),
        ("embedding_length", shape.hidden),
        ("feed_forward_length", shape.feed_forward),
        ("attention.head_count", shape.heads),
        ("attention.head_count_kv", shape.kv_heads),
        ("attention.key_length", shape.head_width),
        ("attention.value_length", shape.head_width),
        ("rope.dimension_count", shape.head_width),
        ("vocab_size", shape.tokens),
    ):
        yield _key(f"{ours}.{name}", _UINT32, struct.pack("<I", number))
    yield _key(f"{ours}.attention.layer_norm_rms_epsilon", _FLOAT32, struct.pack("<f", 1e-5))
    yield _key(f"{ours}.rope.freq_base", _FLOAT32, struct.pack("<f", shape.rope_base))
    yield from _tokenizer(shape.tokens)


def _tokenizer(tokens: int) -> Iterator[bytes]:
    normal, control = 1, 3
    words = vocabulary(tokens)
    kinds = [normal] * (tokens - CONTROL_TOKENS) + [control] * CONTROL_TOKENS
    yield _key("tokenizer.ggml.model", _STRING, _text("gpt2"))
    yield _key("tokenizer.ggml.pre", _STRING, _text("gpt-2"))
    yield _key("tokenizer.ggml.tokens", _ARRAY, _texts(words))
    yield _key("tokenizer.ggml.token_type", _ARRAY, struct.pack(f"<IQ{tokens}i", _INT32, tokens, *kinds))
    merges = [f"{words[0x20]} {letter}" for letter in ascii_lowercase]
    yield _key("tokenizer.ggml.merges", _ARRAY, _texts(merges))
    yield _key("tokenizer.ggml.bos_token_id", _UINT32, struct.pack("<I", tokens - 2))
    yield _key("tokenizer.ggml.eos_token_id", _UINT32, struct.pack("<I", tokens - 1))
    yield _key("tokenizer.ggml.add_bos_token", _BOOL, struct.pack("<?", False))  # noqa: FBT003 - struct's argument


def _key(name: str, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _texts(texts: Sequence[str]) -> bytes:
    return struct.pack("<IQ", _STRING, len(texts)) + b"".join(map(_text, texts))
