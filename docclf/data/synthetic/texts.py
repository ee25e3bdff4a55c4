"""Plausible texts: names, addresses, amounts, dates, account numbers and prose, drawn from one language's phrases."""

from numpy.random import Generator

from docclf.data.synthetic.draws import count_between, pick, picks
from docclf.data.synthetic.phrases import Phrases


def person(rng: Generator, phrases: Phrases) -> str:
    """Given name and surname."""
    return f"{pick(rng, phrases.given)} {pick(rng, phrases.surnames)}"


def address(rng: Generator, phrases: Phrases) -> list[str]:
    """Name, street and city, a line each."""
    return [
        person(rng, phrases),
        f"{pick(rng, phrases.streets)} {count_between(rng, 1, 180)}",
        pick(rng, phrases.cities),
    ]


def amount(rng: Generator, low: float = 1.0, high: float = 5000.0) -> str:
    """An amount with two decimals; small ones are the most frequent.

    >>> import numpy as np
    >>> amount(np.random.default_rng(0), 5.0, 5.0)
    '5.00'
    """
    value = low * (high / low) ** float(rng.random())
    return f"{value:,.2f}"


def date(rng: Generator, phrases: Phrases) -> str:
    """A date, in figures or with the month's name."""
    day, month, year = count_between(rng, 1, 28), count_between(rng, 1, 12), count_between(rng, 2009, 2026)
    if rng.random() < 0.7:
        return f"{day:02d}.{month:02d}.{year}"
    return f"{day} {phrases.months[month - 1]} {year}"


def digits(rng: Generator, count: int) -> str:
    """A string of figures.

    >>> import numpy as np
    >>> len(digits(np.random.default_rng(0), 12))
    12
    """
    return "".join(map(str, rng.integers(10, size=count).tolist()))


def iban(rng: Generator) -> str:
    """Something that looks like an IBAN; its check digits are not valid, on purpose."""
    figures = digits(rng, 18)
    groups = [figures[start : start + 4] for start in range(2, 18, 4)]
    return f"{pick(rng, ('GB', 'DE', 'FR'))}{figures[:2]} {' '.join(groups)}"


def sentence(rng: Generator, phrases: Phrases) -> str:
    """Subject, verb and object."""
    return f"{pick(rng, phrases.subjects)} {pick(rng, phrases.verbs)} {pick(rng, phrases.objects)}."


def prose(rng: Generator, phrases: Phrases, sentences: int) -> str:
    """A paragraph of the given number of sentences."""
    subjects = picks(rng, phrases.subjects, sentences)
    verbs = picks(rng, phrases.verbs, sentences)
    objects = picks(rng, phrases.objects, sentences)
    return " ".join(f"{who} {does} {what}." for who, does, what in zip(subjects, verbs, objects, strict=True))


def headline(rng: Generator, phrases: Phrases) -> str:
    """A headline: a sentence without its full stop, most often cut short."""
    words = sentence(rng, phrases).rstrip(".").split()
    return " ".join(words[: count_between(rng, 4, 8)])
