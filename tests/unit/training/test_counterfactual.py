"""What single messages are paid, on scripted networks, against numbers worked out by hand."""

from __future__ import annotations

import math
from collections import deque
from types import SimpleNamespace

import pytest
from toys import ToyTask, lines, network, problems

from neuromas.config import make_config
from neuromas.core.errors import ConfigError
from neuromas.engines.scripted import ScriptedEngine
from neuromas.growth.lineage import Budget
from neuromas.learning.credit import make_estimator
from neuromas.system.rollout import Sampling, rollout
from neuromas.topology.graph import Topology
from neuromas.training.counterfactual import counterfactuals, credit_report
from neuromas.training.credit import credit

TENTHS = ToyTask(lambda problem, text: int(text) / 10 if text.isdigit() else 0.0)
TOKENS = 16  # budget of every message


def scripted(topology, reads, said, context=1 << 16):
    """A network whose nodes write what ``said[adapter]`` has next, or by ``reads`` what they read."""
    left = {adapter: deque(texts) for adapter, texts in said.items()}

    def script(prompt, adapter):
        if left.get(adapter):
            return left[adapter].popleft()
        return reads([line.partition(": ")[2].strip() for line in lines(prompt)])

    return network(ScriptedEngine(script, context), topology)


def trainer(net, samples=2, count=1, scale=None, **train):
    settings = make_config({"train": {"problems": count, "samples": samples, **train}}).train
    return SimpleNamespace(
        settings=settings,
        network=net,
        estimator=make_estimator(settings),
        estimator_state={},
        learner=SimpleNamespace(lr_scale=scale or {}, objective=SimpleNamespace(pulls=())),
        sampling=lambda first: Sampling(1.0, 7),
    )


def credited(one, task=TENTHS, count=1):
    """Text, advantage and scale times budget of every message that is learned from, by node; the report."""
    episodes = rollout(one.network, task, problems(count), one.settings.samples, one.sampling(0))
    replays = counterfactuals(one, task, episodes)
    chosen, weights = credit(one, episodes, replays)
    found = {node: [] for node in range(len(one.network.topology.nodes))}
    for (_, turn), advantage, scale in zip(
        chosen, weights.advantage.tolist(), weights.scale.tolist(), strict=True
    ):
        found[turn.node].append((turn.text, pytest.approx(advantage, abs=1e-6), scale * TOKENS))
    return found, credit_report(one, episodes, replays), episodes


def copy(read):
    """The output says what it reads; "1" of an empty message, "4" if it is shown none."""
    return (read[0] or "1") if read else "4"


def chain(more=(), answers=("2", "6")):
    """Two nodes in a row; the first says 2 in one sample and 6 in the other, then ``more``."""
    return scripted("1-1", copy, {0: ["2", "6", *more], 1: list(answers)})


def test_the_shared_reward_needs_nothing_else():
    found, report, _ = credited(trainer(chain(), credit="shared"))
    assert found == {node: [("2", -0.4, 0.5), ("6", 0.4, 0.5)] for node in (0, 1)}
    assert report == {}


def test_the_difference_reward():
    # without the first message the answer is 1: 0.2 - 0.1 and 0.6 - 0.1; an empty answer earns 0
    found, report, _ = credited(trainer(chain(), credit="difference", baseline="none"))
    assert found == {
        0: [("2", 0.1, 0.5), ("6", 0.5, 0.5)],
        1: [("2", 0.2, 0.5), ("6", 0.6, 0.5)],
    }
    assert report["replayed"] == {
        "episodes": 4,
        "calls": 2,  # the output, asked again in either sample; an empty answer is not asked for
        "prompt_tokens": report["replayed"]["prompt_tokens"],
        "new_tokens": 4,  # "1" and its end
    }
    assert report["calls"] == 4 + 2
    found, _, _ = credited(trainer(chain(), credit="difference"))  # 0.1 - 0.5 and 0.5 - 0.1
    assert found[0] == [("2", -0.4, 0.5), ("6", 0.4, 0.5)]


def test_the_difference_reward_tells_nodes_apart_that_share_an_answer():
    # of two nodes the output repeats the first: whatever the second says is worth nothing
    net = scripted("2-1", copy, {0: ["2", "6"], 1: ["3", "9"]})
    found, _, _ = credited(trainer(net, credit="difference"))
    assert found[0] == [("2", -0.4, 0.5), ("6", 0.4, 0.5)]
    assert found[1] == []
    net = scripted("2-1", copy, {0: ["2", "6"], 1: ["3", "9"]})
    found, _, _ = credited(trainer(net, credit="shared"))
    assert found[1] == [("3", -0.4, 0.5), ("9", 0.4, 0.5)]


def test_what_a_message_adds_to_the_output_alone():
    # unheard the answer is 4: 0.2 + 1/2 (0.2 - 0.4) and 0.6 + 1/2 (0.6 - 0.4); the output earns R
    one = trainer(chain(), credit="solo", solo_weight=0.5, baseline="none")
    found, report, _ = credited(one)
    assert found == {
        0: [("2", 0.1, 0.5), ("6", 0.7, 0.5)],
        1: [("2", 0.2, 0.5), ("6", 0.6, 0.5)],
    }
    assert (report["replayed"]["episodes"], report["replayed"]["calls"], report["calls"]) == (2, 2, 6)
    found, _, _ = credited(trainer(chain(), credit="solo", solo_weight=3.0))  # -0.4 and 1.2
    assert found[0] == [("2", -1.6, 0.5), ("6", 1.6, 0.5)]


SIBLINGS = {
    "more": ["4", "9", "6", "0"],  # two of each sample's first message
    "answers": ["2", "6", "4", "9", "3", "3", "6", "0", "8", "5"],  # after those, and two of each answer
}


def test_leave_one_out_among_messages_of_one_context():
    found, report, _ = credited(trainer(chain(**SIBLINGS), credit="c3", alternatives=2))
    third = pytest.approx(1 / 6)  # three messages stand for one episode of two
    assert found == {
        0: [  # 0.2, 0.4, 0.9: 0.2 - 0.65, 0.4 - 0.55, 0.9 - 0.3; and 0.6, 0.6, 0: 0.6 - 0.3, 0 - 0.6
            *(("2", -0.45, third), ("4", -0.15, third), ("9", 0.6, third)),
            *(("6", 0.3, third), ("6", 0.3, third), ("0", -0.6, third)),
        ],
        1: [  # 0.2, 0.3, 0.3; and 0.6, 0.8, 0.5
            *(("2", -0.1, third), ("3", 0.05, third), ("3", 0.05, third)),
            *(("6", -0.05, third), ("8", 0.25, third), ("5", -0.2, third)),
        ],
    }
    # a sample: two first messages with an answer each, and two answers
    assert (report["replayed"]["episodes"], report["replayed"]["calls"], report["calls"]) == (8, 12, 16)
    assert report["new_tokens"] == 2 * 16
    assert report["silent_groups"] == 0.0


def test_counterfactual_messages_are_compared_with_and_not_learned_from():
    found, report, _ = credited(trainer(chain(**SIBLINGS), credit="counterfactual", alternatives=2))
    assert found == {
        0: [("2", -0.45, 0.5), ("6", 0.3, 0.5)],
        1: [("2", -0.1, 0.5), ("6", -0.05, 0.5)],
    }
    assert report["replayed"]["calls"] == 12


def test_one_sample_is_enough_where_alternatives_are_compared():
    net = scripted("1-1", copy, {0: ["2", "7"], 1: ["2", "7", "2"]})
    found, report, _ = credited(trainer(net, samples=1, credit="c3", alternatives=1))
    assert found == {0: [("2", -0.5, 0.5), ("7", 0.5, 0.5)], 1: []}
    assert report["silent_groups"] == 0.5, "of two groups one says nothing"


def test_alternatives_may_be_standardised():
    found, _, _ = credited(trainer(chain(**SIBLINGS), credit="c3", alternatives=2, baseline="grpo"))
    deviation = math.sqrt((0.3**2 + 0.1**2 + 0.4**2) / 2) + 1e-4  # of 0.2, 0.4, 0.9 about 0.5
    assert [a for _, a, _ in found[0][:3]] == pytest.approx(
        [-0.3 / deviation, -0.1 / deviation, 0.4 / deviation], abs=1e-6
    )


def test_every_message_pays_for_its_own_length():
    said = {0: ["2", "7"], 1: ["2", "7", "2 2"]}
    task = ToyTask(lambda problem, text: int(text[0]) / 10)
    one = trainer(scripted("1-1", copy, said), samples=1, credit="c3", alternatives=1, length_penalty=0.16)
    found, _, _ = credited(one, task)
    # two tokens cost 0.02, four 0.04
    assert found[1] == [("2", 0.02, 0.5), ("2 2", -0.02, 0.5)]
    assert found[0] == [("2", -0.5, 0.5), ("7", 0.5, 0.5)]


def test_a_message_that_made_its_reader_fail_is_worth_less_than_none():
    said = {0: ["long " * 3, "6"], 1: ["6", "1", "1"]}
    found, report, episodes = credited(
        trainer(scripted("1-1", copy, said, context=94), credit="difference", baseline="none")
    )
    assert [one.failure is None for one in episodes] == [False, True]
    assert found == {0: [("long long long ", -0.1, 0.5), ("6", 0.5, 0.5)], 1: [("6", 0.6, 0.5)]}
    assert report["replayed"]["calls"] == 2


def test_what_nobody_read_or_is_frozen_is_not_played_again():
    topology = Topology.build(["a", "b", "c"], [("a", "c", {"gate": 0.0}), ("b", "c")])
    for name, calls in (("difference", 2), ("solo", 2), ("c3", 2 * 2 * (2 + 1)), ("counterfactual", 12)):
        net = scripted(topology, copy, {0: ["3", "9"], 1: ["2", "6"]})
        found, report, _ = credited(trainer(net, credit=name, alternatives=2))
        assert found[0] == [], name
        assert report["replayed"]["calls"] == calls, name
        # b's two groups differ, the output's two do not; a's message, that nobody read, is compared with none
        assert name not in ("c3", "counterfactual") or report["silent_groups"] == 0.5, name
    for name in ("difference", "solo", "c3", "counterfactual"):
        one = trainer(chain(), scale={0: 0.0}, credit=name, baseline="grpo", alternatives=2)
        found, report, _ = credited(one)
        assert found[0] == []
        assert report["replayed"]["calls"] == (4 if one.settings.alternates else 0)


def test_an_unread_message_adds_nothing_to_the_mean_of_the_others():
    # the gate is open in one of two samples: D = 0.6 - 0.1 there, 0 where nobody read the message
    topology = Topology.build(["a", "c"], [("a", "c", {"gate": 0.5})])
    opened = []
    for seed in range(20):
        net = scripted(topology, copy, {0: ["6", "6"]})
        one = trainer(net, credit="difference")
        one.sampling = lambda first, seed=seed: Sampling(1.0, seed)
        found, _, episodes = credited(one)
        if sum(episode.turns[0].heard for episode in episodes) == 1:
            opened.append(found[0])
    assert opened
    assert all(each == [("6", 0.5, 0.5)] for each in opened)


def test_rewards_of_single_nodes_are_compared_node_by_node():
    from neuromas.core.task import Score

    def judge(problem, text):
        value = int(text) / 10 if text.isdigit() else 0.0
        return Score(value, text, nodes=(1.0 - value, value))

    found, _, _ = credited(trainer(chain(), credit="difference", baseline="none"), ToyTask(judge))
    assert found == {
        0: [("2", -0.1, 0.5), ("6", -0.5, 0.5)],  # 0.8 - 0.9, 0.4 - 0.9
        1: [("2", 0.2, 0.5), ("6", 0.6, 0.5)],
    }


def test_one_mean_and_deviation_of_all_nodes_or_one_each():
    # difference rewards 0.1, 0.5 of the first node and 0.2, 0.6 of the second
    each, _, _ = credited(trainer(chain(), credit="difference", baseline="grpo"))
    own = 0.2 / (math.sqrt(2 * 0.2**2) + 1e-4)
    for node in (0, 1):
        assert [a for _, a, _ in each[node]] == pytest.approx([-own, own], abs=1e-6)
    both, _, _ = credited(trainer(chain(), credit="difference", baseline="grpo_global"))
    deviation = math.sqrt((2 * 0.25**2 + 2 * 0.15**2) / 3) + 1e-4  # about 0.35
    assert [a for _, a, _ in both[0]] == pytest.approx([-0.25 / deviation, 0.15 / deviation], abs=1e-6)
    assert [a for _, a, _ in both[1]] == pytest.approx([-0.15 / deviation, 0.25 / deviation], abs=1e-6)


def test_with_one_shared_reward_they_differ_by_one_factor():
    each, _, _ = credited(trainer(chain(), baseline="grpo"))
    both, _, _ = credited(trainer(chain(), baseline="grpo_global"))
    # deviations about 0.4: sqrt(0.08 / 1) of a node's two rewards, sqrt(0.16 / 3) of all four
    factor = (math.sqrt(0.08) + 1e-4) / (math.sqrt(0.16 / 3) + 1e-4)
    for node in (0, 1):
        assert [a for _, a, _ in both[node]] == pytest.approx([a.expected * factor for _, a, _ in each[node]])


def test_the_budget_of_a_step_holds_what_was_played_again():
    _, report, episodes = credited(trainer(chain(**SIBLINGS), credit="c3", alternatives=2))
    spent = Budget.of(report, 1.0)
    assert (spent.calls, spent.new_tokens) == (16, 32)
    alone = Budget.of_episodes(episodes)
    extra = report["replayed"]
    assert spent.prompt_tokens == alone.prompt_tokens + extra["prompt_tokens"]
    read = episodes[0].turns
    first, second = (len(turn.prefix_ids) + len(turn.suffix_ids) for turn in read)
    assert extra["prompt_tokens"] == 2 * (2 * first + 4 * second), "every message has one letter"


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"credit": "c3", "baseline": "ema"}, "train.credit = 'c3' compares messages"),
        ({"credit": "counterfactual", "baseline": "none"}, "'rloo', 'grpo'"),
        ({"credit": "c3", "baseline": "grpo_global"}, "'grpo_global' does not"),
        ({"credit": "difference", "samples": 1}, "at least 2 samples"),
        ({"credit": "c3", "problems": 4096, "samples": 8, "alternatives": 3}, "131072 episodes a step"),
        ({"credit": "coma"}, "train.credit"),
        ({"credit": "c3", "alternatives": 0}, "train.alternatives"),
        ({"credit": "solo", "solo_weight": 0.0}, "train.solo_weight"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(train, words):
    with pytest.raises(ConfigError) as caught:
        make_config({"train": train})
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_an_estimator_of_ones_own_must_compare_too(monkeypatch):
    settings = make_config({"train": {"credit": "c3", "baseline": "neuromas.learning.estimators.ema:Ema"}})
    with pytest.raises(ConfigError, match="compares messages"):
        make_estimator(settings.train)
