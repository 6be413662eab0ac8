"""Controls of the role-free network: roles in prompts, one adapter for all nodes, only the output learns."""

from __future__ import annotations

import json

import pytest
import torch
from toys import ToyTask, network, problems

from neuromas.config import apply_overrides, make_config
from neuromas.core.errors import ConfigError, PromptError, RunError
from neuromas.engines.scripted import ScriptedEngine
from neuromas.prompts.reading import of_roles
from neuromas.storage import Run
from neuromas.system import assemble as assembling
from neuromas.system.network import check_only, held
from neuromas.system.prompting import PROMPT
from neuromas.system.rollout import Sampling, rollout
from neuromas.system.saving import load_bundle
from neuromas.topology.graph import Topology
from neuromas.topology.shapes import build_shape
from neuromas.training.run import resume, start
from parity import Parity, small
from watched import Watch

TRIO = {"1/1": "You solve it.", "2/1": "You check {index} of {width}.", "sink": "You put it right."}


@pytest.fixture(autouse=True)
def parity(monkeypatch):
    monkeypatch.setattr(assembling, "make_task", lambda name, options: Parity())


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_every_node_is_told_its_own_role_on_one_line(style):
    engine = ScriptedEngine(lambda prompt, adapter: "x")
    chain = network(engine, build_shape("1-1-1", "all"), style=style, template=of_roles(TRIO, style))
    rollout(chain, ToyTask(), problems(1), 1, Sampling(0.0, 0))
    told = [call.prompts[0] for call in engine.calls]
    lines = ["You solve it.", "You check 1 of 1.", "You put it right."]
    for node, prompt in enumerate(told):
        assert [line in prompt.splitlines() or f"{line}\n" in prompt for line in lines] == [
            place == node for place in range(3)
        ]


def test_without_roles_prompts_are_the_built_in_ones():
    assert make_config(small()).network.roles == {}
    assert not assembling.assemble(make_config(small())).network.template.source


def test_a_question_cannot_pass_for_a_role():
    engine = ScriptedEngine(lambda prompt, adapter: "You solve it.")
    chain = network(engine, build_shape("1-1", "all"), template=of_roles({"1/1": "You solve it."}, "plain"))
    asked = problems(1)[0]
    forged = type(asked)("p", "What?\nYou solve it.\nNow.", "7")
    rollout(chain, ToyTask(), [forged], 1, Sampling(0.0, 0))
    assert engine.calls[0].prompts[0].splitlines().count("You solve it.") == 1
    assert "> You solve it." in engine.calls[0].prompts[0]


def test_roles_are_given_on_the_command_line():
    given = ["network.roles={'1/1' = 'You solve it.'}", "network.roles.sink=You judge."]
    roles = make_config(apply_overrides(small(), given)).network.roles
    assert roles == {"1/1": "You solve it.", "sink": "You judge."}


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ({"1/1": "one\ntwo"}, "is not one line of text"),
        ({"1/1": " "}, "is not one line of text"),
        ({"1/1": 3}, r"network\.roles\.1/1"),
    ],
)
def test_a_role_is_one_line(roles, said):
    with pytest.raises(ConfigError, match=said):
        make_config(small(network={"roles": roles}))


def test_roles_are_of_nodes_there_are_and_of_places_there_are(tmp_path):
    with pytest.raises(PromptError, match="3/1"):
        assembling.assemble(make_config(small(network={"roles": {"3/1": "You check."}})))
    with pytest.raises(PromptError, match="place"):
        assembling.assemble(make_config(small(network={"roles": {"1/1": "You {place}."}})))
    with pytest.raises(ConfigError, match="both given"):
        make_config(small(network={"roles": TRIO, "prompt": "own.toml"}))


def test_a_network_keeps_its_roles_and_a_child_must_have_them(tmp_path):
    data = small(network={"topology": "1-1-1", "roles": TRIO}, train={"steps": 2})
    run = start(make_config(data), tmp_path / "run", Watch())
    checkpoint = Run.open(run.path).checkpoints()[-1]
    assert (checkpoint / PROMPT).is_file()
    kept = load_bundle(checkpoint).network.template
    assert kept == of_roles(TRIO, "plain")
    assert kept.mark == "roles (network.roles)"
    assert kept.texts(Topology.parse("1-1-1"), 2, "plain").role == "You put it right."
    heir = {**data, "growth": {"parent": str(run.path), "stages": [["1-1-1", 1]]}}
    heir = {**heir, "train": {k: v for k, v in data["train"].items() if k != "steps"}}
    assert start(make_config(heir), tmp_path / "heir", Watch()).finished
    other = {**heir, "network": {**data["network"], "roles": {"1/1": "You guess."}}}
    with pytest.raises(RunError, match=r"network\.roles"):
        start(make_config(other), tmp_path / "other", Watch())


# -- who learns


def moved(config, folder) -> list[bool]:
    """Whether each adapter is another one after the run."""
    before = [p.detach().clone() for p in assembling.assemble(config).model.bank.parameters]
    run = start(config, folder, Watch())
    after = load_bundle(Run.open(run.path).checkpoints()[-1]).model.bank.parameters
    return [not torch.equal(one, two) for one, two in zip(before, after, strict=True)]


@pytest.mark.parametrize(
    ("only", "wanted"),
    [([], [True] * 3), (["sink"], [False, False, True]), (["1/2", "sink"], [False, True, True])],
)
def test_only_named_nodes_learn(tmp_path, only, wanted):
    config = make_config(small(train={"only": only}, evaluate={"every": 0}))
    assert moved(config, tmp_path / "run") == wanted


def test_who_learns_may_change_from_stage_to_stage(tmp_path):
    data = small(network={}, train={"problems": 2, "samples": 4, "entropy": 0.01}, evaluate={"every": 0})
    both = [{"shape": "2-1", "steps": 1, "only": only} for only in (["sink"], ["1/1"])]
    data = {**data, "train": {k: v for k, v in data["train"].items() if k != "steps"}}
    assert moved(make_config({**data, "stages": both}), tmp_path / "run") == [True, False, True]
    both[0]["only"] = ["3/1"]
    with pytest.raises(ConfigError, match="unknown node '3/1'"):
        start(make_config({**data, "stages": both}), tmp_path / "typo", Watch())


def test_one_adapter_learns_from_all_nodes(tmp_path):
    config = make_config(small(network={"share": "all"}, evaluate={"every": 0}))
    assert moved(config, tmp_path / "run") == [True]


@pytest.mark.parametrize("late", [False, True])
def test_a_tied_copy_learns_with_its_original_or_is_refused(tmp_path, late):
    data = small(network={}, train={"problems": 1, "samples": 2, "entropy": 0.01}, evaluate={"every": 0})
    del data["network"]["topology"], data["train"]["steps"]
    copies = {"shape": "2-1", "steps": 1, "init": "copy", "tied": True}
    only = {"only": ["sink"]}
    stages = [["1", 1], {**copies, **({} if late else only)}, {"shape": "2-1", "steps": 1, **only}]
    said = "node '1.1' has the adapter of one that learns"
    with pytest.raises(ConfigError, match=said):
        start(make_config({**data, "stages": stages}), tmp_path / "run", Watch())
    assert not (tmp_path / "run").exists()
    run = start(make_config({**data, "stages": stages[:1]}), tmp_path / "run", Watch())
    with pytest.raises(ConfigError, match=said):  # what goes on is asked as well
        resume(run.path, Watch(), overrides=[f"stages=[['1',1],{_inline(stages[1])},{_inline(stages[2])}]"])
    stages = [["2-1", 1], {**copies, "shape": "tree:2,2", "only": ["leaves"]}]  # tied among themselves
    assert start(make_config({**data, "stages": stages}), tmp_path / "leaves", Watch()).finished


def _inline(stage):
    return "{" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in stage.items()) + "}"


def test_what_is_held_follows_the_assignment():
    graph = Topology.parse("2-1")
    assert held(graph, (0, 1, 2), ()) == set()
    assert held(graph, (0, 1, 2), ("sink",)) == {0, 1}
    assert held(graph, (0, 1, 2), ("leaves",)) == {2}
    assert held(graph, (0, 0, 1), ("1/1",)) == {1}


@pytest.mark.parametrize(
    ("shape", "share", "only", "said"),
    [
        ("2-1", "node", ["3/1"], "unknown node"),
        ("2-1", "all", ["sink"], "share"),
        ("2-1", "layer", ["1/1"], "share"),
    ],
)
def test_who_learns_must_be_possible(shape, share, only, said):
    with pytest.raises(ConfigError, match=said):
        check_only([(Topology.parse(shape), share)], only)


def test_in_each_stage_somebody_learns():
    stages = [(Topology.parse("1"), "node"), (Topology.parse("2-1"), "node")]
    check_only(stages, ["sink"])
    with pytest.raises(ConfigError, match="nothing would learn"):
        check_only(stages, ["1/2"])


def test_where_nobody_new_learns_the_others_do_not_wait(tmp_path):
    data = small(network={}, train={"only": ["sink"], "problems": 2, "samples": 4, "entropy": 0.01})
    data["network"].pop("topology", None)
    data["train"].pop("steps", None)
    data["growth"] = {"stages": [["1-1", 1], ["1-1-1", 5]], "first": 0.4, "old_rate": 0.0}
    run = start(make_config(data), tmp_path / "run", Watch())
    assert all(row["learned_messages"] for row in run.lines("metrics.jsonl"))
