"""Search by meaning: the nearest vectors, among those records that meet other conditions as well.

A real program asks a model for its vectors. Here a small table of what words are about stands for one, so that nothing
has to be downloaded and the answer is the same every time.

python examples/semantic_search.py
"""

import asyncio
import math
import os
import re
from typing import Annotated

from meshdata import MeshData
from meshdata.search import Record, Tag, Text, Vector, match_all

TOPICS = {
    "animals": "dog cat puppy kitten pet horse bird paw fur bark purr feed vet",
    "food": "bread soup cook bake oven recipe dinner taste eat apple cheese feed",
    "travel": "train flight ticket hotel journey road abroad passport luggage drive",
    "money": "bank loan pay price tax salary budget cheap save invoice ticket",
    "machines": "engine computer motor repair screw circuit train oven drive robot",
    "health": "doctor vet fever sleep heart medicine pain run fit",
}


def embed(text: str) -> list[float]:
    """How much a text is about each topic, as a vector of length 1."""
    words = [word.rstrip("s") for word in re.findall(r"[a-z]+", text.lower())]
    vector = [0.1 + sum(word in about.split() for word in words) for about in TOPICS.values()]
    length = math.hypot(*vector)
    return [number / length for number in vector]


class Note(Record, entity="note"):
    id: str
    text: Annotated[str, Text()]
    author: Annotated[str, Tag()]
    meaning: Annotated[list[float], Vector(dim=len(TOPICS), metric="COSINE")]


NOTES = {
    "kitten": ("ann", "The kitten is asleep in her basket, one paw over the nose"),
    "stew": ("ann", "A soup of apples and cheese, with fresh bread from the oven"),
    "exam": ("bob", "Took the puppy to the vet: no fever, and he did not bark once"),
    "trip": ("bob", "Booked the night train; tickets are cheap if you pay in spring"),
    "mower": ("cyd", "The motor of the mower needs repair, a screw came loose"),
    "rise": ("cyd", "Asked for a better salary, and how to save on tax"),
}


async def main() -> None:
    async with MeshData(os.environ.get("MESHDATA_URL", "embedded://"), namespace="examples-semantic") as mesh:
        await mesh.create_index(Note)
        await mesh.find(Note).where(match_all()).flush()  # what an earlier run left
        for id, (author, text) in NOTES.items():
            await mesh.set("note", id, {"id": id, "text": text, "author": author, "meaning": embed(text)})

        for question in ("how are the pets?", "what is for dinner?", "which journey is a good price?"):
            near = await mesh.find(Note).where(Note.meaning.knn(embed(question), k=2))
            print(f"{question:32}", ", ".join(note.id for note in near))

        # The nearest of one author's, and only of those: the condition comes first, the distance after.
        near = await mesh.find(Note).where(Note.meaning.knn(embed("cats and dogs"), k=1) & (Note.author == "bob"))
        print("bob on cats and dogs:", near[0].text)


if __name__ == "__main__":
    asyncio.run(main())
