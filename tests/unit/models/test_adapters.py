"""Stacked adapters are PEFT's adapters, row by row, and select exactly the rows they are told."""

from __future__ import annotations

import math

import pytest
import torch
from reference import twins

from neuromas.core.errors import ModelError
from neuromas.models.adapters import AdapterBank, LoraSpec
from neuromas.models.backbone import load_backbone
from neuromas.models.prefix_tree import TreeBatch, TreePlan
from neuromas.models.tiny import tiny_model

LENGTH = 9


@pytest.fixture(scope="module")
def pair():
    return twins(adapters=3)


@pytest.fixture(scope="module")
def uneven():
    """Three adapters of ranks 2, 8 and 5 side by side."""
    made = twins(adapters=3, spec=LoraSpec(4, 6.0, ranks=(2, 8, 5)))
    assert made.model.bank.ranks == [2, 8, 5]
    return made


def tokens(rows, seed=0):
    return torch.randint(0, 257, (rows, LENGTH), generator=torch.Generator().manual_seed(seed))


def forward(backbone, ids):
    """(R, L, d): every row a sequence of its own, under whatever is selected."""
    position = torch.arange(ids.shape[1]).expand_as(ids)
    plan = TreePlan(TreeBatch(ids, position, torch.full_like(ids, ids.shape[1] - 1)))
    return backbone.hidden(ids, position, plan)


def logits(resident, ids, rows):
    """(R, L, V) under these adapters."""
    with resident.bank.select(rows, torch.float32):
        return resident.backbone.logits(forward(resident.backbone, ids))


def peft_node(resident, row):
    """Real PEFT with the factors of one adapter."""
    from peft import LoraConfig, get_peft_model

    spec = resident.bank.spec
    config = LoraConfig(
        r=resident.bank.ranks[row],
        lora_alpha=spec.alpha,
        target_modules=list(spec.targets),
        lora_dropout=0.0,
        bias="none",
    )
    model = get_peft_model(tiny_model(), config).eval()
    for slot, down, up in resident.bank.factors(row):
        layer = model.get_submodule(f"base_model.model.{slot.path}")
        with torch.no_grad():
            layer.lora_A["default"].weight.copy_(down)
            layer.lora_B["default"].weight.copy_(up)
    return model


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT's own
@pytest.mark.parametrize(
    "rows",
    [
        [0, 1, 2],
        [0, 0, 1, 1, 2, 2],
        [2, 0, 2, 2, 1],
        [1, 1],
        [2, 1, 0],
        [0] * 3 + [1] * 7 + [2] * 4,  # runs of their own length
        [0] * 9 + [2],
    ],
)
@pytest.mark.parametrize("which", ["pair", "uneven"])
def test_logits_and_gradients_are_pefts_node_by_node(request, which, rows):
    resident = request.getfixturevalue(which).model
    for parameter in resident.bank.parameters:
        parameter.grad = None
    ids = tokens(len(rows))
    probe = torch.randn(len(rows), LENGTH, 257, generator=torch.Generator().manual_seed(3))
    ours = logits(resident, ids, rows)
    (ours * probe).sum().backward()
    for row in sorted(set(rows)):
        own = [i for i, r in enumerate(rows) if r == row]
        model = peft_node(resident, row)
        theirs = model(input_ids=ids[own], use_cache=False).logits
        torch.testing.assert_close(ours[own], theirs, rtol=1e-5, atol=2e-5)
        (theirs * probe[own]).sum().backward()
        gradient = resident.bank.parameters[row].grad
        pieces = torch.split(gradient, resident.bank.sizes(resident.bank.ranks[row]))
        for i, slot in enumerate(resident.bank.slots):
            layer = model.get_submodule(f"base_model.model.{slot.path}")
            for piece, factor in ((pieces[2 * i], layer.lora_A), (pieces[2 * i + 1], layer.lora_B)):
                expected = factor["default"].weight.grad
                scale = float(expected.abs().max())
                torch.testing.assert_close(piece.view_as(expected), expected, rtol=1e-5, atol=1e-5 * scale)
    for row in set(range(3)) - set(rows):
        gradient = resident.bank.parameters[row].grad
        assert gradient is None or not gradient.any()
    for parameter in resident.bank.parameters:
        parameter.grad = None


def test_adapters_differ_and_rows_do_not_leak(pair):
    ids = tokens(1).expand(4, LENGTH)
    out = logits(pair.model, ids, [0, 1, 2, 0]).detach()
    torch.testing.assert_close(out[0], out[3], rtol=1e-5, atol=1e-5)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert (out[a] - out[b]).abs().max() > 0.1


def test_unselected_is_the_backbone(pair):
    ids = tokens(2)
    expected = pair.plain(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(logits(pair.model, ids, None), expected, rtol=1e-5, atol=2e-5)
    fresh = twins(adapters=2, spread=0.0).model
    torch.testing.assert_close(logits(fresh, ids, [0, 1]), expected, rtol=1e-5, atol=2e-5)


def test_selection_nests_and_is_restored(pair):
    bank, ids = pair.model.bank, tokens(1)

    def now():
        return forward(pair.model.backbone, ids).detach()

    none, zero, one = [logits(pair.model, ids, rows).detach() for rows in (None, [0], [1])]
    out = []
    assert bank.active is None
    with bank.select([0], torch.float32):
        out.append(now())
        with bank.select([1], torch.float32):
            out.append(now())
            with bank.select(None, torch.float32):
                out.append(now())
            out.append(now())
        out.append(now())
        with pytest.raises(ZeroDivisionError), bank.select([1], torch.float32):
            raise ZeroDivisionError
        out.append(now())
    out.append(now())
    seen = [pair.model.backbone.logits(hidden).detach() for hidden in out]
    for found, expected in zip(seen, [zero, one, none, one, zero, zero, none], strict=True):
        assert torch.equal(found, expected)
    assert bank.active is None


def test_the_backbone_is_frozen(pair):
    logits(pair.model, tokens(2), [0, 1]).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in pair.model.backbone.model.parameters())
    assert len(list(pair.model.backbone.model.parameters())) == len(list(pair.plain.parameters()))
    for parameter in pair.model.bank.parameters:
        parameter.grad = None


def test_layout_of_the_flat_vector():
    bank = AdapterBank(tiny_model(), LoraSpec(2, 8.0, ("q_proj", "down_proj")), 2, 0)
    assert [slot.path for slot in bank.slots] == [
        f"model.layers.{i}.{name}" for i in (0, 1) for name in ("self_attn.q_proj", "mlp.down_proj")
    ]
    # two layers of q_proj (32 -> 32) and down_proj (64 -> 32), each r * (in + out)
    assert bank.per_adapter() == 2 * (2 * (32 + 32) + 2 * (64 + 32)) == len(bank.parameters[0])
    with torch.no_grad():
        bank.parameters[0].copy_(torch.arange(bank.per_adapter()))
    seen = torch.cat([piece.reshape(-1) for _, down, up in bank.factors(0) for piece in (down, up)])
    assert torch.equal(seen, torch.arange(bank.per_adapter()).float())
    assert [(tuple(d.shape), tuple(u.shape)) for _, d, u in bank.factors(0)] == [
        ((2, 32), (32, 2)),
        ((2, 64), (32, 2)),
    ] * 2


def test_fresh_adapters_are_pefts_initialisation():
    bank = AdapterBank(tiny_model(), LoraSpec(8, 16.0), 2, seed=3)
    for row in range(2):
        for slot, down, up in bank.factors(row):
            bound = 1 / math.sqrt(slot.inputs)
            assert not up.any()
            assert float(down.abs().max()) <= bound
            assert abs(float(down.std()) - bound / math.sqrt(3)) < 0.15 * bound
            assert abs(float(down.mean())) < 0.15 * bound
    assert bank.versions == [0, 0]
    assert not torch.equal(bank.parameters[0], bank.parameters[1])
    more = AdapterBank(tiny_model(), LoraSpec(8, 16.0), 3, seed=3)
    assert all(torch.equal(more.parameters[row], bank.parameters[row]) for row in range(2))
    other = AdapterBank(tiny_model(), LoraSpec(8, 16.0), 1, seed=4)
    assert not torch.equal(other.parameters[0], bank.parameters[0])


def test_appending():
    bank = AdapterBank(tiny_model(), LoraSpec(2, 4.0), 1, seed=0)
    vector = bank.fresh(99)
    assert bank.append(vector) == 1
    assert torch.equal(bank.parameters[1], vector)
    vector.zero_()
    assert bank.parameters[1].any()  # a copy
    assert bank.versions == [0, 0]
    with pytest.raises(ModelError, match=rf"{bank.per_adapter()} parameters here, .* of 448, not \(3,\)"):
        bank.append(torch.zeros(3))


def test_the_output_head_is_no_target_and_is_not_listed():
    """Logits are the head's product with the hidden states, so an adapter on it would act nowhere or fail."""
    with pytest.raises(ModelError, match="unknown adapter target 'lm_head'") as caught:
        AdapterBank(tiny_model(), LoraSpec(targets=("lm_head",)), 1, 0)
    valid = str(caught.value).partition("(valid: ")[2].removesuffix(")").split(", ")
    assert valid == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]


def test_unknown_targets_are_named():
    with pytest.raises(ModelError, match=r"adapter target 'q_prj'; did you mean 'q_proj'"):
        AdapterBank(tiny_model(), LoraSpec(targets=("v_proj", "q_prj")), 1, 0)


def test_adapters_stay_fp32_over_a_bf16_backbone():
    backbone = load_backbone("tiny", "bfloat16", "cpu")
    bank = AdapterBank(backbone.model, LoraSpec(4, 6.0), 2, 0)
    assert {p.dtype for p in bank.parameters} == {torch.float32}
    with bank.select([0, 1], torch.bfloat16):
        hidden = forward(backbone, tokens(2))
    assert hidden.dtype == torch.bfloat16
    hidden.float().sum().backward()
    assert {p.grad.dtype for p in bank.parameters} == {torch.float32}
