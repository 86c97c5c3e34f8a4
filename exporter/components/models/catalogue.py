"""Models that are ready by name: their published configurations, as numbers.

The keys of `values` are those of the model's own configuration class in Transformers (and of its `config.json`), so
each entry can be held against the page that it follows. Weights are random: energy depends on shapes, not on values,
but for which experts a router chooses; a random router spreads tokens evenly, which a trained one is trained to do.

Every entry has a small variant, `<name>-small`: the same classes at a size that two CPU cores run in milliseconds. It
is there to try things out, and says nothing about the energy of its big sister.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

Architecture = Literal["encoder", "decoder", "encoder_decoder", "mixture_of_experts"]


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A configuration by name.

    Attributes:
        name: what a user calls it.
        architecture: one of four types.
        model_type: what Transformers calls its family.
        follows: repository on the Hugging Face hub whose `config.json` says these numbers.
        values: of the configuration; what is left out has the default of the family.
    """

    name: str
    architecture: Architecture
    model_type: str
    follows: str
    values: Mapping[str, object]


_BERT = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}

_ENTRIES = (
    ModelEntry("bert-base", "encoder", "bert", "google-bert/bert-base-uncased", _BERT),
    ModelEntry(
        "roberta-base",
        "encoder",
        "roberta",
        "FacebookAI/roberta-base",
        {
            **_BERT,
            "vocab_size": 50265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 1,
        },
    ),
    ModelEntry(
        "distilbert-base",
        "encoder",
        "distilbert",
        "distilbert/distilbert-base-uncased",
        {
            "vocab_size": 30522,
            "dim": 768,
            "n_layers": 6,
            "n_heads": 12,
            "hidden_dim": 3072,
            "activation": "gelu",
            "max_position_embeddings": 512,
            "pad_token_id": 0,
        },
    ),
    ModelEntry(
        "albert-base",
        "encoder",
        "albert",
        "albert/albert-base-v2",
        {
            **_BERT,
            "vocab_size": 30000,
            "embedding_size": 128,
            "hidden_act": "gelu_new",
            "num_hidden_groups": 1,
            "inner_group_num": 1,
        },
    ),
    ModelEntry(
        "modernbert-base",
        "encoder",
        "modernbert",
        "answerdotai/ModernBERT-base",
        {
            "vocab_size": 50368,
            "hidden_size": 768,
            "num_hidden_layers": 22,
            "num_attention_heads": 12,
            "intermediate_size": 1152,
            "max_position_embeddings": 8192,
            "global_attn_every_n_layers": 3,
            "local_attention": 128,
            "pad_token_id": 50283,
        },
    ),
    ModelEntry(
        "gpt2",
        "decoder",
        "gpt2",
        "openai-community/gpt2",
        {
            "vocab_size": 50257,
            "n_embd": 768,
            "n_layer": 12,
            "n_head": 12,
            "n_inner": 3072,
            "n_positions": 1024,
            "activation_function": "gelu_new",
        },
    ),
    ModelEntry(
        "llama-3.1-8b",
        "decoder",
        "llama",
        "meta-llama/Llama-3.1-8B",
        {
            "vocab_size": 128256,
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 14336,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 500000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,
            },
            "tie_word_embeddings": False,
        },
    ),
    ModelEntry(
        "qwen3-1.7b",
        "decoder",
        "qwen3",
        "Qwen/Qwen3-1.7B",
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 6144,
            "max_position_embeddings": 40960,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
            "tie_word_embeddings": True,
        },
    ),
    ModelEntry(
        "gemma-3-1b",
        "decoder",
        "gemma3_text",
        "google/gemma-3-1b-it",
        {
            "vocab_size": 262144,
            "hidden_size": 1152,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "intermediate_size": 6912,
            "hidden_activation": "gelu_pytorch_tanh",
            "max_position_embeddings": 32768,
            "sliding_window": 512,
            "sliding_window_pattern": 6,
            "query_pre_attn_scalar": 256,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "pad_token_id": 0,
        },
    ),
    ModelEntry(
        "phi-2",
        "decoder",
        "phi",
        "microsoft/phi-2",
        {
            "vocab_size": 51200,
            "hidden_size": 2560,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "intermediate_size": 10240,
            "hidden_act": "gelu_new",
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.4},
            "tie_word_embeddings": False,
        },
    ),
    ModelEntry(
        "t5-base",
        "encoder_decoder",
        "t5",
        "google-t5/t5-base",
        {
            "vocab_size": 32128,
            "d_model": 768,
            "d_kv": 64,
            "d_ff": 3072,
            "num_layers": 12,
            "num_decoder_layers": 12,
            "num_heads": 12,
            "feed_forward_proj": "relu",
            "relative_attention_num_buckets": 32,
            "decoder_start_token_id": 0,
            "pad_token_id": 0,
        },
    ),
    ModelEntry(
        "bart-base",
        "encoder_decoder",
        "bart",
        "facebook/bart-base",
        {
            "vocab_size": 50265,
            "d_model": 768,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_attention_heads": 12,
            "decoder_attention_heads": 12,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
            "activation_function": "gelu",
            "max_position_embeddings": 1024,
            "pad_token_id": 1,
        },
    ),
    ModelEntry(
        "olmoe-1b-7b",
        "mixture_of_experts",
        "olmoe",
        "allenai/OLMoE-1B-7B-0924",
        {
            "vocab_size": 50304,
            "hidden_size": 2048,
            "num_hidden_layers": 16,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "intermediate_size": 1024,
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": False,
            "pad_token_id": 1,
        },
    ),
    ModelEntry(
        "qwen3-30b-a3b",
        "mixture_of_experts",
        "qwen3_moe",
        "Qwen/Qwen3-30B-A3B",
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "intermediate_size": 6144,
            "moe_intermediate_size": 768,
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "norm_topk_prob": True,
            "max_position_embeddings": 40960,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
            "tie_word_embeddings": False,
        },
    ),
    ModelEntry(
        "gpt-oss-20b",
        "mixture_of_experts",
        "gpt_oss",
        "openai/gpt-oss-20b",
        {
            "vocab_size": 201088,
            "hidden_size": 2880,
            "num_hidden_layers": 24,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "intermediate_size": 2880,
            "num_local_experts": 32,
            "num_experts_per_tok": 4,
            "sliding_window": 128,
            "max_position_embeddings": 131072,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 150000.0,
                "factor": 32.0,
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "truncate": False,
                "original_max_position_embeddings": 4096,
            },
            "tie_word_embeddings": False,
            "pad_token_id": 199999,
        },
    ),
)

_SMALL: Mapping[str, object] = {
    "vocab_size": 1024,
    "hidden_size": 128,
    "d_model": 128,
    "n_embd": 128,
    "dim": 128,
    "embedding_size": 64,
    "num_hidden_layers": 2,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_attention_heads": 4,
    "num_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "head_dim": 32,
    "d_kv": 32,
    "query_pre_attn_scalar": 32,
    "intermediate_size": 256,
    "d_ff": 256,
    "hidden_dim": 256,
    "n_inner": 256,
    "encoder_ffn_dim": 256,
    "decoder_ffn_dim": 256,
    "moe_intermediate_size": 64,
    "num_experts": 8,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "global_attn_every_n_layers": 2,
    "local_attention": 16,
    "sliding_window": 16,
    "sliding_window_pattern": 2,
}
"""What a small variant says instead, where its big sister says something."""


def _small(entry: ModelEntry) -> ModelEntry:
    values = {key: _SMALL.get(key, value) for key, value in entry.values.items()}
    if "num_key_value_heads" in values:
        values["num_key_value_heads"] = _small_kv_heads(entry.values)
    if values.get("pad_token_id"):
        values["pad_token_id"] = 1
    return replace(entry, name=f"{entry.name}-small", values=MappingProxyType(values))


def _small_kv_heads(values: Mapping[str, object]) -> int:
    """Of four heads: as many, two, or one, as the big sister has it."""
    heads, kv_heads = values["num_attention_heads"], values["num_key_value_heads"]
    if kv_heads == heads:
        return 4
    return 1 if kv_heads == 1 else 2


CATALOGUE: Mapping[str, ModelEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""The fifteen, by name."""

SMALL_CATALOGUE: Mapping[str, ModelEntry] = MappingProxyType(
    {small.name: small for small in (_small(entry) for entry in _ENTRIES)}
)
"""A small variant of each, by its name (`bert-base-small`)."""
