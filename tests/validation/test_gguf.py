"""A model file of random weights is what the format's specification asks for."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from validation.serving import gguf

NUMBERS = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}
STRING, ARRAY = 8, 9


@dataclass
class Reader:
    """A second reading of the specification: it shares nothing with the writer."""

    data: bytes
    at: int = 0

    def take(self, form: str) -> Any:
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values[0] if len(values) == 1 else values

    def text(self) -> str:
        size = self.take("<Q")
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            element, count = self.take("<IQ")
            return [self.value(element) for _ in range(count)]
        return self.take(NUMBERS[kind])


@dataclass
class Model:
    metadata: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], int, int]]  # shape, type, offset
    data_at: int
    data: bytes

    def matrix(self, name: str) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Of a tensor in F16, Q4_0 or Q8_0, as numbers."""
        shape, kind, offset = self.tensors[name]
        count = int(np.prod(shape))
        if kind == 1:
            return np.frombuffer(self.data, "<f2", count, self.data_at + offset).astype(np.float32)
        width = {2: 18, 8: 34}[kind]
        blocks = np.frombuffer(self.data, np.uint8, count // 32 * width, self.data_at + offset).reshape(-1, width)
        scales = blocks[:, :2].copy().view("<f2").astype(np.float32)
        if kind == 8:
            return np.asarray(scales * blocks[:, 2:].view(np.int8)).ravel()
        low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
        return np.asarray(scales * (np.hstack([low, high]).astype(np.float32) - 8)).ravel()


def read(path: Path) -> Model:
    reader = Reader(path.read_bytes())
    assert reader.data[:4] == b"GGUF"
    reader.at = 4
    version, tensors, pairs = reader.take("<IQQ")
    assert version == 3
    metadata = {}
    for _ in range(pairs):
        name = reader.text()
        metadata[name] = reader.value(reader.take("<I"))
    infos = {}
    for _ in range(tensors):
        name = reader.text()
        rank = reader.take("<I")
        shape = tuple(reader.take("<Q") for _ in range(rank))
        infos[name] = (shape, *reader.take("<IQ"))
    return Model(metadata, infos, reader.at + -reader.at % gguf.ALIGNMENT, reader.data)


def size_of(shape: tuple[int, ...], kind: int) -> int:
    return int(np.prod(shape)) * {0: 128, 1: 64, 2: 18, 8: 34}[kind] // 32


@pytest.fixture(params=["f16", "q8_0", "q4_0"])
def weights(request: pytest.FixtureRequest) -> gguf.Weights:
    kind: gguf.Weights = request.param
    return kind


@pytest.mark.parametrize("shape", [gguf.TINY, gguf.TINY_QWEN3])
def test_tensors_lie_one_after_the_other_aligned_to_the_end_of_the_file(
    tmp_path: Path, shape: gguf.Shape, weights: gguf.Weights
) -> None:
    written = gguf.write(tmp_path / "model.gguf", shape, weights)
    model = read(tmp_path / "model.gguf")
    expected = 0
    for dimensions, kind, offset in model.tensors.values():
        assert offset == expected
        assert offset % gguf.ALIGNMENT == 0
        expected = offset + size_of(dimensions, kind)
        expected += -expected % gguf.ALIGNMENT
    assert model.data_at + expected == len(model.data) == written


def test_weights_are_noise_that_keeps_the_scale_of_what_passes_through(tmp_path: Path, weights: gguf.Weights) -> None:
    gguf.write(tmp_path / "model.gguf", gguf.TINY, weights)
    found = read(tmp_path / "model.gguf").matrix("blk.1.ffn_gate.weight")
    assert np.isfinite(found).all()
    assert found.std() == pytest.approx(gguf.TINY.hidden**-0.5, rel=0.05)
    assert abs(found.mean()) < found.std() / 5


def test_rows_differ(tmp_path: Path) -> None:
    gguf.write(tmp_path / "model.gguf", gguf.TINY, "q8_0")
    rows = read(tmp_path / "model.gguf").matrix("output.weight").reshape(-1, gguf.TINY.hidden)
    assert len(np.unique(rows, axis=0)) == gguf.TINY.tokens


def test_the_same_seed_writes_the_same_file_and_another_one_another(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        gguf.write(tmp_path / name, gguf.TINY, "q4_0", seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_metadata_names_the_shape_and_a_vocabulary_of_its_size(tmp_path: Path) -> None:
    gguf.write(tmp_path / "model.gguf", gguf.TINY_QWEN3, "q8_0")
    said = read(tmp_path / "model.gguf").metadata
    assert said["general.architecture"] == "qwen3"
    assert said["qwen3.block_count"] == gguf.TINY_QWEN3.layers
    assert said["qwen3.attention.head_count_kv"] == gguf.TINY_QWEN3.kv_heads
    assert said["qwen3.rope.freq_base"] == 1e6
    words, kinds = said["tokenizer.ggml.tokens"], said["tokenizer.ggml.token_type"]
    assert len(words) == len(set(words)) == len(kinds) == gguf.TINY_QWEN3.tokens
    assert kinds.count(3) == gguf.CONTROL_TOKENS
    assert words[said["tokenizer.ggml.eos_token_id"]] == "<|stop|>"
    assert kinds[said["tokenizer.ggml.eos_token_id"]] == 3


def test_ordinary_words_are_small_letters_after_a_space() -> None:
    words = gguf.vocabulary(2000)[gguf.ASCII_TOKENS : -gguf.CONTROL_TOKENS]
    space = gguf.vocabulary(2000)[0x20]
    assert all(word[0] == space and word[1:].isascii() and word[1:].islower() for word in words)


def test_real_shapes_have_their_published_numbers_of_parameters() -> None:
    def billions(shape: gguf.Shape) -> float:
        return sum(tensor.elements for tensor in gguf.tensors_of(shape)) / 1e9

    assert billions(gguf.LLAMA_8B) == pytest.approx(8.03, abs=0.01)
    assert billions(gguf.QWEN3_8B) == pytest.approx(8.19, abs=0.01)


def test_its_size_is_known_beforehand(tmp_path: Path, weights: gguf.Weights) -> None:
    written = gguf.write(tmp_path / "model.gguf", gguf.SMALL if weights == "q4_0" else gguf.TINY, weights)
    told = gguf.bytes_of(gguf.SMALL if weights == "q4_0" else gguf.TINY, weights)
    assert told <= written < told * 1.1 + 1e5
