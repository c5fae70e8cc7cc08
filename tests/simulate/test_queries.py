import unicodedata

from recsys.simulate.queries import VARIANTS, categories, descriptions, search_texts, titles
from recsys.simulate.shop import Shop
from recsys.simulate.words import BRANDS, CATALOGUE, STYLES


def test_titles_and_descriptions_use_the_words_of_the_items_cluster(shop: Shop) -> None:
    rows = zip(titles(shop), categories(shop), descriptions(shop), shop.items.cluster.tolist(), strict=True)
    for title, category, about, cluster in rows:
        room, kind = category.split("|")
        adjectives, materials = STYLES[shop.clusters.style[cluster]]
        found = [
            (a, m, n) for a in adjectives for m in materials for n in CATALOGUE[room][kind] for brand in BRANDS
            if title == f"{a} {m} {n} {brand}"
        ]  # fmt: skip
        assert len(found) == 1
        assert all(word.lower() in about.lower() for word in (*found[0], room, kind))
    assert len({category.split("|")[0] for category in categories(shop)}) > 1


def test_searches_name_their_cluster_and_the_untidy_ones_are_normalised_to_words(shop: Shop) -> None:
    texts = search_texts(shop)
    assert len(texts) == VARIANTS * len(shop.clusters.sub)
    for cluster in range(len(shop.clusters.sub)):
        mine = texts[cluster * VARIANTS : (cluster + 1) * VARIANTS]
        tidy = [" ".join(unicodedata.normalize("NFKC", text).lower().split()) for text in mine]
        assert [text == clean for text, clean in zip(mine, tidy, strict=True)] == [True] * 6 + [False] * 2
        assert len(set(tidy)) == VARIANTS
        assert all(clean.isascii() for clean in tidy)
