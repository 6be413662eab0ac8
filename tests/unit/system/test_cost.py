"""The cost of a network: numbers by hand, by torch's own counter, and from the real adapters."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from families import FAMILIES, plain
from hypothesis import given
from topologies import random_topologies

from neuromas.core.errors import ModelError
from neuromas.models.dims import TINY, Dims, read_dims
from neuromas.prompts.codec import ByteCodec
from neuromas.system.cost import Load, Reading, estimate, readings
from neuromas.system.network import assign
from neuromas.topology.graph import Topology
from neuromas.topology.links import MAX_BUDGET
from neuromas.topology.shapes import build_shape

SMALL = Load(question_tokens=10, message_tokens=3, answer_tokens=4, problems=2, samples=3)
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LLAMA = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


def cost(text, *, ranks=(4,), share="node", dims=TINY, **more):
    topology = build_shape(text)
    assignment = assign(topology, share)
    each = list(ranks) * (max(assignment) + 1) if len(ranks) == 1 else ranks
    return estimate(topology, dims, assignment=assignment, ranks=each, load=SMALL, **more)


def test_tiny_is_the_tiny_model():
    from neuromas.models.tiny import tiny_model

    model = tiny_model()
    config = model.config
    measured = Dims(
        name="tiny",
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        intermediate=config.intermediate_size,
        vocabulary=config.vocab_size,
        tied=config.tie_word_embeddings,
        context=config.max_position_embeddings,
    )
    assert measured == TINY
    assert TINY.weights == sum(p.numel() for p in model.parameters()) == 26816
    assert TINY.body == 2 * (32 * 32 + 2 * 32 * 16 + 32 * 32 + 3 * 32 * 64) == 18432


@pytest.mark.parametrize("targets", [("q_proj",), ("q_proj", "k_proj", "v_proj", "o_proj"), ALL])
def test_trainable_is_what_the_adapter_bank_holds(targets):
    from neuromas.models.adapters import AdapterBank, LoraSpec
    from neuromas.models.tiny import tiny_model

    for rank, share in ((1, "node"), (4, "layer"), (8, "all")):
        assignment = assign(build_shape("2-2-1"), share)
        bank = AdapterBank(tiny_model(), LoraSpec(rank, 1.0, targets), max(assignment) + 1, 0)
        held = sum(p.numel() for p in bank.parameters)
        assert cost("2-2-1", ranks=[rank], share=share, targets=targets).trainable == held


def test_one_node_by_hand():
    """Bytes: "(layer 1/1, output: the answer)", "Question: " + 10, "Answer:" are 60 with line ends."""
    one = cost("1")
    assert (one.calls, one.depth, one.prompt_tokens, one.new_tokens, one.longest) == (1, 1, 60, 4, 64)
    assert one.trainable == 4 * 448, "rank 4 times 2 layers of 64 + 48 + 48 + 64"
    # 63 tokens are read, 63 * 64 / 2 = 2016 pairs seen, 4 tokens sampled
    body, low, seen, head = 2 * 18432 * 63, 2 * 1792 * 63, 4 * 2 * 32 * 2016, 2 * 32 * 257 * 4
    assert one.answer_flops == body + low + seen + head == 3_130_112
    # 3 samples share 60 tokens: 69 are read, 1830 + 3 * 186 = 2388 pairs; forward twice, backward once
    body, low, seen, head = 2 * 18432 * 69, 2 * 1792 * 69, 4 * 2 * 32 * 2388, 2 * 32 * 257 * 12
    assert one.step_flops == 2 * (3 * body + 4 * low + 4 * seen + 3 * head) == 23_314_944
    # 138 tokens of 2 layers: norms 64, adapted inputs 64, queries 32, keys and values 32, weights 4 * 69,
    # gate 3 * 64, inner 4 * 4; and logits with gradient at 24 places
    kept = 138 * 2 * (64 + 64 + 32 + 32 + 4 * 69 + 3 * 64 + 16) + 2 * 257 * 24
    full = cost("1", dtype="float32")
    assert full.peak_bytes == pytest.approx(0.40e9 + 16 * 1792 + 4 * (26816 + kept), abs=1e-3)
    packed = 26816 - 5 * 32  # all but the norms; embedding and head are one tensor
    assert one.peak_bytes == pytest.approx(0.40e9 + 16 * 1792 + 2 * (26816 + packed + kept), abs=1e-3)


def test_torch_counts_the_same_operations(tiny_engine):
    """Forward and backward of one message through the real scorer, product by product."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from neuromas.learner.scorer import Message, pack, score
    from neuromas.system.cost import _forward, _pairs

    model = tiny_engine(1).model
    call = Reading(prefix=9, suffix=5, new=4)
    n, rank = call.prompt + call.new - 1, 4
    message = Message(0, 0, tuple(range(9)), tuple(range(20, 25)), (1, 2, 3, 4))
    body, low, seen, head = _forward(TINY, rank * TINY.per_rank(ALL[:4]), call, 1)
    seen *= n * n / _pairs(n)  # the masked half is multiplied, too
    with FlopCounterMode(display=False) as forward:
        scores = score(model.backbone, model.bank, pack([message]), torch.ones(1))
    assert forward.get_total_flops() == body + low + seen + head
    with FlopCounterMode(display=False) as backward:
        scores.logprobs.sum().backward()
    # the first layer's q, k and v read the embedding, which needs no gradient
    unneeded = 2 * n * (32 * 32 + 2 * 32 * 16) + 2 * n * rank * 3 * 32
    assert backward.get_total_flops() == body + 2 * low + 2 * seen + head - unneeded


def test_ranks_may_differ_and_follow_the_assignment():
    wide, narrow = cost("2-1", ranks=[8, 8, 8]), cost("2-1", ranks=[8, 2, 1])
    assert (wide.trainable, narrow.trainable) == (24 * 448, 11 * 448)
    assert narrow.answer_flops < wide.answer_flops
    assert cost("2-1", share="layer", ranks=[8, 1]).trainable == 9 * 448
    assert cost("2-1", share="all", ranks=[8]).answer_flops == wide.answer_flops
    with pytest.raises(ModelError, match="2 ranks for 3 adapters"):
        cost("2-1", ranks=[8, 8])
    with pytest.raises(ModelError, match="unknown adapter target 'x_proj'"):
        cost("2-1", targets=("x_proj",))


@given(random_topologies())
def test_tokens_are_those_of_real_prompts(topology):
    """The longest question and messages, written out and laid into prompts by the real builder."""
    from neuromas.core.task import Problem
    from neuromas.prompts.build import Wording, build_prompt

    shares = topology.shares
    load = Load(question_tokens=5 * (shares + 1), message_tokens=7, answer_tokens=2)
    # parts are joined by a space, a byte of its own: it counts as the part's first
    problem = Problem("p", "q" * load.question_tokens, "", parts=("p" * 4,) * shares, stem="s" * 5)
    found = readings(topology, load, TINY)
    for node, call in enumerate(found):
        edges = topology.incoming(node)
        wrote = [topology.message_budget(edge.source, 7) for edge in edges]
        told = ["m" * min(w, e.budget or w) for w, e in zip(wrote, edges, strict=True)]
        prompt = build_prompt(
            topology, node, problem, told, ByteCodec(), wording=Wording("plain", "the answer")
        )
        assert (call.prefix, call.suffix) == (len(prompt.prefix), len(prompt.suffix))
        assert call.new == (2 if node == topology.sink else topology.message_budget(node, 7))


def test_pieces_are_about_the_tokens_of_a_tokenizer():
    """SmolLM2's tokenizer has 20 for "(layer 1/2, node 1/2, to 2.1)", its line break included."""
    (hidden, _, output) = readings(build_shape("2-1"), Load(question_tokens=10, message_tokens=16))
    assert hidden == Reading(prefix=20 + 3 + 10 + 2, suffix=0, new=16)
    assert output.suffix == 2 * (5 + 16) + 2, "two messages with their labels, and the cue"


def test_budgets_without_end_cost_without_end_and_no_memory():
    topology = Topology.build(["a", "b"], [("a", "b", MAX_BUDGET)])
    (first, second) = readings(topology, Load())
    assert first.new == MAX_BUDGET
    assert second.suffix > MAX_BUDGET


def test_costs_grow_with_the_shape():
    rows = [cost(text) for text in ("1", "2-1", "2-2-1", "2-2-2-1", "4-4-4-1")]
    for small, large in pairwise(rows):
        assert small.trainable < large.trainable
        assert small.answer_flops < large.answer_flops
        assert small.step_flops < large.step_flops
        assert small.peak_bytes < large.peak_bytes


def test_a_configuration_is_read_without_its_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    dims = read_dims(str(tmp_path))
    assert dims.weights == 134_515_008, "SmolLM2-135M"
    assert dims.head_dim == 64
    assert 8 * dims.per_rank(ALL[:4]) == 921_600
    untied = {key: value for key, value in LLAMA.items() if key != "tie_word_embeddings"}
    (tmp_path / "config.json").write_text(json.dumps(untied))
    assert read_dims(str(tmp_path)).weights == 134_515_008 + 49152 * 576
    nested = {"model_type": "gemma3", "text_config": {**untied, "model_type": "gemma3_text", "head_dim": 32}}
    (tmp_path / "config.json").write_text(json.dumps(nested))
    assert (read_dims(str(tmp_path)).tied, read_dims(str(tmp_path)).head_dim) == (True, 32)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_weights_and_targets_are_those_of_transformers_classes(tmp_path, family):
    from torch import nn

    model = plain(family, device="meta")
    model.config.save_pretrained(tmp_path)
    if family.kind.endswith("moe"):
        with pytest.raises(ModelError, match="mixture of experts"):
            read_dims(str(tmp_path))
        return
    dims = read_dims(str(tmp_path))
    assert dims.weights == sum(p.numel() for p in model.parameters())
    layer = model.get_decoder().layers[0]
    maps = {n.rpartition(".")[2]: m for n, m in layer.named_modules() if isinstance(m, nn.Linear)}
    assert dims.linears == {name: (one.in_features, one.out_features) for name, one in maps.items()}
    biases = (
        {"attention_bias": True, "mlp_bias": True} if family.kind in ("llama", "granite", "smollm3") else {}
    )
    if biases:
        more = replace(family, options={**family.options, **biases})
        model = plain(more, device="meta")
        model.config.save_pretrained(tmp_path)
        assert read_dims(str(tmp_path)).weights == sum(p.numel() for p in model.parameters()) > dims.weights


def test_what_a_configuration_leaves_out_is_what_transformers_takes(tmp_path):
    """As google/gemma-3-4b-it is published: no counts of heads, no vocabulary, no width of a head."""
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
    }
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3", "text_config": text}))
    dims = read_dims(str(tmp_path))
    assert (dims.heads, dims.kv_heads, dims.head_dim, dims.vocabulary, dims.tied) == (8, 4, 256, 262208, True)
    assert dims.weights == 3_880_263_168


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not a model's configuration"),
        ("[]", "is not a model's configuration"),
        ("[" * 100_000, "is not a model's configuration"),
        ("{}", "has no number 'hidden_size'"),
        (json.dumps({**LLAMA, "num_hidden_layers": "many"}), "has no number 'num_hidden_layers'"),
        (json.dumps({**LLAMA, "vocab_size": 0}), "has no number 'vocab_size'"),
        (json.dumps({**LLAMA, "num_local_experts": 8}), "mixture of experts"),
    ],
)
def test_bad_configurations(tmp_path, content, says):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=says) as caught:
        read_dims(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_models_that_are_not_at_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROMAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("neuromas.models.dims.find_gguf", lambda: Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
    (tmp_path / "empty").mkdir()
    for name, says in (
        ("smollm2-135m", "not unpacked yet: 'neuromas doctor' does it"),
        ("smolm2-135m", "did you mean 'smollm2-135m'"),
        ("nobody/no-such-model", "is not downloaded"),
        ("no body/x", "is no Hugging Face id"),
        ("empty", "has no config.json"),
        ("/none/at/all", "no such folder"),
        ("./none", "no such folder"),
    ):
        with pytest.raises(ModelError) as caught:
            read_dims(name)
        assert says in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "cache" / "smollm2-135m-instruct.q4_1-0123").mkdir(parents=True)
    path = tmp_path / "cache" / "smollm2-135m-instruct.q4_1-0123" / "config.json"
    path.write_text(json.dumps(LLAMA))
    assert read_dims("smollm2-135m").weights == 134_515_008
