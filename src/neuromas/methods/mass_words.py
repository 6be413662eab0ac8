"""The instructions among which MASS-lite chooses: ways to say the same duty, our own words."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    """What the agents of a workflow are told, by their block."""

    predict: str
    reflect: str
    debate: str
    aggregate: str


BLOCKS = ("aggregate", "reflect", "debate")  # beside the predictor, which always is there

POOL: dict[str, tuple[str, ...]] = {
    "predict": (
        "Answer the question.",
        "Work out the answer to the question.",
        "Read the question with care, then answer it.",
        "Solve the problem step by step and give the result.",
        "You know this subject well. Answer the question.",
        "Take the question apart, solve each piece and give the answer.",
        "Give the answer that is most likely to be right.",
        "What is asked for? Find it and write it down.",
    ),
    "reflect": (
        "Check your answer for errors and write the right one.",
        "Read the question again. If your answer does not fit it, write a better one, else repeat it.",
        "Suppose your answer were wrong: where would the error be? Then write the final answer.",
        "Work the question out once more by another way and compare. Write the answer you trust.",
        "Verify every step behind your answer, then write the corrected answer.",
        "Be your own strict examiner: keep the answer if it holds, replace it if not.",
        "Does your answer have the form that is asked for, and is it true? Write it as it should be.",
        "Look for a slip in your answer and put it right.",
    ),
    "debate": (
        "Compare your answer with the others' and write the one with the best reasons.",
        "Others answered, too. Learn from them and write your answer anew.",
        "Where the answers differ, find out who is right. Write that answer.",
        "Test the other answers against the question, then give yours.",
        "Defend your answer if it holds, take over another one if that is better.",
        "Look for an error in every answer, also in yours. Write what is left.",
        "The others may be wrong. Use what is sound in their answers and write yours.",
        "Agree on one answer with the others: write the most convincing.",
    ),
    "aggregate": (
        "Several agents answered. Write the one answer that is best supported.",
        "Count which answer is given most often and write it.",
        "Combine the agents' answers into the right one.",
        "Some of these answers may be wrong. Decide which is right and write it.",
        "Judge the answers against the question and write the best.",
        "Write the answer on which most agents agree; if none agree, work it out yourself.",
        "You have the last word. Weigh all answers and write the final one.",
        "Choose the answer that fits the question exactly.",
    ),
}
