"""Which of many texts are nearest to one: the cosine of their TF-IDF vectors, without a library."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+|[^\w\s]")  # signs count: in "3 + 4" they say what is asked


def nearest(query: str, texts: Sequence[str], count: int) -> list[int]:
    """Places of the ``count`` texts nearest to the query, nearest first; of equals the later one.

    A word w weighs tf(w) * (1 + ln((1 + n) / (1 + df(w)))) in a text, with its count tf there and the number
    df of the n texts that have it; nearness is the cosine. A text without a word in common is not near.
    """
    bags = [_words(text) for text in texts]
    found_in = Counter(word for bag in bags for word in bag)
    rarity = {word: 1.0 + math.log((1 + len(texts)) / (1 + having)) for word, having in found_in.items()}
    wanted = {word: often * rarity[word] for word, often in _words(query).items() if word in rarity}
    near = []
    for place, bag in enumerate(bags):
        product = sum(often * rarity[word] * wanted.get(word, 0.0) for word, often in bag.items())
        length = math.sqrt(sum((often * rarity[word]) ** 2 for word, often in bag.items()))
        if product:
            near.append((product / length, place))
    return [place for _, place in sorted(near, reverse=True)[:count]]


def _words(text: str) -> Counter[str]:
    """Words and signs of a text, in small letters, with how often they stand there."""
    return Counter(_WORD.findall(text.lower()))
