"""The words of titles, categories and queries."""

from __future__ import annotations

CATALOGUE: dict[str, dict[str, tuple[str, ...]]] = {
    "home": {
        "lighting": ("lamp", "lantern", "sconce", "chandelier"),
        "textiles": ("blanket", "cushion", "curtain", "rug"),
        "storage": ("basket", "shelf", "chest", "rack"),
        "decor": ("vase", "mirror", "frame", "candle"),
    },
    "kitchen": {
        "cookware": ("pan", "pot", "casserole", "wok"),
        "tableware": ("plate", "bowl", "mug", "platter"),
        "cutlery": ("knife", "fork set", "spoon set", "ladle"),
        "appliances": ("kettle", "toaster", "blender", "grinder"),
    },
    "furniture": {
        "seating": ("chair", "stool", "bench", "armchair"),
        "tables": ("table", "desk", "side table", "console"),
        "beds": ("bed", "headboard", "mattress", "daybed"),
        "cabinets": ("cabinet", "wardrobe", "sideboard", "dresser"),
    },
    "garden": {
        "planting": ("planter", "trough", "trellis", "pot saucer"),
        "tools": ("spade", "rake", "pruner", "hoe"),
        "outdoor living": ("parasol", "hammock", "fire bowl", "lounger"),
        "watering": ("watering can", "hose", "sprinkler", "rain gauge"),
    },
    "clothing": {
        "tops": ("shirt", "sweater", "blouse", "vest"),
        "trousers": ("trousers", "shorts", "leggings", "overalls"),
        "outerwear": ("jacket", "coat", "parka", "cape"),
        "dresses": ("dress", "skirt", "tunic", "jumpsuit"),
    },
    "shoes": {
        "boots": ("boot", "ankle boot", "rain boot", "hiking boot"),
        "sneakers": ("sneaker", "runner", "trainer", "slip-on"),
        "sandals": ("sandal", "clog", "mule", "slide"),
        "formal": ("loafer", "oxford", "derby", "pump"),
    },
    "accessories": {
        "bags": ("backpack", "tote", "satchel", "pouch"),
        "jewellery": ("ring", "bracelet", "necklace", "earring"),
        "watches": ("watch", "strap", "watch case", "travel clock"),
        "headwear": ("hat", "cap", "beanie", "scarf"),
    },
    "sports": {
        "fitness": ("dumbbell", "mat", "kettlebell", "jump rope"),
        "camping": ("tent", "sleeping bag", "stove", "flask"),
        "cycling": ("helmet", "saddle", "bike bell", "pannier"),
        "water sports": ("paddle", "fin", "dry bag", "swim buoy"),
    },
    "toys": {
        "building": ("block set", "brick set", "marble run", "train set"),
        "dolls": ("doll", "puppet", "doll house", "plush bear"),
        "games": ("board game", "puzzle", "card game", "domino"),
        "vehicles": ("toy car", "toy truck", "tractor", "scooter"),
    },
    "office": {
        "writing": ("pen", "pencil", "marker", "notebook"),
        "desk": ("organiser", "paper tray", "bookend", "desk pad"),
        "electronics": ("keyboard", "headset", "mouse", "speaker"),
        "paper": ("planner", "folder", "envelope set", "sketchbook"),
    },
}

# A style is a family of adjectives and materials that appear together.
STYLES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("Nordic", "Plain", "Pale"), ("Birch", "Wool", "Linen")),
    (("Rustic", "Weathered", "Farmhouse"), ("Oak", "Iron", "Jute")),
    (("Industrial", "Raw", "Bold"), ("Steel", "Concrete", "Canvas")),
    (("Elegant", "Classic", "Fine"), ("Walnut", "Brass", "Silk")),
    (("Playful", "Bright", "Cheerful"), ("Cotton", "Beech", "Felt")),
    (("Coastal", "Breezy", "Airy"), ("Rattan", "Hemp", "Driftwood")),
    (("Modern", "Sleek", "Compact"), ("Aluminium", "Glass", "Nylon")),
    (("Vintage", "Retro", "Antique"), ("Copper", "Leather", "Velvet")),
    (("Sturdy", "Rugged", "Durable"), ("Titanium", "Rubber", "Denim")),
    (("Minimal", "Quiet", "Matte"), ("Ceramic", "Ash", "Cork")),
    (("Lush", "Botanical", "Leafy"), ("Bamboo", "Willow", "Seagrass")),
    (("Royal", "Ornate", "Gilded"), ("Marble", "Porcelain", "Cashmere")),
)

_BEGINNINGS = ("Hal", "Mar", "Ost", "Vel", "Bry", "Tor", "Lin", "Kes")
_ENDINGS = ("den", "vik", "mora", "ton", "una", "berg")
BRANDS: tuple[str, ...] = tuple(first + last for first in _BEGINNINGS for last in _ENDINGS)
