"""The names of the door, and the functions for notebooks on the tiny model."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

import neuromas
from neuromas.core.errors import ConfigError, NeuromasError
from neuromas.evaluation.evaluate import Evaluation
from neuromas.methods.direct import Direct
from neuromas.models.dims import read_dims

SMALL = [
    "model.backbone=tiny",
    "model.dtype=float32",
    "train.steps=1",
    "train.problems=2",
    "train.samples=2",
    "evaluate.test=4",
    "evaluate.every=0",
    "task.name=max",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return neuromas.train(neuromas.load_config(None, SMALL), tmp_path_factory.mktemp("runs") / "one")


def test_every_public_name_is_there_listed_and_explained():
    assert set(neuromas.__all__) <= set(dir(neuromas))
    for name in neuromas.__all__:
        assert (getattr(neuromas, name).__doc__ or "").strip(), f"help(neuromas.{name}) says nothing"


def test_light_names_load_no_torch():
    shown = "'torch' in sys.modules"
    names = "Task Problem Score Episode Topology draw validate load_config compare"
    code = f"import neuromas as n, sys; [getattr(n, x) for x in {names.split()}]; print({shown})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_values_are_short_to_look_at(trained):
    (group,) = neuromas.rollout(trained, trained.problems("test", 1), samples=3)
    shown = [trained, trained.assembly, group, group.episodes[0], group.episodes[0].turns[0]]
    shown += [trained.evaluate("test", 4), neuromas.draw("2-2-1")]
    assert all(len(repr(value)) < 250 for value in shown), [repr(value) for value in shown]


def test_rollout_gives_groups_and_repeats_with_its_seed(trained):
    problems = trained.problems("validation", 2)
    first = neuromas.rollout(trained, problems, samples=3, seed=5)
    assert [group.problem.id for group in first] == [problem.id for problem in problems]
    assert [len(group.episodes) for group in first] == [3, 3]
    again = neuromas.rollout(trained, problems, samples=3, seed=5)
    assert [e.answer for g in first for e in g.episodes] == [e.answer for g in again for e in g.episodes]


def test_evaluate_validate_and_compare(trained):
    assert isinstance(neuromas.evaluate(trained, "test", 4, messages="blank"), Evaluation)
    assert neuromas.validate("max", {"n": 3}, items=20).ok
    other = f"{trained.path}:test-before"
    found = neuromas.compare(other, trained)
    assert "difference" in str(found)
    assert found.data["items"] == 4


def test_what_was_evaluated_is_compared_without_a_run(trained):
    whole, blank = trained.evaluate(items=4), trained.evaluate(items=4, messages="blank")
    found = neuromas.compare(whole, blank)
    assert "network messages=blank" in str(found)
    assert found.data["items"] == 4
    debate = neuromas.evaluate(trained, items=4, method="debate", options={"rounds": 1})
    assert "debate agents=3 rounds=1" in str(neuromas.compare(trained, whole, debate))
    with pytest.raises(ConfigError, match="is compared with itself"):
        neuromas.compare(whole, whole)
    bound = neuromas.evaluate(trained, items=4, method="pass-at-n", options={"n": 2})
    with pytest.raises(ConfigError, match="is an oracle bound"):
        neuromas.compare(whole, bound)


def test_nodes_may_be_told_each_others_position(trained):
    swapped = neuromas.evaluate(trained, items=4, positions="swapped")
    assert swapped.summary["positions"] == "swapped"
    assert "(layer 1/2, node 2/2" in next(iter(swapped.prompts.values()))[0]
    for wrong in ({"positions": "left"}, {"positions": "swapped", "method": "direct"}):
        with pytest.raises(ConfigError, match="positions"):
            trained.evaluate(items=4, **wrong)


def test_messages_of_single_nodes_may_be_altered(trained):
    found = neuromas.evaluate(trained, items=4, messages="blank", nodes=["1.2"])
    assert (found.summary["altered"], found.summary["intervention"]) == (["1.2"], "blank")
    whole = trained.evaluate(items=4)
    assert "network messages=blank nodes=1.2" in str(neuromas.compare(whole, found))
    for wrong, says in (
        ({"nodes": ["1.2"]}, "messages blank or shuffle"),
        ({"nodes": ["2.1"], "messages": "blank"}, "output node"),
        ({"nodes": ["1.2"], "method": "direct"}, r"method and nodes = \['1.2'\] do not go together"),
    ):
        with pytest.raises(ConfigError, match=says):
            trained.evaluate(items=4, **wrong)
    with pytest.raises(TypeError, match="unexpected keyword argument 'node'"):
        neuromas.evaluate(trained, items=4, messages="blank", node=["1.2"])


class Shout(Direct):
    """An object of one's own."""


def test_a_method_by_name_or_as_an_object_answers_in_the_networks_place(trained):
    network = trained.evaluate("test", 4)
    same = neuromas.evaluate(trained, items=4, method="network")
    assert same.items == network.items
    assert {**network.summary, **same.summary} == same.summary, "and says more"
    votes = neuromas.evaluate(trained, items=4, method="self-consistency", options={"votes": 3})
    assert (votes.summary["calls"], votes.summary["options"]["votes"]) == (9.0, 3)
    own, direct = (neuromas.evaluate(trained, items=4, method=one) for one in (Shout(), "direct"))
    assert own.items == direct.items
    assert (own.summary["method"], own.summary["parameters"], own.summary["calls"]) == ("Shout", 0, 1.0)
    tokens = own.summary["prompt_tokens"] + own.summary["new_tokens"]
    weights = read_dims("tiny").body + read_dims("tiny").vocabulary * read_dims("tiny").hidden
    assert own.summary["flops"] == 2 * weights * tokens
    assert trained.evaluate("test", 4).items == network.items, "the frozen model's adapter is gone again"


def test_grow_prune_and_draw(trained, tmp_path):
    larger = neuromas.grow(trained, "3-1", 1, directory=tmp_path / "larger")
    assert str(larger.topology) == "3-1"
    smaller = neuromas.prune(larger, tmp_path / "smaller", node="1.3")
    assert len(smaller.topology.nodes) == 3
    drawing = neuromas.draw(smaller)
    assert ET.fromstring(drawing._repr_svg_()).tag.endswith("svg")
    drawing.save(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text("utf-8") == drawing.svg


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda t: neuromas.rollout(t, [], samples=0), "samples = 0 must be at least 1"),
        (lambda t: neuromas.rollout(t, [], messages="blnak"), "unknown messages 'blnak'"),
        (lambda t: t.evaluate("tset"), "did you mean 'test'"),
        (lambda t: t.evaluate(method="direkt"), "did you mean 'direct'"),
        (lambda t: t.evaluate(method="direct", options={"votes": 3}), "unknown option of method 'direct'"),
        (lambda t: t.evaluate(method="direct", messages="blank"), "method and messages = 'blank' do not go"),
        (lambda t: t.evaluate(method=Shout(), options={"votes": 3}), "options are those of a method"),
        (lambda t: t.evaluate(options={"votes": 3}), "options are those of a method"),
        (lambda t: t.evaluate(method=Shout), "is no Method"),
        (lambda t: t.problems("dev"), "unknown split 'dev'"),
        (lambda t: neuromas.prune(t, "x"), "either node or edge"),
        (neuromas.compare, "at least two"),
        (lambda t: neuromas.draw("2-x-1"), "2-x-1"),
        (lambda t: neuromas.validate("maxx"), "did you mean 'max'"),
    ],
)
def test_wrong_values_are_one_line(trained, call, says):
    with pytest.raises(NeuromasError, match=says) as caught:
        call(trained)
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        neuromas.trian  # noqa: B018
    assert issubclass(ConfigError, NeuromasError)
