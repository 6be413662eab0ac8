"""What fifteen nodes are asked where a task comes in eight parts: their own step, then the whole question."""

from __future__ import annotations

import json
import re

import pytest

TREE = [
    *("model.backbone=tiny", "task.name=arithmetic", "network.topology=tree:2,3"),
    "task.options={ask = true, depth = 4, parts = 8}",
]


def read_by_node(cli, question: str) -> list[str]:
    status, out, err = cli("prompts", *TREE, f"network.question={question}", "--json")
    assert status == 0, err
    nodes = json.loads(out)["nodes"]
    return ["".join(section["text"] for section in node["sections"]) for node in nodes]


def test_every_reader_is_asked_its_own_step_and_nobody_sees_anothers_part(cli):
    texts = read_by_node(cli, "split")
    assert len(texts) == 15
    leaves, readers = texts[:8], texts[8:]
    asked = [re.findall(r"What is [^?]*\?", text) for text in texts]
    assert all(len(one) == 1 for one in asked), "one question each"
    assert all(re.search(r"What is [1-9] [-+*] [1-9]\?", text) for text in leaves)
    assert all(re.search(r"What is A [-+*] B\?", text) for text in readers)
    parts = [one[0].removeprefix("What is ").rstrip("?") for one in asked[:8]]
    for node, text in enumerate(texts):
        others = {part for place, part in enumerate(parts) if place != node} - set(parts[node : node + 1])
        assert not any(part in text for part in others), node


@pytest.mark.parametrize("question", ["all", "hints"])
def test_after_lifting_every_node_reads_the_whole_question(cli, question):
    parts = [re.search(r"What is ([^?]*)\?", text)[1] for text in read_by_node(cli, "split")[:8]]
    whole = read_by_node(cli, question)
    assert all(f"({part})" in text for text in whole for part in parts)
    questions = {max(re.findall(r"What is [^?]*\?", text), key=len) for text in whole}
    assert len(questions) == 1, "the same for all"
