"""Tell the language of a text by its script and its most frequent words."""

from collections.abc import Sequence

from tunesmith.data.scripts import scripts_of
from tunesmith.data.similar import words_of

__all__ = ["language_of"]

_LEAST_WORDS = 2  # of a language in a text
_LEAST_SHARE = 0.1  # of all words of a text
_LEAD = 1.5  # times as many as of the next language

# Frequent words, without those that are English words too, such as the Polish `to` and the Portuguese `do`.
_FREQUENT = {
    "Dutch": "de het een van en dat niet zijn voor met ook aan maar er nog naar wordt deze bij werd geen heeft wij ik",
    "English": "the of and to is in that it was for are with this be on you have not they what from were which how",
    "Finnish": "ja ei että se hän oli mutta kun niin myös ovat kuin tai jos mitä ole sen hyvin tämä minä",
    "French": "le la les des et est une que dans pour pas qui sur plus avec au ce il je nous vous sont était mais du",
    "German": "der die und das ist nicht ein eine den mit von zu auf für sich dem auch wir ich war sind oder wie bei",
    "Italian": "il che di è un una per non con sono della gli del più anche ma come alla questo nel ho era perché",
    "Polish": "nie się na jest że jak ale po tak co od przez są był dla tylko czy już może tym jego",
    "Portuguese": "o que de não um uma para com os da em por mais na você foi são está mas muito isso ao",
    "Spanish": "el que de y los las un una en por con para es su del se lo más como pero muy está fue sin este",
    "Swedish": "och att det som en på är av för med den till inte har de ett jag var om men så vi kan från hade",
    "Turkish": "ve bir bu da için çok ne de ile ama daha gibi ben var değil olarak kadar sonra mi olan",
}
_WORDS = {language: frozenset(words.split()) for language, words in _FREQUENT.items()}


def language_of(text: str) -> str | None:
    """Return the language of a text, or its script if that is not Latin; `None` if it cannot be told.

    It counts the most frequent words of eleven European languages. A text of a few words, of a mixture, or in another
    language of the Latin script is not told.

    Example:
        >>> language_of("The bed was hard and the room was cold.")
        'English'
        >>> language_of("Кровать была жёсткой."), language_of("Oslo 1987")
        ('Cyrillic script', None)
    """
    scripts = scripts_of([text])
    if not scripts:
        return None
    script, letters = scripts.most_common(1)[0]
    if script == "CHINESE" and "JAPANESE" in scripts:
        script = "JAPANESE"  # Japanese mixes both
    if script != "LATIN":
        return f"{script.capitalize()} script" if letters * 2 > sum(scripts.values()) else None
    return _by_words(words_of(text))


def _by_words(words: Sequence[str]) -> str | None:
    counts = sorted(((sum(word in own for word in words), language) for language, own in _WORDS.items()), reverse=True)
    (most, language), (second, _) = counts[0], counts[1]
    enough = most >= max(_LEAST_WORDS, _LEAST_SHARE * len(words))
    return language if enough and most >= _LEAD * second else None
