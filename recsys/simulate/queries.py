"""Titles, categories, descriptions and search texts, made of the shop's words."""

from __future__ import annotations

from recsys.simulate.shop import SUBCATEGORIES, Shop
from recsys.simulate.words import BRANDS, CATALOGUE, STYLES

VARIANTS = 8


def titles(shop: Shop) -> list[str]:
    """[I] `adjective material noun brand`."""
    return [" ".join((*_words(shop, item), BRANDS[shop.items.brand[item]])) for item in range(len(shop.items.brand))]


def descriptions(shop: Shop) -> list[str]:
    """[I] one sentence about each item."""
    texts = []
    for item in range(len(shop.items.brand)):
        adjective, material, noun = _words(shop, item)
        room, kind = SUBCATEGORIES[shop.clusters.sub[shop.items.cluster[item]]]
        texts.append(f"{noun.capitalize()} in {material.lower()}, {adjective.lower()}; from our {room} range, {kind}.")
    return texts


def categories(shop: Shop) -> list[str]:
    """[I] category path `a|b`."""
    return ["|".join(SUBCATEGORIES[sub]) for sub in shop.clusters.sub[shop.items.cluster].tolist()]


def search_texts(shop: Shop) -> list[str]:
    """[C * VARIANTS] what users type when they look for a cluster; the last ones are untidy and need normalising."""
    texts: list[str] = []
    for sub, style in zip(shop.clusters.sub.tolist(), shop.clusters.style.tolist(), strict=True):
        room, kind = SUBCATEGORIES[sub]
        nouns = CATALOGUE[room][kind]
        adjectives, materials = ([word.lower() for word in words] for words in STYLES[style])
        texts += [
            nouns[0],
            f"{adjectives[0]} {nouns[0]}",
            f"{materials[0]} {nouns[1]}",
            f"{adjectives[1]} {materials[1]} {nouns[2]}",
            f"{kind} {materials[2]}",
            f"{adjectives[2]} {nouns[3]}",
            f"  {materials[1]}   {nouns[0]} ".upper(),
            _full_width(f"{adjectives[0]} {nouns[1]}"),
        ]
    return texts


def _words(shop: Shop, item: int) -> tuple[str, str, str]:
    cluster = shop.items.cluster[item]
    room, kind = SUBCATEGORIES[shop.clusters.sub[cluster]]
    adjectives, materials = STYLES[shop.clusters.style[cluster]]
    a, m, n = shop.items.words[item]
    return adjectives[a], materials[m], CATALOGUE[room][kind][n]


def _full_width(text: str) -> str:
    """The text in full-width letters, as an East Asian keyboard writes it; NFKC undoes it."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
