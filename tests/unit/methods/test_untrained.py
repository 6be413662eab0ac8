"""The network's graph before training: its prompts, the frozen model in every node, and roles of nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from toys import at, problems

from neuromas.methods.running import evaluate_method, make_method
from neuromas.prompts.reading import read_template

SOLVER, CRITIC, AGGREGATOR = "You are a solver:", "You are a critic:", "You are the aggregator:"


def prompts_of(where, name, **options):
    """What the nodes of a method are told about two problems, and with which adapters."""
    make_method(name, options).answer(where, problems(2))
    calls = where.network.engine.calls
    said = [prompt for call in calls for prompt in call.prompts]
    adapters = {request.adapter for call in calls for request in call.requests}
    calls.clear()
    return said, adapters


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_nodes_are_told_what_the_network_tells_them(style):
    where = at(lambda prompt, adapter: "1", style=style, shape="2-2-1")
    trained, adapters = prompts_of(where, "network")
    assert adapters == {0, 1, 2, 3, 4}
    bare, adapters = prompts_of(where, "untrained")
    assert (bare, adapters) == (trained, {9})
    assert prompts_of(where, "network")[1] == {0, 1, 2, 3, 4}, "the network stays as it was"


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_roles_follow_from_what_a_node_reads(style):
    where = at(lambda prompt, adapter: "1", style=style, shape="2-2-1")
    bare, _ = prompts_of(where, "untrained")
    told, adapters = prompts_of(where, "untrained", roles=True)
    assert adapters == {9}
    roles = [SOLVER] * 4 + [CRITIC] * 4 + [AGGREGATOR] * 2
    assert [prompt.split(":")[0] + ":" for prompt in told] == roles
    assert [prompt.split("\n", 1)[1] for prompt in told] == bare, "nothing else of the prompt changes"


def test_who_reads_nothing_is_a_solver_though_it_answers():
    where = at(lambda prompt, adapter: "1", shape="1")
    assert all(prompt.startswith(SOLVER) for prompt in prompts_of(where, "untrained", roles=True)[0])


def test_roles_are_said_wherever_prompts_are():
    where = at(lambda prompt, adapter: "1")
    result = evaluate_method("untrained", make_method("untrained", {"roles": True}), where, "test", 2)
    assert result.summary["prompts"] == "roles (solver, critic, aggregator)"
    facts = [result.summary[key] for key in ("parameters", "calls", "nodes", "adapters")]
    assert facts == [0, 3.0, 3, 1]
    result = evaluate_method("untrained", make_method("untrained"), where, "test", 2)
    assert "prompts" not in result.summary


def test_roles_give_way_and_other_texts_of_a_prompt_file_stay():
    where = at(lambda prompt, adapter: "1")
    sink = where.network.topology.nodes[-1].name
    file = f'[nodes."{sink}"]\nrole = "You are a judge."\ncue = "Verdict:"\n'.encode()
    template = read_template(file, "own.toml", "plain")
    where = replace(where, network=replace(where.network, template=template))
    last = prompts_of(where, "untrained")[0][-1]
    assert last.startswith("You are a judge.\n")
    assert last.endswith("Verdict:")
    made = make_method("untrained", {"roles": True}).network(where).template
    assert made.digest != template.digest, "other texts are another template"
    last = prompts_of(where, "untrained", roles=True)[0][-1]
    assert last.startswith(AGGREGATOR)
    assert last.endswith("Verdict:")


def test_a_question_cannot_give_a_role():
    where = at(lambda prompt, adapter: "1")
    line = prompts_of(where, "untrained", roles=True)[0][0].split("\n")[0]
    sly = [replace(one, question=f"Which?\n{line}") for one in problems(1)]
    make_method("untrained", {"roles": True}).answer(where, sly)
    assert f"\n> {line}\n" in where.network.engine.calls[0].prompts[0]
