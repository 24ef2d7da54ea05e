"""The language of a text."""

from tests.each import each
from tunesmith.data import language_of

TOLD = {
    "The bed was hard and the room was cold.": "English",
    "Das Bett war hart und das Zimmer war nicht warm.": "German",
    "Le lit était dur et la chambre est dans un état pas très bon.": "French",
    "La cama es muy dura y el cuarto está frío.": "Spanish",
    "O quarto não era mau, mas você foi muito simpático.": "Portuguese",
    "Il letto è duro e la camera non era della migliore qualità.": "Italian",
    "Het bed was hard en de kamer is niet warm.": "Dutch",
    "Pokój nie był ciepły, ale jest bardzo czysty i już się wyspałem.": "Polish",
    "Sängen var hård och det är inte varmt.": "Swedish",
    "Кровать была жёсткой.": "Cyrillic script",
    "部屋は寒かったです。": "Japanese script",
    "房间很冷。": "Chinese script",
}


@each("text, language", TOLD.items())
def test_a_sentence_tells_its_language(text: str, language: str) -> None:
    assert language_of(text) == language


@each("text", ["", "42", "Oslo 1987", "ok", "Please do as you like", "I need it as soon as possible."])
def test_what_cannot_be_told_is_not_guessed(text: str) -> None:
    assert language_of(text) is None or language_of(text) == "English"
